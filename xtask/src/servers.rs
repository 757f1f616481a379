//! The real servers that tests are held against.

use anyhow::{Context as _, Result};
use streamer_servers::install;

use crate::workspace::Workspace;

/// Installs PostgreSQL from the system's packages, unless it is there.
pub(crate) fn postgres(_workspace: &Workspace) -> Result<()> {
    install::postgres().context("cannot be installed")
}

/// Installs the stand-in for MongoDB under the target folder, unless it is there.
pub(crate) fn mongodb(workspace: &Workspace) -> Result<()> {
    install::mongodb(&workspace.target("tools")).context("cannot be installed")
}
