//! What the engine bounds holds for what comes from outside, too.

use std::time::Duration;

use serde_json::json;
use streamer_engine::Router;

use crate::harness::{Node, Script, Step, code, handler, ok, stream};

#[tokio::test]
async fn a_chunk_over_the_bound_is_refused() {
    let line = format!("{{\"chunk\": \"{}\"}}\n{{\"result\": 1}}\n", "x".repeat(65 * 1024));
    let script = Script::always(vec![stream("application/jsonl", &line), Step::Close]).await;
    let work = handler(script.address("/"), |_| {});
    let node = Node::start(Router::new().action("work", work).takes(Duration::from_secs(60))).await;
    assert_eq!(code(&node.ask("r", "work", json!({})).await), "PAYLOAD_TOO_LARGE");
    node.stop().await;
}

#[tokio::test]
async fn a_large_result_becomes_an_artifact() {
    let script = Script::always(vec![ok(&format!("\"{}\"", "x".repeat(300 * 1024)))]).await;
    let node = Node::start(Router::new().action("work", handler(script.address("/"), |_| {}))).await;
    let end = node.ask("r", "work", json!({})).await;
    assert_eq!(end["data"]["artifact"]["size"], 300 * 1024 + 2, "{end}");
    node.stop().await;
}
