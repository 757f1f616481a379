//! Topics over real sockets.

use std::time::Duration;

use serde_json::{Value, json};
use streamer_engine::{HistoryRule, protocol::History};

use crate::harness::{Client, SECRET, Setup, Token, in_time, until};

/// Topics that begin with `kept.` keep their messages in memory; those with `stored.` durably.
fn setup() -> Setup {
    let mut setup = Setup::default();
    let rule = |prefix: &str, history| HistoryRule {
        prefix: prefix.to_owned(),
        history,
        messages_max: 10_000,
        bytes_max: 64 * 1024 * 1024,
        age_max: Duration::from_secs(3600),
    };
    setup.engine.topics.histories = vec![rule("kept.", History::Memory), rule("stored.", History::Durable)];
    setup
}

/// Somebody who may do everything.
fn token() -> String {
    Token::with_rights(&["read", "write"], &[])
}

impl Client {
    /// Asks, and gives the answer; what comes before it is left out.
    async fn answer(&mut self, action: &str, payload: Value) -> Value {
        self.ask("x", action, payload).await;
        loop {
            let frame = self.frame().await;
            if frame["request_id"] == "x" {
                return frame;
            }
        }
    }

    async fn subscribe(&mut self, payload: Value) -> Value {
        let answer = self.answer("subscribe", payload).await;
        assert_eq!(answer["type"], "response", "{answer}");
        answer["data"].clone()
    }

    /// The next message of a topic: its offset.
    async fn event(&mut self) -> u64 {
        let frame = self.frame().await;
        assert_eq!(frame["type"], "event", "{frame}");
        frame["offset"].as_u64().expect("a number")
    }
}

#[tokio::test]
async fn a_burst_reaches_everybody_whole_and_in_order() {
    let server = setup().start().await;
    let mut subscribers = Vec::new();
    // More than the hub serves in one go.
    for _ in 0..300 {
        let mut client = Client::connect(&server, &token()).await;
        client.subscribe(json!({ "topic": "room" })).await;
        subscribers.push(client);
    }
    let mut publisher = Client::connect(&server, &token()).await;
    for n in 1..=20 {
        publisher.ask(&n.to_string(), "publish", json!({ "topic": "room", "data": [SECRET, n] })).await;
    }
    for n in 1..=20 {
        let answer = publisher.frame().await;
        assert_eq!((&answer["request_id"], &answer["data"]["offset"]), (&json!(n.to_string()), &json!(n)));
    }
    for client in &mut subscribers {
        for n in 1..=20 {
            let event = client.frame().await;
            assert_eq!((&event["offset"], &event["data"]), (&json!(n), &json!([SECRET, n])));
        }
    }
    assert!(server.counts("streamer_topic_messages_published_total{history=\"none\"}", 20));
    assert!(server.counts("streamer_topic_messages_delivered_total", 20 * 300));
    for client in subscribers {
        client.leave().await;
    }
    publisher.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn what_the_newest_token_allows_counts() {
    let server = setup().start().await;
    let mut client = Client::connect(&server, &Token::with_rights(&[], &["orders.*"])).await;
    client.subscribe(json!({ "topic": "orders.eu" })).await;
    for (action, topic) in
        [("subscribe", "news"), ("subscribe", "orders"), ("publish", "orders.eu"), ("presence", "news")]
    {
        let answer = client.answer(action, json!({ "topic": topic, "data": 1 })).await;
        assert_eq!(answer["error"]["code"], "FORBIDDEN", "{action} {topic}");
    }
    let other = json!({ "token": Token::with_rights(&["write"], &["news"]) });
    let answer = client.answer("refresh", other).await;
    assert_eq!(answer["data"]["unsubscribed"], json!(["orders.eu"]));
    client.subscribe(json!({ "topic": "news" })).await;
    assert_eq!(
        client.answer("publish", json!({ "topic": "orders.eu", "data": 1 })).await["type"],
        "response"
    );
    let answer = client.answer("subscribe", json!({ "topic": "orders.eu" })).await;
    assert_eq!(answer["error"]["code"], "FORBIDDEN");
    client.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn ten_thousand_subscriptions_on_one_connection_hurt_nobody() {
    let server = setup().start().await;
    let mut greedy = Client::connect(&server, &token()).await;
    let mut refused = 0;
    for chunk in 0..100 {
        for n in 0..100 {
            let topic = format!("stored.{}", chunk * 100 + n);
            greedy.ask(&topic, "subscribe", json!({ "topic": topic })).await;
        }
        for _ in 0..100 {
            refused += u64::from(greedy.frame().await["error"]["code"] == "OVERLOADED");
        }
    }
    assert_eq!(refused, 10_000 - 64);
    let mut other = Client::connect(&server, &token()).await;
    other.subscribe(json!({ "topic": "stored.9999" })).await;
    greedy.echo("still here").await;
    greedy.leave().await;
    other.leave().await;
    server.empty().await;
    server.finish().await;
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_is_closed_and_comes_back_for_the_rest() {
    for topic in ["kept.a", "stored.a"] {
        let mut setup = setup();
        setup.settings.outbound_bytes_max = 256 * 1024;
        setup.settings.close_timeout = Duration::from_secs(10);
        let server = setup.start().await;
        let mut slow = Client::narrow(&server, &token()).await;
        let epoch = slow.subscribe(json!({ "topic": topic })).await["epoch"].clone();
        let mut quick = Client::connect(&server, &token()).await;
        quick.subscribe(json!({ "topic": topic })).await;
        let data = format!("{SECRET}{}", "x".repeat(32 * 1024));
        let mut published = 0;
        // Until the system holds no more for the one that does not read.
        let publishing = async {
            while !server.counts("streamer_slow_consumers_total", 1) {
                let answer = quick.answer("publish", json!({ "topic": topic, "data": data })).await;
                published = answer["data"]["offset"].as_u64().expect("published");
            }
        };
        in_time("the slow one is to be closed", publishing).await;
        quick.echo("not held up").await;
        let mut seen = 0;
        let code = loop {
            use futures_util::StreamExt as _;
            use tokio_tungstenite::tungstenite::Message;
            match in_time("a message", slow.socket.next()).await.expect("open").expect("readable") {
                Message::Text(text) => {
                    let event: Value = serde_json::from_str(&text).expect("JSON");
                    assert_eq!(event["offset"], seen + 1, "no gap before the close");
                    seen += 1;
                }
                Message::Close(frame) => break u16::from(frame.expect("with a code").code),
                _ => {}
            }
        };
        assert_eq!(code, 4408);
        assert!(seen < published);
        let mut back = Client::connect(&server, &token()).await;
        let since = json!({ "epoch": epoch, "offset": seen });
        let answer = back.subscribe(json!({ "topic": topic, "since": since })).await;
        assert_eq!(answer["resumed"], true);
        for offset in seen + 1..=published {
            assert_eq!(back.event().await, offset, "{topic}");
        }
        quick.answer("publish", json!({ "topic": topic, "data": "live" })).await;
        assert_eq!(back.event().await, published + 1);
        back.leave().await;
        quick.leave().await;
        server.finish().await;
    }
}

#[tokio::test]
async fn who_leaves_is_no_longer_present() {
    let server = setup().start().await;
    let mut ada = Client::connect(&server, &token()).await;
    let answer = ada.subscribe(json!({ "topic": "room", "presence": true })).await;
    assert_eq!(answer["present"]["users"][0]["user_id"], "ada");
    let mut bob = Client::connect(&server, &Token::of("bob", "acme")).await;
    // Without a right: the test's token has none.
    assert_eq!(bob.answer("subscribe", json!({ "topic": "room" })).await["error"]["code"], "FORBIDDEN");
    bob.leave().await;
    let other = Client::connect(&server, &token()).await;
    drop(other);
    until("the other is gone", async || server.hub.len() == 1).await;
    let answer = ada.answer("presence", json!({ "topic": "room" })).await;
    assert_eq!(
        (&answer["data"]["total"], &answer["data"]["users"][0]["connections"]),
        (&json!(1), &json!(1))
    );
    ada.leave().await;
    server.finish().await;
}
