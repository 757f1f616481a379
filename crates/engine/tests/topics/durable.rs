//! Durable topics: the store is first, and may fail.

use std::time::Duration;

use serde_json::{Value, json};
use streamer_engine::{Router, testing::Fault};

use super::{events, key, settings};
use crate::support::{World, code, pass};

const TOPIC: &str = "durable.a";

#[tokio::test(start_paused = true)]
async fn a_message_is_told_and_answered_only_once_it_is_stored() {
    let world = World::new();
    let node = world.working("alone", Router::new(), settings());
    let ada = node.connect("a", "ada").await;
    ada.subscribe_to(TOPIC).await;
    world.faults.once("append_messages", Fault::Delay(Duration::from_secs(3)));
    ada.ask("p", "publish", json!({ "topic": TOPIC, "data": 1 })).await;
    pass(Duration::from_secs(2)).await;
    assert!(ada.take().is_empty());
    pass(Duration::from_secs(2)).await;
    let frames = ada.take();
    assert_eq!(events(&frames).len(), 1);
    assert_eq!(frames.last().expect("an answer")["data"]["offset"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_doubles_nothing() {
    let world = World::new();
    let node = world.working("alone", Router::new(), settings());
    let ada = node.connect("a", "ada").await;
    ada.subscribe_to(TOPIC).await;
    for (n, fault) in [Fault::LoseReply, Fault::Refuse, Fault::LoseReply].into_iter().enumerate() {
        world.faults.once("append_messages", fault);
        let answer = ada.publish(TOPIC, json!(n)).await;
        assert_eq!(answer["data"]["offset"], n + 1, "{answer}");
    }
    node.publish(TOPIC, json!("last")).await;
    assert_eq!(
        ada.events_until(json!("last")).await,
        [(4, json!("last"))],
        "the others came before their answers"
    );
    let all = world.store.messages(&key(TOPIC), 0, 99, 99).await.expect("reads");
    assert_eq!(all.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_was_stored_without_our_learning_of_it_is_told_before_the_next() {
    let world = World::new();
    let node = world.working("alone", Router::new(), settings());
    let ada = node.connect("a", "ada").await;
    ada.subscribe_to(TOPIC).await;
    world.faults.always("append_messages", Fault::LoseReply);
    let answer = ada.publish(TOPIC, json!("perhaps")).await;
    assert_eq!(code(&answer), "INTERNAL_ERROR", "nobody knows");
    world.faults.never("append_messages");
    node.publish(TOPIC, json!("certainly")).await;
    assert_eq!(ada.events_until(json!("certainly")).await, [(1, json!("perhaps")), (2, json!("certainly"))]);
}

#[tokio::test(start_paused = true)]
async fn if_that_cannot_be_read_any_more_followers_must_come_back() {
    let world = World::new();
    let node = world.working("alone", Router::new(), settings());
    let ada = node.connect("a", "ada").await;
    let epoch = ada.subscribe_to(TOPIC).await["epoch"].clone();
    world.faults.always("append_messages", Fault::LoseReply);
    ada.publish(TOPIC, json!("perhaps")).await;
    world.faults.never("append_messages");
    world.faults.always("messages", Fault::Refuse);
    node.publish(TOPIC, json!("certainly")).await;
    world.faults.never("messages");
    assert_eq!(node.fake.closed(ada.id()).map(|code| code.as_u16()), Some(1011));
    assert!(events(&ada.take()).is_empty(), "no gap");
    ada.disconnect().await;
    let back = node.connect("b", "ada").await;
    assert_eq!(back.subscribe_since(TOPIC, &epoch, 0).await["resumed"], true);
    assert_eq!(back.events_until(json!("certainly")).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_new_life_of_the_process_goes_on_where_a_durable_topic_was() {
    let world = World::new();
    let mut first = world.working("one", Router::new(), settings());
    let ada = first.connect("a", "ada").await;
    let durable = ada.subscribe_to(TOPIC).await;
    let memory = ada.subscribe_to("memory.a").await;
    for topic in [TOPIC, "memory.a"] {
        for n in 1..=3 {
            first.publish(topic, json!(n)).await;
        }
    }
    first.die();
    let second = world.working("two", Router::new(), settings());
    let back = second.connect("a", "ada").await;
    let answer = back.subscribe_since(TOPIC, &durable["epoch"], 1).await;
    assert_eq!((&answer["epoch"], &answer["resumed"]), (&durable["epoch"], &json!(true)));
    let answer = back.subscribe_since("memory.a", &memory["epoch"], 1).await;
    assert_ne!(answer["epoch"], memory["epoch"]);
    assert_eq!(
        (&answer["lost"], &answer["offset"], &answer["kept_from"]),
        (&json!("epoch"), &json!(0), &json!(1))
    );
    assert_eq!(second.publish(TOPIC, json!(4)).await, 4);
    let heard: Vec<u64> = back.events_until(json!(4)).await.into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(heard, [4], "2 and 3 came before the answer to the other");
}

#[tokio::test(start_paused = true)]
async fn many_who_publish_at_once_share_appends_and_keep_their_order() {
    let world = World::new();
    let node = world.working("alone", Router::new(), settings());
    let stays = node.connect("s", "stays").await;
    stays.subscribe_to(TOPIC).await;
    let mut publishers = Vec::new();
    for n in 0..8 {
        publishers.push(node.connect(&format!("p{n}"), &format!("p{n}")).await);
    }
    for round in 0..40 {
        world.faults.perhaps("append_messages", Fault::DelayReply(Duration::from_millis(5)));
        for (n, publisher) in publishers.iter().enumerate() {
            publisher.ask("p", "publish", json!({ "topic": TOPIC, "data": [n, round] })).await;
        }
    }
    let frames = stays.until(|frame| frame["offset"] == 320).await;
    let heard = events(&frames);
    assert_eq!(heard.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), (1..=320).collect::<Vec<_>>());
    for n in 0..8 {
        let of_one: Vec<&Value> = heard.iter().map(|(_, data)| data).filter(|data| data[0] == n).collect();
        let rounds: Vec<_> = of_one.iter().filter_map(|data| data[1].as_u64()).collect();
        assert_eq!(rounds, (0..40).collect::<Vec<_>>(), "in the order in which it published");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_told_to_who_asked_and_hurts_nobody_else() {
    let world = World::new();
    let node = world.working("alone", Router::new(), settings());
    let ada = node.connect("a", "ada").await;
    world.faults.always("topic", Fault::Refuse);
    let answer = ada.answer("s", "subscribe", json!({ "topic": TOPIC })).await;
    assert_eq!(code(&answer), "INTERNAL_ERROR");
    assert!(answer["error"]["details"]["correlation_id"].is_string());
    ada.subscribe_to("memory.a").await;
    world.faults.never("topic");
    ada.subscribe_to(TOPIC).await;
    world.faults.always("append_messages", Fault::Refuse);
    assert_eq!(code(&ada.publish(TOPIC, json!(1)).await), "INTERNAL_ERROR");
    world.faults.never("append_messages");
    assert_eq!(ada.publish(TOPIC, json!(2)).await["data"]["offset"], 1);
}
