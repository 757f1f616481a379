//! The files in `deploy/` that other programs read: each is shown to a program that knows how to.

use std::process::Command;

use anyhow::Result;

use crate::{run::run, tool, workspace::Workspace};

/// Checks each file by a program, where that can be had. The proxies' files are run by the tests.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let with = |what: &str, program: Result<Command>, arguments: &[&str]| match program {
        Ok(mut program) => run(program.args(arguments)),
        Err(e) => {
            println!("not checked: {what} ({e:#})");
            Ok(())
        }
    };
    with(
        "deploy/Dockerfile",
        tool::HADOLINT.command(workspace),
        &["--failure-threshold", "style", "deploy/Dockerfile"],
    )?;
    with(
        "deploy/compose.yaml",
        tool::CHECK_JSONSCHEMA.command(workspace),
        &["--builtin-schema", "vendor.compose-spec", "deploy/compose.yaml"],
    )
}
