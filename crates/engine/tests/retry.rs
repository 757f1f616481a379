//! Attempts that fail, and the next ones.

use std::time::Duration;

use serde_json::{Value, json};
use streamer_engine::{
    Context, Failure, Router, Settings,
    protocol::ErrorCode,
    store::{PageQuery, RequestFilter},
    testing::Fault,
};
use tokio::time::Instant;

use crate::support::{Node, World, code, key, pass, types};

/// Fails until the attempt that its payload names.
async fn stubborn(cx: Context, succeeds: u32) -> Result<u32, Failure> {
    cx.chunk(&format!("attempt {}", cx.attempt())).await?;
    if cx.attempt() < succeeds { Err(Failure::retry("not yet")) } else { Ok(cx.attempt()) }
}

fn routes(retries: u32) -> Router {
    Router::new().action("stubborn", stubborn).takes(Duration::from_secs(60)).retries(retries)
}

#[tokio::test(start_paused = true)]
async fn each_failure_is_told_then_a_restart_then_the_outcome() {
    let client = Node::alone(routes(3)).connect("c", "ada").await;
    let begun = Instant::now();
    client.ask("a", "stubborn", json!(3)).await;
    let frames = client.until_outcome("a").await;
    let kinds =
        ["acknowledgment", "chunk", "error", "restart", "chunk", "error", "restart", "chunk", "complete"];
    assert_eq!(types(&frames), kinds);
    let mut waited = Duration::ZERO;
    for (frame, attempt, base) in [(&frames[2], 1, 1000), (&frames[5], 2, 2000)] {
        assert_eq!((code(frame), &frame["seq"]), ("INTERNAL_ERROR", &Value::Null));
        let retry = &frame["error"]["retry"];
        assert_eq!((&retry["retryable"], &retry["attempt"]), (&json!(true), &json!(attempt)));
        assert_eq!(retry["max_tries"], 4);
        let after = retry["after"].as_u64().expect("milliseconds");
        assert!((base * 3 / 4..=base * 5 / 4).contains(&after), "{after}");
        waited += Duration::from_millis(after);
    }
    assert!((waited..waited + Duration::from_millis(10)).contains(&begun.elapsed()), "no earlier, no later");
    for (frame, attempt) in [(&frames[3], 2), (&frames[6], 3)] {
        assert_eq!((&frame["attempt"], &frame["from_index"]), (&json!(attempt), &json!(0)));
    }
    assert_eq!(frames[7]["index"], 0, "chunks of the failed attempts are void");
    let seqs: Vec<_> = frames.iter().filter_map(|frame| frame["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=6).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_exhausts_its_attempts_is_failed_listed_and_can_be_replayed() {
    let node = Node::alone(routes(1));
    let client = node.connect("c", "ada").await;
    client.ask("a", "stubborn", json!(3)).await;
    let end = client.until_outcome("a").await.pop().expect("one");
    assert_eq!(end["error"]["retry"], json!({ "retryable": false, "attempt": 2, "max_tries": 2 }));
    let failed = RequestFilter {
        status: Some(streamer_engine::protocol::RequestStatus::Failed),
        ..Default::default()
    };
    let page = PageQuery { limit: 10, cursor: None };
    assert_eq!(node.engine.requests(&failed, &page).await.expect("works").items.len(), 1);

    let replayed = node.engine.replay(&key("a")).await.expect("failed");
    assert_eq!((replayed.status.as_str(), replayed.retry_count), ("PENDING", 0));
    client.ask("r", "resume", json!({ "request_id": "a", "after_seq": end["seq"] })).await;
    let end = client.until_outcome("a").await.pop().expect("one");
    assert_eq!((&end["type"], &end["result"]), (&json!("complete"), &json!(3)));
    let again = node.engine.replay(&key("a")).await.expect_err("it did not fail");
    assert_eq!(again.code, ErrorCode::Conflict);
    assert_eq!(node.engine.replay(&key("b")).await.expect_err("unknown").code, ErrorCode::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_handler_says_how_long_to_wait_and_the_request_is_retrying_meanwhile() {
    let later = |cx: Context, _: Value| async move {
        if cx.attempt() == 1 {
            return Err(Failure::retry("busy").after(Duration::from_secs(3600)));
        }
        Ok(cx.attempt())
    };
    let node = Node::alone(Router::new().action("later", later).takes(Duration::from_secs(60)).retries(1));
    let client = node.connect("c", "ada").await;
    let begun = Instant::now();
    client.ask("a", "later", json!({})).await;
    let told = client.until(|frame| frame["type"] == "error").await.pop().expect("one");
    assert_eq!(told["error"]["retry"]["after"], 3_600_000);
    let view = node.engine.status(&key("a")).await.expect("stored");
    assert_eq!((view.status.as_str(), view.retry_count), ("RETRYING", 1));
    assert!(view.retry_after.is_some() && view.error.is_some());
    client.until_outcome("a").await;
    assert_eq!(begun.elapsed(), Duration::from_secs(3600));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_and_a_panic_count_as_failed_attempts() {
    let fragile = |cx: Context, _: Value| async move {
        match cx.attempt() {
            1 => cx.cancelled().await,
            2 => panic!("once"),
            _ => return Ok(cx.attempt()),
        }
        cx.progress(50.0, "asked to stop").await?;
        Ok(0)
    };
    let routes = Router::new().action("fragile", fragile).takes(Duration::from_secs(60));
    let client = Node::alone(routes.timeout(Duration::from_secs(10)).retries(2)).connect("c", "ada").await;
    client.ask("a", "fragile", json!({})).await;
    let frames = client.until_outcome("a").await;
    assert_eq!(types(&frames), ["acknowledgment", "error", "restart", "error", "restart", "complete"]);
    assert_eq!((code(&frames[1]), code(&frames[3])), ("TIMEOUT", "INTERNAL_ERROR"));
    assert_eq!(frames[5]["result"], 3);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_final_at_once() {
    let reject = |_: Context, _: Value| async move { Err::<(), _>(Failure::reject("never")) };
    let routes = Router::new().action("reject", reject).takes(Duration::from_secs(60)).retries(5);
    let client = Node::alone(routes).connect("c", "ada").await;
    client.ask("a", "reject", json!({})).await;
    let frames = client.until_outcome("a").await;
    assert_eq!(types(&frames), ["acknowledgment", "error"]);
    assert_eq!((code(&frames[1]), &frames[1]["error"]["retry"]), ("VALIDATION_ERROR", &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn the_next_attempt_continues_from_the_checkpoint() {
    let rows = |cx: Context, _: Value| async move {
        let from: u32 = cx.restored().unwrap_or(0);
        for n in from..6 {
            if n == 4 && cx.attempt() == 1 {
                cx.chunk(&"not covered").await?;
                return Err(Failure::retry("the source went away"));
            }
            cx.chunks_with_checkpoint(&[format!("row {n}")], &(n + 1)).await?;
        }
        Ok(from)
    };
    let client = Node::alone(Router::new().action("rows", rows).takes(Duration::from_secs(60)).retries(1))
        .connect("c", "ada")
        .await;
    client.ask("a", "rows", json!({})).await;
    let frames = client.until_outcome("a").await;
    let restart = frames.iter().find(|frame| frame["type"] == "restart").expect("one");
    assert_eq!(restart["from_index"], 4);
    assert_eq!(frames.last().expect("one")["result"], 4);

    // Whoever comes later reads the same rows, each once.
    client.ask("r", "resume", json!({ "request_id": "a" })).await;
    let log = client.until_outcome("a").await;
    let rows: Vec<_> = log.iter().filter(|frame| frame["type"] == "chunk").collect();
    let expected: Vec<_> = (0..6).map(|n| json!(format!("row {n}"))).collect();
    assert_eq!(rows.iter().map(|row| row["data"].clone()).collect::<Vec<_>>(), expected);
    assert_eq!(
        rows.iter().map(|row| row["index"].as_u64()).collect::<Vec<_>>(),
        (0..6).map(Some).collect::<Vec<_>>()
    );
}

#[tokio::test(start_paused = true)]
async fn a_retry_whose_reply_is_lost_counts_once() {
    let world = World::new();
    let node = world.working("n", routes(3), Settings::default());
    let client = node.connect("c", "ada").await;
    world.faults.once("retry", Fault::LoseReply);
    client.ask("a", "stubborn", json!(2)).await;
    let frames = client.until_outcome("a").await;
    assert_eq!(types(&frames), ["acknowledgment", "chunk", "error", "restart", "chunk", "complete"]);
    let view = node.engine.status(&key("a")).await.expect("kept");
    assert_eq!((view.attempt, view.retry_count), (2, 1));
    pass(Duration::from_secs(60)).await;
    assert_eq!(client.take(), [Value::Null; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_room_waits_in_the_queue_and_spends_no_try() {
    let crowded = async |cx: Context, succeeds: u32| {
        let wait = Duration::from_secs(7);
        if cx.attempt() < succeeds { Err(Failure::postpone("no room", wait)) } else { Ok(cx.attempt()) }
    };
    let routes =
        Router::new().action("long", crowded).takes(Duration::from_secs(60)).action("short", crowded);
    let node = Node::alone(routes);
    let client = node.connect("c", "ada").await;
    let begun = Instant::now();
    client.ask("a", "long", json!(4)).await;
    let frames = client.until_outcome("a").await;
    assert_eq!(types(&frames), ["acknowledgment", "restart", "restart", "restart", "complete"]);
    assert_eq!(begun.elapsed().as_secs(), 21, "each time it waits as long as was said");
    let view = node.engine.status(&key("a")).await.expect("is there");
    assert_eq!((view.attempt, view.retry_count), (4, 0));

    let refused = client.answer("b", "short", json!(4)).await;
    assert_eq!((code(&refused), &refused["error"]["retry"]["after"]), ("OVERLOADED", &json!(7000)));
}
