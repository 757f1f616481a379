//! `streamer events monitor`: a pipeline, watched live.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use streamer_events_tools::monitor::{Settings, log, watch};
use streamer_service::{signals::Stop, telemetry};

use super::{Flags, feed::Feed};

/// Watch a running pipeline: throughput, latencies by stage, event types, the slot, dead letters and the last events. On a
/// terminal as a dashboard, elsewhere as lines.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The admin address of the pipeline's process, as http://…, or its metrics file; unless given, those of the
    /// configuration
    #[arg(long, value_name = "URL|FILE")]
    from: Option<String>,
    /// So many events are expected from now on: shows how far they are; lines end with them
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(1..))]
    target: Option<u64>,
    /// How often it is looked
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(50..=60_000))]
    interval_ms: u64,
    /// Lines for a log, on a terminal too
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    flags: Flags,
}

pub(crate) fn command(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Some(loaded) = arguments.flags.load(&[]) else { return Ok(ExitCode::FAILURE) };
    telemetry::install(&loaded.config.logs)?;
    let feed = Feed::new(arguments.from.as_deref(), &loaded.config)?;
    let settings = Settings {
        name: feed.name().to_owned(),
        interval: Duration::from_millis(arguments.interval_ms),
        target: arguments.target,
    };
    crate::block_on(async {
        // Kept, because it listens only as long as it lives.
        let stop = Stop::on_signals()?;
        let asked = || async { feed.figures().await.map_err(|e| format!("{e:#}")) };
        let history = if arguments.plain || !io::stdout().is_terminal() {
            log(&settings, asked, print, stop.fired()).await?
        } else {
            watch(&settings, asked, stop.fired()).await?
        };
        // Whoever was never heard is not there, or not where it was looked for.
        Ok(if history.latest().is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

fn print(line: String) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}
