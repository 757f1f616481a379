//! Tokens over the time that a connection lasts.

use std::{io::Write, sync::Arc, time::Duration};

use futures_util::StreamExt;
use serde_json::{Value, json};
use streamer_engine::{
    clock::{Clock as _, SystemClock},
    testing::ManualClock,
};
use streamer_protocol::Timestamp;

use crate::harness::{Client, Raw, Server, Setup, TEXT, Token, frame, in_time};

const TTL: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(10);
const NOW: Timestamp = Timestamp::from_millis(1_795_254_103_000);

/// A server whose time of day is the test's; it looks at it with every heartbeat.
async fn start() -> (Server, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(NOW));
    let mut setup = Setup { clock: Arc::clone(&clock) as _, ..Setup::default() };
    setup.settings.token_grace = GRACE;
    setup.settings.heartbeat = Duration::from_millis(250);
    setup.settings.close_timeout = Duration::from_millis(500);
    (setup.start().await, clock)
}

async fn refresh(client: &mut Client, token: &str) -> Value {
    client.ask("r", "refresh", json!({ "token": token })).await;
    client.frame().await
}

#[tokio::test]
async fn a_connection_outlives_its_token_by_the_grace() {
    let (server, clock) = start().await;
    let mut client = Client::connect(&server, &Token::lasting("ada", "acme", NOW, TTL)).await;
    clock.advance(TTL + GRACE - Duration::from_millis(1));
    // Three heartbeats later it is still there.
    for _ in 0..3 {
        client.socket.next().await.expect("open").expect("a ping");
    }
    client.echo("a").await;
    clock.advance(Duration::from_millis(1));
    assert_eq!(client.closed().await, 4401);
    assert_eq!(server.ending().await, "token_expired");
    server.finish().await;
}

#[tokio::test]
async fn a_fresh_token_prolongs() {
    let (server, clock) = start().await;
    let mut client = Client::connect(&server, &Token::lasting("ada", "acme", NOW, TTL)).await;
    let now = clock.advance(TTL);
    let answer = refresh(&mut client, &Token::lasting("ada", "acme", now, TTL)).await;
    assert_eq!(answer["type"], "response");
    assert_eq!(answer["data"]["expires_at"], (now + TTL).to_string());
    clock.advance(TTL);
    for _ in 0..3 {
        client.socket.next().await.expect("open").expect("a ping");
    }
    client.echo("a").await;
    clock.advance(GRACE);
    assert_eq!(client.closed().await, 4401);
    server.finish().await;
}

#[tokio::test]
async fn only_a_good_token_of_the_same_user_refreshes() {
    let others = [("bob", "acme"), ("ada", "globex")];
    let others = others.map(|(user, tenant)| Token::lasting(user, tenant, NOW, 10 * TTL));
    // By the server's clock, not by today's.
    let expired = Token::lasting("ada", "acme", Timestamp::from_millis(0), TTL);
    let bad = [expired, Token::forged(), Token::unsigned(), Token::confused(), "x".to_owned()];
    let (server, clock) = start().await;
    let mut client = Client::connect(&server, &Token::lasting("ada", "acme", NOW, TTL)).await;
    for token in others {
        let answer = refresh(&mut client, &token).await;
        assert_eq!(answer["error"]["code"], "FORBIDDEN");
    }
    for token in bad {
        let answer = refresh(&mut client, &token).await;
        assert_eq!(answer["error"]["code"], "UNAUTHORIZED");
        assert!(!answer.to_string().contains("eyJ"));
    }
    client.ask("r", "refresh", json!({})).await;
    let answer = client.frame().await;
    assert_eq!(answer["error"]["code"], "VALIDATION_ERROR");
    assert_eq!(answer["error"]["details"]["fields"][0]["path"], "payload");
    // None of them prolonged anything.
    clock.advance(TTL + GRACE);
    assert_eq!(client.closed().await, 4401);
    server.finish().await;
}

#[tokio::test]
async fn who_never_stops_talking_does_not_outlive_the_token() {
    let (server, clock) = start().await;
    let token = Token::lasting("ada", "acme", NOW, TTL);
    let raw = Raw::websocket(server.addr, &token).await;
    // On a thread of its own, so that there is always more to be read.
    let mut stream = raw.stream.into_std().expect("a socket");
    stream.set_nonblocking(false).expect("set");
    let talking = tokio::task::spawn_blocking(move || {
        // Large, so that the answers, which nobody reads, do not stop it.
        let message = frame(TEXT, &[b' '; 100_000]);
        while stream.write_all(&message).is_ok() {}
    });
    clock.advance(TTL + GRACE);
    assert_eq!(server.ending().await, "token_expired");
    in_time("the socket is closed", talking).await.expect("no panic");
    server.finish().await;
}

#[tokio::test]
async fn the_machines_clock_ends_a_token_too() {
    let mut setup = Setup::default();
    setup.settings.token_grace = Duration::from_millis(100);
    let server = setup.start().await;
    // In whole seconds: it holds for one to two.
    let token = Token::lasting("ada", "acme", SystemClock.now(), Duration::from_secs(2));
    let client = Client::connect(&server, &token).await;
    assert_eq!(client.closed().await, 4401);
    server.finish().await;
}
