//! An engine that is asked to stop.

use std::time::Duration;

use serde_json::{Value, json};
use streamer_engine::{Context, Failure, Router, Settings, testing::Fault};
use tokio::time::Instant;

use crate::support::{World, code, key, pass, types};

const LONG: Duration = Duration::from_secs(60);

/// Counts to its payload, a second each, with a checkpoint at each.
async fn count(cx: Context, to: u32) -> Result<u32, Failure> {
    for n in cx.restored().unwrap_or(0)..to {
        tokio::time::sleep(Duration::from_secs(1)).await;
        cx.checkpoint(&(n + 1)).await?;
    }
    Ok(cx.attempt())
}

fn routes() -> Router {
    let stuck = |_: Context, _: Value| std::future::pending::<Result<Value, Failure>>();
    let nap = |_: Context, seconds: u64| async move {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        Ok::<_, Failure>(seconds)
    };
    Router::new().action("nap", nap).action("count", count).takes(LONG).action("stuck", stuck).takes(LONG)
}

#[tokio::test(start_paused = true)]
async fn lets_what_runs_come_to_its_end() {
    let world = World::new();
    let mut node = world.working("n", routes(), Settings::default());
    let client = node.connect("c", "ada").await;
    client.ask("a", "count", json!(10)).await;
    client.ask("b", "nap", json!(3)).await;
    pass(Duration::from_secs(1)).await;
    let begun = Instant::now();
    node.stop().await;
    assert_eq!(begun.elapsed(), Duration::from_secs(9), "no longer than that takes");
    let frames = client.take();
    assert_eq!(types(&frames), ["acknowledgment", "response", "complete"]);
}

#[tokio::test(start_paused = true)]
async fn gives_up_what_does_not_end_so_that_another_goes_on_at_once() {
    let world = World::new();
    let mut node = world.working("n", routes(), Settings::default());
    let client = node.connect("c", "ada").await;
    client.ask("a", "count", json!(100)).await;
    client.ask("b", "stuck", json!({})).await;
    pass(Duration::from_secs(1)).await;
    let begun = Instant::now();
    node.stop().await;
    assert!(begun.elapsed() <= Duration::from_secs(21), "within its deadline: {:?}", begun.elapsed());
    for id in ["a", "b"] {
        assert_eq!(node.engine.status(&key(id)).await.expect("stored").status.as_str(), "PENDING", "{id}");
    }

    let begun = Instant::now();
    let next = world.working("next", routes(), Settings::default());
    let client = next.connect("d", "ada").await;
    client.ask("r", "resume", json!({ "request_id": "a" })).await;
    assert_eq!(client.until_outcome("a").await.last().expect("one")["result"], 2);
    assert!(begun.elapsed() < Duration::from_secs(86), "what was counted is not counted again");
}

#[tokio::test(start_paused = true)]
async fn takes_no_new_messages_and_ends_short_runs() {
    let world = World::new();
    let settings = Settings { short_limit: Duration::from_secs(3600), ..Settings::default() };
    let node = world.working("n", routes(), settings);
    let client = node.connect("c", "ada").await;
    client.ask("a", "nap", json!(1000)).await;
    pass(Duration::from_secs(1)).await;
    node.begin_to_stop();
    pass(Duration::from_millis(1)).await;
    for action in ["count", "nap", "echo"] {
        let answer = client.answer("b", action, json!(1)).await;
        assert_eq!((code(&answer), &answer["error"]["retry"]["retryable"]), ("OVERLOADED", &json!(true)));
    }
    let answer = client.until(|frame| frame["request_id"] == "a").await.pop().expect("one");
    assert_eq!(code(&answer), "OVERLOADED");
    assert!(node.engine.status(&key("a")).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_promoted_run_that_may_not_be_repeated_fails() {
    let world = World::new();
    let nap = |_: Context, _: Value| async {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        Ok::<_, Failure>(())
    };
    let mut node = world.working("n", Router::new().action("nap", nap), Settings::default());
    let client = node.connect("c", "ada").await;
    client.ask("a", "nap", json!({})).await;
    client.until_type("acknowledgment", "a").await;
    node.stop().await;
    let end = client.until_outcome("a").await.pop().expect("one");
    assert_eq!(code(&end), "INTERNAL_ERROR");
    assert_eq!(node.engine.status(&key("a")).await.expect("kept").status.as_str(), "FAILED");
}

#[tokio::test(start_paused = true)]
async fn what_is_claimed_while_stopping_is_given_back() {
    let world = World::new();
    let mut node = world.working("n", routes(), Settings::default());
    let client = node.connect("c", "ada").await;
    pass(Duration::from_millis(500)).await;
    world.faults.once("claim", Fault::Delay(Duration::from_secs(2)));
    client.ask("a", "stuck", json!({})).await;
    pass(Duration::from_secs(1)).await;
    let begun = Instant::now();
    node.stop().await;
    assert_eq!(begun.elapsed(), Duration::from_secs(1), "once the claim is back");
    let view = node.engine.status(&key("a")).await.expect("stored");
    assert_eq!(view.status.as_str(), "PENDING", "nobody has to wait for its lease");
}
