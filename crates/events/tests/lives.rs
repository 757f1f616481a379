//! Another life of the source, and snapshots.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use streamer_events::{
    Change, Epoch, Error, NewEpoch, Pipeline, Settings,
    sink::{Adopted, Ledger as _},
    testing::{Fault, FaultySink, MemoryLog, MemorySink, given},
};
use tokio_util::sync::CancellationToken;

use crate::bed::{kill_when, pipeline, pipeline_of, run_until, settings, user};

fn another() -> Epoch {
    Epoch::Kafka { cluster: "cluster".into(), topic: "recreated".into() }
}

fn total_users(sink: &MemorySink) -> Option<i64> {
    sink.document("statistics", "global")?.get("total_users")?.as_int()
}

/// Whatever the pipeline has done, repetitions too.
fn done(pipeline: &Pipeline) -> u64 {
    pipeline.tally().events() + pipeline.tally().again()
}

/// Long enough for a test to see that something is done, and something is not.
fn slow(call: &'static str) -> Option<Fault> {
    (call == "apply").then_some(Fault::Delay(Duration::from_millis(20)))
}

fn resnapshot() -> Settings {
    Settings { on_new_epoch: NewEpoch::Resnapshot, ..settings() }
}

#[tokio::test(start_paused = true)]
async fn rows_that_are_older_than_the_log_come_by_a_snapshot() {
    let log = MemoryLog::new(given::epoch());
    (1..=25).for_each(|n| log.lay_under(user(n)));
    (26..=40).for_each(|n| log.append(0, user(n)));
    let sink = Arc::new(MemorySink::new());
    run_until(&pipeline(log.source(&[0]), sink.clone()), || log.is_confirmed()).await.expect("ends well");
    assert_eq!(total_users(&sink), Some(40));
    assert_eq!(
        sink.adopted().await.expect("answers"),
        Some(Adopted { epoch: given::epoch(), snapshot: None })
    );
    // It is complete: another run does not take it again.
    let again = pipeline(log.source(&[0]), sink.clone());
    log.append(0, user(41));
    run_until(&again, || log.is_confirmed()).await.expect("ends well");
    assert_eq!((again.tally().events(), total_users(&sink)), (1, Some(41)));
}

#[tokio::test(start_paused = true)]
async fn what_the_stream_brings_on_the_heels_of_the_snapshot_is_known() {
    for (batch_events_max, delayed) in [(1000, "apply"), (7, "record"), (7, "apply"), (1, "record")] {
        let log = MemoryLog::new(given::epoch());
        (1..=25).for_each(|n| log.lay_under(user(n)));
        // Committed before the snapshot was taken, and after the slot was made.
        (1..=25).for_each(|n| log.append(0, Change { may_be_known: true, ..user(n) }));
        log.append(0, user(26));
        let plan =
            move |call: &'static str| (call == delayed).then_some(Fault::Delay(Duration::from_millis(20)));
        let sink = Arc::new(FaultySink::new(MemorySink::new(), plan));
        let settings = Settings { batch_events_max, ..settings() };
        let registry = streamer_events::projections::registry();
        let pipeline = pipeline_of(log.source(&[0]), sink.clone(), registry, settings);
        run_until(&pipeline, || log.is_confirmed()).await.expect("ends well");
        assert_eq!(total_users(sink.inner()), Some(26), "{batch_events_max}, slow to {delayed}");
        assert_eq!(pipeline.tally().letters(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_snapshot_begins_again_and_doubles_nothing() {
    let log = MemoryLog::new(given::epoch());
    (1..=50).for_each(|n| log.lay_under(user(n)));
    log.append(0, user(51));
    let sink = Arc::new(FaultySink::new(MemorySink::new(), slow));
    for interrupted_at in [5, 20, 35] {
        let pipeline = pipeline(log.source(&[0]), sink.clone());
        kill_when(&pipeline, || done(&pipeline) >= interrupted_at).await;
    }
    run_until(&pipeline(log.source(&[0]), sink.clone()), || log.is_confirmed()).await.expect("ends well");
    assert_eq!(total_users(sink.inner()), Some(51));
    assert_eq!(sink.inner().documents().len(), 52);
}

#[tokio::test(start_paused = true)]
async fn a_new_life_stops_the_pipeline_and_names_what_goes_on() {
    let log = MemoryLog::new(given::epoch());
    (1..=5).for_each(|n| log.append(0, user(n)));
    let sink = Arc::new(MemorySink::new());
    run_until(&pipeline(log.source(&[0]), sink.clone()), || log.is_confirmed()).await.expect("ends well");
    log.recreate(another());
    let ended = pipeline(log.source(&[0]), sink.clone()).run(CancellationToken::new()).await;
    let error = ended.expect_err("is another");
    assert!(
        matches!(&error, Error::EpochChanged { known, found } if *known == given::epoch() && *found == another())
    );
    assert!(error.to_string().contains("streamer events resnapshot"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_resnapshot_applies_what_is_not_known_and_nothing_twice() {
    let log = MemoryLog::new(given::epoch());
    (1..=30).for_each(|n| log.append(0, user(n)));
    // The last batches were recorded, and some of their writes applied, when the process died.
    let calls = Arc::new(AtomicUsize::new(0));
    let (counted, dying_from, dead_from) = (Arc::clone(&calls), 2, 1000);
    let plan = move |call: &'static str| match call {
        "apply" => match counted.fetch_add(1, Ordering::Relaxed) {
            n if (dying_from..dead_from).contains(&n) => Some(Fault::DoPart),
            _ => slow(call),
        },
        _ => None,
    };
    let sink = Arc::new(FaultySink::new(MemorySink::new(), plan));
    let dying = pipeline(log.source(&[0]), sink.clone());
    kill_when(&dying, || dying.tally().retries() > 2).await;
    calls.store(dead_from, Ordering::Relaxed);
    let applied = sink.inner().documents().len();
    assert!((21..31).contains(&applied), "{applied}");

    // Then the log was lost; what is left are the rows, and a new one.
    log.recreate(another());
    log.lay_under(user(31));
    let registry = streamer_events::projections::registry;
    for interrupted_at in [7, 22] {
        let pipeline = pipeline_of(log.source(&[0]), sink.clone(), registry(), resnapshot());
        kill_when(&pipeline, || done(&pipeline) >= interrupted_at).await;
    }
    log.append(0, user(32));
    let pipeline = pipeline_of(log.source(&[0]), sink.clone(), registry(), resnapshot());
    run_until(&pipeline, || log.is_confirmed()).await.expect("ends well");
    let memory = sink.inner();
    assert_eq!(total_users(memory), Some(32));
    assert_eq!(memory.documents().len(), 33);
}
