//! How a server goes away.

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Client, Http, Raw, SECRET, Server, Setup, Token, in_time, until};

#[tokio::test]
async fn clients_are_told_to_move_within_the_spread_and_closed_with_1001() {
    let mut setup = Setup::default();
    setup.settings.drain_spread = Duration::from_secs(3);
    let server = setup.start().await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(Client::ada(&server).await);
    }
    let served = join_all(clients.into_iter().map(async |mut client| {
        let told = client.frame().await;
        assert_eq!(told["type"], "draining");
        (told["retry_after_ms"].as_u64().expect("a number"), client.closed().await)
    }));
    let (told, ()) = tokio::join!(served, server.finish());
    assert!(told.iter().all(|(wait, code)| *wait < 3000 && *code == 1001), "{told:?}");
    assert!(told.iter().any(|(wait, _)| *wait != told[0].0), "not all at once: {told:?}");
}

#[tokio::test]
async fn work_that_ends_in_time_is_told_before_the_close() {
    let server = Server::start().await;
    let mut client = Client::ada(&server).await;
    client.ask("long", "work", json!(SECRET)).await;
    assert_eq!(client.frame().await["type"], "acknowledgment");
    client.ask("short", "wait", json!(SECRET)).await;
    until("both run", async || server.waiting.load(Ordering::Relaxed) == 2).await;

    let gate = server.gate.clone();
    let stopping = server.finish();
    let served = async {
        assert_eq!(client.frame().await["type"], "draining");
        // What comes now is sent elsewhere.
        client.ask("late", "echo", json!(SECRET)).await;
        let late = client.frame().await;
        assert_eq!((&late["request_id"], &late["error"]["code"]), (&json!("late"), &json!("OVERLOADED")));
        assert_eq!(late["error"]["retry"]["retryable"], true);
        gate.add_permits(2);
        let mut ends = [client.frame().await, client.frame().await].map(|end| {
            assert!(end["result"] == SECRET || end["data"] == SECRET, "{end}");
            end["type"].as_str().expect("a type").to_owned()
        });
        ends.sort();
        assert_eq!(ends, ["complete", "response"]);
        assert_eq!(client.closed().await, 1001);
    };
    tokio::join!(stopping, served);
}

#[tokio::test]
async fn who_is_busy_connecting_is_not_forgotten_by_the_drain() {
    use streamer_engine::testing::Fault;
    let plan = |call| (call == "connect").then_some(Fault::Delay(Duration::from_millis(300)));
    let server = Setup { plan: Box::new(plan), ..Setup::default() }.start().await;
    let mut raw = Raw::connect(server.addr).await;
    raw.send(Raw::upgrade(&Token::ada()).as_bytes()).await;
    // A whole answer was asked for, so that the upgrade before it has begun.
    until("the door works", async || Http::get(server.addr, "/nowhere").send().await.status == 404).await;
    let served = async {
        // Let in just before the end: told, and closed.
        let head = raw.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.to_ascii_lowercase().contains("connection: upgrade\r\n"), "{head}");
        let (_, told) = raw.frame().await;
        assert!(String::from_utf8(told).expect("text").contains("draining"));
        assert_eq!(raw.closed().await, 1001);
    };
    in_time("the end", async { tokio::join!(server.finish(), served) }).await;
}

#[tokio::test]
async fn a_peer_that_does_not_answer_the_close_holds_up_nothing() {
    let mut setup = Setup::default();
    setup.settings.close_timeout = Duration::from_millis(200);
    let server = setup.start().await;
    let raw = Raw::websocket(server.addr, &Token::ada()).await;
    let idle = Raw::connect(server.addr).await;
    server.finish().await;
    drop((raw, idle));
}

#[tokio::test]
async fn who_was_accepted_just_before_is_told_and_not_hung_up_on() {
    let server = Server::start().await;
    let mut quiet = Raw::connect(server.addr).await;
    // Accepted in their order.
    Client::ada(&server).await.leave().await;
    server.stop();
    until("it to drain", async || Http::get(server.admin, "/readyz").send().await.status == 503).await;
    quiet.send(Raw::upgrade(&Token::ada()).as_bytes()).await;
    let head = quiet.head().await;
    assert!(
        head.starts_with("HTTP/1.1 503 ") && head.to_ascii_lowercase().contains("retry-after: "),
        "{head}"
    );
    in_time("the end", server.finish()).await;
}
