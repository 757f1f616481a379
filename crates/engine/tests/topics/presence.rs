//! Who is on a topic, who comes and who leaves.

use serde_json::{Value, json};
use streamer_engine::{Router, TopicSettings};

use super::{alone, settings};
use crate::support::{BEGIN, Client, World, soon};

async fn watch(client: &Client, topic: &str) -> Value {
    client.subscribe(json!({ "topic": topic, "presence": true })).await["present"].clone()
}

/// The changes of presence that have come: (change, user).
fn changes(client: &Client) -> Vec<(String, String)> {
    let frames = client.take().into_iter().filter(|frame| frame["type"] == "presence");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    frames.map(|frame| (text(&frame["change"]), text(&frame["user_id"]))).collect()
}

fn join(user: &str) -> (String, String) {
    ("join".to_owned(), user.to_owned())
}

fn leave(user: &str) -> (String, String) {
    ("leave".to_owned(), user.to_owned())
}

#[tokio::test(start_paused = true)]
async fn users_are_listed_by_name_with_their_connections() {
    let node = alone();
    let bob = node.connect("b", "bob").await;
    let present = async || bob.answer("w", "presence", json!({ "topic": "room" })).await["data"].clone();
    assert_eq!(present().await, json!({ "topic": "room", "users": [], "total": 0 }));
    bob.subscribe_to("room").await;
    for (connection, user) in [("a1", "ada"), ("a2", "ada")] {
        node.connect(connection, user).await.subscribe_to("room").await;
    }
    let user =
        |user: &str, connections| json!({ "user_id": user, "connections": connections, "since": BEGIN });
    assert_eq!(
        present().await,
        json!({ "topic": "room", "users": [user("ada", 2), user("bob", 1)], "total": 2 })
    );
}

#[tokio::test(start_paused = true)]
async fn joins_and_leaves_are_told_to_those_who_asked() {
    let node = alone();
    let (ada, bob) = (node.connect("a", "ada").await, node.connect("b", "bob").await);
    let present = watch(&ada, "room").await;
    assert_eq!(present["users"].as_array().map(Vec::len), Some(1), "herself");
    bob.subscribe_to("room").await;
    assert_eq!(changes(&ada), [join("bob")]);
    let second = node.connect("b2", "bob").await;
    second.subscribe_to("room").await;
    second.subscribe_to("room").await;
    bob.disconnect().await;
    assert!(changes(&ada).is_empty(), "bob is there all the time");
    second.answer("u", "unsubscribe", json!({ "topic": "room" })).await;
    assert_eq!(changes(&ada), [leave("bob")]);
    assert!(changes(&second).is_empty(), "not asked for");
    // Her own are not told to her: the answer has them.
    watch(&ada, "room").await;
    node.connect("a2", "ada").await.subscribe_to("room").await;
    assert!(changes(&ada).is_empty());
}

#[tokio::test(start_paused = true)]
async fn changes_while_the_history_is_read_come_after_it() {
    let node = alone();
    let stays = node.connect("a", "ada").await;
    let epoch = stays.subscribe_to("memory.a").await["epoch"].clone();
    for n in 1..=5 {
        node.publish("memory.a", json!(n)).await;
    }
    let slow = node.connect_with("b", "bob", |fake, id| fake.open_with_room(id, 2)).await;
    let since = json!({ "epoch": epoch, "offset": 0 });
    slow.ask("s", "subscribe", json!({ "topic": "memory.a", "since": since, "presence": true })).await;
    soon("something", node.fake.something(slow.id())).await;
    let visitor = node.connect("c", "cy").await;
    visitor.subscribe_to("memory.a").await;
    visitor.disconnect().await;
    let frames = slow.until(|frame| frame["change"] == "leave").await;
    let told: Vec<_> = frames.iter().filter_map(|frame| frame["change"].as_str()).collect();
    assert_eq!(told, ["join", "leave"]);
    assert_eq!(super::events(&frames).len(), 5);
    assert_eq!(frames[0]["data"]["present"]["total"], 2);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bound_users_are_counted_and_not_told() {
    let mut settings = settings();
    settings.topics = TopicSettings { present_users_max: 3, ..settings.topics };
    let node = World::new().working("alone", Router::new(), settings);
    let ada = node.connect("a", "ada").await;
    watch(&ada, "room").await;
    let mut others = Vec::new();
    for n in 0..5 {
        let other = node.connect(&format!("u{n}"), &format!("u{n}")).await;
        other.subscribe_to("room").await;
        others.push(other);
    }
    assert_eq!(changes(&ada), [join("u0"), join("u1"), join("u2")]);
    let present = ada.answer("w", "presence", json!({ "topic": "room" })).await;
    assert_eq!(
        (present["data"]["users"].as_array().map(Vec::len), &present["data"]["total"]),
        (Some(3), &json!(6))
    );
    for other in &others[..4] {
        other.disconnect().await;
    }
    assert_eq!(changes(&ada), [leave("u2"), leave("u3")], "few enough again");
}
