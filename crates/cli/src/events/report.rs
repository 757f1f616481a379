//! `streamer events report`: latencies beside what was aimed at.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use streamer_events_tools::report::Report;
use streamer_service::telemetry;

use super::{Flags, feed::Feed};
use crate::json_file;

/// Print how long events take, stage by stage and type by type, beside the targets; of a pipeline that runs, or of one that
/// has ended and left its metrics file.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The admin address of the pipeline's process, as http://…, or its metrics file; unless given, those of the
    /// configuration
    #[arg(long, value_name = "URL|FILE")]
    from: Option<String>,
    /// Exit with 1 if a target is missed
    #[arg(long)]
    check: bool,
    /// Write the report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

pub(crate) fn command(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Some(loaded) = arguments.flags.load(&[]) else { return Ok(ExitCode::FAILURE) };
    telemetry::install(&loaded.config.logs)?;
    let feed = Feed::new(arguments.from.as_deref(), &loaded.config)?;
    let report = Report::of(crate::block_on(feed.figures())?);
    print!("{}", report.text());
    if let Some(file) = &arguments.json {
        json_file::write(file, &report)?;
    }
    Ok(if arguments.check && !report.is_met { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
