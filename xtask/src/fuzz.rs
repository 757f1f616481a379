//! `cargo xtask fuzz`: longer runs than those of the tests.

use std::process::ExitCode;

use anyhow::Result;

use crate::{
    run::{cargo, status},
    workspace::Workspace,
};

/// Runs the fuzz targets with the checks of a debug build. `args` are its own, such as `frames --seconds 600`.
pub(crate) fn fuzz(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let mut command = cargo(workspace.root());
    // Not a release build: that does without the checks of arithmetic.
    command.args(["run", "--quiet", "--package", "streamer-fuzz", "--"]);
    let status = status(command.args(args))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
