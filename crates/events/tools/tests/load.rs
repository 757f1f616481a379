//! Load, into a real PostgreSQL.

use std::time::Duration;

use streamer_events_tools::load::{Error, NewEvent, Pace, Plan, Settings, load};
use streamer_servers::{
    or_skip,
    postgres::{Postgres, Settings as ClusterSettings},
};

use crate::bed::{self, Place};

fn unpaced(count: u64) -> Plan {
    Plan { count, pace: Pace::Unpaced }
}

const COUNT: &str = "SELECT count(*) FROM activity.event_outbox";

#[tokio::test]
async fn events_arrive_in_their_order_and_the_same_seed_writes_none_twice() {
    let Some(place) = Place::open().await else { return };
    let settings = Settings::of(place.server().clone(), unpaced(2000), 42);
    let mut ids = Vec::new();
    let loaded =
        load(&settings, &mut |events: &[NewEvent], _: u64| ids.extend(events.iter().map(|event| event.id)))
            .await
            .expect("loads");
    assert_eq!((loaded.written, loaded.known, ids.len()), (2000, 0, 2000));
    assert_eq!(loaded.by_type.values().sum::<u64>(), 2000);
    let stored = place.sql("SELECT event_id FROM activity.event_outbox ORDER BY sequence_id").await;
    assert_eq!(stored.lines().collect::<Vec<_>>(), ids.iter().map(ToString::to_string).collect::<Vec<_>>());
    let by_type = place
        .sql("SELECT event_type, count(*) FROM activity.event_outbox GROUP BY event_type ORDER BY event_type")
        .await;
    let counted: Vec<_> = loaded.by_type.iter().map(|(name, count)| format!("{name}|{count}")).collect();
    assert_eq!(by_type.lines().collect::<Vec<_>>(), counted);

    let more = Settings { plan: unpaced(2500), ..settings };
    let again = load(&more, &mut |_: &[NewEvent], _: u64| {}).await.expect("loads");
    assert_eq!((again.written, again.known), (500, 2000), "what is there stays");
    assert_eq!(place.sql(COUNT).await, "2500");
}

#[tokio::test]
async fn a_rate_is_held_and_spread_over_its_time() {
    let Some(place) = Place::open().await else { return };
    let plan = Plan { count: 300, pace: Pace::Within(Duration::from_secs(2)) };
    let loaded = load(&Settings::of(place.server().clone(), plan, 1), &mut |_: &[NewEvent], _: u64| {})
        .await
        .expect("loads");
    assert!(loaded.elapsed_s >= 1.99, "{loaded:?}");
    assert_eq!(loaded.rate_wanted, Some(150.0));
    assert!(loaded.rate <= 151.0);
    // By the server's own clock: no half of the time has much more than its half of the events.
    let halves = "SELECT count(*) FROM activity.event_outbox WHERE created_at < (SELECT min(created_at) + \
                  (max(created_at) - min(created_at)) / 2 FROM activity.event_outbox)";
    let first: u32 = place.sql(halves).await.parse().expect("is a number");
    assert!((100..200).contains(&first), "{first} in the first half: {loaded:?}");
}

#[tokio::test]
async fn a_server_that_is_slower_is_waited_for_and_that_shows() {
    let Some(place) = Place::open().await else { return };
    place
        .sql(
            "CREATE FUNCTION activity.slow() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN PERFORM pg_sleep(0.05); RETURN NULL; END'; \
             CREATE TRIGGER slow AFTER INSERT ON activity.event_outbox FOR EACH STATEMENT \
             EXECUTE FUNCTION activity.slow()",
        )
        .await;
    let plan = Plan { count: 200, pace: Pace::Rate(1000.0) };
    let settings = Settings { transaction_events_max: 10, ..Settings::of(place.server().clone(), plan, 1) };
    let loaded = load(&settings, &mut |_: &[NewEvent], _: u64| {}).await.expect("loads");
    // Twenty transactions at the least, of a twentieth of a second each.
    assert!(loaded.elapsed_s >= 1.0 && loaded.transactions >= 20, "{loaded:?}");
    assert!(!loaded.is_held && loaded.late_max_ms > 500.0, "{loaded:?}");
    assert_eq!(place.sql(COUNT).await, "200");
}

#[tokio::test]
async fn a_connection_that_breaks_is_told_and_the_same_seed_completes_it() {
    let Some(mut cluster) = or_skip(Postgres::start(&ClusterSettings::default())) else { return };
    let place = Place::open_in(&cluster).await;
    let plan = Plan { count: 400, pace: Pace::Rate(200.0) };
    let settings = Settings::of(place.server().clone(), plan, 5);
    let (at_a_quarter, quarter) = tokio::sync::oneshot::channel();
    let mut at_a_quarter = Some(at_a_quarter);
    let loading = tokio::spawn({
        let settings = settings.clone();
        async move {
            let mut tell = |_: &[NewEvent], done: u64| {
                if done >= 100
                    && let Some(tell) = at_a_quarter.take()
                {
                    tell.send(()).expect("is waited for");
                }
            };
            load(&settings, &mut tell).await
        }
    });
    quarter.await.expect("comes so far");
    let cluster = tokio::task::spawn_blocking(move || {
        cluster.crash();
        cluster.resume().expect("starts again");
        cluster
    })
    .await
    .expect("runs");
    let error = loading.await.expect("runs").expect_err("the connection is gone");
    let text = error.to_string();
    assert!(text.contains("of 400 events") && text.contains("--seed 5"), "{text}");
    let Error::Lost { done, .. } = error else { panic!("{text}") };
    let there: u64 =
        cluster.sql(&place.server().database, COUNT).expect("answers").parse().expect("is a number");
    assert!(there >= done && done >= 100, "{there} are there of at least {done}");

    let loaded = load(&settings, &mut |_: &[NewEvent], _: u64| {}).await.expect("loads");
    assert_eq!(loaded.known, there);
    assert_eq!(cluster.sql(&place.server().database, COUNT).expect("answers"), "400");
}

#[tokio::test]
async fn what_cannot_begin_says_why() {
    let Some(place) = Place::open().await else { return };
    let nothing = &mut |_: &[NewEvent], _: u64| {};
    let mut nobody = place.server().clone();
    nobody.password = Some("hush-hush".into());
    let error = load(&Settings::of(nobody, unpaced(1), 1), nothing).await.expect_err("is not let in");
    assert!(error.to_string().contains("28P01") && !error.to_string().contains("hush"), "{error}");

    let nowhere = bed::server(1, "db");
    let error = load(&Settings::of(nowhere, unpaced(1), 1), nothing).await.expect_err("is not there");
    assert!(matches!(error, Error::Unreachable(_)), "{error}");

    let mut elsewhere = Settings::of(place.server().clone(), unpaced(1), 1);
    elsewhere.outbox.table = "nothing".into();
    let error = load(&elsewhere, nothing).await.expect_err("has no such table");
    let Error::Refused { done: 0, source, .. } = error else { panic!("{error}") };
    assert_eq!(source.code(), Some("42P01"));
}
