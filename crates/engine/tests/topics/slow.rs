//! Subscribers that do not read.

use serde_json::{Value, json};
use streamer_engine::protocol::{CloseCode, ConnectionId};

use super::{alone, events};
use crate::support::{Client, Node, soon};

async fn narrow(node: &Node, connection: &str, user: &str, room: usize) -> Client {
    node.connect_with(connection, user, |fake, id| fake.open_with_room(id, room)).await
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_without_room_is_closed_and_holds_up_nobody() {
    for topic in ["none.a", "memory.a", "durable.a"] {
        let node = alone();
        let (slow, quick) = (narrow(&node, "a", "ada", 3).await, node.connect("b", "bob").await);
        let epoch = slow.subscribe_to(topic).await["epoch"].clone();
        quick.subscribe_to(topic).await;
        for n in 1..=5 {
            node.publish(topic, json!(n)).await;
        }
        assert_eq!(quick.events_until(json!(5)).await.len(), 5);
        assert_eq!(node.fake.closed(slow.id()), Some(CloseCode::SlowConsumer));
        assert_eq!(events(&slow.take()).len(), 3, "what it had, and no gap after it");
        slow.disconnect().await;

        let back = node.connect("c", "ada").await;
        let answer = back.subscribe_since(topic, &epoch, 3).await;
        if topic == "none.a" {
            assert_eq!(answer["lost"], "trimmed");
        } else {
            assert_eq!(answer["resumed"], true);
            assert_eq!(events(&back.until(|frame| frame["data"] == 5).await).len(), 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_history_is_read_at_the_pace_of_its_reader() {
    for topic in ["memory.a", "durable.a"] {
        let node = alone();
        let stays = node.connect("a", "ada").await;
        let epoch = stays.subscribe_to(topic).await["epoch"].clone();
        for n in 1..=5 {
            node.publish(topic, json!(n)).await;
        }
        let slow = narrow(&node, "b", "bob", 1).await;
        slow.ask("s", "subscribe", json!({ "topic": topic, "since": { "epoch": epoch, "offset": 0 } })).await;
        let mut heard = Vec::new();
        while heard.len() < 5 {
            soon("a message", node.fake.something(slow.id())).await;
            heard.extend(events(&slow.fake.take_at_most(slow.id(), 1)));
            // Meanwhile nobody else waits.
            assert_eq!(stays.answer("e", "echo", json!(1)).await["type"], "response");
        }
        assert_eq!(heard.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        node.publish(topic, json!("live")).await;
        assert_eq!(slow.events_until(json!("live")).await, [(6, json!("live"))], "it follows");
        assert_eq!(node.fake.closed(slow.id()), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_from_whom_the_history_is_cut_is_closed_and_told_when_it_comes_back() {
    for topic in ["memory.a", "durable.a"] {
        let node = alone();
        let epoch = node.connect("a", "ada").await.subscribe_to(topic).await["epoch"].clone();
        // More than a page, so that not all of it is at hand; and then many more than are kept.
        let slow = narrow(&node, "b", "bob", 1).await;
        for n in 1..=5 {
            node.publish(topic, json!(n)).await;
        }
        slow.ask("s", "subscribe", json!({ "topic": topic, "since": { "epoch": epoch, "offset": 0 } })).await;
        soon("the answer", node.fake.something(slow.id())).await;
        for n in 6..=30 {
            node.publish(topic, json!(n)).await;
        }
        let mut heard = Vec::new();
        while node.fake.closed(slow.id()).is_none() {
            heard.extend(events(&slow.fake.take_at_most(slow.id(), 1)));
            tokio::task::yield_now().await;
        }
        heard.extend(events(&slow.take()));
        assert_eq!(node.fake.closed(slow.id()), Some(CloseCode::SlowConsumer));
        let offsets: Vec<u64> = heard.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets, (1..=offsets.len() as u64).collect::<Vec<_>>(), "no gap before the close");
        slow.disconnect().await;
        let back = node.connect("c", "bob").await;
        let answer = back.subscribe_since(topic, &epoch, offsets.len() as u64).await;
        assert_eq!((&answer["lost"], &answer["kept_from"]), (&json!("trimmed"), &json!(26)));
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_comes_first_even_if_it_has_to_wait() {
    for topic in ["none.a", "memory.a", "durable.a"] {
        let node = alone();
        let slow = narrow(&node, "a", "ada", 2).await;
        node.fake.hold_up(slow.id());
        slow.ask("s", "subscribe", json!({ "topic": topic })).await;
        for n in 1..=3 {
            node.publish(topic, json!(n)).await;
        }
        node.fake.release(slow.id());
        soon("the answer", node.fake.something(slow.id())).await;
        node.publish(topic, json!("live")).await;
        let frames: Vec<Value> = slow.until(|frame| frame["data"] == "live").await;
        assert_eq!(frames[0]["request_id"], "s", "{topic}");
        let offset = frames[0]["data"]["offset"].as_u64().expect("a number");
        assert_eq!(events(&frames), [(offset + 1, json!("live"))], "{topic}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_unsubscribes_before_the_answer_has_come_is_on_no_topic() {
    let node = alone();
    let slow = narrow(&node, "a", "ada", 10).await;
    node.fake.hold_up(slow.id());
    slow.ask("s", "subscribe", json!({ "topic": "none.a" })).await;
    let id = ConnectionId::new("a");
    let leaving = slow.engine().accept(
        &slow.session,
        slow.session.room().await,
        &json!({ "id": "u", "action": "unsubscribe", "payload": { "topic": "none.a" } }).to_string(),
    );
    node.fake.release(&id);
    let left = match leaving {
        Some(frame) => serde_json::from_slice(frame.bytes()).expect("JSON"),
        None => slow.until(|frame| frame["request_id"] == "u").await.pop().expect("one"),
    };
    assert_eq!(left["data"]["was_subscribed"], true);
    let given_up = slow.until(|frame| frame["request_id"] == "s").await.pop().expect("one");
    assert_eq!(given_up["error"]["code"], "CANCELLED");
    node.publish("none.a", json!(1)).await;
    assert!(slow.take().is_empty());
    assert_eq!(node.engine.present(&super::key("none.a")).await.total, 0);
}
