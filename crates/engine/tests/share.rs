//! Who gets the places at work: tenants in turn, a tenant's most urgent first, an action within its bound.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use streamer_engine::{
    Context, Failure, Router, Settings,
    protocol::TenantId,
    store::{Priority, Quota, RequestKey},
};
use tokio::time::Instant;

use crate::support::{World, code, key, pass, soon, types};

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(60);

/// The tenants and ids of those that began, in order.
type Began = Arc<Mutex<Vec<(String, String)>>>;

/// An action `work` of one second, and what began.
fn work() -> (Router, Began) {
    let began = Began::default();
    let begins = Arc::clone(&began);
    let work = move |cx: Context, _: Value| {
        begins.lock().push((cx.tenant().to_string(), cx.request_id().to_string()));
        async {
            tokio::time::sleep(SECOND).await;
            Ok::<_, Failure>(())
        }
    };
    (Router::new().action("work", work).takes(LONG), began)
}

#[tokio::test(start_paused = true)]
async fn a_tenants_single_request_begins_within_two_slot_times_while_a_thousand_wait() {
    for slots in [1, 4] {
        let (routes, began) = work();
        let settings = Settings { running_max: slots, ..Settings::default() };
        let node = World::new().working("n", routes, settings);
        let (many, one) = (node.connect_of("many").await, node.connect_of("one").await);
        for n in 0..1000 {
            many.answer(&format!("r{n}"), "work", json!({})).await;
        }
        pass(SECOND / 2).await;
        assert!(began.lock().len() >= slots, "all slots are busy");
        let asked = Instant::now();
        one.answer("single", "work", json!({})).await;
        soon("its outcome", one.until_outcome("single")).await;
        // Two slot times until it begins, and one for its own work.
        assert!(asked.elapsed() <= 3 * SECOND, "{slots} slots: {:?}", asked.elapsed());
        let before = began.lock().iter().position(|(tenant, _)| tenant == "one").expect("it began");
        assert!(before < 1000, "{before} of the others began before it");
    }
}

#[tokio::test(start_paused = true)]
async fn the_most_urgent_of_a_tenant_goes_first() {
    let (routes, began) = work();
    let routes = routes.action("background", async |_: Context, _: Value| Ok::<_, Failure>(()));
    let routes = routes.takes(LONG).priority(Priority::MIN);
    let mut node = World::new().node("n", routes, Settings { running_max: 1, ..Settings::default() });
    let client = node.connect("c", "ada").await;
    for (id, metadata) in [
        ("plain", json!({})),
        ("low", json!({ "priority": -3 })),
        ("high", json!({ "priority": 3 })),
        ("higher", json!({ "priority": 10 })),
    ] {
        client.send(json!({ "id": id, "action": "work", "metadata": metadata })).await;
        client.until_type("acknowledgment", id).await;
    }
    client.answer("last", "background", json!({})).await;
    node.work();
    client.until_outcome("last").await;
    let order: Vec<String> = began.lock().iter().map(|(_, id)| id.clone()).collect();
    assert_eq!(order, ["higher", "high", "plain", "low"]);
    let view = node.engine.status(&key("last")).await.expect("is there");
    assert_eq!(view.priority, Priority::MIN, "its action's");
}

#[tokio::test(start_paused = true)]
async fn of_an_action_no_more_run_than_its_bound_and_the_others_are_not_held_up() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let narrow = {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        move |_: Context, fails: bool| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::time::sleep(SECOND).await;
                running.fetch_sub(1, Ordering::Relaxed);
                if fails { Err(Failure::reject("on purpose")) } else { Ok(()) }
            }
        }
    };
    // Short by its estimate: it is queued all the same, so that it is counted.
    let (routes, _) = work();
    let routes = routes.action("narrow", narrow).running_max(2);
    let poll_interval = Duration::from_secs(3600);
    let node = World::new().working("n", routes, Settings { poll_interval, ..Settings::default() });
    let client = node.connect("c", "ada").await;
    let begun = Instant::now();
    for n in 0..6 {
        let answer = client.answer(&format!("n{n}"), "narrow", json!(n % 2 == 1)).await;
        assert_eq!(answer["type"], "acknowledgment");
    }
    client.answer("wide", "work", json!({})).await;
    let frames = client.until_outcome("wide").await;
    assert_eq!((types(&frames).last(), begun.elapsed()), (Some(&"complete"), SECOND));
    client.until_outcome("n5").await;
    assert_eq!(most.load(Ordering::Relaxed), 2);
    assert_eq!(begun.elapsed(), 3 * SECOND, "a place is filled as soon as it is free");
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_keeps_as_much_as_it_may_is_told_so_and_others_are_not() {
    let quota = Quota { tenant_stored_bytes_max: 100, ..Settings::default().quota };
    let (routes, _) = work();
    let node = World::new().working("n", routes, Settings { quota, ..Settings::default() });
    let (full, other) = (node.connect_of("full").await, node.connect_of("other").await);
    assert_eq!(full.answer("1", "work", json!("x".repeat(100))).await["type"], "acknowledgment");
    let refused = full.answer("2", "work", json!({})).await;
    assert_eq!(code(&refused), "OVERLOADED");
    assert_eq!(other.answer("1", "work", json!({})).await["type"], "acknowledgment");
    pass(SECOND / 2).await;
    let usage = node.engine.usage(&TenantId::new("full")).await.expect("reads");
    let kept = 102 + r#"["read","write"]"#.len() as u64;
    assert_eq!((usage.open, usage.running, usage.stored_bytes), (1, 1, kept));
}

/// Three chunks of a hundred bytes, or as many checkpoints.
async fn hand_out(cx: Context, checkpoints: bool) -> Result<(), Failure> {
    let hundred = "x".repeat(98);
    for _ in 0..3 {
        match checkpoints {
            true => cx.checkpoint(&hundred).await?,
            false => cx.chunk(&hundred).await?,
        }
    }
    Ok(())
}

/// Whether the frame is the end of a stored request.
fn ends(frame: &Value) -> bool {
    frame["type"] == "complete" || frame["type"] == "error" && frame["seq"].is_u64()
}

#[tokio::test(start_paused = true)]
async fn what_waits_keeps_no_more_than_its_tenant_may_once_it_runs() {
    for checkpoints in [false, true] {
        let quota = Quota { tenant_stored_bytes_max: 2000, ..Settings::default().quota };
        let routes = Router::new().action("hand_out", hand_out).takes(LONG);
        let settings = Settings { quota, running_max: 4, ..Settings::default() };
        let world = World::new();
        let mut node = world.node("n", routes, settings);
        let (full, other) = (node.connect_of("full").await, node.connect_of("other").await);
        for n in 0..30 {
            let answer = full.answer(&format!("r{n}"), "hand_out", json!(checkpoints)).await;
            assert_eq!(answer["type"], "acknowledgment");
        }
        node.work();
        let (mut completed, mut refused) = (0, 0);
        for _ in 0..30 {
            let frames = full.until(ends).await;
            let end = frames.last().expect("one");
            if end["type"] == "complete" {
                completed += 1;
            } else {
                assert_eq!(
                    (code(end), &end["error"]["retry"]["attempt"]),
                    ("OVERLOADED", &json!(1)),
                    "{end}"
                );
                refused += 1;
            }
        }
        assert!(completed > 0 && refused > 0, "{completed} and {refused}");
        let usage = node.engine.usage(&TenantId::new("full")).await.expect("reads");
        // What ends tells its end all the same.
        assert!(usage.open == 0 && usage.stored_bytes <= 2000 + 30 * 250, "{usage:?}");
        let mut on_their_way = 0;
        for n in 0..30 {
            let key = RequestKey { tenant: TenantId::new("full"), ..key(&format!("r{n}")) };
            let record = world.store.request(&key).await.expect("reads").expect("is kept");
            let checkpoint = record.checkpoint.map_or(0, |state| state.as_str().len() as u64);
            on_their_way += record.summary.log_bytes + checkpoint;
        }
        assert!(on_their_way <= 2000, "{on_their_way}");
        other.ask("1", "hand_out", json!(checkpoints)).await;
        assert_eq!(other.until_outcome("1").await.last().expect("one")["type"], "complete");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_chunk_takes_no_progress_with_it_and_need_not_end_the_request() {
    let work = |cx: Context, _: Value| async move {
        cx.progress(10.0, "begun").await?;
        cx.progress(60.0, "soon due").await?;
        // It is due now: the chunk would have carried it along.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut refused = 0;
        for _ in 0..3 {
            refused += u32::from(cx.chunk("x").await.is_err());
        }
        Ok::<_, Failure>(refused)
    };
    let quota = Quota { tenant_stored_bytes_max: 1, ..Settings::default().quota };
    let routes = Router::new().action("work", work).takes(LONG);
    let node = World::new().working("n", routes, Settings { quota, ..Settings::default() });
    let client = node.connect("c", "ada").await;
    client.ask("a", "work", json!({})).await;
    let frames = client.until_outcome("a").await;
    assert_eq!(types(&frames), ["acknowledgment", "progress", "progress", "complete"], "{frames:?}");
    assert_eq!(frames[3]["result"], 3);
}

#[tokio::test(start_paused = true)]
async fn actions_that_share_a_bound_run_within_it_together() {
    let (routes, began) = work();
    let beside = began.clone();
    let other = move |cx: Context, _: Value| {
        beside.lock().push((cx.tenant().to_string(), cx.request_id().to_string()));
        async {
            tokio::time::sleep(SECOND).await;
            Ok::<_, Failure>(())
        }
    };
    let named = |name| streamer_engine::protocol::Action::parse(name).expect("valid");
    let routes = routes.action("other", other).takes(LONG);
    let routes = routes.running_max_shared([named("work"), named("other")], 3);
    let poll_interval = Duration::from_secs(3600);
    let node = World::new().working("n", routes, Settings { poll_interval, ..Settings::default() });
    let client = node.connect("c", "ada").await;
    for n in 0..9 {
        let action = if n % 2 == 0 { "work" } else { "other" };
        client.answer(&format!("r{n}"), action, json!({})).await;
    }
    for wave in 1..=3 {
        pass(SECOND / 2).await;
        assert_eq!(began.lock().len(), 3 * wave, "a place is filled as soon as it is free");
        pass(SECOND / 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_leaves_places_to_the_others_and_fills_its_own_again() {
    let (routes, began) = work();
    let poll_interval = Duration::from_secs(3600);
    let settings = Settings { running_max: 4, tenant_running_max: 3, poll_interval, ..Settings::default() };
    let node = World::new().working("n", routes, settings);
    let (many, one) = (node.connect_of("many").await, node.connect_of("one").await);
    for n in 0..6 {
        many.answer(&format!("r{n}"), "work", json!({})).await;
    }
    pass(SECOND / 2).await;
    assert_eq!(began.lock().len(), 3);
    one.answer("single", "work", json!({})).await;
    pass(SECOND / 4).await;
    assert_eq!(began.lock().last().expect("one").0, "one", "there is a place that nobody else may have");
    pass(SECOND / 2).await;
    assert_eq!(began.lock().len(), 7, "what ended made room at once");
}
