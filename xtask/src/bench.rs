//! `cargo xtask bench`: the benchmarks, in a release build.

use std::{env, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::ValueEnum;

use crate::{
    handlers,
    run::{cargo, status},
    servers,
    workspace::Workspace,
};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// Slow requests over live connections.
    Requests,
    /// Topics and handlers by URL, beside uWebSockets and `ws` where npm can install them.
    Live,
    /// From an outbox to read models and live topics.
    Events,
}

/// What the peers are made of that topics are measured beside: Bun, which has uWebSockets in it, and `ws`.
const PEERS: &str = "bench/peers/package.json";

/// Installs the peers, unless they are there.
pub(crate) fn peers(workspace: &Workspace) -> Result<PathBuf> {
    handlers::packages(workspace, "bench-peers", PEERS)
}

/// Builds the bench and runs it, each row beside its floor. `args` are the bench's own, such as `--json FILE`; a
/// file is found from where the command was called.
pub(crate) fn bench(workspace: &Workspace, suite: Suite, args: &[String]) -> Result<ExitCode> {
    let mut command = cargo(workspace.root());
    command.args(["run", "--quiet", "--release", "--package", "streamer-bench", "--"]);
    match suite {
        Suite::Requests => {}
        Suite::Live => {
            command.args(["--suite", "live"]);
            match peers(workspace) {
                Ok(folder) => drop(command.arg("--peers").arg(folder)),
                Err(e) => println!("without uWebSockets and ws: {e:#}"),
            }
        }
        Suite::Events => {
            command.args(["--suite", "events"]);
            servers::postgres(workspace)?;
            servers::mongodb(workspace)?;
        }
    }
    command.args(args);
    // `cargo run` starts the program where it is called itself.
    let status = status(command.current_dir(env::current_dir()?))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
