//! Short runs that turn out to be long.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use streamer_engine::{Context, Failure, Router, Settings, store::Quota, testing::Fault};
use tokio::sync::Semaphore;

use crate::support::{Node, World, code, key, pass, types};

async fn nap(_: Context, millis: u64) -> Result<u64, Failure> {
    tokio::time::sleep(Duration::from_millis(millis)).await;
    Ok(millis)
}

fn routes() -> Router {
    Router::new().action("nap", nap)
}

#[tokio::test(start_paused = true)]
async fn is_acknowledged_once_and_ends_as_complete() {
    let world = World::new();
    let node = world.working("n", routes(), Settings::default());
    let client = node.connect("c", "ada").await;
    client.ask("a", "nap", json!(60_000)).await;
    pass(Duration::from_millis(4_999)).await;
    assert_eq!(client.take(), [Value::Null; 0]);
    assert!(node.engine.status(&key("a")).await.is_err(), "not stored yet");
    pass(Duration::from_millis(2)).await;
    assert_eq!(types(&client.take()), ["acknowledgment"]);
    let view = node.engine.status(&key("a")).await.expect("stored");
    assert_eq!((view.status.as_str(), view.attempt), ("PROCESSING", 1));
    let end = client.until_outcome("a").await;
    assert_eq!((types(&end), &end[0]["result"]), (vec!["complete"], &json!(60_000)));
    let view = node.engine.status(&key("a")).await.expect("kept");
    assert_eq!((view.status.as_str(), view.attempt), ("COMPLETED", 1), "the lease was renewed all along");
}

#[tokio::test(start_paused = true)]
async fn ends_at_the_limit_by_one_answer_only() {
    for millis in 4_990..=5_010 {
        let client = Node::alone(routes()).connect("c", "ada").await;
        client.ask("a", "nap", json!(millis)).await;
        pass(Duration::from_secs(60)).await;
        let frames = client.take();
        match types(&frames)[..] {
            ["response"] => assert_eq!(frames[0]["data"], millis),
            ["acknowledgment", "complete"] => assert_eq!(frames[1]["result"], millis),
            _ => panic!("{millis}: {frames:#?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ends_while_it_is_being_stored_by_one_answer_only() {
    for (delay, fault) in [(100, Fault::Delay(Duration::from_secs(2))), (100, Fault::Refuse)] {
        let world = World::new();
        let node = world.working("n", routes(), Settings::default());
        let client = node.connect("c", "ada").await;
        world.faults.once("promote", fault);
        client.ask("a", "nap", json!(5_000 + delay)).await;
        pass(Duration::from_secs(60)).await;
        assert_eq!(types(&client.take()), ["acknowledgment", "complete"], "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn shows_the_progress_so_far_once_it_is_stored() {
    let report = |cx: Context, _: Value| async move {
        for percentage in [10.0, 30.0, 20.0] {
            cx.progress(percentage, "working").await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok::<_, Failure>(())
    };
    let client = Node::alone(Router::new().action("report", report)).connect("c", "ada").await;
    client.ask("a", "report", json!({})).await;
    let frames = client.until_outcome("a").await;
    assert_eq!(types(&frames), ["acknowledgment", "progress", "complete"]);
    assert_eq!(frames[1]["percentage"], 30.0);
}

#[tokio::test(start_paused = true)]
async fn a_chunk_needs_a_log_at_once_and_late_progress_is_shown_soon() {
    let stream = |cx: Context, _: Value| async move {
        for n in 0..3 {
            cx.progress(f64::from(n) * 10.0, "streaming").await?;
            cx.chunk(&n).await?;
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok::<_, Failure>("streamed")
    };
    let client = Node::alone(Router::new().action("stream", stream)).connect("c", "ada").await;
    let begun = tokio::time::Instant::now();
    client.ask("a", "stream", json!({})).await;
    let mut frames = client.until(|frame| frame["percentage"] == 20.0).await;
    assert_eq!(begun.elapsed(), Duration::from_millis(100), "soon, though nothing more is reported");
    frames.extend(client.until_outcome("a").await);
    let kinds = ["acknowledgment", "progress", "chunk", "chunk", "chunk", "progress", "complete"];
    assert_eq!(types(&frames), kinds);
    let indexes: Vec<_> = frames.iter().filter_map(|frame| frame["index"].as_u64()).collect();
    assert_eq!(indexes, [0, 1, 2]);
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn an_id_that_stands_for_something_else_is_a_conflict_and_this_run_ends() {
    let cancelled = Arc::new(Semaphore::new(0));
    let told = Arc::clone(&cancelled);
    let wait = move |cx: Context, _: Value| {
        let told = Arc::clone(&told);
        async move {
            cx.cancelled().await;
            told.add_permits(1);
            Ok::<_, Failure>("dropped")
        }
    };
    let routes = routes().action("wait", wait).action("long", nap).takes(Duration::from_secs(60));
    let node = Node::alone(routes);
    let client = node.connect("c", "ada").await;
    assert_eq!(client.answer("a", "long", json!(20_000)).await["type"], "acknowledgment");
    client.ask("a", "wait", json!({})).await;
    let frames = client.until(|frame| frame["type"] == "error").await;
    // It says that it is done, but it has no right to: the id is another's.
    assert_eq!(types(&frames).last(), Some(&"error"));
    assert_eq!(code(frames.last().expect("one")), "CONFLICT");
    assert_eq!(cancelled.available_permits(), 1);
    assert_eq!(client.until_outcome("a").await.last().expect("one")["result"], 20_000);
}

#[tokio::test(start_paused = true)]
async fn the_same_request_sent_again_joins_the_run_that_is_stored() {
    let node = Node::alone(routes());
    let first = node.connect("1", "ada").await;
    first.ask("a", "nap", json!(100_000)).await;
    first.until_type("acknowledgment", "a").await;
    first.disconnect().await;
    let second = node.connect("2", "ada").await;
    second.ask("a", "nap", json!(100_000)).await;
    let frames = second.until_outcome("a").await;
    assert_eq!(types(&frames), ["acknowledgment", "complete"]);
    let view = node.engine.status(&key("a")).await.expect("kept");
    assert_eq!((view.status.as_str(), view.attempt), ("COMPLETED", 1), "nobody took it over");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_stored_is_told_unless_it_ends_well_meanwhile() {
    let world = World::new();
    let quota = Quota { open_max: 0, tenant_open_max: 0, ..Settings::default().quota };
    let node = world.working("n", routes(), Settings { quota, ..Settings::default() });
    let client = node.connect("c", "ada").await;
    let full = client.answer("full", "nap", json!(60_000)).await;
    assert_eq!(code(&full), "OVERLOADED");
    world.faults.always("promote", Fault::Refuse);
    assert_eq!(code(&client.answer("down", "nap", json!(60_000)).await), "INTERNAL_ERROR");
    assert_eq!(client.answer("soon", "nap", json!(6_000)).await["data"], 6_000);
    pass(Duration::from_secs(60)).await;
    assert_eq!(client.take(), [Value::Null; 0], "one answer each");
}

#[tokio::test(start_paused = true)]
async fn a_promotion_whose_reply_is_lost_still_has_one_acknowledgment_and_one_end() {
    let world = World::new();
    let node = world.working("n", routes().repeatable(), Settings::default());
    let client = node.connect("c", "ada").await;
    world.faults.once("promote", Fault::LoseReply);
    client.ask("a", "nap", json!(20_000)).await;
    let frames = client.until_outcome("a").await;
    assert_eq!(types(&frames), ["acknowledgment", "restart", "complete"]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_room_holds_up_neither_the_run_nor_its_next_messages() {
    let stream = |cx: Context, _: Value| async move {
        for n in 0..10 {
            cx.chunk(&n).await?;
        }
        Ok::<_, Failure>("streamed")
    };
    let settings = Settings { connection_in_flight_max: 2, ..Settings::default() };
    let node = World::new().working("n", routes().action("stream", stream), settings);
    let client = node.connect("c", "ada").await;
    client.fake.hold_up(client.id());
    client.ask("a", "stream", json!({})).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!(node.engine.status(&key("a")).await.expect("stored").status.as_str(), "COMPLETED");
    client.fake.release(client.id());
    let frames = client.until_outcome("a").await;
    let seqs: Vec<_> = frames.iter().filter_map(|frame| frame["seq"].as_u64()).collect();
    assert_eq!(frames[0]["type"], "acknowledgment");
    assert_eq!(seqs, (1..=11).collect::<Vec<_>>());

    for id in ["1", "2", "3"] {
        client.ask(id, "nap", json!(60_000)).await;
        client.until_type("acknowledgment", id).await;
    }
    assert!(client.session.try_room().is_some(), "what is acknowledged takes no room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn real_threads_that_race_for_the_limit_agree_on_one_answer() {
    let settings = Settings { short_limit: Duration::from_millis(20), ..Settings::default() };
    let node = World::new().working("n", routes(), settings);
    let client = node.connect("c", "ada").await;
    let requests = 300_u64;
    for n in 0..requests {
        client.ask(&n.to_string(), "nap", json!(17 + n % 7)).await;
    }
    let mut told = vec![Vec::new(); requests as usize];
    let mut ended = 0;
    while ended < requests {
        let frame = client.until(|_| true).await.pop().expect("one");
        let kind = frame["type"].as_str().expect("has a type").to_owned();
        ended += u64::from(kind != "acknowledgment");
        let n: usize = frame["request_id"].as_str().expect("text").parse().expect("a number");
        told[n].push(kind);
    }
    for told in told {
        assert!(told == ["response"] || told == ["acknowledgment", "complete"], "{told:?}");
    }
}
