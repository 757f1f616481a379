//! Bounds of the door itself: slow heads, large heads, too many sockets.

use std::time::Duration;

use tokio::time::Instant;

use crate::harness::{Client, Http, Raw, Server, Setup, Token, in_time};

const HEAD_TIMEOUT: Duration = Duration::from_millis(300);

async fn start() -> Server {
    let mut setup = Setup::default();
    setup.settings.head_timeout = HEAD_TIMEOUT;
    setup.start().await
}

#[tokio::test]
async fn who_never_finishes_a_head_is_closed() {
    let server = start().await;
    let started = Instant::now();
    let mut silent = Raw::connect(server.addr).await;
    let mut partial = Raw::connect(server.addr).await;
    partial.send(&Raw::upgrade(&Token::ada()).as_bytes()[..100]).await;
    silent.ended().await;
    partial.ended().await;
    assert!(started.elapsed() >= HEAD_TIMEOUT);
    server.finish().await;
}

#[tokio::test]
async fn who_sends_a_head_byte_by_byte_is_closed() {
    let server = start().await;
    let mut loris = Raw::connect(server.addr).await;
    let upgrade = Raw::upgrade(&Token::ada());
    let dripping = async {
        for byte in upgrade.bytes() {
            use tokio::io::AsyncWriteExt;
            if loris.stream.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(HEAD_TIMEOUT / 20).await;
        }
        panic!("it was let finish");
    };
    in_time("it is closed", dripping).await;
    assert!(server.stored().await.is_empty());
    server.finish().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = start().await;
    let answer = Http::get(server.addr, "/ws").header("x-large", &"x".repeat(100_000)).send().await;
    assert_eq!(answer.status, 431);
    server.finish().await;
}

#[tokio::test]
async fn what_is_not_http_is_closed() {
    let server = start().await;
    let mut raw = Raw::connect(server.addr).await;
    raw.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello").await;
    raw.ended().await;
    server.finish().await;
}

#[tokio::test]
async fn so_many_sockets_are_open_and_the_next_ones_wait() {
    let mut setup = Setup::default();
    setup.settings.sockets_max = 2;
    let server = setup.start().await;
    let (mut first, second) = (Client::ada(&server).await, Client::ada(&server).await);
    let mut third = Box::pin(Client::ada(&server));
    let waited = tokio::time::timeout(Duration::from_millis(200), third.as_mut()).await;
    assert!(waited.is_err(), "a third socket was served");
    first.echo("not concerned").await;
    second.leave().await;
    let mut third = in_time("a place is free", third).await;
    third.echo("served").await;
    first.leave().await;
    third.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn sockets_that_ask_for_nothing_keep_nobody_out() {
    let mut setup = Setup::default();
    // They would have their places for longer than anybody waits.
    setup.settings.head_timeout = Duration::from_secs(600);
    setup.settings.sockets_max = 8;
    let server = setup.start().await;
    let mut client = Client::ada(&server).await;
    let mut mute = Vec::new();
    for _ in 0..5 {
        mute.push(Raw::connect(server.addr).await);
    }
    // One that has begun to ask, and one that has been answered.
    let mut partial = Raw::connect(server.addr).await;
    partial.send(&Raw::upgrade(&Token::ada()).as_bytes()[..100]).await;
    let mut idle = Raw::connect(server.addr).await;
    idle.send(b"GET /nowhere HTTP/1.1\r\nHost: here\r\n\r\n").await;
    for _ in 0..8 {
        mute.push(Raw::connect(server.addr).await);
    }
    let mut late = in_time("there is room", Client::ada(&server)).await;
    late.echo("served").await;
    client.echo("a WebSocket makes no room").await;
    client.leave().await;
    late.leave().await;
    drop((mute, partial, idle));
    server.finish().await;
}

#[tokio::test]
async fn refused_upgrades_give_their_places_back() {
    let mut setup = Setup::default();
    setup.settings.sockets_max = 1;
    let server = setup.start().await;
    for _ in 0..5 {
        assert_eq!(Http::get(server.addr, "/ws").send().await.status, 401);
        Client::ada(&server).await.leave().await;
    }
    server.finish().await;
}
