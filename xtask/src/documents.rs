//! Public validators of `docs/openapi.json` and `docs/asyncapi.json`, in fixed versions, for the tests.

use std::{fs, path::Path};

use anyhow::Result;

use crate::{
    run::{command, run},
    tool,
    workspace::Workspace,
};

const ASYNCAPI_PARSER: &str = "3.6.3";

/// Installs what is missing, from PyPI and npm.
pub(crate) fn prepare(workspace: &Workspace) -> Result<()> {
    tool::OPENAPI_SPEC_VALIDATOR.install(workspace)?;
    tool::once(workspace, "asyncapi-parser", ASYNCAPI_PARSER, |folder| npm_install(workspace, folder))?;
    Ok(())
}

fn npm_install(workspace: &Workspace, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    run(command("npm", workspace.root())
        .args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
        .arg(folder)
        .arg(format!("@asyncapi/parser@{ASYNCAPI_PARSER}")))
}
