//! Stored requests: what is acknowledged is durable, and runs once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use streamer_engine::{Context, Failure, Router, Settings, testing::Fault};
use tokio::time::Instant;

use crate::support::{Node, World, code, key, pass, types};

const LONG: Duration = Duration::from_secs(60);

/// An action `count` that says how often it has run.
fn counting() -> (Router, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let count = move |_: Context, _: Value| {
        let run = counted.fetch_add(1, Ordering::Relaxed) + 1;
        async move { Ok::<_, Failure>(run) }
    };
    (Router::new().action("count", count).takes(LONG), runs)
}

#[tokio::test(start_paused = true)]
async fn is_acknowledged_before_anything_else_and_begins_at_once() {
    let (routes, _) = counting();
    let settings = Settings { poll_interval: Duration::from_secs(3600), ..Settings::default() };
    let node = World::new().working("n", routes, settings);
    let client = node.connect("c", "ada").await;
    let begun = Instant::now();
    client.ask("a", "count", json!({})).await;
    let frames = client.until_outcome("a").await;
    assert_eq!(begun.elapsed(), Duration::ZERO, "nobody had to look for it");
    assert_eq!(types(&frames), ["acknowledgment", "complete"]);
    assert_eq!((&frames[0]["status"], &frames[1]["seq"]), (&json!("queued"), &json!(1)));
}

#[tokio::test(start_paused = true)]
async fn is_acknowledged_only_once_it_is_durable() {
    for fault in [Fault::Refuse, Fault::LoseReply, Fault::Delay(Duration::from_secs(3))] {
        let (routes, runs) = counting();
        let world = World::new();
        let node = world.working("n", routes, Settings::default());
        let client = node.connect("c", "ada").await;
        world.faults.once("enqueue", fault);
        client.ask("a", "count", json!({})).await;
        assert_eq!(client.take(), [Value::Null; 0], "{fault:?}: not stored yet, for all that is known");
        let frames = client.until_outcome("a").await;
        match fault {
            // It was stored and has ended by the time that the store confirms it: that is where it stands.
            Fault::LoseReply => assert_eq!(types(&frames), ["complete"]),
            _ => assert_eq!(types(&frames), ["acknowledgment", "complete"], "{fault:?}"),
        }
        assert_eq!(runs.load(Ordering::Relaxed), 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_store_does_not_confirm_is_not_acknowledged_and_can_be_sent_again() {
    for fault in [Fault::Refuse, Fault::LoseReply] {
        let (routes, runs) = counting();
        let world = World::new();
        let node = world.working("n", routes, Settings::default());
        let client = node.connect("c", "ada").await;
        world.faults.always("enqueue", fault);
        assert_eq!(code(&client.answer("a", "count", json!({})).await), "INTERNAL_ERROR", "{fault:?}");
        world.faults.never("enqueue");
        client.ask("a", "count", json!({})).await;
        let frames = client.until_outcome("a").await;
        assert_eq!(frames.last().expect("one")["result"], 1, "{fault:?}: {frames:#?}");
        pass(LONG).await;
        assert_eq!(runs.load(Ordering::Relaxed), 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_again_never_runs_twice_and_something_else_is_a_conflict() {
    let (routes, runs) = counting();
    let node = Node::alone(
        routes.action("other", |_: Context, _: Value| async { Ok::<_, Failure>(()) }).takes(LONG),
    );
    let (ada, bob) = (node.connect("a", "ada").await, node.connect("b", "bob").await);
    ada.ask("x", "count", json!({ "a": 1, "b": [2] })).await;
    ada.until_outcome("x").await;
    ada.send_text(r#"{"payload": {"b":[2],  "a":1}, "action":"count","id":"x"}"#).await;
    let again = ada.until_outcome("x").await;
    assert_eq!((types(&again), &again[0]["result"]), (vec!["complete"], &json!(1)));
    assert_eq!(code(&ada.answer("x", "count", json!({ "a": 2 })).await), "CONFLICT");
    assert_eq!(code(&ada.answer("x", "other", json!({ "a": 1, "b": [2] })).await), "CONFLICT");
    bob.ask("x", "count", json!({})).await;
    let his = bob.until_outcome("x").await;
    assert_eq!(his.last().expect("one")["result"], 2, "an id means nothing outside its user");
    assert_eq!(runs.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn so_many_run_at_once_and_none_is_forgotten() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, highest) = (Arc::clone(&now), Arc::clone(&most));
    let work = move |_: Context, n: u64| {
        let running = Arc::clone(&running);
        highest.fetch_max(running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        async move {
            tokio::time::sleep(Duration::from_secs(1 + n % 3)).await;
            running.fetch_sub(1, Ordering::Relaxed);
            assert!(!n.is_multiple_of(5), "one that panics gives its slot back too");
            Ok::<_, Failure>(n)
        }
    };
    let settings = Settings { running_max: 3, ..Settings::default() };
    let node = World::new().working("n", Router::new().action("work", work).takes(LONG), settings);
    let client = node.connect("c", "ada").await;
    for n in 0..30_u64 {
        client.ask(&n.to_string(), "work", json!(n)).await;
    }
    let mut ended = 0;
    while ended < 30 {
        let frame = client.until(|frame| frame["seq"].is_u64()).await.pop().expect("one");
        let n: u64 = frame["request_id"].as_str().expect("text").parse().expect("a number");
        assert_eq!(frame["type"], if n.is_multiple_of(5) { "error" } else { "complete" });
        ended += 1;
    }
    assert_eq!((now.load(Ordering::Relaxed), most.load(Ordering::Relaxed)), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_fails_and_is_dropped() {
    let stuck = |_: Context, _: Value| std::future::pending::<Result<Value, Failure>>();
    let routes = Router::new().action("stuck", stuck).takes(LONG).timeout(Duration::from_secs(100));
    let client = Node::alone(routes).connect("c", "ada").await;
    let begun = Instant::now();
    client.ask("a", "stuck", json!({})).await;
    let end = client.until_outcome("a").await.pop().expect("one");
    assert_eq!(code(&end), "TIMEOUT");
    assert_eq!(end["error"]["retry"], json!({ "retryable": false, "attempt": 1, "max_tries": 1 }));
    assert_eq!(begun.elapsed(), Duration::from_secs(105));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_that_says_nothing_of_the_inside() {
    let panics = |_: Context, _: Value| async move { panic!("secret") as Result<(), Failure> };
    let client = Node::alone(Router::new().action("panics", panics).takes(LONG)).connect("c", "ada").await;
    client.ask("a", "panics", json!({})).await;
    let end = client.until_outcome("a").await.pop().expect("one");
    assert_eq!(code(&end), "INTERNAL_ERROR");
    assert!(end["error"]["details"]["correlation_id"].is_string());
    assert!(!end.to_string().contains("secret"));
}

#[tokio::test(start_paused = true)]
async fn the_queue_survives_a_store_that_is_away_for_a_while() {
    let (routes, runs) = counting();
    let world = World::new();
    let node = world.working("n", routes, Settings::default());
    let client = node.connect("c", "ada").await;
    for method in ["claim", "finish"] {
        world.faults.always(method, Fault::Refuse);
    }
    client.ask("a", "count", json!({})).await;
    pass(Duration::from_secs(600)).await;
    assert_eq!(types(&client.take()), ["acknowledgment"]);
    world.faults.never("claim");
    pass(Duration::from_secs(600)).await;
    assert_eq!((client.take(), runs.load(Ordering::Relaxed)), (vec![], 1), "ran, but its end is not durable");
    world.faults.never("finish");
    assert_eq!(types(&client.until_outcome("a").await), ["complete"]);
    assert_eq!(runs.load(Ordering::Relaxed), 1, "its lease was renewed meanwhile");
}

#[tokio::test(start_paused = true)]
async fn an_end_whose_reply_is_lost_is_told_once() {
    let (routes, runs) = counting();
    let world = World::new();
    let node = world.working("n", routes, Settings::default());
    let client = node.connect("c", "ada").await;
    world.faults.once("finish", Fault::LoseReply);
    client.ask("a", "count", json!({})).await;
    pass(LONG).await;
    assert_eq!(types(&client.take()), ["acknowledgment", "complete"]);
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert_eq!(node.engine.status(&key("a")).await.expect("kept").last_seq, 1);
}

#[tokio::test(start_paused = true)]
async fn an_action_that_is_gone_after_a_redeploy_fails() {
    let world = World::new();
    let (routes, _) = counting();
    let before = world.node("n", routes, Settings::default());
    let client = before.connect("c", "ada").await;
    assert_eq!(client.answer("a", "count", json!({})).await["type"], "acknowledgment");
    let after = world.working("n", Router::new(), Settings::default());
    let client = after.connect("d", "ada").await;
    client.ask("r", "resume", json!({ "request_id": "a" })).await;
    let end = client.until_outcome("a").await.pop().expect("one");
    assert_eq!(code(&end), "NOT_FOUND");
    assert_eq!(after.engine.status(&key("a")).await.expect("kept").status.as_str(), "FAILED");
}
