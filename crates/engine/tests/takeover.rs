//! Workers that die, and those that go on.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use streamer_engine::{Context, Failure, Router, Settings, testing::Fault};
use tokio::{sync::Semaphore, time::Instant};

use crate::support::{World, code, key, pass, types};

const LONG: Duration = Duration::from_secs(60);

/// Hands out rows with checkpoints, and stands still before row `until` for as long as `gate` is shut.
fn rows(until: u32, gate: &Arc<Semaphore>) -> Router {
    let gate = Arc::clone(gate);
    let rows = move |cx: Context, _: Value| {
        let gate = Arc::clone(&gate);
        async move {
            for n in cx.restored().unwrap_or(0)..6_u32 {
                if n == until {
                    cx.chunk(&"not covered").await?;
                    gate.acquire().await.expect("open").forget();
                }
                cx.chunks_with_checkpoint(&[format!("row {n}")], &(n + 1)).await?;
            }
            Ok::<_, Failure>("all rows")
        }
    };
    Router::new().action("rows", rows).takes(LONG)
}

/// Of a worker that does not take over its own request while it is still busy with it.
fn one_at_once() -> Settings {
    Settings { running_max: 1, ..Settings::default() }
}

/// What a client that sees these frames holds of the chunks.
fn kept(frames: &[Value]) -> Vec<Value> {
    let mut chunks = Vec::new();
    for frame in frames {
        match frame["type"].as_str() {
            Some("chunk") => {
                assert_eq!(frame["index"], chunks.len(), "neither a gap nor a double: {frame}");
                chunks.push(frame["data"].clone());
            }
            Some("restart") => chunks.truncate(frame["from_index"].as_u64().expect("a number") as usize),
            _ => {}
        }
    }
    chunks
}

#[tokio::test(start_paused = true)]
async fn goes_on_from_the_checkpoint_when_the_lease_has_run_out() {
    let world = World::new();
    let gate = Arc::new(Semaphore::new(0));
    let mut dying = world.working("dying", rows(3, &gate), Settings::default());
    let client = dying.connect("c", "ada").await;
    client.ask("a", "rows", json!({})).await;
    let mut frames = client.until(|frame| frame["data"] == "not covered").await;
    dying.die();
    let begun = Instant::now();

    let next = world.working("next", rows(99, &gate), Settings::default());
    let client = next.connect("d", "ada").await;
    let seen = frames.last().expect("one")["seq"].clone();
    client.ask("r", "resume", json!({ "request_id": "a", "after_seq": seen })).await;
    frames.extend(client.until_outcome("a").await);
    assert_eq!(begun.elapsed(), Duration::from_secs(30), "the lease");
    let expected: Vec<_> = (0..6).map(|n| json!(format!("row {n}"))).collect();
    assert_eq!(kept(&frames), expected);
    let view = next.engine.status(&key("a")).await.expect("kept");
    assert_eq!((view.status.as_str(), view.attempt), ("COMPLETED", 2));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_lost_its_lease_changes_nothing_and_tells_nothing() {
    let world = World::new();
    let gate = Arc::new(Semaphore::new(0));
    let slow = world.working("slow", rows(3, &gate), one_at_once());
    let here = slow.connect("c", "ada").await;
    here.ask("a", "rows", json!({})).await;
    here.until(|frame| frame["data"] == "not covered").await;
    // It lives, but it cannot renew.
    world.faults.always("renew", Fault::Refuse);

    let shut = Arc::new(Semaphore::new(0));
    let next = world.working("next", rows(4, &shut), Settings::default());
    let there = next.connect("d", "ada").await;
    there.ask("r", "resume", json!({ "request_id": "a" })).await;
    let mut frames = there.until(|frame| frame["index"] == 4).await;
    let before = world.store.log(&key("a"), 0, 100).await.expect("works");

    gate.add_permits(1);
    pass(Duration::from_secs(1)).await;
    assert_eq!(here.take(), [Value::Null; 0]);
    assert_eq!(world.store.log(&key("a"), 0, 100).await.expect("works"), before);
    shut.add_permits(1);
    frames.extend(there.until_outcome("a").await);
    assert_eq!(kept(&frames).len(), 7, "six rows, and the chunk before the fifth");
    pass(Duration::from_secs(600)).await;
    assert_eq!(here.take(), [Value::Null; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_comes_too_late_is_dropped() {
    let world = World::new();
    let late = |cx: Context, _: Value| async move {
        if cx.attempt() == 1 {
            tokio::time::sleep(Duration::from_secs(40)).await;
        }
        Ok::<_, Failure>(cx.attempt())
    };
    let routes = || Router::new().action("late", late).takes(LONG);
    let slow = world.working("slow", routes(), one_at_once());
    let here = slow.connect("c", "ada").await;
    here.ask("a", "late", json!({})).await;
    here.until_type("acknowledgment", "a").await;
    pass(Duration::from_secs(1)).await;
    world.faults.always("renew", Fault::Refuse);
    let next = world.working("next", routes(), Settings::default());
    let there = next.connect("d", "ada").await;
    there.ask("r", "resume", json!({ "request_id": "a" })).await;
    assert_eq!(there.until_outcome("a").await.pop().expect("one")["result"], 2);
    pass(LONG).await;
    assert_eq!(here.take(), [Value::Null; 0]);
    assert_eq!(next.engine.status(&key("a")).await.expect("kept").result.expect("one").as_str(), "2");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_again_takes_back_its_own_at_once() {
    let world = World::new();
    let gate = Arc::new(Semaphore::new(0));
    let mut before = world.working("n", rows(3, &gate), Settings::default());
    let client = before.connect("c", "ada").await;
    client.ask("a", "rows", json!({})).await;
    client.until(|frame| frame["data"] == "not covered").await;
    before.die();
    let begun = Instant::now();
    let after = world.working("n", rows(99, &gate), Settings::default());
    let client = after.connect("d", "ada").await;
    client.ask("r", "resume", json!({ "request_id": "a" })).await;
    assert_eq!(kept(&client.until_outcome("a").await).len(), 6);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_promoted_run_begins_again_only_if_its_action_may_be_repeated() {
    let twice = |cx: Context, _: Value| async move {
        if cx.attempt() == 1 {
            std::future::pending::<()>().await;
        }
        Ok::<_, Failure>(cx.attempt())
    };
    for repeatable in [false, true] {
        let routes = || {
            let routes = Router::new().action("twice", twice);
            if repeatable { routes.repeatable() } else { routes }
        };
        let world = World::new();
        let mut dying = world.working("dying", routes(), Settings::default());
        let client = dying.connect("c", "ada").await;
        client.ask("a", "twice", json!({})).await;
        client.until_type("acknowledgment", "a").await;
        dying.die();
        let next = world.working("next", routes(), Settings::default());
        let client = next.connect("d", "ada").await;
        client.ask("r", "resume", json!({ "request_id": "a" })).await;
        let end = client.until_outcome("a").await.pop().expect("one");
        if repeatable {
            assert_eq!(end["result"], 2);
        } else {
            assert_eq!(code(&end), "INTERNAL_ERROR");
            assert!(end["error"]["message"].as_str().expect("text").contains("not declared repeatable"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_kills_its_workers_fails_in_the_end() {
    let stuck = |_: Context, _: Value| std::future::pending::<Result<Value, Failure>>();
    let routes = || Router::new().action("stuck", stuck).takes(LONG);
    let settings = || Settings { takeovers_max: 2, ..Settings::default() };
    let world = World::new();
    let first = world.node("0", routes(), settings());
    let client = first.connect("c", "ada").await;
    client.ask("a", "stuck", json!({})).await;
    for (name, attempt) in [("1", 1), ("2", 2), ("3", 3)] {
        let mut dying = world.working(name, routes(), settings());
        pass(Duration::from_secs(31)).await;
        assert_eq!(dying.engine.status(&key("a")).await.expect("stored").attempt, attempt);
        dying.die();
    }
    let last = world.working("4", routes(), settings());
    pass(Duration::from_secs(31)).await;
    let view = last.engine.status(&key("a")).await.expect("kept");
    assert_eq!(view.status.as_str(), "FAILED");
    assert!(view.error.expect("one").message.contains("3 times"));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_to_be_cancelled_is_not_begun_again() {
    let stuck = |_: Context, _: Value| std::future::pending::<Result<Value, Failure>>();
    let routes = || Router::new().action("stuck", stuck).takes(LONG);
    let world = World::new();
    let mut dying = world.working("dying", routes(), Settings::default());
    let client = dying.connect("c", "ada").await;
    client.ask("a", "stuck", json!({})).await;
    client.until_type("acknowledgment", "a").await;
    pass(Duration::from_secs(1)).await;
    dying.die();
    let next = world.working("next", routes(), Settings::default());
    let client = next.connect("d", "ada").await;
    client.ask("r", "resume", json!({ "request_id": "a" })).await;
    let asked = client.answer("c", "cancel", json!({ "request_id": "a" })).await;
    assert_eq!(types(&[asked]), ["response"]);
    assert_eq!(code(client.until_outcome("a").await.last().expect("one")), "CANCELLED");
}

#[tokio::test(start_paused = true)]
async fn what_this_life_promoted_is_not_taken_for_a_former_lifes() {
    let nap = |_: Context, _: Value| async {
        pass(Duration::from_secs(20)).await;
        Ok::<_, Failure>("awake")
    };
    let world = World::new();
    // A store that is slow to answer when the node begins, and has connections already.
    world.faults.once("reclaim", Fault::Delay(Duration::from_secs(10)));
    let node = world.working("n", Router::new().action("nap", nap), Settings::default());
    let client = node.connect("c", "ada").await;
    client.ask("a", "nap", json!({})).await;
    assert_eq!(types(&client.until_outcome("a").await), ["acknowledgment", "complete"]);
    assert_eq!(node.engine.status(&key("a")).await.expect("kept").attempt, 1);
}
