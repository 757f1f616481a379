//! Addresses that misbehave: each ends as it is written down, and holds nobody else up.

use std::time::Duration;

use serde_json::{Value, json};
use streamer_engine::{BreakerSettings, Router};
use streamer_remote::{HandlerSettings, UrlHandler};

use crate::harness::{Node, Script, Step, code, handler, ok, raw, remote_with, soon, stream, until};

const LINES: &str = "application/x-ndjson";

/// The code with which a request ends whose handler does this, with bounds as tight as a test needs.
async fn ends_as(steps: Vec<Step>) -> (String, Value, Script) {
    let script = Script::always(steps).await;
    let tight = |settings: &mut HandlerSettings| {
        settings.first_byte_timeout = Some(Duration::from_millis(500));
        settings.idle_timeout = Duration::from_millis(300);
        settings.answer_bytes_max = 64 * 1024;
        settings.stream_bytes_max = 1024 * 1024;
    };
    let node = Node::start(Router::new().action("work", handler(script.address("/work"), tight))).await;
    let end = node.ask("r", "work", json!({})).await;
    node.stop().await;
    (code(&end).to_owned(), end, script)
}

#[tokio::test]
async fn what_is_no_answer_is_an_internal_error() {
    let cases: Vec<(&str, Vec<Step>)> = vec![
        ("no HTTP", vec![Step::Write(b"\x00\x01garbage\r\n\r\n".to_vec())]),
        ("it hangs up", vec![Step::Close]),
        ("half a head", vec![Step::Write(b"HTTP/1.1 200 OK\r\ncontent-".to_vec()), Step::Close]),
        (
            "half a body",
            vec![Step::Write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_vec()), Step::Close],
        ),
        ("no JSON", vec![ok("{\"a\":")]),
        ("two values", vec![ok("1 2")]),
        (
            "invalid UTF-8",
            vec![Step::Write(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n\"\xff\"".to_vec())],
        ),
        ("deep JSON", vec![ok(&format!("{}{}", "[".repeat(5000), "]".repeat(5000)))]),
        ("a page", vec![raw("200 OK", "content-type: text/html\r\n", "<html>")]),
        (
            "compressed",
            vec![raw("200 OK", "content-type: application/json\r\ncontent-encoding: gzip\r\n", "x")],
        ),
        ("elsewhere", vec![raw("302 Found", "location: http://127.0.0.1:1/\r\n", "")]),
        ("a stream of garbage", vec![stream(LINES, "hello\n"), Step::Hang]),
        ("half a line", vec![stream(LINES, "{\"result\": "), Step::Close]),
        ("no result", vec![stream(LINES, "{\"progress\": 1}\n"), Step::Close]),
        (
            "a stream of bad UTF-8",
            vec![stream(LINES, ""), Step::Write(b"{\"chunk\": \"\xff\"}\n".to_vec()), Step::Hang],
        ),
        ("a deep line", vec![stream(LINES, &format!("{{\"chunk\": {}\n", "[".repeat(5000))), Step::Hang]),
        ("half an event", vec![stream("text/event-stream", "data: {\"result\": 1}\n"), Step::Close]),
    ];
    for (what, steps) in cases {
        let (code, end, _) = ends_as(steps).await;
        assert_eq!(code, "INTERNAL_ERROR", "{what}: {end}");
        assert!(end["error"]["details"]["correlation_id"].is_string(), "{what}: {end}");
    }
}

#[tokio::test]
async fn silence_is_a_timeout() {
    for (what, steps) in [
        ("nothing comes", vec![Step::Hang]),
        ("half a head", vec![Step::Write(b"HTTP/1.1 200 OK\r\n".to_vec()), Step::Hang]),
        (
            "half a body",
            vec![Step::Write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec()), Step::Hang],
        ),
        ("a stream stands still", vec![stream(LINES, "{\"progress\": 1}\n"), Step::Hang]),
    ] {
        let (code, end, script) = ends_as(steps).await;
        assert_eq!(code, "TIMEOUT", "{what}: {end}");
        until("the connection is closed", || script.hung_up() == 1).await;
    }
}

#[tokio::test]
async fn a_slow_drip_ends_with_the_attempt() {
    let drip = [stream(LINES, ""), Step::Write(b" ".to_vec()), Step::Pause(Duration::from_millis(50))];
    let drip: Vec<Step> = drip.iter().cloned().chain(drip[1..].iter().cycle().take(400).cloned()).collect();
    let script = Script::always(drip).await;
    let work = handler(script.address("/work"), |_| {});
    let routes =
        Router::new().action("work", work).takes(Duration::from_secs(9)).timeout(Duration::from_millis(400));
    let node = Node::start(routes).await;
    assert_eq!(code(&node.ask("r", "work", json!({})).await), "TIMEOUT");
    node.stop().await;
}

#[tokio::test]
async fn a_gigabyte_is_cut_off() {
    const GIB: usize = 1 << 30;
    let block = vec![b'x'; 64 * 1024];
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n\"".to_vec();
    let announced =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {GIB}\r\n\r\n");
    let mut line = b"{\"progress\": 1, \"pad\": \"".to_vec();
    line.extend(vec![b'x'; 1000]);
    line.extend(b"\"}\n");
    for (what, steps) in [
        ("of JSON", vec![Step::Write(head), Step::Flood(block.clone(), GIB)]),
        ("announced", vec![Step::Write(announced.into_bytes()), Step::Flood(block.clone(), GIB)]),
        ("in one line", vec![stream(LINES, ""), Step::Flood(block.clone(), GIB)]),
        ("in many lines", vec![stream(LINES, ""), Step::Flood(line, GIB)]),
        (
            "of headers",
            vec![Step::Write(b"HTTP/1.1 200 OK\r\nx-pad: ".to_vec()), Step::Flood(block.clone(), GIB)],
        ),
    ] {
        let (code, end, script) = ends_as(steps).await;
        // A head without an end is no answer at all.
        let expected = if what == "of headers" { "INTERNAL_ERROR" } else { "PAYLOAD_TOO_LARGE" };
        assert_eq!(code, expected, "{what}: {end}");
        assert!(script.written() < 64 << 20, "{what}: {} bytes were taken", script.written());
    }
}

#[tokio::test]
async fn nobody_there_and_no_trust_are_told_apart_for_operators_only() {
    let script = Script::always(vec![]).await;
    let address = script.address("/work");
    drop(script);
    let node = Node::start(Router::new().action("work", handler(address, |_| {}))).await;
    let end = node.ask("r", "work", json!({})).await;
    assert_eq!(code(&end), "INTERNAL_ERROR");
    assert!(!end.to_string().contains("refused"), "{end}");
    node.stop().await;
}

#[tokio::test]
async fn a_hanging_address_holds_up_nobody_else() {
    let (hanging, well) = (Script::always(vec![Step::Hang]).await, Script::always(vec![ok("1")]).await);
    let routes = Router::new()
        .action("hang", handler(hanging.address("/"), |_| {}))
        .action("work", handler(well.address("/"), |_| {}));
    let node = Node::start(routes).await;
    for n in 0..20 {
        node.send(&format!("h{n}"), "hang", json!({})).await;
    }
    for n in 0..20 {
        assert_eq!(node.ask(&format!("w{n}"), "work", json!({})).await["data"], 1);
    }
    assert_eq!(well.connections(), 1);
    node.stop().await;
}

#[tokio::test]
async fn no_more_connections_than_allowed() {
    let script = Script::always(vec![Step::Hang]).await;
    let remote = remote_with(|settings| {
        settings.pool.connections_max = 2;
        settings.pool.connect_timeout = Duration::from_millis(200);
    });
    let work = UrlHandler::new(remote.target(script.address("/")), HandlerSettings::default());
    let node = Node::start(Router::new().action("work", work)).await;
    for n in 0..3 {
        node.send(&format!("r{n}"), "work", json!({})).await;
    }
    let refused = node.frame(|frame| frame["type"] == "error").await;
    assert_eq!(code(&refused), "OVERLOADED");
    assert_eq!(script.connections(), 2);
    node.stop().await;
}

#[tokio::test]
async fn a_queued_request_waits_for_a_connection_and_spends_no_try() {
    let pause = Duration::from_millis(300);
    let script = Script::always(vec![Step::Pause(pause), ok("1"), Step::Close]).await;
    let remote = remote_with(|settings| {
        settings.pool.connections_max = 1;
        settings.pool.connect_timeout = Duration::from_millis(50);
    });
    // Of the beginning of an answer nothing is waited for before there is a connection.
    let settings =
        HandlerSettings { first_byte_timeout: Some(2 * pause - pause / 2), ..HandlerSettings::default() };
    let work = UrlHandler::new(remote.target(script.address("/")), settings);
    let node = Node::start(Router::new().action("work", work).takes(Duration::from_secs(60))).await;
    for n in 0..3 {
        node.send(&format!("r{n}"), "work", json!({})).await;
    }
    for n in 0..3 {
        let end = node.until_end(&format!("r{n}")).await.pop().expect("until its end");
        assert_eq!(end["type"], "complete", "{end}");
    }
    assert_eq!(script.asked().await.len(), 3);
    node.stop().await;
}

#[tokio::test]
async fn a_queued_request_waits_for_the_circuit_and_spends_no_try() {
    let script = Script::play(|asked| match asked.number {
        0 => vec![raw("500 Oops", "", "")],
        _ => vec![ok("1")],
    })
    .await;
    let open_for = Duration::from_millis(700);
    let remote = remote_with(|settings| settings.breaker = BreakerSettings { failures_max: 1, open_for });
    let work = || UrlHandler::new(remote.target(script.address("/")), HandlerSettings::default());
    let routes = Router::new().action("short", work()).action("long", work()).takes(Duration::from_secs(60));
    let node = Node::start(routes).await;
    assert_eq!(code(&node.ask("s", "short", json!({})).await), "INTERNAL_ERROR");
    let begun = std::time::Instant::now();
    let end = node.ask("l", "long", json!({})).await;
    assert_eq!(end["type"], "complete", "{end}");
    assert!(begun.elapsed() > open_for / 2, "it waits");
    assert_eq!(script.asked().await.len(), 2, "it is not asked meanwhile");
    node.stop().await;
}

#[tokio::test]
async fn the_circuit_opens_and_closes_again() {
    let script = Script::play(|asked| match asked.number {
        0..2 => vec![raw("500 Oops", "", "")],
        _ => vec![ok("1")],
    })
    .await;
    let open_for = Duration::from_millis(700);
    let remote = remote_with(|settings| settings.breaker = BreakerSettings { failures_max: 2, open_for });
    let work =
        |target: &str| UrlHandler::new(remote.target(script.address(target)), HandlerSettings::default());
    let node = Node::start(Router::new().action("work", work("/a")).action("other", work("/b"))).await;
    for n in 0..2 {
        assert_eq!(code(&node.ask(&format!("r{n}"), "work", json!({})).await), "INTERNAL_ERROR");
    }
    let refused = node.ask("r2", "work", json!({})).await;
    assert_eq!(code(&refused), "OVERLOADED");
    assert!(refused["error"]["retry"]["after"].as_u64().is_some_and(|ms| ms <= 700), "{refused}");
    assert_eq!(script.asked().await.len(), 2, "it is not asked");
    assert_eq!(node.ask("o", "other", json!({})).await["data"], 1, "another address has its own circuit");
    let closed = async {
        for n in 3.. {
            let end = node.ask(&format!("r{n}"), "work", json!({})).await;
            if end["type"] == "response" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon("the circuit to close", closed).await;
    node.stop().await;
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_replaced_unseen() {
    // Closed after each answer, without having said so.
    let script = Script::always(vec![ok("1"), Step::Close]).await;
    let node = Node::start(Router::new().action("work", handler(script.address("/"), |_| {}))).await;
    for n in 0..10 {
        assert_eq!(node.ask(&format!("r{n}"), "work", json!({})).await["data"], 1);
    }
    node.stop().await;
}
