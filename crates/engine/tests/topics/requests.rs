//! One request's updates as a topic.

use std::time::Duration;

use serde_json::{Value, json};
use streamer_engine::{Context, Failure, Rights, Router};

use super::settings;
use crate::support::{Node, World, code, types};

/// Hands out so many chunks, then waits until it is cancelled.
fn routes() -> Router {
    let count = |cx: Context, chunks: u32| async move {
        for n in 0..chunks {
            cx.chunk(&n).await?;
        }
        Ok::<_, Failure>("counted")
    };
    let wait = |cx: Context, _: Value| async move {
        cx.chunk("begun").await?;
        cx.cancelled().await;
        Err::<(), _>(Failure::cancel())
    };
    let long = Duration::from_secs(60);
    Router::new().action("count", count).takes(long).action("wait", wait).takes(long)
}

fn node() -> Node {
    World::new().working("alone", routes(), settings())
}

#[tokio::test(start_paused = true)]
async fn its_owner_follows_it_from_any_connection() {
    let node = node();
    let first = node.connect("a", "ada").await;
    first.ask("r", "count", json!(3)).await;
    first.until_outcome("r").await;
    // No right is needed for what is one's own.
    let back = node.connect_as("b", "ada", "acme", Rights::default()).await;
    let answer = back.subscribe_to("request:r").await;
    assert_eq!((&answer["offset"], &answer["history"]), (&json!(4), &json!("durable")));
    assert_eq!(types(&back.until_outcome("r").await), ["chunk", "chunk", "chunk", "complete"], "all of it");
    let answer = back.subscribe_since("request:r", &answer["epoch"], 2).await;
    assert_eq!(answer["resumed"], true);
    assert_eq!(types(&back.until_outcome("r").await), ["chunk", "complete"]);
    for (epoch, offset, lost) in [(&json!("other"), 2, "epoch"), (&answer["epoch"], 5, "ahead")] {
        let answer = back.subscribe_since("request:r", epoch, offset).await;
        assert_eq!((&answer["resumed"], &answer["lost"]), (&json!(false), &json!(lost)));
        assert_eq!(back.until_outcome("r").await.len(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_live_until_it_is_left() {
    let node = node();
    let ada = node.connect("a", "ada").await;
    ada.ask("r", "wait", json!(null)).await;
    ada.until_type("chunk", "r").await;
    let other = node.connect("b", "ada").await;
    other.subscribe_to("request:r").await;
    other.until_type("chunk", "r").await;
    let left = other.answer("u", "unsubscribe", json!({ "topic": "request:r" })).await;
    assert_eq!(left["data"]["was_subscribed"], true);
    let left = other.answer("u", "unsubscribe", json!({ "topic": "request:r" })).await;
    assert_eq!(left["data"]["was_subscribed"], false);
    ada.ask("c", "cancel", json!({ "request_id": "r" })).await;
    ada.until_outcome("r").await;
    assert!(other.take().is_empty());
}

#[tokio::test(start_paused = true)]
async fn it_is_nobody_elses() {
    let node = node();
    let ada = node.connect("a", "ada").await;
    ada.ask("r", "count", json!(1)).await;
    ada.until_outcome("r").await;
    let all = || Rights::new(true, true, ["*=read+write", "request:*=read+write", "request:r"]);
    for (n, (user, tenant)) in [("bob", "acme"), ("ada", "globex")].into_iter().enumerate() {
        let other = node.connect_as(&format!("o{n}"), user, tenant, all()).await;
        let answer = other.answer("s", "subscribe", json!({ "topic": "request:r" })).await;
        assert_eq!(code(&answer), "NOT_FOUND");
        let left = other.answer("u", "unsubscribe", json!({ "topic": "request:r" })).await;
        assert_eq!(left["data"]["was_subscribed"], false);
        assert!(other.take().is_empty());
    }
    for client in [&ada, &node.connect_as("p", "ada", "acme", all()).await] {
        assert_eq!(code(&client.publish("request:r", json!(1)).await), "FORBIDDEN");
        let answer = client.answer("w", "presence", json!({ "topic": "request:r" })).await;
        assert_eq!(code(&answer), "FORBIDDEN");
    }
    let refused = node.engine.publish(&super::key("request:r"), json!(1).into()).await;
    assert_eq!(refused.expect_err("a log is not published to").code.as_str(), "FORBIDDEN");
}
