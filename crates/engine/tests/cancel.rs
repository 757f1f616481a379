//! Requests that are to end before their time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use streamer_engine::{Context, Failure, Router, Settings, testing::Fault};
use tokio::time::Instant;

use crate::support::{Node, World, code, key, pass, types};

const LONG: Duration = Duration::from_secs(60);

fn routes() -> Router {
    let obedient = |cx: Context, _: Value| async move {
        cx.cancelled().await;
        cx.progress(10.0, "cleaning up").await?;
        Ok(json!("never"))
    };
    let stuck = |_: Context, _: Value| std::future::pending::<Result<Value, Failure>>();
    let failing = |_: Context, _: Value| async {
        Err::<Value, _>(Failure::retry("always").after(Duration::from_secs(3600)))
    };
    let idle = |_: Context, _: Value| async { Ok::<_, Failure>("done") };
    Router::new()
        .action("obedient", obedient)
        .takes(LONG)
        .action("stuck", stuck)
        .takes(LONG)
        .action("failing", failing)
        .takes(LONG)
        .retries(9)
        .action("idle", idle)
        .takes(LONG)
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_ends_at_once_and_never_runs() {
    let ran = Arc::new(AtomicBool::new(false));
    let runs = Arc::clone(&ran);
    let mark = move |_: Context, _: Value| {
        runs.store(true, Ordering::Relaxed);
        async { Ok::<_, Failure>(()) }
    };
    let node = Node::alone(Router::new().action("mark", mark).takes(LONG));
    let client = node.connect("c", "ada").await;
    client.send(json!({ "id": "a", "action": "mark", "metadata": { "delay_ms": 5000 } })).await;
    client.until_type("acknowledgment", "a").await;
    client.ask("c", "cancel", json!({ "request_id": "a" })).await;
    let frames = client.until_type("response", "c").await;
    assert_eq!(types(&frames), ["error", "response"]);
    assert_eq!((code(&frames[0]), &frames[0]["seq"]), ("CANCELLED", &json!(1)));
    assert_eq!(frames[1]["data"], json!({ "request_id": "a", "status": "CANCELLED" }));
    pass(LONG).await;
    assert!(!ran.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn one_that_runs_is_told_and_ends_by_itself() {
    let client = Node::alone(routes()).connect("c", "ada").await;
    client.ask("a", "obedient", json!({})).await;
    client.until_type("acknowledgment", "a").await;
    pass(Duration::from_secs(1)).await;
    let begun = Instant::now();
    let asked = client.answer("c", "cancel", json!({ "request_id": "a" })).await;
    assert_eq!(asked["data"]["status"], "PROCESSING");
    assert_eq!(code(&client.until_outcome("a").await[0]), "CANCELLED");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let again = client.answer("d", "cancel", json!({ "request_id": "a" })).await;
    assert_eq!(again["data"]["status"], "CANCELLED", "it has ended, and stays so");
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_listen_is_dropped_after_the_grace() {
    let client = Node::alone(routes()).connect("c", "ada").await;
    client.ask("a", "stuck", json!({})).await;
    client.until_type("acknowledgment", "a").await;
    pass(Duration::from_secs(1)).await;
    let begun = Instant::now();
    client.ask("c", "cancel", json!({ "request_id": "a" })).await;
    let end = client.until_outcome("a").await.pop().expect("one");
    assert_eq!(code(&end), "CANCELLED");
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_for_its_next_attempt_ends_at_once() {
    let node = Node::alone(routes());
    let client = node.connect("c", "ada").await;
    client.ask("a", "failing", json!({})).await;
    client.until(|frame| frame["type"] == "error").await;
    client.ask("c", "cancel", json!({ "request_id": "a" })).await;
    assert_eq!(code(&client.until_outcome("a").await[0]), "CANCELLED");
    assert_eq!(node.engine.status(&key("a")).await.expect("kept").status.as_str(), "CANCELLED");
}

#[tokio::test(start_paused = true)]
async fn one_that_has_ended_stays_as_it_ended() {
    let client = Node::alone(routes()).connect("c", "ada").await;
    client.ask("a", "idle", json!({})).await;
    client.until_outcome("a").await;
    let answer = client.answer("c", "cancel", json!({ "request_id": "a" })).await;
    assert_eq!(answer["data"]["status"], "COMPLETED");
    assert_eq!(client.take(), [Value::Null; 0]);
    let unknown = client.answer("d", "cancel", json!({ "request_id": "b" })).await;
    assert_eq!(code(&unknown), "NOT_FOUND");
}

#[tokio::test(start_paused = true)]
async fn replies_that_the_store_loses_change_nothing() {
    for (action, delay) in [("idle", 5000), ("obedient", 0), ("stuck", 0)] {
        let world = World::new();
        let node = world.working("n", routes(), Settings::default());
        let client = node.connect("c", "ada").await;
        client.send(json!({ "id": "a", "action": action, "metadata": { "delay_ms": delay } })).await;
        client.until_type("acknowledgment", "a").await;
        pass(Duration::from_secs(1)).await;
        for method in ["cancel", "append", "finish"] {
            world.faults.once(method, Fault::LoseReply);
        }
        client.ask("c", "cancel", json!({ "request_id": "a" })).await;
        let end = client.until_outcome("a").await.pop().expect("told");
        assert_eq!(code(&end), "CANCELLED", "{action}");
        pass(LONG).await;
        let outcomes = client.take().iter().filter(|frame| frame["request_id"] == "a").count();
        assert_eq!(outcomes, 0, "{action}: told once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_goes_away_has_cancelled_it_all_the_same() {
    let world = World::new();
    let node = world.working("n", routes(), Settings::default());
    let client = node.connect("c", "ada").await;
    client.send(json!({ "id": "a", "action": "idle", "metadata": { "delay_ms": 60_000 } })).await;
    client.until_type("acknowledgment", "a").await;
    world.faults.once("cancel", Fault::LoseReply);
    let key = key("a");
    let cancelling = node.engine.cancel(&key);
    assert!(tokio::time::timeout(Duration::from_millis(1), cancelling).await.is_err(), "the caller is gone");
    assert_eq!(code(&client.until_outcome("a").await[0]), "CANCELLED", "who follows it is told");
}

#[tokio::test(start_paused = true)]
async fn a_worker_elsewhere_learns_it_at_its_next_renewal() {
    let world = World::new();
    let here = world.working("here", routes(), Settings::default());
    let client = here.connect("c", "ada").await;
    client.ask("a", "obedient", json!({})).await;
    client.until_type("acknowledgment", "a").await;
    pass(Duration::from_secs(1)).await;
    let elsewhere = world.node("elsewhere", routes(), Settings::default());
    let asked = elsewhere.engine.cancel(&key("a")).await.expect("known");
    assert_eq!(asked.status.as_str(), "PROCESSING");
    let begun = Instant::now();
    assert_eq!(code(&client.until_outcome("a").await[0]), "CANCELLED");
    assert!(begun.elapsed() <= Duration::from_secs(10), "a third of the lease");
}
