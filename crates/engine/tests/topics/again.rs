//! Publishing again: a message with an idempotency key is there once, however often it is sent.

use std::time::Duration;

use serde_json::{Value, json};
use streamer_engine::{
    HistoryRule, Router, Settings,
    protocol::History,
    random::Random,
    testing::{Fault, SeededRandom},
};

use super::{alone, events, key, rule, settings};
use crate::support::{Client, Node, World, code, pass};

const PATH: &str = "payload.idempotency_key";

impl Client {
    /// Publishes with a key, and gives the answer.
    async fn publish_keyed(&self, topic: &str, key: &str, data: Value) -> Value {
        let payload = json!({ "topic": topic, "data": data, "idempotency_key": key });
        self.answer("p", "publish", payload).await
    }

    /// Publishes with a key; gives the message's offset.
    async fn offset_of(&self, topic: &str, key: &str, data: Value) -> u64 {
        let answer = self.publish_keyed(topic, key, data).await;
        answer["data"]["offset"].as_u64().unwrap_or_else(|| panic!("{answer}"))
    }
}

fn wrong_field(answer: &Value) -> (&str, &str) {
    (code(answer), answer["error"]["details"]["fields"][0]["path"].as_str().expect("a field"))
}

fn with(change: impl FnOnce(&mut Settings)) -> Node {
    let mut settings = settings();
    change(&mut settings);
    World::new().working("alone", Router::new(), settings)
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_sent_again_is_answered_as_before_and_told_once() {
    for topic in ["memory.a", "durable.a"] {
        let node = alone();
        let (ada, again) = (node.connect("a", "ada").await, node.connect("b", "ada").await);
        let hears = node.connect("c", "cy").await;
        hears.subscribe_to(topic).await;
        let first = ada.publish_keyed(topic, "k", json!({ "x": 1, "y": 2 })).await;
        ada.publish(topic, json!("between")).await;
        for connection in [&ada, &again] {
            let second = connection.publish_keyed(topic, "k", json!({ "y": 2, "x": 1 })).await;
            assert_eq!(second["data"], first["data"]);
        }
        node.publish(topic, json!("last")).await;
        let heard = hears.events_until(json!("last")).await;
        let expected = [json!({ "x": 1, "y": 2 }), json!("between"), json!("last")];
        assert_eq!(heard, (1..).zip(expected).collect::<Vec<_>>(), "{topic}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_with_another_message_is_a_conflict_and_concerns_nobody_else() {
    for topic in ["memory.a", "durable.a"] {
        let node = alone();
        let (ada, bob) = (node.connect("a", "ada").await, node.connect("b", "bob").await);
        let theirs = node.connect_of("globex").await;
        assert_eq!(ada.offset_of(topic, "k", json!(1)).await, 1);
        let refused = ada.publish_keyed(topic, "k", json!(2)).await;
        assert_eq!(wrong_field(&refused), ("CONFLICT", PATH));
        assert_eq!(bob.offset_of(topic, "k", json!(2)).await, 2, "another user's");
        assert_eq!(ada.offset_of(&format!("{topic}2"), "k", json!(2)).await, 1, "another topic's");
        assert_eq!(theirs.offset_of(topic, "k", json!(2)).await, 1, "another tenant's");
        assert_eq!(ada.offset_of(topic, "K", json!(1)).await, 3, "another key");
        assert_eq!(ada.publish(topic, json!(1)).await["data"]["offset"], 4, "no key");
        assert_eq!(ada.offset_of(topic, "k", json!(1)).await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_keeps_nothing_takes_no_key() {
    let node = alone();
    let ada = node.connect("a", "ada").await;
    for _ in 0..2 {
        let refused = ada.publish_keyed("none.a", "k", json!(1)).await;
        assert_eq!(wrong_field(&refused), ("VALIDATION_ERROR", PATH));
        ada.subscribe_to("none.a").await;
    }
    assert_eq!(ada.publish("none.a", json!(1)).await["data"]["offset"], 1, "nothing was published");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_key_is_refused() {
    let ada = alone().connect("a", "ada").await;
    for bad in [json!(""), json!("k".repeat(129)), json!("a\nb"), json!(7)] {
        let payload = json!({ "topic": "memory.a", "data": 1, "idempotency_key": bad });
        assert_eq!(wrong_field(&ada.answer("p", "publish", payload).await), ("VALIDATION_ERROR", PATH));
    }
    let longest = "é".repeat(128);
    assert_eq!(ada.offset_of("memory.a", &longest, json!(1)).await, 1);
    assert_eq!(ada.offset_of("memory.a", &longest, json!(1)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_known_as_long_as_its_message_is_kept() {
    for topic in ["memory.a", "durable.a"] {
        let node = alone();
        let ada = node.connect("a", "ada").await;
        assert_eq!(ada.offset_of(topic, "k", json!(1)).await, 1);
        for _ in 0..4 {
            ada.publish(topic, json!(0)).await;
        }
        assert_eq!(ada.offset_of(topic, "k", json!(1)).await, 1, "the last of five");
        ada.publish(topic, json!(0)).await;
        assert_eq!(ada.offset_of(topic, "k", json!(1)).await, 7, "{topic} has let it go");
        assert_eq!(ada.offset_of(topic, "k", json!(1)).await, 7);
    }
}

#[tokio::test(start_paused = true)]
async fn many_who_send_one_message_at_once_share_its_place() {
    for topic in ["memory.a", "durable.a"] {
        let node = alone();
        let hears = node.connect("c", "cy").await;
        hears.subscribe_to(topic).await;
        let mut connections = Vec::new();
        for n in 0..8 {
            connections.push(node.connect(&format!("a{n}"), "ada").await);
        }
        for connection in &connections {
            let payload = json!({ "topic": topic, "data": 1, "idempotency_key": "k" });
            connection.ask("p", "publish", payload).await;
        }
        for connection in &connections {
            let answer = connection.until_type("response", "p").await.pop().expect("an answer");
            assert_eq!(answer["data"]["offset"], 1);
        }
        node.publish(topic, json!("last")).await;
        assert_eq!(hears.events_until(json!("last")).await, [(1, json!(1)), (2, json!("last"))]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_stored_without_an_answer_is_told_when_it_is_sent_again() {
    let world = World::new();
    let node = world.working("alone", Router::new(), settings());
    let (ada, hears) = (node.connect("a", "ada").await, node.connect("c", "cy").await);
    hears.subscribe_to("durable.a").await;
    world.faults.always("append_messages", Fault::LoseReply);
    for (key, data) in [("k", 1), ("l", 2)] {
        assert_eq!(code(&ada.publish_keyed("durable.a", key, json!(data)).await), "INTERNAL_ERROR");
    }
    world.faults.never("append_messages");
    assert!(events(&hears.take()).is_empty(), "nobody knows");
    assert_eq!(ada.offset_of("durable.a", "k", json!(1)).await, 1);
    assert_eq!(events(&hears.take()), [(1, json!(1))], "before the answer");
    assert_eq!(ada.offset_of("durable.a", "l", json!(2)).await, 2);
    assert_eq!(ada.offset_of("durable.a", "k", json!(1)).await, 1);
    node.publish("durable.a", json!("last")).await;
    assert_eq!(hears.events_until(json!("last")).await, [(2, json!(2)), (3, json!("last"))]);
}

#[tokio::test(start_paused = true)]
async fn a_durable_topic_knows_its_keys_in_the_next_life_of_the_process() {
    let world = World::new();
    let mut first = world.working("one", Router::new(), settings());
    let ada = first.connect("a", "ada").await;
    world.faults.always("append_messages", Fault::LoseReply);
    assert_eq!(code(&ada.publish_keyed("durable.a", "k", json!(1)).await), "INTERNAL_ERROR");
    world.faults.never("append_messages");
    first.die();
    let second = world.working("two", Router::new(), settings());
    let (back, hears) = (second.connect("a", "ada").await, second.connect("c", "cy").await);
    hears.subscribe_to("durable.a").await;
    assert_eq!(back.offset_of("durable.a", "k", json!(1)).await, 1);
    assert_eq!(wrong_field(&back.publish_keyed("durable.a", "k", json!(2)).await), ("CONFLICT", PATH));
    assert_eq!(back.offset_of("durable.a", "l", json!(2)).await, 2);
    assert_eq!(hears.events_until(json!(2)).await, [(2, json!(2))], "the first was there before it came");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_more_may_be_kept_what_is_kept_is_known() {
    let node = with(|settings| settings.topics.tenant_stored_bytes_max = 7);
    let (ada, bob) = (node.connect("a", "ada").await, node.connect("b", "bob").await);
    assert_eq!(ada.offset_of("durable.a", "k", json!("12345")).await, 1);
    for connection in [&ada, &bob] {
        connection.ask("q", "publish", json!({ "topic": "durable.a", "data": 1 })).await;
    }
    assert_eq!(ada.offset_of("durable.a", "k", json!("12345")).await, 1, "together with those that are not");
    let refused = bob.until(|frame| frame["request_id"] == "q").await.pop().expect("an answer");
    assert_eq!(code(&refused), "OVERLOADED");
    assert_eq!(code(&ada.publish_keyed("durable.a", "l", json!(1)).await), "OVERLOADED");
}

/// Publishers that send each message until it is answered, a store that fails, processes that die.
async fn live(seed: u64) {
    const MESSAGES: u64 = 40;
    let dice = SeededRandom::new(seed);
    let below = |bound: u64| dice.next_u64() % bound;
    let mut settings = settings();
    settings.topics.histories = vec![HistoryRule {
        messages_max: 1_000_000,
        bytes_max: 1_000_000_000,
        age_max: Duration::from_secs(7 * 24 * 60 * 60),
        ..rule("durable.", History::Durable)
    }];
    let world = World::new();
    let mut node = world.working("life0", Router::new(), settings.clone());
    let mut offsets = Vec::new();
    let (mut lives, mut repeats) = (0, 0);
    while (offsets.len() as u64) < MESSAGES {
        let publisher = node.connect(&format!("p{lives}.{repeats}"), "ada").await;
        let n = offsets.len();
        match below(8) {
            0 => world.faults.always("append_messages", Fault::LoseReply),
            1 => world.faults.always("append_messages", Fault::Refuse),
            2 => world.faults.perhaps("append_messages", Fault::LoseReply),
            _ => {}
        }
        let answer = publisher.publish_keyed("durable.a", &n.to_string(), json!(n)).await;
        world.faults.never("append_messages");
        // An answer may be lost as well, and then nobody knows either.
        match answer["data"]["offset"].as_u64().filter(|_| below(4) > 0) {
            Some(offset) => offsets.push(offset),
            None => repeats += 1,
        }
        publisher.disconnect().await;
        if below(10) == 0 {
            lives += 1;
            node.die();
            node = world.working(&format!("life{lives}"), Router::new(), settings.clone());
        }
    }
    assert!(repeats > 0, "seed {seed}: nothing was sent again");
    pass(Duration::from_secs(1)).await;
    let stored = world.store.messages(&key("durable.a"), 0, i64::MAX as u64, u32::MAX).await.expect("reads");
    let stored: Vec<_> = stored.iter().map(|m| (m.offset, m.data.get::<Value>().expect("JSON"))).collect();
    let expected: Vec<_> = offsets.iter().copied().zip((0..MESSAGES).map(|n| json!(n))).collect();
    assert_eq!(stored, expected, "seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn whoever_sends_again_until_it_is_answered_is_there_once() {
    for seed in 0..20 {
        live(seed).await;
    }
}
