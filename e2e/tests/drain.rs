//! SIGTERM: clients are told, work is finished or given back, and the store is closed.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use streamer_e2e::{
    issuer::Issuer,
    patience::until,
    peer::{Peer, Refused, Said},
    promises::Heard,
    scenario::Place as _,
    server::Server,
};

use crate::server;

async fn hear_chunks(peer: &mut Peer, heard: &mut Heard, at_least: usize) {
    while heard.chunks.len() < at_least {
        heard.take(&peer.frame().await);
    }
}

fn is_closed_cleanly(server: &Server) {
    for leftover in ["streamer.db-wal", "streamer.db-shm"] {
        assert!(!server.folder().join(leftover).exists(), "{leftover} is left");
    }
}

#[tokio::test]
async fn clients_are_told_and_work_goes_on_after_a_restart() {
    let mut server = server().set("drain.timeout_s", 4).start().await;
    let mut peer = server.peer("ada", "acme").await;
    let (mut quick, mut long) = (Heard::nothing_of("quick"), Heard::nothing_of("long"));
    peer.send("long", "delay", json!({ "seconds": 7, "chunks": 70 })).await;
    hear_chunks(&mut peer, &mut long, 3).await;
    // It has time enough to finish while the server drains.
    peer.send("quick", "delay", json!({ "seconds": 0.6, "chunks": 6 })).await;
    while quick.chunks.is_empty() {
        let frame = peer.frame().await;
        quick.take(&frame);
        long.take(&frame);
    }

    let asked = Instant::now();
    server.terminate().await;
    let mut draining = None;
    let code = loop {
        match peer.hear().await {
            Said::Frame(frame) if frame["type"] == "draining" => draining = Some(frame),
            Said::Frame(frame) => {
                quick.take(&frame);
                long.take(&frame);
            }
            Said::Closed(code) => break code,
            Said::Broken => panic!("it broke off without a close"),
        }
    };
    let draining: Value = draining.expect("it was told that the server goes away");
    assert!(draining["retry_after_ms"].as_u64().is_some_and(|wait| wait <= 5000), "{draining}");
    assert_eq!(code, 1001);
    assert_eq!(quick.result()["chunks"], 6, "what could be finished was");
    assert!(long.end.is_none(), "{:?}", long.end);
    let status = server.ended().await;
    assert!(status.success(), "{status}");
    assert!(asked.elapsed() < Duration::from_secs(6), "{:?} for a deadline of 4 s", asked.elapsed());
    is_closed_cleanly(&server);

    server.restart().await;
    let mut peer = server.peer("ada", "acme").await;
    peer.send("resume", "resume", json!({ "request_id": "long", "after_seq": long.last_seq })).await;
    while long.end.is_none() {
        long.take(&peer.frame().await);
    }
    assert_eq!((long.chunks.len(), &long.result()["chunks"]), (70, &json!(70)));
    assert_eq!(long.restarts, 1, "it was given back once");
    server.stop().await;
    is_closed_cleanly(&server);
}

#[tokio::test]
async fn who_comes_while_it_drains_is_sent_elsewhere() {
    let mut server = server().set("drain.linger_ms", 2000).start().await;
    let mut peer = server.peer("ada", "acme").await;
    server.terminate().await;
    let token = Issuer::shared().token("late", "acme");
    let (status, body) = until("an upgrade to be refused", async || {
        match Peer::try_connect(&server.ws_url(), Some(&token)).await {
            Err(Refused::Answered { status, body }) => Some((status, body)),
            Err(Refused::Broken) => panic!("the address was given up without a word"),
            Ok(_) => None,
        }
    })
    .await;
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!((status, &body["error"]["code"]), (503, &json!("OVERLOADED")), "{body}");
    let ready = server.inspect("/readyz").await;
    assert_eq!((ready.status, ready.json()), (503, json!({ "status": "draining" })));
    while !matches!(peer.hear().await, Said::Closed(1001)) {}
    assert!(server.ended().await.success());
}

#[tokio::test]
async fn an_idle_server_stops_at_once_and_a_second_signal_does_not_wait() {
    let mut idle = server().set("drain.linger_ms", 0).start().await;
    let asked = Instant::now();
    idle.stop().await;
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());

    let mut busy = server().start().await;
    let mut peer = busy.peer("ada", "acme").await;
    peer.send("long", "delay", json!({ "seconds": 300, "chunks": 3000 })).await;
    hear_chunks(&mut peer, &mut Heard::nothing_of("long"), 1).await;
    busy.terminate().await;
    until("the first signal to be taken", async || busy.log().contains("stopping").then_some(())).await;
    let asked = Instant::now();
    busy.terminate().await;
    let status = busy.ended().await;
    assert!(!status.success() && asked.elapsed() < Duration::from_secs(5), "{status}");
    // It is found as after a crash.
    busy.restart().await;
    let standing = busy.peer("ada", "acme").await.ask("s", "status", json!({ "request_id": "long" })).await;
    assert_eq!(standing["data"]["status"], "PROCESSING", "{standing}");
}

#[tokio::test]
async fn a_hangup_ends_nothing() {
    let mut server = server().start().await;
    let mut peer = server.peer("ada", "acme").await;
    server.hang_up().await;
    for id in ["one", "two", "three"] {
        assert_eq!(peer.ask(id, "echo", json!(id)).await["success"], true);
    }
    server.stop().await;
}
