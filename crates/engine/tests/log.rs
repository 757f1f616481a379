//! What a run writes: progress, chunks, checkpoints and results, within their bounds.

use std::time::Duration;

use serde_json::{Value, json};
use streamer_engine::{
    Context, Failure, Router, Settings,
    protocol::{TenantId, UserId},
    store::{ArtifactId, EntryBody},
    testing::Fault,
};
use tokio::{io::AsyncReadExt, time::Instant};

use crate::support::{Node, World, code, key, pass, types};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn progress_never_falls_and_comes_ten_times_a_second_at_most() {
    let report = |cx: Context, _: Value| async move {
        for n in 0..1000_i32 {
            cx.progress(f64::from(n * 37 % 1000) / 5.0 - 50.0, &format!("step {n}")).await?;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        Ok::<_, Failure>(())
    };
    let client = Node::alone(Router::new().action("report", report).takes(LONG)).connect("c", "ada").await;
    let begun = Instant::now();
    client.ask("a", "report", json!({})).await;
    let frames = client.until_outcome("a").await;
    let shown: Vec<_> = frames.iter().filter(|frame| frame["type"] == "progress").collect();
    let most = begun.elapsed().as_millis() as usize / 100 + 2;
    assert!((25..=most).contains(&shown.len()), "{} in {:?}", shown.len(), begun.elapsed());
    let percentages: Vec<_> = shown.iter().map(|frame| frame["percentage"].as_f64().expect("one")).collect();
    assert!(percentages.is_sorted(), "{percentages:?}");
    assert!(percentages.iter().all(|percentage| (0.0..=100.0).contains(percentage)));
    assert_eq!(shown.last().expect("some")["message"], "step 999", "the last one is never dropped");
}

#[tokio::test(start_paused = true)]
async fn chunks_do_not_carry_progress_along_before_it_is_due() {
    let stream = |cx: Context, _: Value| async move {
        for n in 0..100_i32 {
            cx.progress(f64::from(n), "streaming").await?;
            cx.chunk(&n).await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok::<_, Failure>(())
    };
    let client = Node::alone(Router::new().action("stream", stream).takes(LONG)).connect("c", "ada").await;
    let begun = Instant::now();
    client.ask("a", "stream", json!({})).await;
    let frames = client.until_outcome("a").await;
    let progress = frames.iter().filter(|frame| frame["type"] == "progress").count();
    assert!(progress <= begun.elapsed().as_millis() as usize / 100 + 2, "{progress}");
    let indexes: Vec<_> = frames.iter().filter_map(|frame| frame["index"].as_u64()).collect();
    assert_eq!(indexes, (0..100).collect::<Vec<_>>());
    let seqs: Vec<_> = frames.iter().filter_map(|frame| frame["seq"].as_u64()).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b));
}

#[tokio::test(start_paused = true)]
async fn a_report_within_the_interval_is_shown_soon_with_its_metadata() {
    let report = |cx: Context, _: Value| async move {
        cx.progress(1.0, "first").await?;
        cx.set_metadata("stage", &2)?;
        cx.progress(2.0, "second").await?;
        tokio::time::sleep(LONG).await;
        Ok::<_, Failure>(())
    };
    let client = Node::alone(Router::new().action("report", report).takes(LONG)).connect("c", "ada").await;
    let begun = Instant::now();
    client.ask("a", "report", json!({})).await;
    let frames = client.until(|frame| frame["message"] == "second").await;
    assert_eq!(begun.elapsed(), Duration::from_millis(100));
    assert_eq!(types(&frames), ["acknowledgment", "progress", "progress"]);
    assert_eq!(frames[1]["metadata"], Value::Null);
    assert_eq!(frames[2]["metadata"], json!({ "stage": 2 }));
}

#[tokio::test(start_paused = true)]
async fn everything_has_a_bound() {
    let large = |cx: Context, what: String| async move {
        match what.as_str() {
            "chunk" => cx.chunk(&"x".repeat(1000)).await?,
            "checkpoint" => cx.checkpoint(&"x".repeat(1000)).await?,
            "progress" => cx.progress(1.0, &"x".repeat(1000)).await?,
            "metadata" => {
                cx.set_metadata("x", &"x".repeat(1000))?;
                cx.progress(1.0, "").await?;
            }
            "artifact" => drop(cx.artifact("x", "text/plain", "x".repeat(1000)).await?),
            _ => loop {
                cx.chunk(&"x".repeat(90)).await?;
            },
        }
        Ok(())
    };
    let settings = Settings {
        chunk_bytes_max: 100,
        checkpoint_bytes_max: 100,
        progress_bytes_max: 100,
        artifact_bytes_max: 100,
        log_bytes_max: 1000,
        ..Settings::default()
    };
    let node = World::new().working("n", Router::new().action("large", large).takes(LONG), settings);
    let client = node.connect("c", "ada").await;
    for what in ["chunk", "checkpoint", "progress", "metadata", "artifact", "log"] {
        client.ask(what, "large", json!(what)).await;
        let frames = client.until_outcome(what).await;
        assert_eq!(code(frames.last().expect("one")), "PAYLOAD_TOO_LARGE", "{what}");
        let chunks = frames.iter().filter(|frame| frame["type"] == "chunk").count();
        assert_eq!(chunks, if what == "log" { 1000 / 92 } else { 0 }, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_result_is_kept_as_a_file_of_its_owner() {
    let large = |_: Context, bytes: usize| async move { Ok::<_, Failure>("x".repeat(bytes)) };
    let world = World::new();
    let node = world.working("n", Router::new().action("large", large).takes(LONG), Settings::default());
    let client = node.connect("c", "ada").await;
    client.ask("a", "large", json!(128 * 1024 - 2)).await;
    let end = client.until_outcome("a").await.pop().expect("one");
    assert!(end["result"].is_string(), "just fits");
    client.ask("b", "large", json!(128 * 1024 - 1)).await;
    let end = client.until_outcome("b").await.pop().expect("one");
    let link = &end["result"]["artifact"];
    let id = ArtifactId::parse(link["id"].as_str().expect("text")).expect("an id");
    assert_eq!(link["url"], format!("/v1/artifacts/{id}"));
    let (tenant, ada, bob) = (TenantId::new("acme"), UserId::new("ada"), UserId::new("bob"));
    let (kept, mut body) = world.store.artifact(&tenant, &ada, &id).await.expect("works").expect("kept");
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes).await.expect("readable");
    assert_eq!((kept.size, bytes.len()), (128 * 1024 + 1, 128 * 1024 + 1));
    assert!(world.store.artifact(&tenant, &bob, &id).await.expect("works").is_none());
}

/// Ten chunks, a second apart.
async fn tick(cx: Context, _: Value) -> Result<u32, Failure> {
    for n in 0..10 {
        cx.chunk(&n).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(cx.attempt())
}

#[tokio::test(start_paused = true)]
async fn what_the_store_fumbles_is_written_and_told_once() {
    for fault in [Fault::Refuse, Fault::LoseReply] {
        let world = World::new();
        let node = world.working("n", Router::new().action("tick", tick).takes(LONG), Settings::default());
        let client = node.connect("c", "ada").await;
        for _ in 0..3 {
            world.faults.once("append", fault);
        }
        client.ask("a", "tick", json!({})).await;
        let frames = client.until_outcome("a").await;
        let indexes: Vec<_> = frames.iter().filter_map(|frame| frame["index"].as_u64()).collect();
        assert_eq!(indexes, (0..10).collect::<Vec<_>>(), "{fault:?}");
        assert_eq!(frames.last().expect("one")["result"], 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_written_is_left_to_the_next_attempt_without_a_gap() {
    for fault in [Fault::Refuse, Fault::LoseReply] {
        let world = World::new();
        let node = world.working("n", Router::new().action("tick", tick).takes(LONG), Settings::default());
        let client = node.connect("c", "ada").await;
        client.ask("a", "tick", json!({})).await;
        client.until(|frame| frame["index"] == 2).await;
        world.faults.always("append", fault);
        pass(Duration::from_secs(10)).await;
        world.faults.never("append");
        let frames = client.until_outcome("a").await;
        assert_eq!(frames[0]["type"], "restart", "{fault:?}");
        let indexes: Vec<_> = frames.iter().filter_map(|frame| frame["index"].as_u64()).collect();
        assert_eq!(indexes, (0..10).collect::<Vec<_>>(), "{fault:?}");
        let log = world.store.log(&key("a"), 0, 100).await.expect("works");
        let chunks = log.iter().filter(|entry| matches!(entry.body, EntryBody::Chunk { .. })).count();
        assert_eq!(chunks, 10, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_progress_never_costs_the_outcome() {
    let without = vec!["acknowledgment", "progress", "complete"];
    // It is in the log, though its writer does not know: whoever follows is told all that is there.
    let with = vec!["acknowledgment", "progress", "progress", "complete"];
    for (fault, expected) in [(Fault::Refuse, without), (Fault::LoseReply, with)] {
        let world = World::new();
        let faults = world.faults.clone();
        let report = move |cx: Context, _: Value| {
            let faults = faults.clone();
            async move {
                cx.progress(10.0, "first").await?;
                cx.progress(90.0, "last").await?;
                faults.always("append", fault);
                Ok::<_, Failure>("done")
            }
        };
        let node =
            world.working("n", Router::new().action("report", report).takes(LONG), Settings::default());
        let client = node.connect("c", "ada").await;
        client.ask("a", "report", json!({})).await;
        let frames = client.until_outcome("a").await;
        assert_eq!(types(&frames), expected, "{fault:?}");
        assert_eq!(frames.last().expect("some")["result"], "done", "{fault:?}");
    }
}
