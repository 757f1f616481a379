//! `streamer events demo`: all that events do, on servers of its own, from nothing to a report.

mod display;
mod outcome;
mod servers;
mod step;

use std::{
    convert::Infallible,
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use streamer_events::Registry;
use streamer_events_tools::load::SCENARIOS;
use streamer_service::{
    signals::{Hangups, Stop},
    telemetry,
};

use super::{Flags, flags::is_given, load::usual_plan, processor};
use crate::{config::Events, json_file};
use display::Display;
use outcome::Outcome;
use servers::{Named, Servers};
use step::Stage;

/// Set up, write events step by step while a dashboard shows how they arrive, verify after each step, and report. Exits
/// with 1 if there is a difference.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many events each step writes, at the pace of streamer events load
    #[arg(long, value_name = "EVENTS", value_delimiter = ',', default_values_t = SCENARIOS.map(|plan| plan.count), value_parser = clap::value_parser!(u64).range(1..))]
    steps: Vec<u64>,
    /// Lines for a log, on a terminal too
    #[arg(long)]
    plain: bool,
    /// Leave the servers that were started running, and say where they are and what ends them
    #[arg(long)]
    keep: bool,
    /// Yes, write made-up events into an outbox that has rows
    #[arg(long)]
    yes: bool,
    /// Exit with 1 if the last step misses a target
    #[arg(long)]
    check: bool,
    /// Write what each step came to to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

pub(crate) fn command(arguments: &Arguments, registry: Registry) -> anyhow::Result<ExitCode> {
    let Some(mut loaded) = arguments.flags.load(&[]) else { return Ok(ExitCode::FAILURE) };
    let display =
        if arguments.plain || !io::stdout().is_terminal() { Display::Lines } else { Display::Screen };
    if !is_given(&loaded, "logs.filter") {
        loaded.config.logs.filter = display.log_level().to_owned();
    }
    telemetry::install(&loaded.config.logs)?;
    processor::ensure_no_topics(&loaded.config.events)?;
    let named = Named::of(&loaded)?;
    // Before signals are heard: what takes minutes ends at once by control-C.
    named.install_others()?;
    let mut outcome = Outcome::default();
    let events = loaded.config.events;
    let shown =
        crate::block_on(show_unless_stopped(arguments, named, events, registry, display, &mut outcome));
    if let Err(e) = &shown {
        outcome.error = Some(format!("{e:#}"));
    }
    // First, as the terminal may be gone.
    let written = arguments.json.as_ref().map_or(Ok(()), |file| json_file::write(file, &outcome));
    let mut text = String::new();
    if !outcome.steps.is_empty() {
        text += &outcome.text();
    }
    if let Some(kept) = &outcome.kept {
        text += &kept.text();
    }
    let told = std::io::stdout().write_all(text.as_bytes());
    shown?;
    written?;
    told.context("the outcome cannot be printed")?;
    let is_well = outcome.is_whole() && (outcome.is_met() || !arguments.check);
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Until a signal says stop: then everything that was started is ended.
async fn show_unless_stopped(
    arguments: &Arguments,
    named: Named,
    events: Events,
    registry: Registry,
    display: Display,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    // Kept, because it listens only as long as it lives.
    let stop = Stop::on_signals()?;
    // A terminal that is closed would end the process at once, and leave the servers that might have been kept.
    let mut hangups = Hangups::listen()?;
    let hearing = async {
        hangups.next().await;
        stop.fire();
        std::future::pending::<Infallible>().await
    };
    let showing = async {
        let opening = Servers::open(named, events, arguments.keep);
        let opened = stop.token().run_until_cancelled(opening).await;
        let servers = opened.unwrap_or_else(|| Err(step::interrupted()))?;
        servers.describe(&mut outcome.servers);
        show(arguments, &servers, registry, display, &stop, outcome).await?;
        if arguments.keep {
            outcome.kept = servers.keep()?;
        }
        Ok(())
    };
    tokio::select! {
        shown = showing => shown,
        never = hearing => match never {},
    }
}

/// Step after step, until one finds a difference.
async fn show(
    arguments: &Arguments,
    servers: &Servers,
    registry: Registry,
    display: Display,
    stop: &Stop,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let preparing = servers.prepare(arguments.yes);
    stop.token().run_until_cancelled(preparing).await.unwrap_or_else(|| Err(step::interrupted()))?;
    let count = arguments.steps.len();
    let stage = Stage { events: servers.events(), registry, display };
    for (number, plan) in (1..).zip(arguments.steps.iter().copied().map(usual_plan)) {
        let step = stage.run(&format!("step {number} of {count}"), plan, &stop.token()).await?;
        println!("{}", step.line());
        let is_whole = step.verified.is_whole;
        outcome.steps.push(step);
        if !is_whole {
            break;
        }
    }
    Ok(())
}
