//! Topics: who hears what, in which order, and what those who come back are told.

mod again;
mod bounds;
mod durable;
mod presence;
mod random;
mod requests;
mod rights;
mod slow;
mod together;

use std::time::Duration;

use serde_json::{Value, json};
use streamer_engine::{
    Context, Failure, HistoryRule, Rights, Router, Settings, Sourced, TopicSettings,
    protocol::{History, Json, TenantId, Topic},
    store::{SourcePosition, TopicKey},
};

use crate::support::{Client, Node, World, code, pass};

/// Topics that begin so keep five messages, for a minute.
fn rule(prefix: &str, history: History) -> HistoryRule {
    let (prefix, age_max) = (prefix.to_owned(), Duration::from_secs(60));
    HistoryRule { prefix, history, messages_max: 5, bytes_max: 10_000, age_max }
}

fn settings() -> Settings {
    let histories = vec![rule("memory.", History::Memory), rule("durable.", History::Durable)];
    let server_only = vec!["feed.".to_owned()];
    Settings {
        topics: TopicSettings { histories, server_only, ..TopicSettings::default() },
        ..Settings::default()
    }
}

fn alone() -> Node {
    World::new().working("alone", Router::new(), settings())
}

fn key(topic: &str) -> TopicKey {
    TopicKey::new(TenantId::new("acme"), Topic::parse(topic).expect("a topic"))
}

impl Node {
    /// Publishes as the server.
    async fn publish(&self, topic: &str, data: Value) -> u64 {
        self.engine.publish(&key(topic), data.into()).await.expect("published").offset
    }
}

impl Client {
    /// Subscribes, and gives the answer's data.
    async fn subscribe(&self, payload: Value) -> Value {
        let answer = self.answer("s", "subscribe", payload).await;
        assert_eq!(answer["type"], "response", "{answer}");
        answer["data"].clone()
    }

    async fn subscribe_to(&self, topic: &str) -> Value {
        self.subscribe(json!({ "topic": topic })).await
    }

    async fn subscribe_since(&self, topic: &str, epoch: &Value, offset: u64) -> Value {
        self.subscribe(json!({ "topic": topic, "since": { "epoch": epoch, "offset": offset } })).await
    }

    /// Publishes, and gives the answer.
    async fn publish(&self, topic: &str, data: Value) -> Value {
        self.answer("p", "publish", json!({ "topic": topic, "data": data })).await
    }

    /// The next messages of topics, up to the one with this data: (offset, data).
    async fn events_until(&self, last: Value) -> Vec<(u64, Value)> {
        let frames = self.until(|frame| frame["type"] == "event" && frame["data"] == last).await;
        events(&frames)
    }
}

/// The messages of topics among these frames.
fn events(frames: &[Value]) -> Vec<(u64, Value)> {
    let events = frames.iter().filter(|frame| frame["type"] == "event");
    events.map(|event| (event["offset"].as_u64().expect("a number"), event["data"].clone())).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_published_reaches_whoever_subscribed_in_order() {
    for topic in ["none.a", "memory.a", "durable.a"] {
        let node = alone();
        let (ada, bob) = (node.connect("a", "ada").await, node.connect("b", "bob").await);
        let answer = ada.subscribe_to(topic).await;
        assert_eq!(
            (&answer["topic"], &answer["offset"], &answer["kept_from"]),
            (&json!(topic), &json!(0), &json!(1))
        );
        assert_eq!((&answer["resumed"], &answer["present"]), (&Value::Null, &Value::Null), "not asked for");
        bob.subscribe_to(topic).await;
        for n in 1..=3 {
            let published = bob.publish(topic, json!({ "n": n })).await;
            assert_eq!(published["data"], json!({ "topic": topic, "epoch": answer["epoch"], "offset": n }));
        }
        let frames = ada.until(|frame| frame["offset"] == 3).await;
        assert_eq!(events(&frames), [1, 2, 3].map(|n| (n, json!({ "n": n }))));
        assert_eq!((&frames[0]["topic"], &frames[0]["epoch"]), (&json!(topic), &answer["epoch"]));
        assert!(frames[0]["timestamp"].is_string());
        let late = node.connect("c", "cy").await;
        let answer = late.subscribe_to(topic).await;
        assert_eq!(answer["offset"], 3, "what was before is not told unless it is asked for");
        node.publish(topic, json!("next")).await;
        assert_eq!(late.events_until(json!("next")).await, [(4, json!("next"))]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_publisher_hears_itself_and_other_topics_hear_nothing() {
    let node = alone();
    let ada = node.connect("a", "ada").await;
    ada.subscribe_to("room.1").await;
    let other = node.connect("b", "bob").await;
    other.subscribe_to("room.10").await;
    other.subscribe_to("room").await;
    other.subscribe_to("Room.1").await;
    ada.publish("room.1", json!("hello")).await;
    // A publish is answered after the message has left.
    assert!(other.take().is_empty());
    ada.publish("room.1", json!("again")).await;
    assert_eq!(ada.take().len(), 0, "both came before the answers");
}

#[tokio::test(start_paused = true)]
async fn tenants_are_apart() {
    for topic in ["none.a", "memory.a", "durable.a"] {
        let node = alone();
        let rights = || Rights::new(true, true, []);
        let ours = node.connect_as("a", "ada", "acme", rights()).await;
        let theirs = node.connect_as("b", "ada", "globex", rights()).await;
        let answer = ours.subscribe_to(topic).await;
        let other = theirs.subscribe(json!({ "topic": topic, "presence": true })).await;
        assert_ne!(answer["epoch"], other["epoch"]);
        assert_eq!(other["present"]["total"], 1, "herself, of the other tenant");
        for n in 1..=3 {
            ours.publish(topic, json!(n)).await;
        }
        assert!(theirs.take().is_empty(), "another tenant's topic of the same name");
        assert_eq!(theirs.publish(topic, json!("own")).await["data"]["offset"], 1);
        // Nor by a place in the other's.
        let answer = theirs.subscribe_since(topic, &answer["epoch"], 0).await;
        assert_eq!((&answer["lost"], &answer["offset"]), (&json!("epoch"), &json!(1)));
        let present = theirs.answer("w", "presence", json!({ "topic": topic })).await;
        assert_eq!(present["data"]["total"], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_gets_what_is_kept_and_is_told_what_is_not() {
    for topic in ["memory.a", "durable.a"] {
        let node = alone();
        let epoch = node.connect("a", "ada").await.subscribe_to(topic).await["epoch"].clone();
        for n in 1..=7 {
            assert_eq!(node.publish(topic, json!(n)).await, n);
        }
        let back = |after: u64| {
            let (node, epoch) = (&node, &epoch);
            async move {
                let client = node.connect("b", "bob").await;
                let answer = client.subscribe_since(topic, epoch, after).await;
                let live = json!(["live", answer["offset"]]);
                node.publish(topic, live.clone()).await;
                let missed = client.events_until(live).await;
                client.disconnect().await;
                (answer, missed.into_iter().map(|(offset, _)| offset).collect::<Vec<_>>())
            }
        };
        // Kept are five: 3 to 7.
        let (answer, missed) = back(4).await;
        assert_eq!((&answer["resumed"], &answer["lost"]), (&json!(true), &Value::Null));
        assert_eq!((&answer["offset"], &answer["kept_from"]), (&json!(7), &json!(3)));
        assert_eq!(missed, [5, 6, 7, 8], "{topic}");
        // Kept are 4 to 8.
        let (answer, missed) = back(3).await;
        assert_eq!((&answer["resumed"], missed), (&json!(true), vec![4, 5, 6, 7, 8, 9]));
        // Kept are 5 to 9.
        let (answer, missed) = back(3).await;
        assert_eq!(
            (&answer["resumed"], &answer["lost"], &answer["kept_from"]),
            (&json!(false), &json!("trimmed"), &json!(5))
        );
        assert_eq!(missed, [5, 6, 7, 8, 9, 10], "all that is kept");
        let (answer, missed) = back(10).await;
        assert_eq!((&answer["resumed"], missed), (&json!(true), vec![11]), "nothing was missed");
        let (answer, missed) = back(12).await;
        assert_eq!((&answer["resumed"], &answer["lost"]), (&json!(false), &json!("ahead")));
        assert_eq!(missed, [7, 8, 9, 10, 11, 12]);
        let (answer, _) = back(u64::MAX).await;
        assert_eq!(answer["lost"], "ahead");
        let client = node.connect("c", "cy").await;
        let answer = client.subscribe_since(topic, &json!(""), 0).await;
        assert_eq!((&answer["resumed"], &answer["lost"]), (&json!(false), &json!("epoch")));
        node.publish(topic, json!("last")).await;
        assert_eq!(client.events_until(json!("last")).await[0].0, 9, "all that is kept");
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_without_history_knows_whether_something_was_missed() {
    let node = alone();
    let stays = node.connect("a", "ada").await;
    let epoch = stays.subscribe_to("none.a").await["epoch"].clone();
    node.publish("none.a", json!(1)).await;
    let back = node.connect("b", "bob").await;
    let answer = back.subscribe_since("none.a", &epoch, 1).await;
    assert_eq!(
        (&answer["resumed"], &answer["history"], &answer["kept_from"]),
        (&json!(true), &json!("none"), &json!(2))
    );
    node.publish("none.a", json!(2)).await;
    let answer = back.subscribe_since("none.a", &epoch, 1).await;
    assert_eq!((&answer["resumed"], &answer["lost"]), (&json!(false), &json!("trimmed")));
    back.take();
    node.publish("none.a", json!(3)).await;
    assert_eq!(back.events_until(json!(3)).await, [(3, json!(3))]);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_nobody_is_on_and_that_keeps_nothing_is_forgotten() {
    let node = alone();
    let ada = node.connect("a", "ada").await;
    let epoch = |answer: Value| answer["epoch"].clone();
    let first = ["none.a", "memory.a", "durable.a"].map(|topic| (topic, json!(null)));
    let mut lives = Vec::new();
    for (topic, _) in first {
        lives.push((topic, epoch(ada.subscribe_to(topic).await)));
        node.publish(topic, json!(1)).await;
        ada.answer("u", "unsubscribe", json!({ "topic": topic })).await;
    }
    pass(Duration::from_secs(50)).await;
    for (topic, life) in &lives {
        assert_eq!(epoch(ada.subscribe_to(topic).await), *life, "{topic} is remembered for a while");
        ada.answer("u", "unsubscribe", json!({ "topic": topic })).await;
    }
    pass(Duration::from_secs(140)).await;
    assert_ne!(epoch(ada.subscribe_to("none.a").await), lives[0].1);
    assert_ne!(epoch(ada.subscribe_to("memory.a").await), lives[1].1, "its history was too old, too");
    let answer = ada.subscribe_since("durable.a", &lives[2].1, 1).await;
    assert_eq!((&answer["resumed"], &answer["kept_from"]), (&json!(true), &json!(2)), "the store remembers");
}

#[tokio::test(start_paused = true)]
async fn a_history_ends_by_age() {
    for topic in ["memory.a", "durable.a"] {
        let node = alone();
        let ada = node.connect("a", "ada").await;
        let epoch = ada.subscribe_to(topic).await["epoch"].clone();
        node.publish(topic, json!(1)).await;
        pass(Duration::from_secs(40)).await;
        node.publish(topic, json!(2)).await;
        // A minute is the age; durable histories are looked through once a minute.
        pass(Duration::from_secs(45)).await;
        node.publish(topic, json!(3)).await;
        pass(Duration::from_secs(36)).await;
        let back = node.connect("b", "bob").await;
        let answer = back.subscribe_since(topic, &epoch, 0).await;
        assert_eq!(
            (&answer["lost"], &answer["kept_from"], &answer["offset"]),
            (&json!("trimmed"), &json!(3), &json!(3)),
            "{topic}"
        );
        assert_eq!(back.events_until(json!(3)).await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_comes_after_leaving() {
    let node = alone();
    let ada = node.connect("a", "ada").await;
    ada.subscribe_to("none.a").await;
    node.publish("none.a", json!(1)).await;
    let left = ada.answer("u", "unsubscribe", json!({ "topic": "none.a" })).await;
    assert_eq!(left["data"], json!({ "topic": "none.a", "was_subscribed": true }));
    node.publish("none.a", json!(2)).await;
    assert!(ada.take().is_empty());
    let left = ada.answer("u", "unsubscribe", json!({ "topic": "none.a" })).await;
    assert_eq!(left["data"]["was_subscribed"], false, "again");
    ada.subscribe_to("none.a").await;
    node.publish("none.a", json!(3)).await;
    assert_eq!(ada.events_until(json!(3)).await, [(3, json!(3))]);
}

#[tokio::test(start_paused = true)]
async fn who_subscribes_again_hears_everything_once() {
    let node = alone();
    let ada = node.connect("a", "ada").await;
    let epoch = ada.subscribe_to("memory.a").await["epoch"].clone();
    for n in 1..=3 {
        node.publish("memory.a", json!(n)).await;
    }
    assert_eq!(ada.events_until(json!(3)).await.len(), 3);
    ada.subscribe_since("memory.a", &epoch, 1).await;
    node.publish("memory.a", json!(4)).await;
    let again: Vec<_> = ada.events_until(json!(4)).await.into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(again, [2, 3, 4], "from where it said, and each once");
}

#[tokio::test(start_paused = true)]
async fn who_is_gone_is_on_no_topic_and_comes_on_none_any_more() {
    let node = alone();
    let (ada, bob) = (node.connect("a", "ada").await, node.connect("b", "bob").await);
    ada.subscribe_to("none.a").await;
    bob.subscribe_to("none.a").await;
    ada.disconnect().await;
    assert_eq!(node.engine.present(&key("none.a")).await.total, 1);
    // A message that was on its way.
    ada.ask("s", "subscribe", json!({ "topic": "none.a" })).await;
    assert_eq!(node.engine.present(&key("none.a")).await.total, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_payload_is_named_by_its_path() {
    let node = alone();
    let ada = node.connect("a", "ada").await;
    for (action, payload, path) in [
        ("subscribe", json!({}), "payload"),
        ("subscribe", json!([]), "payload"),
        ("subscribe", json!({ "topic": 7 }), "payload.topic"),
        ("subscribe", json!({ "topic": "a b" }), "payload.topic"),
        ("subscribe", json!({ "topic": "orders.*" }), "payload.topic"),
        ("subscribe", json!({ "topic": "a".repeat(129) }), "payload.topic"),
        ("subscribe", json!({ "topic": "a", "since": 5 }), "payload.since"),
        ("subscribe", json!({ "topic": "a", "since": { "offset": 5 } }), "payload.since"),
        (
            "subscribe",
            json!({ "topic": "a", "since": { "epoch": "e", "offset": -5 } }),
            "payload.since.offset",
        ),
        ("subscribe", json!({ "topic": "a", "since": { "epoch": 1, "offset": 5 } }), "payload.since.epoch"),
        ("subscribe", json!({ "topic": "a", "presence": "yes" }), "payload.presence"),
        ("unsubscribe", json!({ "topic": ["a"] }), "payload.topic"),
        ("publish", json!({ "topic": "a" }), "payload"),
        ("publish", json!({ "topic": "", "data": 1 }), "payload.topic"),
        ("presence", json!({ "topic": null }), "payload.topic"),
    ] {
        let answer = ada.answer("x", action, payload.clone()).await;
        assert_eq!(code(&answer), "VALIDATION_ERROR", "{payload}");
        assert_eq!(answer["error"]["details"]["fields"][0]["path"], path, "{payload}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_publishes_as_the_server() {
    let tell = |cx: Context, to: String| async move {
        let published = cx.publish(&to, &json!({ "from": "handler" })).await?;
        Ok::<_, Failure>(published.offset)
    };
    let node = World::new().working("alone", Router::new().action("tell", tell), settings());
    let ada = node.connect("a", "ada").await;
    ada.subscribe_to("feed.news").await;
    assert_eq!(ada.answer("r", "tell", json!("feed.news")).await["data"], 1);
    let theirs = node.connect_as("b", "ada", "globex", Rights::new(true, true, [])).await;
    theirs.subscribe_to("feed.news").await;
    ada.answer("r2", "tell", json!("feed.news")).await;
    assert!(theirs.take().is_empty(), "of the request's tenant");
    assert_eq!(node.publish("feed.news", json!(3)).await, 3);
}

#[tokio::test(start_paused = true)]
async fn what_a_source_repeats_is_published_once() {
    for topic in ["none.a", "memory.a", "durable.a"] {
        let node = alone();
        let ada = node.connect("a", "ada").await;
        ada.subscribe_to(topic).await;
        let publish = async |partition: &str, place, known: &[(&str, (u64, u64))]| {
            let source = SourcePosition { partition: partition.into(), place };
            let data = Json::from(json!([partition, place.0, place.1]));
            let message = Sourced { data, source, known_at: known_at(known) };
            let published = node.engine.publish_from(&key(topic), vec![message]).await.expect("published");
            published.into_iter().next().expect("one answer").map(|published| published.offset)
        };
        assert_eq!(publish("p", (5, 0), &[]).await, Some(1));
        assert_eq!(publish("p", (5, 1), &[]).await, Some(2));
        assert_eq!(publish("p", (5, 0), &[]).await, None);
        assert_eq!(publish("q", (5, 0), &[]).await, Some(3));
        assert_eq!(publish("p", (4, 9), &[]).await, None);
        // Read again elsewhere, as by a snapshot: known by where it stood before.
        assert_eq!(publish("s", (1, 0), &[("p", (5, 1))]).await, None);
        assert_eq!(publish("s", (2, 0), &[("p", (5, 2)), ("gone", (1, 0))]).await, Some(4));
        assert_eq!(publish("p", (6, 0), &[]).await, Some(5));
        let heard = ada.events_until(json!(["p", 6, 0])).await;
        assert_eq!(heard.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [1, 2, 3, 4, 5], "{topic}");
    }
}

fn known_at(places: &[(&str, (u64, u64))]) -> Vec<SourcePosition> {
    let known = places
        .iter()
        .map(|(partition, place)| SourcePosition { partition: (*partition).into(), place: *place });
    known.collect()
}

#[tokio::test(start_paused = true)]
async fn many_messages_of_a_source_keep_their_order_within_few_appends() {
    for topic in ["none.a", "memory.a", "durable.a"] {
        let node = alone();
        let ada = node.connect("a", "ada").await;
        ada.subscribe_to(topic).await;
        let batch = |range: std::ops::RangeInclusive<u64>| {
            let message = |n| Sourced {
                data: Json::from(json!(n)),
                source: SourcePosition { partition: "p".into(), place: (n, 0) },
                known_at: Vec::new(),
            };
            range.map(message).collect::<Vec<_>>()
        };
        let offsets = async |range| {
            let published = node.engine.publish_from(&key(topic), batch(range)).await.expect("published");
            published.into_iter().map(|published| published.map(|p| p.offset)).collect::<Vec<_>>()
        };
        // More than goes into one append.
        assert_eq!(offsets(1..=600).await, (1..=600).map(Some).collect::<Vec<_>>(), "{topic}");
        let again = (400..=601).map(|n| (n == 601).then_some(n)).collect::<Vec<_>>();
        assert_eq!(offsets(400..=601).await, again, "{topic}");
        let heard = ada.events_until(json!(601)).await;
        assert_eq!(
            heard.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(),
            (1..=601).collect::<Vec<_>>()
        );
    }
}
