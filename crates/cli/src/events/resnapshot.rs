//! `streamer events resnapshot`: goes on after a slot was lost or a server was restored.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context as _;
use clap::Args;
use streamer_events::{NewEpoch, Pipeline, Registry, State, failpoint, sink::Adopted, source::Source as _};
use streamer_service::{signals::Stop, telemetry};
use streamer_source_postgres::PostgresSource;
use tokio_util::sync::CancellationToken;

use super::{
    Flags,
    processor::{self, Wanted},
};
use crate::config::{Config, Events};

/// Make the slot anew, read all rows that the outbox still has, and apply those that the read models do not have. Ends when
/// that is done; `events run` goes on from there. Where events go to live topics too, the server reads the rows, when it
/// tries again or is started. Rows that were removed meanwhile are not there to be read. Stop every processor first.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    flags: Flags,
}

pub(crate) fn command(arguments: &Arguments, registry: Registry) -> anyhow::Result<ExitCode> {
    let Some(loaded) = arguments.flags.load(&[]) else { return Ok(ExitCode::FAILURE) };
    telemetry::install(&loaded.config.logs)?;
    crate::block_on(resnapshot(&loaded.config, registry))
}

async fn resnapshot(config: &Config, registry: Registry) -> anyhow::Result<ExitCode> {
    let events = &config.events;
    if events.topics.enabled {
        return prepare(events).await;
    }
    let stop = Stop::on_signals()?;
    // Before the slot goes: without the read models nothing would be gained.
    let wanted = Wanted { registry, sinks: Vec::new(), on_new_epoch: NewEpoch::Resnapshot };
    let Some(pipeline) = processor::pipeline(events, wanted, &stop.token()).await? else {
        return Ok(ExitCode::FAILURE);
    };
    forget_slot(&processor::source(events)?).await?;
    let is_complete = until_complete(Arc::new(pipeline), stop.token()).await?;
    println!(
        "{}",
        if is_complete {
            "the snapshot is complete: streamer events run"
        } else {
            "stopped: streamer events run goes on with the snapshot"
        }
    );
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes the slot anew, and leaves the reading to whoever reads next.
async fn prepare(events: &Events) -> anyhow::Result<ExitCode> {
    let models = failpoint::around_models(Arc::new(processor::models(events).await?));
    let source = processor::source(events)?;
    forget_slot(&source).await?;
    let epoch = source.open().await?.epoch;
    // No pass was begun: the next one is the first.
    models.adopt(&Adopted { epoch, snapshot: Some(0) }).await?;
    source.close().await?;
    println!("the slot is made anew; the server reads the rows when it tries again: streamer serve");
    Ok(ExitCode::SUCCESS)
}

async fn forget_slot(source: &PostgresSource) -> anyhow::Result<()> {
    source.forget_slot().await.context("the slot cannot be made anew; is every processor stopped?")
}

/// Runs the pipeline until its snapshot is complete. Whether it is.
async fn until_complete(pipeline: Arc<Pipeline>, stop: CancellationToken) -> anyhow::Result<bool> {
    let halt = stop.child_token();
    let mut state = pipeline.state();
    let running = pipeline.run(halt.clone());
    tokio::pin!(running);
    let is_complete = tokio::select! {
        ended = &mut running => {
            ended?;
            return Ok(false);
        }
        complete = state.wait_for(|state| *state == State::Streaming) => complete.is_ok(),
    };
    halt.cancel();
    running.await?;
    Ok(is_complete)
}
