//! Subscriptions over connections that come and go.

use serde_json::{Value, json};
use streamer_client::{CallError, Client, ErrorCode, SendError, Subscription, TopicUpdate};
use streamer_protocol::{Epoch, Position};

use crate::fake::{Fake, Peer, soon};

impl Peer {
    /// The client's next message, which must be a subscription: its id, and its payload.
    async fn hear_subscribe(&mut self) -> (String, Value) {
        let message = self.hear().await;
        assert_eq!(message["action"], "subscribe", "{message}");
        (message["id"].as_str().expect("text").to_owned(), message["payload"].clone())
    }

    /// Answers a subscription: the topic is in `epoch`, at `offset`.
    async fn subscribed(&mut self, id: &str, epoch: &str, offset: u64, more: Value) {
        let mut data = json!({ "topic": "orders", "epoch": epoch, "offset": offset, "history": "memory", "kept_from": 1 });
        for (name, value) in more.as_object().expect("an object") {
            data[name] = value.clone();
        }
        self.respond(id, data).await;
    }

    async fn event(&mut self, epoch: &str, offset: u64) {
        let data = json!(format!("{epoch}-{offset}"));
        self.say(
            json!({ "type": "event", "topic": "orders", "epoch": epoch, "offset": offset, "data": data }),
        )
        .await;
    }
}

/// A client with a subscription that stands at `e1`, 5.
async fn begun(fake: &Fake) -> (Client, Peer, Subscription) {
    begun_with(fake, fake.settings()).await
}

async fn begun_with(fake: &Fake, settings: streamer_client::Settings) -> (Client, Peer, Subscription) {
    let (client, mut peer) = fake.meet(settings).await;
    let answering = async {
        let (id, payload) = peer.hear_subscribe().await;
        assert_eq!(payload, json!({ "topic": "orders" }));
        peer.subscribed(&id, "e1", 5, json!({})).await;
    };
    let (subscription, ()) = tokio::join!(client.subscribe("orders").begin(), answering);
    (client, peer, subscription.expect("answered"))
}

/// The next update, in a word.
async fn word(subscription: &mut Subscription) -> String {
    match soon("an update", subscription.next()).await.expect("goes on").expect("goes on") {
        TopicUpdate::Message(event) => event.data.get().expect("a text"),
        TopicUpdate::Presence(presence) => format!("{:?} {}", presence.change, presence.user_id),
        TopicUpdate::Subscribed(anew) => format!("anew {:?} {}", anew.lost, anew.kept_from),
        other => panic!("{other:?}"),
    }
}

fn at(epoch: &str, offset: u64) -> Position {
    Position { epoch: Epoch::new(epoch), offset }
}

#[tokio::test]
async fn messages_come_in_order_and_once() {
    let fake = Fake::start().await;
    let (_client, mut peer, mut orders) = begun(&fake).await;
    assert_eq!((orders.subscribed().offset, orders.position()), (5, &at("e1", 5)));
    for offset in [6, 7, 7, 5, 8] {
        peer.event("e1", offset).await;
    }
    for expected in ["e1-6", "e1-7", "e1-8"] {
        assert_eq!(word(&mut orders).await, expected);
    }
    assert_eq!(orders.position(), &at("e1", 8));
}

#[tokio::test]
async fn a_lost_connection_is_made_up_for() {
    let fake = Fake::start().await;
    let (_client, mut peer, mut orders) = begun(&fake).await;
    peer.event("e1", 6).await;
    assert_eq!(word(&mut orders).await, "e1-6");
    peer.close(4408).await;
    let mut peer = fake.accept().await;
    let (id, payload) = peer.hear_subscribe().await;
    assert_eq!(payload["since"], json!({ "epoch": "e1", "offset": 6 }));
    peer.subscribed(&id, "e1", 8, json!({ "resumed": true })).await;
    for offset in [7, 8, 9] {
        peer.event("e1", offset).await;
    }
    for expected in ["e1-7", "e1-8", "e1-9"] {
        assert_eq!(word(&mut orders).await, expected, "nothing to tell about the break");
    }
    // Lost before anything was answered.
    peer.close(1001).await;
    fake.accept().await.close(1011).await;
    let mut peer = fake.accept().await;
    let (_, payload) = peer.hear_subscribe().await;
    assert_eq!(payload["since"]["offset"], 9);
}

#[tokio::test]
async fn what_was_lost_is_told() {
    let fake = Fake::start().await;
    let (_client, peer, mut orders) = begun(&fake).await;
    peer.close(1001).await;
    let mut peer = fake.accept().await;
    let (id, _) = peer.hear_subscribe().await;
    peer.subscribed(&id, "e1", 40, json!({ "kept_from": 39, "resumed": false, "lost": "trimmed" })).await;
    for offset in [39, 40, 41] {
        peer.event("e1", offset).await;
    }
    for expected in ["anew Some(Trimmed) 39", "e1-39", "e1-40", "e1-41"] {
        assert_eq!(word(&mut orders).await, expected);
    }
    peer.close(1001).await;
    let mut peer = fake.accept().await;
    let (id, _) = peer.hear_subscribe().await;
    peer.subscribed(&id, "e2", 0, json!({ "resumed": false, "lost": "epoch" })).await;
    peer.event("e2", 1).await;
    for expected in ["anew Some(Epoch) 1", "e2-1"] {
        assert_eq!(word(&mut orders).await, expected);
    }
    assert_eq!(orders.position(), &at("e2", 1));
}

#[tokio::test]
async fn a_gap_is_never_passed_on() {
    let fake = Fake::start().await;
    let (_client, mut peer, mut orders) = begun(&fake).await;
    peer.event("e1", 7).await;
    let (id, payload) = peer.hear_subscribe().await;
    assert_eq!(payload["since"]["offset"], 5);
    // Of the earlier subscription: it will come again.
    peer.event("e1", 8).await;
    peer.subscribed(&id, "e1", 8, json!({ "resumed": true })).await;
    for offset in [6, 7, 8] {
        peer.event("e1", offset).await;
    }
    // The topic begins anew under a subscriber's eyes.
    peer.event("e2", 1).await;
    for expected in ["e1-6", "e1-7", "e1-8", "e2-1"] {
        assert_eq!(word(&mut orders).await, expected);
    }
    peer.event("e3", 2).await;
    assert_eq!(peer.hear_subscribe().await.1["since"], json!({ "epoch": "e2", "offset": 1 }));
}

#[tokio::test]
async fn a_reader_who_lags_holds_up_nobody_and_fetches_the_rest() {
    let fake = Fake::start().await;
    let (client, mut peer, mut orders) = begun_with(&fake, fake.settings().updates_max(3)).await;
    for offset in 6..=15 {
        peer.event("e1", offset).await;
    }
    let echo = client.request("echo").id("e").send().await.unwrap();
    peer.hear().await;
    peer.respond("e", json!(1)).await;
    soon("the other's answer", echo.outcome()).await.unwrap();
    let serving = async {
        for round in 1..=3 {
            let (id, payload) = peer.hear_subscribe().await;
            assert_eq!(payload["since"]["offset"], 5 + round * 3);
            peer.subscribed(&id, "e1", 15, json!({ "resumed": true })).await;
            for offset in 6 + round * 3..=15 {
                peer.event("e1", offset).await;
            }
        }
    };
    let reading = async {
        for offset in 6..=15 {
            assert_eq!(word(&mut orders).await, format!("e1-{offset}"));
        }
    };
    tokio::join!(serving, reading);
}

#[tokio::test]
async fn presence_is_told_and_seen_anew_after_a_break() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let user = |user: &str| json!({ "user_id": user, "connections": 1, "since": "2026-01-31T12:00:00.000Z" });
    let present = |users: Value| json!({ "present": { "topic": "orders", "users": users, "total": 1 } });
    let answering = async {
        let (id, payload) = peer.hear_subscribe().await;
        assert_eq!(
            payload,
            json!({ "topic": "orders", "since": { "epoch": "", "offset": 0 }, "presence": true })
        );
        let mut more = present(json!([user("ada")]));
        (more["resumed"], more["lost"]) = (json!(false), json!("epoch"));
        peer.subscribed(&id, "e1", 1, more).await;
        peer.event("e1", 1).await;
        peer.say(json!({ "type": "presence", "topic": "orders", "change": "join", "user_id": "bob" })).await;
    };
    let beginning = client.subscribe("orders").with_history().presence().begin();
    let (orders, ()) = tokio::join!(beginning, answering);
    let mut orders = orders.expect("answered");
    assert_eq!(orders.subscribed().present.as_ref().map(|present| present.users.len()), Some(1));
    for expected in ["e1-1", "Join bob"] {
        assert_eq!(word(&mut orders).await, expected);
    }
    peer.close(1001).await;
    let mut peer = fake.accept().await;
    let (id, _) = peer.hear_subscribe().await;
    let mut more = present(json!([user("cy")]));
    more["resumed"] = json!(true);
    peer.subscribed(&id, "e1", 1, more).await;
    let Some(TopicUpdate::Subscribed(anew)) = soon("an update", orders.next()).await.unwrap() else {
        panic!()
    };
    assert_eq!(anew.present.expect("asked for").users[0].user_id.as_str(), "cy");
}

#[tokio::test]
async fn who_drops_a_subscription_leaves_the_topic() {
    let fake = Fake::start().await;
    let (client, mut peer, orders) = begun(&fake).await;
    let again = client.subscribe("orders").begin().await;
    assert!(matches!(again, Err(CallError::Send(SendError::AlreadySubscribed))), "{again:?}");
    drop(orders);
    let message = peer.hear().await;
    assert_eq!(
        (&message["action"], &message["payload"]),
        (&json!("unsubscribe"), &json!({ "topic": "orders" }))
    );
    let answering = async {
        let (id, _) = peer.hear_subscribe().await;
        peer.subscribed(&id, "e1", 9, json!({})).await;
    };
    let (orders, ()) = tokio::join!(client.subscribe("orders").begin(), answering);
    assert_eq!(orders.expect("answered").position(), &at("e1", 9));
}

#[tokio::test]
async fn what_is_refused_ends_the_subscription_and_what_passes_does_not() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    for topic in ["a b", ""] {
        let refused = client.subscribe(topic).begin().await;
        assert!(matches!(refused, Err(CallError::Send(SendError::Topic(_)))), "{refused:?}");
    }
    let refused = client.subscribe("request:r").begin().await;
    assert!(matches!(refused, Err(CallError::Send(SendError::RequestTopic))), "{refused:?}");
    let forbidden = json!({ "code": "FORBIDDEN", "message": "no" });
    let answering = async {
        let (id, _) = peer.hear_subscribe().await;
        peer.fail(&id, None, forbidden.clone()).await;
    };
    let (refused, ()) = tokio::join!(client.subscribe("orders").begin(), answering);
    assert_eq!(refused.expect_err("refused").code(), Some(ErrorCode::Forbidden));
    peer.close(1001).await;

    let mut peer = fake.accept().await;
    let answering = async {
        let (id, _) = peer.hear_subscribe().await;
        peer.subscribed(&id, "e1", 5, json!({})).await;
    };
    let (orders, ()) = tokio::join!(client.subscribe("orders").begin(), answering);
    let mut orders = orders.expect("answered");
    peer.close(1001).await;
    let mut peer = fake.accept().await;
    let (id, _) = peer.hear_subscribe().await;
    let busy =
        json!({ "code": "OVERLOADED", "message": "later", "retry": { "retryable": true, "after": 1 } });
    peer.fail(&id, None, busy).await;
    let (id, payload) = peer.hear_subscribe().await;
    assert_eq!(payload["since"]["offset"], 5);
    peer.fail(&id, None, forbidden).await;
    let ended = soon("the end", orders.next()).await;
    assert_eq!(ended.expect_err("refused").code(), Some(ErrorCode::Forbidden));
    assert!(matches!(soon("the end", orders.next()).await, Ok(None)));
    drop(orders);
    let echo = client.request("echo").id("e").send().await.unwrap();
    assert_eq!(peer.hear().await["action"], "echo", "there is nothing to leave");
    client.close().await;
    assert!(echo.outcome().await.is_err());
}

#[tokio::test]
async fn publishing_and_presence_are_answered() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let serving = async {
        let message = peer.hear().await;
        assert_eq!(
            (&message["action"], &message["payload"]),
            (&json!("publish"), &json!({ "topic": "orders", "data": [1] }))
        );
        let id = message["id"].as_str().expect("text");
        peer.respond(id, json!({ "topic": "orders", "epoch": "e1", "offset": 6 })).await;
        let message = peer.hear().await;
        assert_eq!(
            (&message["action"], &message["payload"]),
            (&json!("presence"), &json!({ "topic": "orders" }))
        );
        let id = message["id"].as_str().expect("text");
        peer.respond(id, json!({ "topic": "orders", "users": [], "total": 0 })).await;
    };
    let asking = async {
        let published = client.publish("orders", &[1]).await.unwrap();
        (published.offset, client.presence("orders").await.unwrap().total)
    };
    assert_eq!(tokio::join!(asking, serving).0, (6, 0));
}

#[tokio::test]
async fn a_message_whose_answer_is_lost_is_sent_again_with_its_key() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let sent = json!({ "topic": "orders", "data": [1], "idempotency_key": "order-7" });
    let serving = async {
        assert_eq!(peer.hear().await["payload"], sent);
        drop(peer);
        let mut peer = fake.accept().await;
        let message = peer.hear().await;
        assert_eq!((&message["action"], &message["payload"]), (&json!("publish"), &sent));
        let id = message["id"].as_str().expect("text");
        peer.respond(id, json!({ "topic": "orders", "epoch": "e1", "offset": 6 })).await;
        peer
    };
    let asking = async { client.publish_once("orders", "order-7", &[1]).await.unwrap().offset };
    assert_eq!(tokio::join!(asking, serving).0, 6);
}

#[tokio::test]
async fn closing_ends_subscriptions() {
    let fake = Fake::start().await;
    let (client, _peer, mut orders) = begun(&fake).await;
    client.close().await;
    assert!(matches!(soon("the end", orders.next()).await, Err(CallError::Closed(_))));
    assert!(matches!(soon("the end", orders.next()).await, Ok(None)));
}
