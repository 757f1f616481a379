//! Plain answers, and what their statuses come to.

use std::time::Duration;

use serde_json::{Value, json};
use streamer_engine::Router;

use crate::harness::{Asked, Node, Script, Step, code, handler, ok, raw};

/// What a short request comes to when its handler answers so.
async fn outcome(step: Step) -> Value {
    let script = Script::always(vec![step]).await;
    let node = Node::start(Router::new().action("work", handler(script.address("/work"), |_| {}))).await;
    let end = node.ask("r", "work", json!({ "year": 2026 })).await;
    node.stop().await;
    end
}

#[tokio::test]
async fn a_json_answer_is_the_result() {
    let end = outcome(ok(r#"{"url": "/report"}"#)).await;
    assert_eq!((&end["type"], &end["data"]), (&json!("response"), &json!({ "url": "/report" })));
    assert_eq!(
        outcome(raw("201 Created", "content-type: application/vnd.acme+json\r\n", "[1]")).await["data"],
        json!([1])
    );
    assert_eq!(outcome(raw("204 No Content", "", "")).await["data"], Value::Null);
    assert_eq!(outcome(raw("200 OK", "", "")).await["data"], Value::Null, "nothing at all");
    assert_eq!(outcome(raw("200 OK", "", "7")).await["data"], 7, "without a media type");
}

#[tokio::test]
async fn a_rejection_is_told_with_its_details() {
    let problem = r##"{"title": "no", "detail": "the year is wrong", "errors": [{"pointer": "#/year", "detail": "must be 2000 or later"}]}"##;
    let end =
        outcome(raw("422 Unprocessable Content", "content-type: application/problem+json\r\n", problem))
            .await;
    assert_eq!(code(&end), "VALIDATION_ERROR");
    assert_eq!(end["error"]["message"], "the year is wrong");
    let field = &end["error"]["details"]["fields"][0];
    assert_eq!(
        (&field["path"], &field["message"]),
        (&json!("payload.year"), &json!("must be 2000 or later"))
    );

    let html = outcome(raw("404 Not Found", "content-type: text/html\r\n", "<b>SECRET</b>")).await;
    assert_eq!(code(&html), "NOT_FOUND");
    assert!(!html.to_string().contains("SECRET"), "{html}");
    for (status, expected) in
        [("403 Forbidden", "FORBIDDEN"), ("409 Conflict", "CONFLICT"), ("413 Large", "PAYLOAD_TOO_LARGE")]
    {
        assert_eq!(code(&outcome(raw(status, "", "")).await), expected, "{status}");
    }
}

#[tokio::test]
async fn a_short_request_reads_when_to_come_again() {
    let end = outcome(raw("503 Service Unavailable", "retry-after: 7\r\n", "SECRET")).await;
    assert_eq!(code(&end), "OVERLOADED");
    assert_eq!(end["error"]["retry"]["after"], 7000, "{end}");
    assert!(!end.to_string().contains("SECRET"), "{end}");
    let end = outcome(raw("500 Oops", "", "SECRET")).await;
    assert_eq!(code(&end), "INTERNAL_ERROR");
    assert!(
        end["error"]["details"]["correlation_id"].is_string() && !end.to_string().contains("SECRET"),
        "{end}"
    );
    // It is the server that was not known there.
    assert_eq!(code(&outcome(raw("401 Unauthorized", "", "")).await), "INTERNAL_ERROR");
}

#[tokio::test]
async fn a_queued_request_is_tried_again_under_the_same_idempotency_key() {
    let script = Script::play(|asked: &Asked| match asked.number {
        0 => vec![raw("500 Oops", "", "")],
        1 => vec![raw("429 Slow Down", "retry-after: 0\r\n", "")],
        _ => vec![ok("3")],
    })
    .await;
    let work = handler(script.address("/work"), |_| {});
    let node =
        Node::start(Router::new().action("work", work).takes(Duration::from_secs(60)).retries(5)).await;
    let end = node.ask("r", "work", json!(1)).await;
    assert_eq!((&end["type"], &end["result"]), (&json!("complete"), &json!(3)), "{end}");
    let asked = script.asked().await;
    let of = |name: &str| asked.iter().map(|asked| asked.header(name).to_owned()).collect::<Vec<_>>();
    assert_eq!(of("streamer-attempt"), ["1", "2", "3"]);
    let keys = of("idempotency-key");
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert_eq!(script.connections(), 1, "one connection is kept and used again");
    node.stop().await;
}
