//! The processor: a pipeline of the configuration, put together.

use std::sync::Arc;

use anyhow::Context as _;
use streamer_events::{
    Backoff, NewEpoch, Parts, Pipeline, Registry, clock::SystemClock, failpoint, random::SystemRandom,
    sink::Sink,
};
use streamer_sink_mongodb::MongoSink;
use streamer_source_postgres::PostgresSource;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::Events;

/// What a processor is made with beside the configuration.
pub(crate) struct Wanted {
    /// The handlers of the application; the configuration's come beside them.
    pub(crate) registry: Registry,
    /// Where the events go besides the read models.
    pub(crate) sinks: Vec<Arc<dyn Sink>>,
    /// What to do in another life of the source.
    pub(crate) on_new_epoch: NewEpoch,
}

/// What a processor of its own confirms, no topic would ever get.
pub(crate) fn ensure_no_topics(events: &Events) -> anyhow::Result<()> {
    anyhow::ensure!(
        !events.topics.enabled,
        "events.topics.enabled: topics are a server's: run streamer serve with events.enabled = true instead"
    );
    Ok(())
}

/// The source of the configuration; nothing is connected yet.
pub(crate) fn source(events: &Events) -> anyhow::Result<PostgresSource> {
    Ok(PostgresSource::new(events.source_settings()?, Arc::new(SystemClock), Arc::new(SystemRandom)))
}

/// The pipeline; none if `stop` came first. Waits for MongoDB, as the pipeline itself does later.
pub(crate) async fn pipeline(
    events: &Events,
    wanted: Wanted,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Pipeline>> {
    let source = source(events)?;
    let registry = events.registry(wanted.registry)?;
    let settings =
        streamer_events::Settings { on_new_epoch: wanted.on_new_epoch, ..events.pipeline_settings() };
    let Some(models) = models_when_there(events, settings.backoff, stop).await? else { return Ok(None) };
    let parts = Parts {
        source: Arc::new(source),
        models: failpoint::around_models(Arc::new(models)),
        sinks: wanted.sinks,
        registry,
        outbox: events.source_settings()?.outbox,
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
    };
    Ok(Some(Pipeline::new(parts, settings)))
}

/// The read models, tried once.
pub(crate) async fn models(events: &Events) -> anyhow::Result<MongoSink> {
    let opened = MongoSink::open(&events.sink_settings()).await;
    opened.with_context(|| format!("events.mongodb.uri {:?}", events.mongodb))
}

/// The read models, tried for as long as it may help.
async fn models_when_there(
    events: &Events,
    backoff: Backoff,
    stop: &CancellationToken,
) -> anyhow::Result<Option<MongoSink>> {
    let settings = events.sink_settings();
    let mut failures = 0;
    loop {
        let opened = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(None),
            opened = MongoSink::open(&settings) => opened,
        };
        let error = match opened {
            Ok(models) => return Ok(Some(models)),
            Err(e) if e.kind().is_transient() => e,
            Err(e) => {
                return Err(e).with_context(|| format!("events.mongodb.uri {:?}", events.mongodb));
            }
        };
        failures += 1;
        let wait = backoff.after(failures, &SystemRandom);
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        warn!(server = ?events.mongodb, failures, wait_ms, error = %error, "the read models cannot be reached");
        if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return Ok(None);
        }
    }
}
