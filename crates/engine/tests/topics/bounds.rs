//! Everything has a bound.

use std::time::Duration;

use serde_json::json;
use streamer_engine::{Rights, Router, TopicSettings, protocol::History, testing::Fault};

use super::{alone, events, rule, settings};
use crate::support::{Node, World, code, pass};

fn with(change: impl FnOnce(&mut TopicSettings)) -> Node {
    let mut settings = settings();
    change(&mut settings.topics);
    World::new().working("alone", Router::new(), settings)
}

#[tokio::test(start_paused = true)]
async fn a_connection_has_64_subscriptions_and_no_more() {
    let node = alone();
    let ada = node.connect("a", "ada").await;
    for n in 0..64 {
        ada.subscribe_to(&format!("t.{n}")).await;
    }
    for n in 64..10_000 {
        let answer = ada.answer("s", "subscribe", json!({ "topic": format!("t.{n}") })).await;
        assert_eq!(code(&answer), "OVERLOADED");
    }
    ada.subscribe_to("t.7").await;
    assert_eq!(node.engine.present(&super::key("t.9999")).await.total, 0);
    ada.answer("u", "unsubscribe", json!({ "topic": "t.7" })).await;
    ada.subscribe_to("t.64").await;
    // Another one is not concerned.
    node.connect("b", "ada").await.subscribe_to("t.9999").await;
}

#[tokio::test(start_paused = true)]
async fn a_message_over_the_limit_is_too_large() {
    for topic in ["none.a", "memory.a", "durable.a"] {
        let node = with(|topics| topics.message_bytes_max = 100);
        let ada = node.connect("a", "ada").await;
        ada.subscribe_to(topic).await;
        let answer = ada.publish(topic, json!("x".repeat(99))).await;
        assert_eq!(code(&answer), "PAYLOAD_TOO_LARGE");
        assert_eq!(answer["error"]["details"]["fields"][0]["path"], "payload.data");
        assert_eq!(ada.publish(topic, json!("x".repeat(98))).await["data"]["offset"], 1);
        assert_eq!(events(&ada.take()).len(), 0, "it came before the answer");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_has_so_many_topics() {
    let node = with(|topics| (topics.tenant_topics_max, topics.topics_max) = (3, 5));
    let ada = node.connect("a", "ada").await;
    for n in 0..3 {
        ada.subscribe_to(&format!("t.{n}")).await;
    }
    let refused = ada.answer("s", "subscribe", json!({ "topic": "t.3" })).await;
    assert_eq!(code(&refused), "OVERLOADED");
    assert!(refused["error"]["retry"]["after"].is_u64());
    assert_eq!(code(&ada.publish("memory.a", json!(1)).await), "OVERLOADED", "it would be kept");
    assert_eq!(ada.publish("t.4", json!(1)).await["data"]["offset"], 1, "nobody is on it: nothing is kept");
    let other = node.connect_as("b", "ada", "globex", Rights::new(true, true, [])).await;
    other.subscribe_to("t.0").await;
    other.subscribe_to("t.1").await;
    let refused = other.answer("s", "subscribe", json!({ "topic": "t.2" })).await;
    assert_eq!(code(&refused), "OVERLOADED", "five in all");
    // What nobody is on makes room when room is needed.
    ada.answer("u", "unsubscribe", json!({ "topic": "t.0" })).await;
    pass(Duration::from_secs(1)).await;
    ada.subscribe_to("t.3").await;
}

#[tokio::test(start_paused = true)]
async fn histories_in_memory_share_their_room_and_never_refuse() {
    let node = with(|topics| {
        topics.histories =
            vec![streamer_engine::HistoryRule { messages_max: 1000, ..rule("m.", History::Memory) }];
        topics.tenant_memory_bytes_max = 4000;
    });
    let ada = node.connect("a", "ada").await;
    let mut epochs = Vec::new();
    for topic in ["m.1", "m.2"] {
        epochs.push(ada.subscribe_to(topic).await["epoch"].clone());
    }
    for n in 0..50 {
        node.publish("m.1", json!(n)).await;
    }
    for n in 0..50 {
        node.publish("m.2", json!(n)).await;
    }
    assert_eq!(events(&ada.take()).len(), 100, "all of it was told");
    let back = node.connect("b", "bob").await;
    let first = back.subscribe_since("m.1", &epochs[0], 0).await;
    assert_eq!(first["lost"], "trimmed");
    let kept = 50 - first["kept_from"].as_u64().expect("a number") + 1;
    assert!((10..40).contains(&kept), "{kept}");
    let second = back.subscribe_since("m.2", &epochs[1], 0).await;
    assert_eq!(second["kept_from"], 51, "the other one had used up the room");
}

#[tokio::test(start_paused = true)]
async fn durable_histories_that_are_full_refuse() {
    let node = with(|topics| topics.tenant_stored_bytes_max = 20);
    let ada = node.connect("a", "ada").await;
    ada.subscribe_to("durable.a").await;
    assert_eq!(ada.publish("durable.a", json!("0123456789012345678")).await["data"]["offset"], 1);
    let refused = ada.publish("durable.b", json!(1)).await;
    assert_eq!(code(&refused), "OVERLOADED");
    assert!(refused["error"]["retry"]["after"].is_u64());
    assert_eq!(ada.publish("memory.a", json!(1)).await["data"]["offset"], 1, "others go on");
    // A minute is their age, and once a minute they are looked through.
    pass(Duration::from_secs(125)).await;
    assert_eq!(ada.publish("durable.b", json!(1)).await["data"]["offset"], 1);
}

#[tokio::test(start_paused = true)]
async fn what_waits_to_be_stored_is_bounded() {
    let world = World::new();
    let mut settings = settings();
    settings.topics.publish_depth_max = 10;
    settings.connection_in_flight_max = 100;
    let node = world.working("alone", Router::new(), settings);
    let ada = node.connect("a", "ada").await;
    ada.subscribe_to("durable.a").await;
    world.faults.once("append_messages", Fault::Delay(Duration::from_secs(30)));
    for n in 0..20 {
        ada.ask(&format!("p{n}"), "publish", json!({ "topic": "durable.a", "data": n })).await;
        tokio::task::yield_now().await;
    }
    pass(Duration::from_secs(40)).await;
    let frames = ada.take();
    let refused: Vec<_> = frames.iter().filter(|frame| frame["type"] == "error").map(code).collect();
    assert_eq!(refused, ["OVERLOADED"; 9], "one is under way, ten wait");
    assert_eq!(events(&frames).len(), 11);
}
