//! What the tests stand on: a log, a sink and a pipeline between them.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use streamer_events::{
    Backoff, Change, Error, Outbox, Parts, Pipeline, Registry, Settings,
    change::Op,
    sink::ReadModels,
    source::Source,
    testing::{MemoryLog, PausedClock, SeededRandom, given},
};
use streamer_events_conformance::source::{NewRow, Place};
use tokio_util::sync::CancellationToken;

/// The in-memory log, as the conformance suite sees it.
pub(crate) struct MemoryPlace(Arc<MemoryLog>);

impl Default for MemoryPlace {
    fn default() -> Self {
        Self(MemoryLog::new(given::epoch()))
    }
}

#[async_trait]
impl Place for MemoryPlace {
    async fn lay_under(&self, rows: &[NewRow]) {
        for row in rows {
            self.0.lay_under(inserted(row, Op::Read));
        }
    }

    async fn commit(&self, rows: &[NewRow]) {
        for row in rows {
            self.0.append(0, inserted(row, Op::Create));
        }
    }

    async fn source(&self) -> Arc<dyn Source> {
        Arc::new(self.0.source(&[0]))
    }
}

fn inserted(row: &NewRow, op: Op) -> Change {
    let NewRow { event_id, event_type, aggregate_id, payload, .. } = row;
    Change { op, ..given::told(event_id, event_type, aggregate_id, payload) }
}

/// A change that brings an event.
pub(crate) fn told(id: &str, event_type: &str, aggregate: &str, payload: Json) -> Change {
    given::told(id, event_type, aggregate, &payload.to_string())
}

/// A user who came to be.
pub(crate) fn user(n: u64) -> Change {
    told(&format!("e{n}"), "UserCreated", &format!("u{n}"), json!({ "email": format!("u{n}@example.com") }))
}

/// Quick to try again, and small batches.
pub(crate) fn settings() -> Settings {
    Settings {
        batch_events_max: 10,
        backoff: Backoff { base: Duration::from_millis(10), max: Duration::from_millis(100) },
        ..Settings::default()
    }
}

/// A pipeline with the shipped handlers.
pub(crate) fn pipeline(source: impl Source + 'static, models: Arc<dyn ReadModels>) -> Pipeline {
    pipeline_of(source, models, streamer_events::projections::registry(), settings())
}

/// A pipeline.
pub(crate) fn pipeline_of(
    source: impl Source + 'static,
    models: Arc<dyn ReadModels>,
    registry: Registry,
    settings: Settings,
) -> Pipeline {
    let parts = Parts {
        source: Arc::new(source),
        models,
        sinks: Vec::new(),
        registry,
        outbox: Outbox::default(),
        clock: Arc::new(PausedClock::starting_at(given::moment(1))),
        random: Arc::new(SeededRandom::new(7)),
    };
    Pipeline::new(parts, settings)
}

/// Runs the pipeline until `done`, then stops it.
pub(crate) async fn run_until(pipeline: &Pipeline, done: impl Fn() -> bool) -> Result<(), Error> {
    let stop = CancellationToken::new();
    let running = pipeline.run(stop.clone());
    tokio::pin!(running);
    tokio::select! {
        ended = &mut running => ended,
        () = comes_to_pass(done) => {
            stop.cancel();
            running.await
        }
    }
}

/// Runs the pipeline until `done`, then kills it.
pub(crate) async fn kill_when(pipeline: &Pipeline, done: impl Fn() -> bool) {
    tokio::select! {
        ended = pipeline.run(CancellationToken::new()) => panic!("ended by itself: {ended:?}"),
        () = comes_to_pass(done) => {}
    }
}

async fn comes_to_pass(done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(600), waiting).await.expect("comes to pass");
}
