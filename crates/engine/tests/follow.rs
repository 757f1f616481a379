//! Who hears of a request while it runs.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use streamer_engine::{Context, Failure, Router, Settings, protocol::CloseCode, testing::Fault};
use tokio::sync::Semaphore;

use crate::support::{Client, Node, World, key, pass, types};

const LONG: Duration = Duration::from_secs(60);

/// Hands out as many chunks as its payload says, a millisecond apart, once the gate is open.
fn routes(gate: &Arc<Semaphore>) -> Router {
    let gate = Arc::clone(gate);
    let stream = move |cx: Context, chunks: u64| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.expect("open").forget();
            for n in 0..chunks {
                cx.chunk(&n).await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok::<_, Failure>("streamed")
        }
    };
    Router::new().action("stream", stream).takes(LONG)
}

fn indexes(frames: &[Value]) -> Vec<u64> {
    frames.iter().filter_map(|frame| frame["index"].as_u64()).collect()
}

async fn resume(client: &Client, after: u64) {
    client.ask("r", "resume", json!({ "request_id": "a", "after_seq": after })).await;
    client.until_type("response", "r").await;
}

#[tokio::test(start_paused = true)]
async fn two_connections_of_one_user_both_hear_everything() {
    let gate = Arc::new(Semaphore::new(0));
    let node = Node::alone(routes(&gate));
    let (first, second) = (node.connect("1", "ada").await, node.connect("2", "ada").await);
    first.ask("a", "stream", json!(20)).await;
    first.until_type("acknowledgment", "a").await;
    resume(&second, 0).await;
    gate.add_permits(1);
    for client in [&first, &second] {
        assert_eq!(indexes(&client.until_outcome("a").await), (0..20).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_read_is_closed_and_holds_up_nobody() {
    let gate = Arc::new(Semaphore::new(0));
    let node = Node::alone(routes(&gate));
    let slow = node.connect_with("slow", "ada", |fake, id| fake.open_with_room(id, 5)).await;
    let quick = node.connect("quick", "ada").await;
    slow.ask("a", "stream", json!(50)).await;
    slow.until_type("acknowledgment", "a").await;
    resume(&quick, 0).await;
    let begun = tokio::time::Instant::now();
    gate.add_permits(1);
    let frames = quick.until_outcome("a").await;
    assert_eq!(begun.elapsed(), Duration::from_millis(50), "nothing waited for it");
    assert_eq!(indexes(&frames), (0..50).collect::<Vec<_>>());
    assert_eq!(slow.fake.closed(slow.id()), Some(CloseCode::SlowConsumer));
    let mut held = slow.take();
    assert_eq!(indexes(&held), (0..5).collect::<Vec<_>>());
    slow.disconnect().await;

    // It comes back, and has lost nothing.
    let back = node.connect("back", "ada").await;
    back.ask("r", "resume", json!({ "request_id": "a", "after_seq": held[4]["seq"] })).await;
    held.extend(back.until_outcome("a").await);
    assert_eq!(indexes(&held), (0..50).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ended_hears_nothing_even_if_it_ends_while_it_asks() {
    for delay in [0, 2] {
        let gate = Arc::new(Semaphore::new(0));
        let world = World::new();
        let node = world.working("n", routes(&gate), Settings::default());
        let client = node.connect("c", "ada").await;
        world.faults.once("enqueue", Fault::Delay(Duration::from_secs(delay)));
        client.ask("a", "stream", json!(5)).await;
        pass(Duration::from_secs(1)).await;
        client.disconnect().await;
        client.take();
        // Should anybody push to it: another connection has its name now.
        client.fake.open(client.id());
        pass(Duration::from_secs(3)).await;
        client.take();
        gate.add_permits(1);
        pass(LONG).await;
        assert_eq!(indexes(&client.take()), [0_u64; 0], "{delay}");
        assert_eq!(node.engine.status(&key("a")).await.expect("kept").chunks, 5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_sent_again_while_it_is_followed_is_told_from_the_start_in_order() {
    let gate = Arc::new(Semaphore::new(0));
    let node = Node::alone(routes(&gate));
    let client = node.connect("c", "ada").await;
    client.ask("a", "stream", json!(200)).await;
    gate.add_permits(1);
    client.until(|frame| frame["index"] == 50).await;
    client.ask("a", "stream", json!(200)).await;
    client.until_type("acknowledgment", "a").await;
    assert_eq!(indexes(&client.until_outcome("a").await), (0..200).collect::<Vec<_>>());
    pass(LONG).await;
    assert_eq!(client.take(), [Value::Null; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_same_message_twice_on_a_busy_connection_is_still_followed() {
    let gate = Arc::new(Semaphore::new(0));
    let node = Node::alone(routes(&gate));
    let client = node.connect("c", "ada").await;
    client.fake.hold_up(client.id());
    client.ask("a", "stream", json!(3)).await;
    client.ask("a", "stream", json!(3)).await;
    pass(Duration::from_secs(1)).await;
    client.fake.release(client.id());
    pass(Duration::from_secs(1)).await;
    gate.add_permits(1);
    let frames = client.until_outcome("a").await;
    assert_eq!(indexes(&frames), [0, 1, 2]);
    assert_eq!(types(&frames)[..2], ["acknowledgment"; 2], "one for each message");
}

#[tokio::test(start_paused = true)]
async fn what_ends_before_it_is_heard_leaves_nothing_behind() {
    let idle = |_: Context, _: Value| async { Ok::<_, Failure>(()) };
    let settings = Settings { connection_listeners_max: 3, ..Settings::default() };
    let node = World::new().working("n", Router::new().action("idle", idle).durable(), settings);
    let client = node.connect("c", "ada").await;
    for n in 0..20 {
        let id = format!("r{n}");
        client.fake.hold_up(client.id());
        client.ask(&id, "idle", json!({})).await;
        pass(Duration::from_secs(1)).await;
        client.fake.release(client.id());
        assert_eq!(types(&client.until_outcome(&id).await), ["acknowledgment", "complete"], "{n}");
        // Nor does asking for what was seen to its end.
        client.ask("r", "resume", json!({ "request_id": id, "after_seq": 1 })).await;
        assert_eq!(types(&client.until_type("response", "r").await), ["response"], "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_seq_that_was_never_given_counts_as_the_newest() {
    let gate = Arc::new(Semaphore::new(0));
    let node = Node::alone(routes(&gate));
    let client = node.connect("c", "ada").await;
    client.ask("a", "stream", json!(3)).await;
    client.until_type("acknowledgment", "a").await;
    resume(&client, u64::MAX).await;
    gate.add_permits(1);
    assert_eq!(indexes(&client.until_outcome("a").await), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn what_was_published_beyond_the_bound_is_read_from_the_log() {
    let gate = Arc::new(Semaphore::new(0));
    let settings = Settings { listener_buffer_max: 4, ..Settings::default() };
    let node = World::new().working("n", routes(&gate), settings);
    let client = node.connect_with("c", "ada", |fake, id| fake.open_with_room(id, 300)).await;
    client.fake.hold_up(client.id());
    client.ask("a", "stream", json!(200)).await;
    gate.add_permits(1);
    pass(Duration::from_millis(100)).await;
    client.fake.release(client.id());
    let frames = client.until_outcome("a").await;
    assert_eq!(types(&frames)[0], "acknowledgment");
    assert_eq!(indexes(&frames), (0..200).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_read_closes_the_connection_so_that_it_comes_back() {
    let gate = Arc::new(Semaphore::new(1));
    let world = World::new();
    let node = world.working("n", routes(&gate), Settings::default());
    let client = node.connect("c", "ada").await;
    client.ask("a", "stream", json!(3)).await;
    client.until_outcome("a").await;
    world.faults.once("log", Fault::Refuse);
    client.ask("r", "resume", json!({ "request_id": "a" })).await;
    assert_eq!(client.fake.closing(client.id()).await, CloseCode::InternalError);
    client.disconnect().await;
    let back = node.connect("back", "ada").await;
    resume(&back, 0).await;
    assert_eq!(indexes(&back.until_outcome("a").await), [0, 1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn real_threads_that_race_for_a_log_leave_no_gap_and_no_double() {
    let eager = |cx: Context, chunks: u64| async move {
        for n in 0..chunks {
            cx.chunk(&n).await?;
            tokio::task::yield_now().await;
        }
        Ok::<_, Failure>("streamed")
    };
    let settings = Settings { listener_buffer_max: 8, ..Settings::default() };
    let node = World::new().working("n", Router::new().action("stream", eager).takes(LONG), settings);
    let clients = [node.connect("1", "ada").await, node.connect("2", "ada").await];
    for round in 0..4 {
        let id = format!("a{round}");
        clients[0].ask(&id, "stream", json!(400)).await;
        clients[0].until(|frame| frame["index"].as_u64() > Some(10)).await;
        for client in &clients {
            client.ask("r", "resume", json!({ "request_id": id, "after_seq": 5 })).await;
            client.until_type("response", "r").await;
            let seqs: Vec<_> =
                client.until_outcome(&id).await.iter().filter_map(|frame| frame["seq"].as_u64()).collect();
            assert_eq!(seqs, (6..=401).collect::<Vec<_>>(), "round {round}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_follows_where_nothing_runs_is_told_all_before_the_end() {
    let gate = Arc::new(Semaphore::new(0));
    let world = World::new();
    let idle = world.node("idle", routes(&gate), Settings::default());
    let client = idle.connect("c", "ada").await;
    client.ask("a", "stream", json!(200)).await;
    client.until_type("acknowledgment", "a").await;
    let busy = world.working("busy", routes(&gate), Settings::default());
    gate.add_permits(1);
    pass(LONG).await;
    assert_eq!(busy.engine.status(&key("a")).await.expect("kept").status.as_str(), "COMPLETED");
    assert_eq!(client.take(), [Value::Null; 0], "the nodes do not tell each other");
    // The idle node comes upon the end only.
    client.ask("c", "cancel", json!({ "request_id": "a" })).await;
    let frames = client.until_type("complete", "a").await;
    assert_eq!(indexes(&frames), (0..200).collect::<Vec<_>>());
}
