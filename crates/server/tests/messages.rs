//! Messages and their answers.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::{Value, json};

use crate::harness::{Client, SECRET, Server, Setup, until};

#[tokio::test]
async fn bad_messages_are_answered_and_the_connection_stays() {
    let server = Server::start().await;
    let mut client = Client::ada(&server).await;
    let long = "i".repeat(129);
    let cases = [
        (SECRET.to_owned(), "VALIDATION_ERROR", Value::Null, ""),
        (format!("{{\"action\":\"echo\",\"payload\":\"{SECRET}\""), "VALIDATION_ERROR", Value::Null, ""),
        (String::new(), "VALIDATION_ERROR", Value::Null, ""),
        ("[]".to_owned(), "VALIDATION_ERROR", Value::Null, ""),
        (json!({ "id": "a" }).to_string(), "VALIDATION_ERROR", json!("a"), "action"),
        (json!({ "id": "a", "action": "no such" }).to_string(), "VALIDATION_ERROR", json!("a"), "action"),
        (json!({ "id": "a", "action": "unknown" }).to_string(), "NOT_FOUND", json!("a"), "action"),
        (json!({ "id": long, "action": "echo" }).to_string(), "VALIDATION_ERROR", Value::Null, "id"),
        (
            json!({ "id": "a", "action": "typed", "payload": { "count": SECRET } }).to_string(),
            "VALIDATION_ERROR",
            json!("a"),
            "payload.count",
        ),
    ];
    for (message, code, id, path) in cases {
        client.send(message.clone()).await;
        let answer = client.frame().await;
        assert_eq!(answer["type"], "error", "{message}");
        assert_eq!(answer["error"]["code"], code, "{message}");
        assert_eq!(answer["request_id"], id, "{message}");
        assert_eq!(answer["error"]["details"]["fields"][0]["path"], path, "{message}");
        assert!(answer["timestamp"].is_string());
    }
    client.echo("still here").await;
    client.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn deep_json_is_answered_too() {
    let server = Server::start().await;
    let mut client = Client::ada(&server).await;
    let (open, close) = ("[".repeat(50_000), "]".repeat(50_000));
    let message =
        |action: &str, payload: &str| format!(r#"{{"id":"a","action":"{action}","payload":{payload}}}"#);
    let objects = format!("{}1{}", r#"{"a":"#.repeat(15_000), "}".repeat(15_000));
    for action in ["echo", "typed", "status", "unknown"] {
        for payload in [&format!("{open}{close}"), &objects, &"[".repeat(100_000)] {
            client.send(message(action, payload)).await;
            let answer = client.text().await;
            let is_answered =
                answer.contains("\"type\":\"response\"") || answer.contains("\"type\":\"error\"");
            assert!(is_answered, "{answer:.200}");
        }
    }
    client.send("[".repeat(100_000)).await;
    assert_eq!(client.frame().await["error"]["code"], "VALIDATION_ERROR");
    client.echo("still here").await;
    client.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn absurd_json_is_answered_and_the_connection_stays() {
    let server = Server::start().await;
    let mut client = Client::ada(&server).await;
    let long = |text: &str| text.repeat(100_000 / text.len());
    let payloads = [
        "1e999999999".to_owned(),
        "-1e-999999999".to_owned(),
        long("9"),
        format!("0.{}", long("1")),
        format!("\"{}\"", long("x")),
        format!("\"{}\"", long("\\u0000")),
        format!("\"{}\"", long("\\ud800")),
        format!("{{\"{}\":1}}", long("k")),
        format!("[{}1]", long("1,")),
        format!("[{}1]", long("{},")),
        format!("{{{}\"z\":1}}", long("\"a\":1,")),
        format!("{{{}\"z\":1}}", (0..9000).map(|n| format!("\"{n}\":1,")).collect::<String>()),
        long(" ") + "1",
        "NaN".to_owned(),
        "\u{feff}1".to_owned(),
    ];
    for payload in &payloads {
        for action in ["echo", "typed", "status", "no.such"] {
            client.send(format!(r#"{{"id":"a","action":"{action}","payload":{payload}}}"#)).await;
            let answer = client.text().await;
            let is_answered =
                answer.contains("\"type\":\"response\"") || answer.contains("\"type\":\"error\"");
            assert!(is_answered, "{action} {payload:.50}: {answer:.200}");
            assert!(!answer.contains("INTERNAL_ERROR"), "{action} {payload:.50}: {answer:.200}");
        }
    }
    client.send(format!(r#"{{"{}":1,"id":"{}","action":"{}"}}"#, long("k"), "i", "a")).await;
    assert_eq!(client.frame().await["error"]["code"], "NOT_FOUND");
    client.send(format!(r#"{{"id":"a","action":"{}"}}"#, long("a"))).await;
    assert_eq!(client.frame().await["error"]["code"], "VALIDATION_ERROR");
    client.echo("still here").await;
    client.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn pipelined_messages_are_answered_in_order() {
    let server = Server::start().await;
    let mut client = Client::ada(&server).await;
    for n in 0..500 {
        client.ask(&n.to_string(), "echo", json!(SECRET)).await;
    }
    for n in 0..500 {
        assert_eq!(client.frame().await["request_id"], n.to_string());
    }
    client.leave().await;
    let line = server.endings(1).await.remove(0);
    assert_eq!((&line["messages_sent"], &line["messages_received"]), (&json!(500), &json!(500)));
    server.finish().await;
}

#[tokio::test]
async fn a_short_request_that_takes_long_is_acknowledged_and_completes() {
    let mut setup = Setup::default();
    setup.engine.short_limit = Duration::from_millis(50);
    let server = setup.start().await;
    let mut client = Client::ada(&server).await;
    client.ask("a", "wait", json!(SECRET)).await;
    assert_eq!(client.frame().await["type"], "acknowledgment");
    // It holds nobody up.
    client.echo("b").await;
    server.gate.add_permits(1);
    let end = client.frame().await;
    assert_eq!((&end["type"], &end["result"]), (&json!("complete"), &json!(SECRET)));
    client.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn so_many_messages_are_worked_on_at_once_and_the_next_ones_wait() {
    let mut setup = Setup::default();
    setup.engine.connection_in_flight_max = 2;
    let server = setup.start().await;
    let mut client = Client::ada(&server).await;
    let mut other = Client::ada(&server).await;
    for id in ["a", "b", "c"] {
        client.ask(id, "wait", json!(SECRET)).await;
    }
    until("two run", async || server.waiting.load(Ordering::Relaxed) == 2).await;
    other.echo("not held up").await;
    assert_eq!(server.waiting.load(Ordering::Relaxed), 2);
    server.gate.add_permits(3);
    let mut answered: Vec<String> = Vec::new();
    for _ in 0..3 {
        answered.push(client.frame().await["request_id"].as_str().expect("an id").to_owned());
    }
    answered.sort();
    assert_eq!(answered, ["a", "b", "c"]);
    client.leave().await;
    other.leave().await;
    server.finish().await;
}
