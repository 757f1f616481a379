//! Heartbeats.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use streamer_engine::{
    Frame,
    push::{self, Push as _},
};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, PING, PONG, Raw, Server, Setup, TEXT, Token, frame, head, in_time, until};

const HEARTBEAT: Duration = Duration::from_millis(250);

async fn start() -> Server {
    let mut setup = Setup::default();
    setup.settings.heartbeat = HEARTBEAT;
    setup.start().await
}

#[tokio::test]
async fn who_answers_pings_lives() {
    let server = start().await;
    let mut client = Client::ada(&server).await;
    let started = Instant::now();
    // The library answers as long as it is asked for messages.
    let pinged = async {
        let mut pings = 0;
        while pings < 5 {
            match client.socket.next().await.expect("open").expect("readable") {
                Message::Ping(_) => pings += 1,
                other => panic!("{other}"),
            }
        }
    };
    in_time("five pings", pinged).await;
    assert!(started.elapsed() >= 4 * HEARTBEAT);
    client.echo("alive").await;
    client.leave().await;
    assert_eq!(server.ending().await, "client_closed");
    server.finish().await;
}

#[tokio::test]
async fn who_says_nothing_is_closed_and_forgotten() {
    let server = start().await;
    let started = Instant::now();
    // It reads, but it never answers.
    let raw = Raw::websocket(server.addr, &Token::ada()).await;
    assert_eq!(raw.closed().await, 4410);
    assert!(started.elapsed() >= 2 * HEARTBEAT, "{:?}", started.elapsed());
    assert_eq!(server.ending().await, "silent");
    server.finish().await;
}

/// It vanished without a word, while something was under way to it: nothing can be sent, and no answer comes.
#[tokio::test]
async fn who_vanished_is_forgotten_even_if_nothing_can_be_sent() {
    let mut setup = Setup::default();
    setup.settings.heartbeat = HEARTBEAT;
    setup.settings.close_timeout = HEARTBEAT;
    setup.engine.connection_in_flight_max = 1;
    let server = setup.start().await;
    let vanished = Client::narrow(&server, &Token::ada()).await;
    let id = server.only_stored().await.id;
    let mut bystander = Client::connect(&server, &Token::of("bob", "globex")).await;
    let frame = Frame::message(&"x".repeat(64 * 1024)).expect("a text");
    // More than the system takes for it, so that not even a close reaches it.
    until("it takes nothing more", async || {
        server.hub.push(&id, frame.clone()).await == Err(push::Error::Busy)
    })
    .await;
    let gone = async {
        loop {
            // The bystander lives only as long as its pings are answered.
            bystander.echo("alive").await;
            if server.hub.len() == 1 {
                break;
            }
            tokio::time::sleep(HEARTBEAT / 5).await;
        }
    };
    in_time("it is forgotten", gone).await;
    assert_eq!(server.endings(1).await[0]["disconnect_reason"], "silent");
    assert!(server.counts("streamer_connections_active", 1));
    bystander.leave().await;
    drop(vanished);
    server.empty().await;
    server.finish().await;
}

#[tokio::test]
async fn a_message_that_comes_byte_by_byte_is_no_silence() {
    let server = start().await;
    let mut raw = Raw::websocket(server.addr, &Token::ada()).await;
    let message = json!({ "id": "a", "action": "echo" }).to_string();
    let started = Instant::now();
    raw.send(&head(TEXT, message.len())).await;
    for byte in message.bytes() {
        raw.send(&[byte]).await;
        tokio::time::sleep(HEARTBEAT / 5).await;
    }
    assert!(started.elapsed() > 4 * HEARTBEAT);
    let answer = loop {
        match raw.frame().await {
            (PING, _) => continue,
            (TEXT, answer) => break answer,
            other => panic!("{other:?}"),
        }
    };
    assert!(String::from_utf8(answer).expect("text").contains("response"));
    drop(raw);
    server.empty().await;
    server.finish().await;
}

#[tokio::test]
async fn while_nobody_listens_a_silence_says_nothing() {
    let mut setup = Setup::default();
    setup.settings.heartbeat = HEARTBEAT;
    setup.engine.connection_in_flight_max = 1;
    let server = setup.start().await;
    let mut raw = Raw::websocket(server.addr, &Token::ada()).await;
    let message = json!({ "id": "a", "action": "wait" }).to_string();
    raw.send(&frame(TEXT, message.as_bytes())).await;
    // It is worked on for longer than two heartbeats; until then the server reads nothing, not even answers.
    for _ in 0..4 {
        let (first, ping) = raw.frame().await;
        assert_eq!(first, PING);
        raw.send(&frame(PONG, &ping)).await;
    }
    server.gate.add_permits(1);
    let answer = loop {
        match raw.frame().await {
            (TEXT, answer) => break answer,
            (PING, ping) => raw.send(&frame(PONG, &ping)).await,
            other => panic!("{other:?}"),
        }
    };
    assert!(String::from_utf8(answer).expect("text").contains("response"));
    drop(raw);
    until("its end", async || server.hub.is_empty()).await;
    assert_eq!(server.ending().await, "connection_lost");
    server.finish().await;
}
