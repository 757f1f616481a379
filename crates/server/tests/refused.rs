//! Upgrades that are refused, each with an answer that says why.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use streamer_engine::testing::Fault;

use crate::harness::{Client, Http, Raw, Server, Setup, Token, in_time, until};

fn upgrade(server: &Server, path: &str) -> Http {
    Http::get(server.addr, path)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

#[tokio::test]
async fn every_broken_token_is_401_with_its_reason_counted() {
    let without = |claim: &str| {
        let mut claims = Token::claims();
        claims.as_object_mut().expect("an object").remove(claim);
        Token::claiming(&claims)
    };
    let with = |claim: &str, value| {
        let mut claims = Token::claims();
        claims[claim] = value;
        Token::claiming(&claims)
    };
    let cases = [
        (Token::expired(), "expired"),
        (Token::forged(), "bad_signature"),
        (Token::unsigned(), "wrong_algorithm"),
        (Token::confused(), "wrong_algorithm"),
        (without("tenant_id"), "missing_claim"),
        (without("exp"), "missing_claim"),
        (without("sub"), "missing_claim"),
        (with("exp", json!("soon")), "invalid_claim"),
        (with("tenant_id", json!("")), "invalid_claim"),
        (with("iss", json!("somebody else")), "wrong_issuer"),
        (with("nbf", json!(9_999_999_999_u64)), "not_yet_valid"),
        ("eyJ".to_owned(), "malformed"),
        ("eyJ".repeat(4000), "too_long"),
    ];
    let server = Server::start().await;
    let mut bystander = Client::ada(&server).await;
    for (token, reason) in &cases {
        let answer = upgrade(&server, "/ws").bearer(token).send().await;
        assert_eq!(answer.error(), (401, "UNAUTHORIZED".to_owned()), "{reason}");
        assert_eq!(answer.header("www-authenticate"), Some("bearer"));
        assert!(!answer.text().contains(token.as_str()), "{reason}");
        let count = cases.iter().filter(|(_, other)| other == reason).count();
        let logged = || server.log().into_iter().filter(|line| line["reason"] == **reason).count();
        assert!((1..=count).contains(&logged()), "{reason}");
    }
    let answer = upgrade(&server, "/prod").send().await;
    assert_eq!(answer.error(), (401, "UNAUTHORIZED".to_owned()));
    for (reason, count) in [("wrong_algorithm", 2), ("missing_claim", 3), ("expired", 1), ("missing", 1)] {
        let series = format!("streamer_authentication_failures_total{{reason=\"{reason}\"}}");
        assert!(server.counts(&series, count), "{reason}: {}", server.metrics());
    }
    // In the query too, and nothing of it is logged.
    let answer = upgrade(&server, &format!("/ws?Authorization={}", Token::expired())).send().await;
    assert_eq!(answer.status, 401);
    assert_eq!(server.stored().await.len(), 1);
    bystander.echo("a").await;
    bystander.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn whoever_is_no_websocket_client_is_told_so() {
    let server = Server::start().await;
    let answer = Http::get(server.addr, "/ws").bearer(&Token::ada()).send().await;
    assert_eq!(answer.error(), (426, "VALIDATION_ERROR".to_owned()));
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert_eq!(answer.header("sec-websocket-version"), Some("13"));

    let old = Http::get(server.addr, "/ws")
        .bearer(&Token::ada())
        .header("connection", "keep-alive, Upgrade")
        .header("upgrade", "WebSocket")
        .header("sec-websocket-version", "8")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(old.send().await.status, 426);

    let keyless = Http::get(server.addr, "/ws")
        .bearer(&Token::ada())
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13");
    assert_eq!(keyless.send().await.error(), (400, "VALIDATION_ERROR".to_owned()));

    let posted = Http::new("POST", server.addr, "/ws").bearer(&Token::ada()).send().await;
    assert_eq!(posted.error(), (405, "VALIDATION_ERROR".to_owned()));
    assert_eq!(posted.header("allow"), Some("get,head"));
    let elsewhere = Http::get(server.addr, "/wss").bearer(&Token::ada()).send().await;
    assert_eq!(elsewhere.error(), (404, "NOT_FOUND".to_owned()));
    assert!(server.stored().await.is_empty());
    server.finish().await;
}

#[tokio::test]
async fn while_draining_nobody_is_let_in() {
    let setup = Setup { linger: Duration::from_secs(1), ..Setup::default() };
    let server = setup.start().await;
    server.stop();
    until("503", async || upgrade(&server, "/ws").bearer(&Token::ada()).send().await.status == 503).await;
    let answer = upgrade(&server, "/ws").bearer(&Token::ada()).send().await;
    assert_eq!(answer.error(), (503, "OVERLOADED".to_owned()));
    assert_eq!(Http::get(server.admin, "/readyz").send().await.status, 503);
    assert_eq!(Http::get(server.admin, "/healthz").send().await.status, 200);
    server.finish().await;
}

#[tokio::test]
async fn a_store_that_fails_is_500_and_leaves_nothing_behind() {
    let failing = Arc::new(AtomicBool::new(true));
    let plan = {
        let failing = Arc::clone(&failing);
        // Done, but the store says that it is not.
        move |call| (call == "connect" && failing.load(Ordering::Relaxed)).then_some(Fault::LoseReply)
    };
    let server = Setup { plan: Box::new(plan), ..Setup::default() }.start().await;
    let answer = upgrade(&server, "/ws").bearer(&Token::ada()).send().await;
    assert_eq!(answer.error(), (500, "INTERNAL_ERROR".to_owned()));
    let body = answer.json();
    let correlation_id = &body["error"]["details"]["correlation_id"];
    assert!(server.log().iter().any(|line| line["correlation_id"] == *correlation_id));
    assert!(!answer.text().contains("plan"), "nothing of the inside is told");
    assert!(server.stored().await.is_empty());
    assert!(server.hub.is_empty());
    failing.store(false, Ordering::Relaxed);
    Client::ada(&server).await.echo("a").await;
    server.finish().await;
}

#[tokio::test]
async fn a_client_that_leaves_during_its_upgrade_is_forgotten() {
    let reached = Arc::new(AtomicBool::new(false));
    let plan = {
        let reached = Arc::clone(&reached);
        move |call| {
            // Stored at the first try, known to be stored at the second.
            let first = call == "connect" && !reached.swap(true, Ordering::Relaxed);
            first.then_some(Fault::LoseReply)
        }
    };
    let server = Setup { plan: Box::new(plan), ..Setup::default() }.start().await;
    let mut raw = Raw::connect(server.addr).await;
    raw.send(Raw::upgrade(&Token::ada()).as_bytes()).await;
    until("the connection is stored", async || !server.stored().await.is_empty()).await;
    drop(raw);
    assert_eq!(in_time("its end", server.ending()).await, "connection_lost");
    server.finish().await;
}
