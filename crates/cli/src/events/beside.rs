//! The processor beside a server, in one process.

use std::sync::Arc;

use bytes::Bytes;
use streamer_engine::Engine;
use streamer_events::{
    DeadLetter, NewEpoch, Pipeline, Registry, State, apply::Refusal, failpoint, replay, sink::Sink,
};
use streamer_protocol::{ErrorBody, ErrorCode};
use streamer_server::PublishLetter;
use streamer_sink_topics::TopicSink;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    figures,
    processor::{self, Wanted},
};
use crate::config::Events;

/// Runs pipelines, one after the other: what stops one is for a person to mend, and is no reason to end a server.
pub(crate) struct Beside {
    events: Events,
    registry: Registry,
    topics: Option<Arc<dyn Sink>>,
    current: watch::Sender<Option<Arc<Pipeline>>>,
}

impl Beside {
    /// For the engine whose topics the events are published to, if the configuration wants either.
    pub(crate) fn new(events: &Events, registry: Registry, engine: &Engine) -> anyhow::Result<Option<Self>> {
        if !events.enabled {
            return Ok(None);
        }
        let mut topics: Option<Arc<dyn Sink>> = None;
        if events.topics.enabled {
            let settings = events.topics.sink_settings();
            let settings = settings.map_err(|(setting, problem)| anyhow::anyhow!("{setting}: {problem}"))?;
            topics = Some(failpoint::around_sink(Arc::new(TopicSink::new(engine.clone(), settings))));
        }
        let (current, _) = watch::channel(None);
        Ok(Some(Self { events: events.clone(), registry, topics, current }))
    }

    /// What it has measured, for Prometheus.
    pub(crate) fn metrics(&self) -> impl Fn() -> String + Send + Sync + use<> {
        let current = self.current.subscribe();
        move || {
            let pipeline = current.borrow().clone();
            let state = pipeline.as_ref().map(|pipeline| *pipeline.state().borrow());
            let runs = state.is_some_and(|state| state != State::Opening);
            let runs =
                format!("# TYPE streamer_events_running gauge\nstreamer_events_running {}\n", u8::from(runs));
            runs + &pipeline.map_or_else(String::new, |pipeline| figures::metrics(&pipeline))
        }
    }

    /// What it has measured, as JSON; none while no pipeline is there.
    pub(crate) fn figures(&self) -> impl Fn() -> Option<String> + Send + Sync + use<> {
        let current = self.current.subscribe();
        move || {
            let pipeline = current.borrow().clone();
            pipeline.map(|pipeline| figures::json(&pipeline.figures()))
        }
    }

    /// Publishes dead letters again; none without topics. The pipeline need not run for it.
    pub(crate) fn letters(&self) -> Option<PublishLetter> {
        let topics = Arc::clone(self.topics.as_ref()?);
        Some(Arc::new(move |letter| Box::pin(publish(Arc::clone(&topics), letter))))
    }

    /// Runs until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        while !stop.is_cancelled() {
            let wanted = Wanted {
                registry: self.registry.clone(),
                sinks: self.topics.iter().cloned().collect(),
                on_new_epoch: NewEpoch::Stop,
            };
            let ended = match processor::pipeline(&self.events, wanted, &stop).await {
                Ok(None) => break,
                Ok(Some(pipeline)) => {
                    let pipeline = Arc::new(pipeline);
                    self.current.send_replace(Some(Arc::clone(&pipeline)));
                    let ended = figures::run(&pipeline, &self.events, &stop).await;
                    self.current.send_replace(None);
                    ended
                }
                Err(e) => Err(e),
            };
            if let Err(e) = ended {
                let again_in_s = self.events.restart_interval_s.0;
                error!(error = format!("{e:#}"), again_in_s, "the events cannot go on");
                let wait = tokio::time::sleep(self.events.restart_interval_s.duration());
                if stop.run_until_cancelled(wait).await.is_some() {
                    info!("the events are tried again");
                }
            }
        }
        Ok(())
    }
}

/// Why the letter's event is refused again, if it is.
async fn publish(topics: Arc<dyn Sink>, letter: Bytes) -> Result<Option<String>, ErrorBody> {
    let letter: DeadLetter = serde_json::from_slice(&letter)
        .map_err(|_| ErrorBody::new(ErrorCode::ValidationError, "this is no dead letter"))?;
    if letter.truncated {
        return Err(ErrorBody::new(ErrorCode::ValidationError, "its payload is kept only in part"));
    }
    let refused = topics.apply(&replay::batch(&letter)).await;
    let refused = refused.map_err(|e| {
        warn!(error = %e, "a dead letter cannot be published");
        ErrorBody::new(ErrorCode::Overloaded, "the topic cannot take it now; the log says why")
    })?;
    Ok(refused.into_iter().next().map(|refused| match refused.refusal {
        Refusal::Unpublishable(why) => why,
        other => other.to_string(),
    }))
}
