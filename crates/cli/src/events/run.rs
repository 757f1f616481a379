//! `streamer events run`: the life of a processor.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use streamer_events::{NewEpoch, Pipeline, Registry, State};
use streamer_server::Vitals;
use streamer_service::{
    signals::Stop,
    supervisor::Supervisor,
    tasks::Tasks,
    telemetry::{self, Metrics},
};
use tokio::net::TcpListener;
use tracing::info;

use super::{
    Flags, figures,
    processor::{self, Wanted},
};
use crate::config::Config;

/// How long a metric is shown after it was last counted.
const METRICS_IDLE: Duration = Duration::from_secs(60 * 60);

/// Apply every event to the read models, until SIGTERM or SIGINT. A second process on the same slot waits, and takes over
/// when the first one ends.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    flags: Flags,
    /// At most so many events are applied at once (events.batch_events_max, BATCH_SIZE)
    #[arg(long, value_name = "EVENTS")]
    batch_size: Option<String>,
    /// Where latencies and counts are written to, as JSON (events.metrics_file, METRICS_FILE)
    #[arg(long, value_name = "FILE")]
    metrics_file: Option<String>,
    /// Where health and metrics are served (events.admin.address)
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// Write the admin address to this file, as JSON, once it is open
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Addresses {
    admin: Option<SocketAddr>,
}

pub(crate) fn command(arguments: &Arguments, registry: Registry) -> anyhow::Result<ExitCode> {
    let Arguments { flags, batch_size, metrics_file, admin, ready_file } = arguments;
    let more = [
        ("--batch-size", "events.batch_events_max", batch_size.clone()),
        ("--metrics-file", "events.metrics_file", metrics_file.clone()),
        ("--admin", "events.admin.address", admin.clone()),
    ];
    let Some(loaded) = flags.load(&more) else { return Ok(ExitCode::FAILURE) };
    processor::ensure_no_topics(&loaded.config.events)?;
    crate::block_on(run(&loaded.config, registry, ready_file.as_deref()))?;
    Ok(ExitCode::SUCCESS)
}

/// Runs until a signal says stop, or until a person must look.
async fn run(config: &Config, registry: Registry, ready_file: Option<&Path>) -> anyhow::Result<()> {
    telemetry::install(&config.logs)?;
    let metrics = Metrics::install(METRICS_IDLE)?;
    let stop = Stop::on_signals()?;
    let supervisor = Supervisor::of_environment()?;
    let events = &config.events;
    let listener = listen(config)?;
    let admin = listener.as_ref().map(TcpListener::local_addr).transpose()?;
    if let Some(file) = ready_file {
        crate::serve::announce(&Addresses { admin }, file)?;
    }
    info!(source = ?events.source_settings()?.server, models = ?events.mongodb, admin = admin.map(tracing::field::display), "the processor starts");
    let wanted = Wanted { registry, sinks: Vec::new(), on_new_epoch: NewEpoch::Stop };
    let Some(pipeline) = processor::pipeline(events, wanted, &stop.token()).await? else { return Ok(()) };
    let pipeline = Arc::new(pipeline);

    let mut tasks = Tasks::new(stop, events.drain_timeout_s.duration());
    tasks.spawn("supervisor", |stop| supervisor.follow(stop));
    let (processor, kept) = (Arc::clone(&pipeline), events.clone());
    tasks.spawn("events", move |stop| async move { figures::run(&processor, &kept, &stop).await });
    if let Some(listener) = listener {
        let vitals = vitals(config, pipeline, metrics.clone());
        tasks.spawn("admin", move |stop| async move {
            vitals.serve(listener, stop).await;
            anyhow::Ok(())
        });
    }
    tasks.spawn("metrics", |stop| metrics.upkeep(stop));
    tasks.join().await?;
    info!("stopped");
    Ok(())
}

fn listen(config: &Config) -> anyhow::Result<Option<TcpListener>> {
    let admin = &config.events.admin;
    if !admin.enabled {
        return Ok(None);
    }
    let bound = crate::listeners::bind("events.admin.address", &admin.address);
    bound.map(Some).context("name another, or set events.admin.enabled = false")
}

fn vitals(config: &Config, pipeline: Arc<Pipeline>, metrics: Metrics) -> Vitals {
    let state = pipeline.state();
    let measured = Arc::clone(&pipeline);
    Vitals {
        metrics: Box::new(move || metrics.render() + &figures::metrics(&pipeline)),
        figures: Box::new(move || figures::json(&measured.figures())),
        ready: Box::new(move || {
            let state = *state.borrow();
            (state != State::Opening, state.as_str())
        }),
        allowed_hosts: config.admin.allowed_hosts.clone(),
    }
}
