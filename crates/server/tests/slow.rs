//! Peers that do not read: bounded, closed in the end, and nobody else's trouble.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};
use streamer_engine::{
    Frame,
    push::{self, Push as _},
};
use streamer_protocol::{ConnectionId, TenantId};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, SECRET, Server, Setup, Token, in_time, until};

const BYTES_MAX: usize = 256 * 1024;

fn setup(stall_timeout: Duration) -> Setup {
    let mut setup = Setup::default();
    setup.settings.outbound_bytes_max = BYTES_MAX;
    setup.settings.stall_timeout = stall_timeout;
    setup.settings.close_timeout = Duration::from_millis(500);
    setup
}

async fn connection_of(server: &Server, user: &str) -> ConnectionId {
    let stored = server.stored().await;
    assert!(stored.iter().all(|record| record.tenant == TenantId::new("acme")));
    stored.into_iter().find(|record| record.user.as_str() == user).expect("there").id
}

/// Pushes until there is no room; gives how many bytes went.
async fn fill(server: &Server, id: &ConnectionId) -> usize {
    let frame = Frame::message(&format!("{SECRET}{}", "x".repeat(16 * 1024))).expect("a text");
    let len = Bytes::len(frame.bytes());
    let mut pushed = 0;
    let filling = async {
        loop {
            match server.hub.push(id, frame.clone()).await {
                Ok(()) => pushed += len,
                // What the system holds for it is no concern of ours: it is full when nothing moves.
                Err(push::Error::Busy) => {
                    let drained = server.hub.drained(id);
                    if tokio::time::timeout(Duration::from_millis(300), drained).await.is_err() {
                        break;
                    }
                }
                Err(e) => panic!("{e}"),
            }
            tokio::task::yield_now().await;
        }
    };
    in_time("the queue is full", filling).await;
    pushed
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_busy_and_holds_up_nobody() {
    let server = setup(Duration::from_secs(30)).start().await;
    let mut slow = Client::narrow(&server, &Token::of("slow", "acme")).await;
    let mut other = Client::ada(&server).await;
    let (slow_id, other_id) = (connection_of(&server, "slow").await, connection_of(&server, "ada").await);
    let pushed = fill(&server, &slow_id).await;

    let news = format!("{SECRET}{}", "n".repeat(16 * 1024));
    let frame = Frame::message(&news).expect("a text");
    let outcomes =
        server.hub.push_many(&[slow_id.clone(), other_id, ConnectionId::new("nobody")], &[frame]).await;
    assert_eq!(outcomes, [Err(push::Error::Busy), Ok(()), Err(push::Error::Gone)]);
    assert_eq!(other.frame().await, *news);
    other.echo("not held up").await;

    // Once it reads, all that was taken arrives, and there is room again.
    let mut read = 0;
    while read < pushed {
        read += slow.frame().await.as_str().expect("a text").len() + 2;
    }
    assert_eq!(read, pushed);
    in_time("room again", server.hub.drained(&slow_id)).await.expect("open");
    slow.echo("well again").await;
    slow.leave().await;
    other.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn a_peer_that_takes_nothing_for_too_long_is_closed() {
    let server = setup(Duration::from_millis(600)).start().await;
    let slow = Client::narrow(&server, &Token::of("slow", "acme")).await;
    let id = connection_of(&server, "slow").await;
    let waiting = async {
        fill(&server, &id).await;
        server.hub.drained(&id).await
    };
    assert_eq!(waiting.await, Err(push::Error::Gone), "whoever waits for room is told");
    assert_eq!(server.ending().await, "slow_consumer");
    assert!(server.counts("streamer_slow_consumers_total", 1));
    drop(slow);
    server.finish().await;
}

#[tokio::test]
async fn a_peer_that_reads_slowly_but_steadily_is_not_stalled() {
    let stall = Duration::from_millis(800);
    let mut setup = setup(stall);
    // More than the system holds, so that something always waits.
    setup.settings.outbound_bytes_max = 16 * 1024 * 1024;
    let server = setup.start().await;
    let mut slow = Client::narrow(&server, &Token::of("slow", "acme")).await;
    let id = connection_of(&server, "slow").await;
    let frame = Frame::message(&"x".repeat(16 * 1024)).expect("a text");
    let started = tokio::time::Instant::now();
    // It is always taken a little.
    while started.elapsed() < 3 * stall {
        while server.hub.push(&id, frame.clone()).await.is_ok() {}
        for _ in 0..8 {
            assert_eq!(slow.frame().await.as_str().map(str::len), Some(16 * 1024));
        }
        tokio::time::sleep(stall / 40).await;
    }
    assert!(server.hub.is_active(&id).await);
    drop(slow);
    assert_eq!(server.ending().await, "connection_lost");
    server.finish().await;
}

#[tokio::test]
async fn a_follower_that_does_not_read_is_closed_with_4408_and_can_resume() {
    let server = setup(Duration::from_secs(30)).start().await;
    let mut slow = Client::narrow(&server, &Token::of("slow", "acme")).await;
    let chunks = 300;
    slow.ask("big", "burst", json!(chunks)).await;
    assert_eq!(server.endings(1).await[0]["disconnect_reason"], "slow_consumer");
    drop(slow);
    server.empty().await;

    let mut back = Client::connect(&server, &Token::of("slow", "acme")).await;
    back.ask("r", "resume", json!({ "request_id": "big" })).await;
    assert_eq!(back.frame().await["request_id"], "r");
    for index in 0..chunks {
        let chunk = back.frame().await;
        assert_eq!((&chunk["type"], &chunk["index"]), (&json!("chunk"), &json!(index)));
    }
    assert_eq!(back.frame().await["type"], "complete");
    back.leave().await;
    server.finish().await;
}

/// Chunks and progress without a pause: what the peer has read when it is closed, and what it resumes from there, is
/// the whole log.
#[tokio::test]
async fn a_flood_of_chunks_and_progress_is_resumed_without_a_gap() {
    let mut setup = setup(Duration::from_secs(30));
    setup.settings.close_timeout = Duration::from_secs(10);
    setup.engine.progress_interval = Duration::from_millis(1);
    let server = setup.start().await;
    let mut slow = Client::narrow(&server, &Token::of("slow", "acme")).await;
    let chunks = 400;
    slow.ask("big", "torrent", json!(chunks)).await;
    until("it is to close", async || server.counts("streamer_slow_consumers_total", 1)).await;

    let mut log = Log::default();
    let code = loop {
        match in_time("what was sent before the close", slow.socket.next()).await.expect("a close comes") {
            Ok(Message::Text(text)) => log.take(&serde_json::from_str(&text).expect("JSON")),
            Ok(Message::Close(close)) => break u16::from(close.expect("with a code").code),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code, 4408);
    drop(slow);
    assert!(log.next_index < chunks && !log.ended, "it was closed amid it: {log:?}");
    server.empty().await;

    let mut back = Client::connect(&server, &Token::of("slow", "acme")).await;
    back.ask("r", "resume", json!({ "request_id": "big", "after_seq": log.seq })).await;
    assert_eq!(back.frame().await["request_id"], "r");
    while !log.ended {
        log.take(&back.frame().await);
    }
    assert_eq!(log.next_index, chunks);
    assert!(log.percentage == 100.0, "{log:?}");
    back.leave().await;
    server.finish().await;
}

/// Progress of which only the newest counts takes the room of one message, however much of it comes.
#[tokio::test]
async fn a_flood_of_progress_alone_closes_nobody() {
    let mut setup = setup(Duration::from_secs(30));
    setup.engine.progress_interval = Duration::from_millis(1);
    let server = setup.start().await;
    let mut slow = Client::narrow(&server, &Token::of("slow", "acme")).await;
    let id = connection_of(&server, "slow").await;
    slow.ask("much", "drizzle", json!(600)).await;
    assert_eq!(slow.frame().await["type"], "acknowledgment");
    // Half of what may wait does, and it does not read on.
    fill(&server, &id).await;
    tokio::select! {
        room = server.hub.drained(&id) => room.expect("open"),
        () = async { loop { slow.frame().await; } } => {}
    }
    server.gate.add_permits(1);
    let done = "streamer_requests_finished_total{status=\"COMPLETED\"}";
    until("the work is done", async || server.counts(done, 1)).await;
    let mut log = Log::default();
    while !log.ended {
        let frame = slow.frame().await;
        if frame["request_id"] == "much" {
            log.take(&frame);
        }
    }
    assert!(log.percentage == 100.0 && log.progresses < 600, "{log:?}");
    assert!(!server.metrics().contains("streamer_slow_consumers_total"), "{}", server.metrics());
    slow.leave().await;
    server.finish().await;
}

/// A request's log, as a client is told it.
#[derive(Debug, Default)]
struct Log {
    seq: u64,
    next_index: u64,
    percentage: f64,
    progresses: usize,
    ended: bool,
}

impl Log {
    fn take(&mut self, frame: &Value) {
        if frame["type"] == "acknowledgment" {
            return;
        }
        let seq = frame["seq"].as_u64().expect("part of the log");
        assert!(seq > self.seq, "{seq} after {}", self.seq);
        self.seq = seq;
        match frame["type"].as_str() {
            Some("chunk") => {
                assert_eq!(frame["index"], self.next_index, "no gap and no double");
                self.next_index += 1;
            }
            Some("progress") => {
                let percentage = frame["percentage"].as_f64().expect("a number");
                assert!(percentage >= self.percentage, "it never falls");
                self.percentage = percentage;
                self.progresses += 1;
            }
            Some("complete") => self.ended = true,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_slow_peer_that_reads_in_time_still_reads_4408() {
    let mut setup = setup(Duration::from_secs(30));
    setup.settings.close_timeout = Duration::from_secs(10);
    let server = setup.start().await;
    let mut slow = Client::narrow(&server, &Token::of("slow", "acme")).await;
    slow.ask("big", "burst", json!(300)).await;
    until("it is to close", async || server.counts("streamer_slow_consumers_total", 1)).await;
    assert_eq!(slow.closed().await, 4408);
    server.finish().await;
}

#[tokio::test]
async fn who_asks_without_reading_answers_is_not_read_any_more() {
    let server = setup(Duration::from_secs(30)).start().await;
    let mut flood = Client::narrow(&server, &Token::of("slow", "acme")).await;
    let message = json!({ "action": "echo", "payload": "x".repeat(32 * 1024) }).to_string();
    let mut sent = 0_u64;
    let flooding = async {
        loop {
            use futures_util::SinkExt;
            let message = tokio_tungstenite::tungstenite::Message::text(message.clone());
            flood.socket.send(message).await.expect("open");
            sent += 1;
        }
    };
    let stopped = tokio::time::timeout(Duration::from_secs(2), flooding).await;
    assert!(stopped.is_err());
    // The system's buffers hold a few megabytes on either side; beyond them and the queue, nothing is taken.
    assert!(sent < 1000, "{sent} messages of 32 KiB");
    let mut other = Client::ada(&server).await;
    other.echo("not held up").await;
    drop(flood);
    server.endings(1).await;
    other.leave().await;
    server.finish().await;
}
