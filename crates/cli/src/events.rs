//! `streamer events`: from a PostgreSQL outbox to read models and live topics.
//!
//! Exit codes: 0 when it is done, 1 when something is to be mended first (which is said), 2 when the command line cannot
//! be read.

mod beside;
mod cleanup;
#[cfg(all(feature = "demo", unix))]
mod demo;
mod feed;
mod figures;
mod flags;
mod letters;
mod load;
mod monitor;
mod processor;
mod replay;
mod report;
mod resnapshot;
mod run;
mod setup;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;
use streamer_events::Registry;

pub(crate) use beside::Beside;
pub(crate) use flags::Flags;

/// What to do with the events.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make in PostgreSQL what is missing: schema, outbox, publication, slot. Safe to repeat.
    Setup(setup::Arguments),
    /// Write realistic events into the outbox, at a pace.
    Load(load::Arguments),
    /// Compare the outbox with the read models; exit with 1 if there is a difference.
    Verify(verify::Arguments),
    /// Watch a running pipeline, as a dashboard or as lines.
    Monitor(monitor::Arguments),
    /// Print how long events take, stage by stage, beside the targets.
    Report(report::Arguments),
    /// Apply every event to the read models, as it is committed.
    Run(run::Arguments),
    /// Look at dead letters, try them again, or throw them away.
    Replay(replay::Arguments),
    /// Read all rows of the outbox again, after its slot was lost or its server restored.
    Resnapshot(resnapshot::Arguments),
    /// Mark or remove rows of the outbox that are handled, forget those that are gone, or undo the setup.
    #[command(subcommand)]
    Cleanup(cleanup::Command),
    /// Show all of this: setup, 10 to 10,000 events under a live dashboard, each step verified, and a report.
    ///
    /// Uses the servers that are named (POSTGRES_HOST and MONGODB_URI, or their settings). Otherwise it installs what is
    /// missing, starts servers of its own, and ends them with itself.
    #[cfg(all(feature = "demo", unix))]
    Demo(demo::Arguments),
}

/// `registry` has the application's handlers.
pub(crate) fn command(command: &Command, registry: Registry) -> anyhow::Result<ExitCode> {
    crate::faults::arm()?;
    match command {
        Command::Setup(arguments) => setup::command(arguments),
        Command::Monitor(arguments) => monitor::command(arguments),
        Command::Report(arguments) => report::command(arguments),
        Command::Load(arguments) => load::command(arguments),
        Command::Verify(arguments) => verify::command(arguments, registry),
        Command::Run(arguments) => run::command(arguments, registry),
        Command::Replay(arguments) => replay::command(arguments, registry),
        Command::Resnapshot(arguments) => resnapshot::command(arguments, registry),
        Command::Cleanup(command) => cleanup::command(command),
        #[cfg(all(feature = "demo", unix))]
        Command::Demo(arguments) => demo::command(arguments, registry),
    }
}
