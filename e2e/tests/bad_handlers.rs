//! Handlers that panic, keep their threads, and never return: what others see of that is nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use streamer_e2e::{
    patience::{PATIENCE, until},
    peer::{Peer, Said},
    promises::Heard,
    server::{Server, Setup},
};

use crate::BAD_HANDLERS;

fn setup() -> Setup {
    Setup::new(BAD_HANDLERS).set("engine.retry_base_ms", 50)
}

/// Follows a request to its end.
async fn follow(peer: &mut Peer, heard: &mut Heard) {
    while heard.end.is_none() {
        heard.take(&peer.frame().await);
    }
}

async fn end_of(peer: &mut Peer, id: &str, action: &str, payload: Value) -> Value {
    let mut heard = Heard::nothing_of(id);
    peer.send(id, action, payload).await;
    follow(peer, &mut heard).await;
    heard.end.expect("it has ended")
}

async fn standing(server: &Server, id: &str) -> Value {
    let view = server.inspect(&format!("/v1/requests/acme/ada/{id}")).await;
    assert_eq!(view.status, 200, "{}", view.text());
    view.json()
}

#[tokio::test]
async fn a_panic_fails_its_request_and_nothing_else() {
    let mut server = setup().start().await;
    let mut peer = server.peer("ada", "acme").await;
    let mut other = server.peer("eve", "other").await;
    other.send("meanwhile", "delay", json!({ "seconds": 0.7, "chunks": 7 })).await;
    for place in ["validate", "estimate", "short", "process", "task", "chunk"] {
        let end = end_of(&mut peer, place, "panics", json!({ "place": place })).await;
        assert_eq!(end["error"]["code"], "INTERNAL_ERROR", "{place}: {end}");
        let correlated = end["error"]["details"]["correlation_id"].as_str().expect("an id").to_owned();
        assert!(server.log().contains(&correlated), "{place}: the log knows more");
        assert!(!end.to_string().contains("a panic"), "the client reads nothing of the inside: {end}");
        if ["process", "task", "chunk"].contains(&place) {
            let view = standing(&server, place).await;
            assert_eq!((&view["status"], &view["attempt"]), (&json!("FAILED"), &json!(2)), "{view}");
        }
    }
    let mut meanwhile = Heard::nothing_of("meanwhile");
    follow(&mut other, &mut meanwhile).await;
    assert_eq!((meanwhile.result()["chunks"].as_u64(), meanwhile.restarts), (Some(7), 0));
    assert_eq!(peer.ask("last", "ping", json!({})).await["success"], true, "its connection stays");
    server.stop().await;
}

#[tokio::test]
async fn handlers_that_keep_their_threads_hold_up_nobody() {
    // More than any machine has threads for everybody.
    const KEEPERS: usize = 40;
    let mut server = setup()
        .set("engine.lease_s", 1)
        .set("engine.short_limit_ms", 400)
        .set("connections.heartbeat_s", 4)
        .start()
        .await;
    let mut keeper = server.peer("ada", "acme").await;
    let mut heard: Vec<Heard> = Vec::new();
    for n in 0..KEEPERS {
        // Some are short until they turn out not to be.
        let (action, seconds) = match n {
            0..2 => ("spins.queued", 5.0),
            2..12 => ("sleeps", 5.0),
            _ => ("sleeps.queued", 5.0),
        };
        let id = format!("keeper-{n}");
        keeper.send(&id, action, json!({ "seconds": seconds })).await;
        heard.push(Heard::nothing_of(id));
    }
    while !heard.iter().all(|heard| heard.acknowledged) {
        let frame = keeper.frame().await;
        heard.iter_mut().for_each(|heard| heard.take(&frame));
    }
    let told = async || server.log().contains("a handler keeps its thread").then_some(());
    until("the log to tell of it", told).await;

    // Everything else goes on, and is over while they still keep their threads.
    let mut peer = server.peer("eve", "other").await;
    assert_eq!(peer.ask("ping", "ping", json!({})).await["success"], true);
    let end = end_of(&mut peer, "queued", "echo_async", json!("queued")).await;
    assert_eq!(end["result"]["echo"], "queued", "{end}");
    let end = end_of(&mut peer, "chunks", "delay", json!({ "seconds": 0.5, "chunks": 5 })).await;
    assert_eq!(end["result"]["chunks"], 5, "{end}");
    assert_eq!(peer.ask("own", "status", json!({ "request_id": "chunks" })).await["success"], true);
    let kept = server.metric("streamer_handler_threads_kept", &[]).await;
    assert!(kept >= KEEPERS as f64 / 2.0, "{kept} threads are kept: the test proves nothing");
    assert!(heard.iter().all(|heard| heard.end.is_none()));
    assert_eq!(keeper.ask("ping", "ping", json!({})).await["success"], true, "its own connection too");

    // Their leases were renewed meanwhile: each was begun once.
    while !heard.iter().all(|heard| heard.end.is_some()) {
        let frame = keeper.frame().await;
        heard.iter_mut().for_each(|heard| heard.take(&frame));
    }
    for heard in &heard {
        assert!(["slept", "spun"].contains(&heard.result().as_str().expect("text")), "{heard:?}");
        let view = standing(&server, &heard.id).await;
        assert_eq!((&view["status"], &view["attempt"]), (&json!("COMPLETED"), &json!(1)), "{view}");
    }
    let lines = server.log_lines();
    let named = |line: &Value| line["message"].as_str().is_some_and(|text| text.contains("keeps its thread"));
    let line = lines.iter().find(|line| named(line)).expect("it was told");
    let action = line["operation"].as_str().expect("the action is named");
    assert!(action.starts_with("sleeps") || action.starts_with("spins"), "{line}");
    server.stop().await;
}

#[tokio::test]
async fn what_never_returns_can_be_cancelled_and_timed_out() {
    let server = setup().set("engine.cancel_grace_ms", 200).start().await;
    let mut peer = server.peer("ada", "acme").await;
    for (id, action, payload) in
        [("never", "never", json!({})), ("asleep", "sleeps.queued", json!({ "seconds": 8 }))]
    {
        let mut heard = Heard::nothing_of(id);
        peer.send(id, action, payload).await;
        while !heard.acknowledged {
            heard.take(&peer.frame().await);
        }
        until("it to run", async || (standing(&server, id).await["status"] == "PROCESSING").then_some(()))
            .await;
        peer.send("cancel", "cancel", json!({ "request_id": id })).await;
        follow(&mut peer, &mut heard).await;
        assert_eq!(heard.end.expect("an end")["error"]["code"], "CANCELLED", "{id}");
    }
    for (id, action, payload) in
        [("never.timed", "never.timed", json!({})), ("sleeps.timed", "sleeps.timed", json!({ "seconds": 8 }))]
    {
        let end = end_of(&mut peer, id, action, payload).await;
        assert_eq!(end["error"]["code"], "TIMEOUT", "{id}: {end}");
    }
}

#[tokio::test]
async fn what_never_returns_does_not_hold_up_the_end_of_the_process() {
    let mut server = setup().set("drain.timeout_s", 2).set("drain.linger_ms", 0).start().await;
    let mut peer = server.peer("ada", "acme").await;
    let endless = [
        ("never", json!({})),
        ("sleeps.queued", json!({ "seconds": 60 })),
        ("sleeps", json!({ "seconds": 60 })),
    ];
    for (action, payload) in &endless {
        peer.send(action, action, payload.clone()).await;
    }
    for action in ["never", "sleeps.queued"] {
        let look = async || {
            let view = server.inspect(&format!("/v1/requests/acme/ada/{action}")).await;
            (view.status == 200 && view.json()["status"] == "PROCESSING").then_some(())
        };
        until("it to run", look).await;
    }
    let asked = Instant::now();
    server.terminate().await;
    while !matches!(peer.hear().await, Said::Closed(1001)) {}
    let status = server.ended().await;
    assert!(status.success(), "{status}");
    // Far below what they would take, and far above its deadline: other tests share the machine.
    assert!(asked.elapsed() < PATIENCE / 2, "{:?} for a deadline of 2 s", asked.elapsed());
    server.restart().await;
    for action in ["never", "sleeps.queued"] {
        let view = standing(&server, action).await;
        assert!(["PENDING", "PROCESSING"].contains(&view["status"].as_str().expect("text")), "{view}");
    }
    assert!(asked.elapsed() < Duration::from_secs(60));
}
