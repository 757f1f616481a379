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
    store::{Priority, Quota},
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
