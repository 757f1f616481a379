//! `cargo xtask bench`: the benchmarks, in a release build.

use std::{env, process::ExitCode};

use anyhow::Result;
use clap::ValueEnum;

use crate::{
    run::{cargo, status},
    workspace::Workspace,
};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// Slow requests over live connections.
    Requests,
}

/// Builds the bench and runs it, each row beside its floor. `args` are the bench's own, such as `--json FILE`; a
/// file is found from where the command was called.
pub(crate) fn bench(workspace: &Workspace, suite: Suite, args: &[String]) -> Result<ExitCode> {
    let package = match suite {
        Suite::Requests => "streamer-bench",
    };
    let mut command = cargo(workspace.root());
    command.args(["run", "--quiet", "--release", "--package", package, "--"]).args(args);
    // `cargo run` starts the program where it is called itself.
    let status = status(command.current_dir(env::current_dir()?))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
