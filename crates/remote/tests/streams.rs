//! Streamed answers.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use streamer_engine::{Router, testing::MemoryStore};
use streamer_remote::{BodyShape, UrlHandler};

use crate::harness::{Asked, Node, Script, Step, code, handler, stream, until};

const LINES: &str = "application/x-ndjson";
const LONG: Duration = Duration::from_secs(60);

fn routes(work: UrlHandler) -> Router {
    Router::new().action("work", work).takes(LONG).retries(2)
}

fn envelope(script: &Script) -> UrlHandler {
    handler(script.address("/work"), |settings| settings.body = BodyShape::Envelope)
}

fn chunks(frames: &[Value]) -> Vec<(u64, Value)> {
    let chunks = frames.iter().filter(|frame| frame["type"] == "chunk");
    chunks.map(|frame| (frame["index"].as_u64().expect("a number"), frame["data"].clone())).collect()
}

#[tokio::test]
async fn lines_carry_progress_chunks_and_the_result() {
    let lines = concat!(
        r#"{"progress": 10, "message": "begun", "metadata": {"rows": 3}}"#,
        "\n",
        r#"{"chunk": "a"}"#,
        "\n\n",
        r#"{"chunks": ["b", null], "progress": 150}"#,
        "\r\n",
        r#"{"result": {"done": true}}"#,
        "\n",
        r#"{"chunk": "after the end"}"#,
    );
    let script = Script::always(vec![stream(LINES, lines), Step::Close]).await;
    let node = Node::start(routes(handler(script.address("/work"), |_| {}))).await;
    node.send("r", "work", json!({})).await;
    let frames = node.until_end("r").await;
    let expected = [(0, json!("a")), (1, json!("b")), (2, Value::Null)];
    assert_eq!(chunks(&frames), expected, "{frames:#?}");
    let end = frames.last().expect("an end");
    assert_eq!(end["result"], json!({ "done": true }));
    let shown: Vec<&Value> = frames.iter().filter(|frame| frame["type"] == "progress").collect();
    assert_eq!(shown.last().expect("some progress")["percentage"], 100.0);
    assert_eq!(shown[0]["metadata"], json!({ "rows": 3 }));
    node.stop().await;
}

#[tokio::test]
async fn events_carry_the_same() {
    let events = ": hello\n\nevent: chunk\ndata: {\"chunk\": 1}\n\ndata: {\"result\":\ndata: null}\n\n";
    let script = Script::always(vec![stream("text/event-stream; charset=utf-8", events), Step::Close]).await;
    let node = Node::start(routes(handler(script.address("/work"), |_| {}))).await;
    node.send("r", "work", json!({})).await;
    let frames = node.until_end("r").await;
    assert_eq!(chunks(&frames), [(0, json!(1))]);
    assert_eq!(
        (&frames.last().expect("an end")["type"], &frames.last().expect("an end")["result"]),
        (&json!("complete"), &Value::Null)
    );
    node.stop().await;
}

#[tokio::test]
async fn a_short_request_that_streams_chunks_is_promoted() {
    let script = Script::always(vec![stream(LINES, "{\"chunk\": 1}\n{\"result\": 2}\n"), Step::Close]).await;
    let node = Node::start(Router::new().action("work", handler(script.address("/work"), |_| {}))).await;
    node.send("r", "work", json!({})).await;
    let frames = node.until_end("r").await;
    assert_eq!(frames[0]["type"], "acknowledgment");
    assert_eq!(chunks(&frames), [(0, json!(1))]);
    assert_eq!(frames.last().expect("an end")["result"], 2);
    node.stop().await;
}

#[tokio::test]
async fn of_an_internal_error_the_client_reads_a_correlation_id() {
    for code_ in ["INTERNAL_ERROR", "EVERYTHING_IS_LOST"] {
        let error = json!({ "error": { "kind": "reject", "message": "at /srv/db:5432", "code": code_ } });
        let script = Script::always(vec![stream(LINES, &error.to_string()), Step::Close]).await;
        let node = Node::start(routes(handler(script.address("/work"), |_| {}))).await;
        let end = node.ask("r", "work", json!({})).await;
        assert_eq!(code(&end), "INTERNAL_ERROR");
        assert!(
            end["error"]["details"]["correlation_id"].is_string() && !end.to_string().contains("srv"),
            "{end}"
        );
        assert_eq!(script.asked().await.len(), 1, "it is not tried again");
        node.stop().await;
    }
}

#[tokio::test]
async fn an_error_in_the_stream_says_what_happens_next() {
    let script = Script::play(|asked: &Asked| {
        let line = match asked.number {
            0 => r#"{"error": {"kind": "retry", "message": "not now", "after_ms": 1}}"#,
            _ => r#"{"error": {"kind": "reject", "message": "the year is wrong", "code": "CONFLICT", "fields": [{"path": "year", "message": "taken"}]}}"#,
        };
        vec![stream(LINES, line), Step::Close]
    })
    .await;
    let node = Node::start(routes(handler(script.address("/work"), |_| {}))).await;
    let end = node.ask("r", "work", json!({})).await;
    assert_eq!((code(&end), &end["error"]["message"]), ("CONFLICT", &json!("the year is wrong")));
    assert_eq!(end["error"]["details"]["fields"][0]["path"], "payload.year");
    assert_eq!(script.asked().await.len(), 2);
    node.stop().await;
}

#[tokio::test]
async fn another_attempt_continues_from_the_checkpoint() {
    let script = Script::play(|asked: &Asked| match asked.json()["checkpoint"]["next"].as_u64() {
        None => vec![
            stream(LINES, "{\"chunks\": [0, 1], \"checkpoint\": {\"next\": 2}}\n{\"chunk\": \"void\"}\n"),
            Step::Close,
        ],
        Some(next) => {
            vec![stream(LINES, &format!("{{\"chunk\": {next}}}\n{{\"result\": \"done\"}}\n")), Step::Close]
        }
    })
    .await;
    let node = Node::start(routes(envelope(&script))).await;
    node.send("r", "work", json!({ "rows": 3 })).await;
    let frames = node.until_end("r").await;
    let restart = frames.iter().find(|frame| frame["type"] == "restart").expect("a second attempt");
    assert_eq!(restart["from_index"], 2);
    let after = frames.iter().skip_while(|frame| frame["type"] != "restart").cloned().collect::<Vec<_>>();
    assert_eq!(chunks(&after), [(2, json!(2))]);
    let asked = script.asked().await;
    let second = asked[1].json();
    assert_eq!((&second["payload"], &second["attempt"]), (&json!({ "rows": 3 }), &json!(2)));
    assert_eq!(second["checkpoint"], json!({ "next": 2 }));
    assert_eq!(second["permissions"], json!(["a, b", "report.build"]));
    assert!(asked[0].json().get("checkpoint").is_none());
    node.stop().await;
}

#[tokio::test]
async fn a_checkpoint_needs_an_envelope() {
    let script =
        Script::always(vec![stream(LINES, "{\"checkpoint\": 1}\n{\"result\": 1}\n"), Step::Close]).await;
    let node =
        Node::start(Router::new().action("work", handler(script.address("/work"), |_| {})).takes(LONG)).await;
    assert_eq!(code(&node.ask("r", "work", json!({})).await), "INTERNAL_ERROR");
    node.stop().await;
}

#[tokio::test]
async fn cancelling_closes_the_connection() {
    let script = Script::always(vec![stream(LINES, "{\"progress\": 1}\n"), Step::Hang]).await;
    let store = Arc::new(MemoryStore::new());
    let node = Node::start_on(store, routes(handler(script.address("/work"), |_| {}))).await;
    node.send("r", "work", json!({})).await;
    node.frame(|frame| frame["type"] == "progress").await;
    node.send("c", "cancel", json!({ "request_id": "r" })).await;
    let end = node.until_end("r").await.pop().expect("an end");
    assert_eq!(code(&end), "CANCELLED");
    until("the connection is closed", || script.hung_up() == 1).await;
    node.stop().await;
}
