//! The product's processor before a sink that counts: the source, the handlers that ship and the pipeline between them, as
//! `streamer events run` has them, and nothing that is written.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use parking_lot::Mutex;
use streamer_events::{
    Batch, DeadLetter, EventId, Moment, Outbox, Parts, Pipeline, Position, Settings, State,
    clock::{Clock as _, SystemClock},
    projections,
    random::SystemRandom,
    sink::{self, Adopted, DeadLetters, Ledger, RefusedWrite, Sink},
};
use streamer_source_postgres::{PostgresSource, Settings as Source};
use tokio_util::sync::CancellationToken;

use crate::{
    machine,
    reading::{Reading, Stopwatch, Turn},
};

/// Reads so many events, and says how that went. Those that are committed after it said that it is ready are the first.
pub(crate) async fn count(source: Source, rows: u64, turn: &Turn) -> Result<Reading> {
    let counter = Arc::new(Counter { rows, ..Counter::default() });
    let first = pipeline(&source, &counter);
    let stop = CancellationToken::new();
    // Its snapshot is empty; what comes afterwards is streamed.
    let mut state = first.state();
    let (ran, streams) = tokio::join!(first.run(stop.clone()), async {
        let streams = state.wait_for(|state| *state == State::Streaming).await.map(drop);
        stop.cancel();
        streams
    });
    ran?;
    streams.context("the pipeline ended")?;
    turn.await_go()?;
    let second = pipeline(&source, &counter);
    turn.say_reading()?;
    let mut stopwatch = Stopwatch::start()?;
    second.run(counter.enough.clone()).await?;
    let (first, last) = counter.span.lock().context("nothing was read")?;
    let took = Duration::from_micros(u64::try_from(last.micros_since(first)).unwrap_or(0));
    let counted = counter.events.load(Ordering::Relaxed);
    ensure!(counted == rows, "{counted} events were counted instead of {rows}");
    ensure!(second.tally().letters() == 0, "a handler refused an event");
    stopwatch.stop(counted, took, &machine::latencies())
}

fn pipeline(source: &Source, counter: &Arc<Counter>) -> Pipeline {
    let parts = Parts {
        source: Arc::new(PostgresSource::new(source.clone(), Arc::new(SystemClock), Arc::new(SystemRandom))),
        models: Arc::clone(counter) as _,
        sinks: Vec::new(),
        registry: projections::registry(),
        outbox: Outbox::default(),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
    };
    Pipeline::new(parts, Settings::default())
}

/// Counts, and keeps nothing but the life of the source.
#[derive(Default)]
struct Counter {
    rows: u64,
    events: AtomicU64,
    /// When the first row was received, and the last one counted.
    span: Mutex<Option<(Moment, Moment)>>,
    adopted: Mutex<Option<Adopted>>,
    enough: CancellationToken,
}

#[async_trait]
impl Sink for Counter {
    async fn apply(&self, batch: &Batch) -> sink::Result<Vec<RefusedWrite>> {
        let now = SystemClock.now();
        let received = batch.events.first().and_then(|arrival| arrival.event.passed.delivered_at);
        let mut span = self.span.lock();
        let first = span.map_or(received.unwrap_or(now), |(first, _)| first);
        *span = Some((first, now));
        let counted = batch.events.len() as u64;
        if self.events.fetch_add(counted, Ordering::Relaxed) + counted >= self.rows {
            self.enough.cancel();
        }
        Ok(Vec::new())
    }
}

#[async_trait]
impl Ledger for Counter {
    async fn adopted(&self) -> sink::Result<Option<Adopted>> {
        Ok(self.adopted.lock().clone())
    }

    async fn adopt(&self, adopted: &Adopted) -> sink::Result<()> {
        *self.adopted.lock() = Some(adopted.clone());
        Ok(())
    }

    async fn record(&self, _: &[(EventId, Position)]) -> sink::Result<()> {
        Ok(())
    }

    async fn recall(&self, _: &[EventId]) -> sink::Result<Vec<(EventId, Position)>> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl DeadLetters for Counter {
    async fn bury(&self, _: &[DeadLetter]) -> sink::Result<()> {
        Ok(())
    }

    async fn letters(&self, _: Option<&str>, _: u32) -> sink::Result<Vec<DeadLetter>> {
        Ok(Vec::new())
    }

    async fn discard(&self, _: &[String]) -> sink::Result<()> {
        Ok(())
    }

    async fn count_letters(&self) -> sink::Result<u64> {
        Ok(0)
    }
}
