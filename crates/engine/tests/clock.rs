//! A clock that is set while requests run, wait and hold leases.

use std::time::Duration;

use serde_json::{Value, json};
use streamer_engine::{Context, Failure, Router, Settings, testing::Fault};
use tokio::time::Instant;

use crate::support::{Client, World, key, pass, types};

const LONG: Duration = Duration::from_secs(60);
const HOUR_S: i64 = 3600;

/// Naps that hand out a chunk every second.
async fn nap(cx: Context, seconds: u32) -> Result<u32, Failure> {
    for n in 0..seconds {
        pass(Duration::from_secs(1)).await;
        cx.chunk(&n).await?;
    }
    Ok(cx.attempt())
}

async fn second_try(cx: Context, _: Value) -> Result<u32, Failure> {
    if cx.attempt() == 1 { Err(Failure::retry("not yet").after(LONG)) } else { Ok(cx.attempt()) }
}

fn routes() -> Router {
    Router::new()
        .action("nap", nap)
        .takes(LONG)
        // Short, then promoted: it may not begin again.
        .action("nap.once", nap)
        .action("second", second_try)
        .takes(LONG)
        .retries(1)
        .action("stuck", |_: Context, _: Value| std::future::pending::<Result<(), Failure>>())
        .takes(LONG)
        .timeout(Duration::from_secs(20))
}

async fn delayed(client: &Client, id: &str, delay_ms: u64) {
    let metadata = json!({ "delay_ms": delay_ms });
    client.send(json!({ "id": id, "action": "nap", "payload": 0, "metadata": metadata })).await;
}

#[tokio::test(start_paused = true)]
async fn what_runs_goes_on_when_the_clock_is_set() {
    for by_s in [HOUR_S, -HOUR_S] {
        let world = World::new();
        let node = world.working("n", routes(), Settings::default());
        let [a, b, c] = ["1", "2", "3"].map(|connection| node.connect(connection, "ada"));
        let (a, b, c) = (a.await, b.await, c.await);
        a.ask("a", "nap", json!(90)).await;
        b.ask("b", "nap.once", json!(90)).await;
        c.ask("c", "stuck", json!({})).await;
        // Between two renewals.
        pass(Duration::from_secs(12)).await;
        let set = Instant::now();
        world.clock.set_by(by_s);
        c.until_outcome("c").await;
        assert_eq!(set.elapsed(), Duration::from_secs(13), "its time, and the grace, are no clock's");
        let mut heard = a.until_outcome("a").await;
        heard.extend(b.until_outcome("b").await);
        for id in ["a", "b"] {
            let view = node.engine.status(&key(id)).await.expect("kept");
            assert_eq!((view.status.as_str(), view.attempt), ("COMPLETED", 1), "{id}, {by_s} s");
        }
        assert!(!types(&heard).contains(&"restart"), "nothing was begun again: {by_s} s");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_the_time_of_day_starts_by_it() {
    let world = World::new();
    let node = world.working("n", routes(), Settings::default());
    let client = node.connect("c", "ada").await;
    delayed(&client, "soon", 30 * 60 * 1000).await;
    let other = node.connect("d", "ada").await;
    other.ask("again", "second", json!({})).await;
    let late = node.connect("e", "ada").await;
    delayed(&late, "later", 90 * 60 * 1000).await;
    pass(Duration::from_secs(1)).await;
    world.clock.set_by(HOUR_S);
    let set = Instant::now();
    client.until_outcome("soon").await;
    other.until_outcome("again").await;
    assert!(set.elapsed() <= Duration::from_secs(3), "their time has come: {:?}", set.elapsed());
    late.until_outcome("later").await;
    assert!(set.elapsed() >= Duration::from_secs(29 * 60), "not before its time");
}

#[tokio::test(start_paused = true)]
async fn what_waited_when_the_clock_was_set_back_starts_late_and_once() {
    let world = World::new();
    let settings = Settings { running_max: 1, ..Settings::default() };
    let node = world.working("n", routes(), settings);
    let client = node.connect("c", "ada").await;
    client.ask("first", "nap", json!(5)).await;
    client.ask("waiting", "nap", json!(1)).await;
    pass(Duration::from_secs(1)).await;
    world.clock.set_by(-HOUR_S);
    client.ask("new", "nap", json!(1)).await;
    let set = Instant::now();
    client.until_outcome("new").await;
    assert!(set.elapsed() < Duration::from_secs(10), "what comes now does not wait: {:?}", set.elapsed());
    client.until_outcome("waiting").await;
    assert!(set.elapsed() <= Duration::from_secs(3610), "no longer than by what it was set back");
    for id in ["first", "waiting", "new"] {
        let view = node.engine.status(&key(id)).await.expect("kept");
        assert_eq!((view.status.as_str(), view.attempt), ("COMPLETED", 1), "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_taken_before_the_clock_was_set_back_is_found_by_its_node() {
    let world = World::new();
    let mut dying = world.working("n", routes(), Settings::default());
    let client = dying.connect("c", "ada").await;
    client.ask("a", "nap", json!(3)).await;
    pass(Duration::from_secs(1)).await;
    dying.die();
    world.clock.set_by(-HOUR_S);
    let begun = Instant::now();
    let next = world.working("n", routes(), Settings::default());
    let client = next.connect("d", "ada").await;
    client.ask("r", "resume", json!({ "request_id": "a" })).await;
    client.until_outcome("a").await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_holds_up_what_runs_and_has_nothing_begin_again() {
    let world = World::new();
    let node = world.working("n", routes(), Settings::default());
    let client = node.connect("c", "ada").await;
    client.ask("a", "nap", json!(5)).await;
    pass(Duration::from_secs(2)).await;
    let calls = ["enqueue", "append", "renew", "claim", "finish"];
    calls.iter().for_each(|call| world.faults.always(call, Fault::NoSpace));
    let refused = client.answer("b", "nap", json!(1)).await;
    assert_eq!(
        (&refused["error"]["code"], &refused["error"]["retry"]["retryable"]),
        (&json!("OVERLOADED"), &json!(true))
    );
    // Longer than its lease.
    pass(Duration::from_secs(100)).await;
    calls.iter().for_each(|call| world.faults.never(call));
    client.until_outcome("a").await;
    let view = node.engine.status(&key("a")).await.expect("kept");
    assert_eq!((view.status.as_str(), view.attempt), ("COMPLETED", 1));
}
