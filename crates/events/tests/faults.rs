//! A sink that fails is not an error of the event: the stream waits, and loses nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use streamer_events::{
    Batch, Error,
    sink::{self, Adopted, DeadLetters, ErrorKind, Ledger, RefusedWrite, Sink},
    testing::{Fault, FaultySink, FaultySource, MemoryLog, MemorySink, given},
};
use tokio_util::sync::CancellationToken;

use crate::bed::{pipeline, run_until, user};

fn total_users(sink: &MemorySink) -> Option<i64> {
    sink.document("statistics", "global")?.get("total_users")?.as_int()
}

fn log(users: u64) -> Arc<MemoryLog> {
    let log = MemoryLog::new(given::epoch());
    (1..=users).for_each(|n| log.append(0, user(n)));
    log
}

#[tokio::test(start_paused = true)]
async fn every_fault_of_every_call_loses_and_doubles_nothing() {
    for fault in [Fault::Refuse, Fault::LoseReply, Fault::DoPart, Fault::Delay(Duration::from_secs(3))] {
        for call in ["adopted", "adopt", "record", "apply"] {
            let log = log(35);
            let sink = Arc::new(FaultySink::scripted(
                MemorySink::new(),
                [(call, fault), (call, fault), (call, fault)],
            ));
            let pipeline = pipeline(log.source(&[0]), sink.clone());
            run_until(&pipeline, || log.is_confirmed()).await.expect("ends well");
            assert_eq!(total_users(sink.inner()), Some(35), "{fault:?} of {call}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_down_is_waited_for() {
    let log = log(5);
    let down = Arc::new(AtomicBool::new(true));
    let is_down = Arc::clone(&down);
    let plan = move |call| (call == "apply" && is_down.load(Ordering::Relaxed)).then_some(Fault::Refuse);
    let sink = Arc::new(FaultySink::new(MemorySink::new(), plan));
    let pipeline = pipeline(log.source(&[0]), sink.clone());
    let back = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(log.confirmed(0), None, "nothing is confirmed before it is written");
        down.store(false, Ordering::Relaxed);
    };
    let (ended, ()) = tokio::join!(run_until(&pipeline, || log.is_confirmed()), back);
    ended.expect("ends well");
    assert_eq!(total_users(sink.inner()), Some(5));
    assert!(pipeline.tally().retries() > 10);
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_whose_sink_is_down_stops_when_it_is_told() {
    let log = log(5);
    let plan = |call| (call == "apply").then_some(Fault::Refuse);
    let sink = Arc::new(FaultySink::new(MemorySink::new(), plan));
    let pipeline = pipeline(log.source(&[0]), sink);
    run_until(&pipeline, || pipeline.tally().retries() > 3).await.expect("stops");
    assert_eq!(log.confirmed(0), None);
}

#[tokio::test(start_paused = true)]
async fn confirmations_that_are_lost_bring_the_events_again_and_change_nothing() {
    let log = log(20);
    let sink = Arc::new(MemorySink::new());
    let deaf = FaultySource::new(log.source(&[0]), |_| true);
    let first = pipeline(deaf, sink.clone());
    run_until(&first, || first.tally().events() == 20).await.expect("ends well");
    assert_eq!(log.confirmed(0), None);
    let second = pipeline(log.source(&[0]), sink.clone());
    run_until(&second, || log.is_confirmed()).await.expect("ends well");
    assert_eq!(total_users(&sink), Some(20));
    assert!(sink.repeated() > 0);
}

/// Damaged: trying again does not help.
struct Damaged(MemorySink);

#[async_trait::async_trait]
impl Sink for Damaged {
    async fn apply(&self, _: &Batch) -> sink::Result<Vec<RefusedWrite>> {
        Err(ErrorKind::Corrupt.into())
    }
}

#[async_trait::async_trait]
impl Ledger for Damaged {
    async fn adopted(&self) -> sink::Result<Option<Adopted>> {
        self.0.adopted().await
    }

    async fn adopt(&self, adopted: &Adopted) -> sink::Result<()> {
        self.0.adopt(adopted).await
    }

    async fn record(
        &self,
        events: &[(streamer_events::EventId, streamer_events::Position)],
    ) -> sink::Result<()> {
        self.0.record(events).await
    }

    async fn recall(
        &self,
        events: &[streamer_events::EventId],
    ) -> sink::Result<Vec<(streamer_events::EventId, streamer_events::Position)>> {
        self.0.recall(events).await
    }
}

#[async_trait::async_trait]
impl DeadLetters for Damaged {
    async fn bury(&self, letters: &[streamer_events::DeadLetter]) -> sink::Result<()> {
        self.0.bury(letters).await
    }

    async fn letters(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> sink::Result<Vec<streamer_events::DeadLetter>> {
        self.0.letters(after, limit).await
    }

    async fn discard(&self, ids: &[String]) -> sink::Result<()> {
        self.0.discard(ids).await
    }

    async fn count_letters(&self) -> sink::Result<u64> {
        self.0.count_letters().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_sink_ends_the_pipeline_with_its_error() {
    let log = log(50);
    let pipeline = pipeline(log.source(&[0]), Arc::new(Damaged(MemorySink::new())));
    let ended = pipeline.run(CancellationToken::new()).await;
    assert!(matches!(ended, Err(Error::Sink(e)) if e.kind() == ErrorKind::Corrupt));
    assert_eq!(log.confirmed(0), None);
}
