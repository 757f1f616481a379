//! The real servers that tests are held against.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use streamer_servers::mongodb::FOLDER as STAND_IN;

use crate::{
    run::{command, run, succeeds},
    workspace::Workspace,
};

/// Installs PostgreSQL from the system's packages, unless it is there.
pub(crate) fn postgres(workspace: &Workspace) -> Result<()> {
    if has_postgres() {
        return Ok(());
    }
    if !succeeds(command("apt-get", workspace.root()).arg("--version")) {
        bail!("PostgreSQL is not here, and neither is apt-get: install its server by the system's own means");
    }
    let apt = |args: &[&str]| {
        let root = streamer_servers::is_root();
        let mut apt = command(if root { "apt-get" } else { "sudo" }, workspace.root());
        if !root {
            apt.args(["-n", "apt-get"]);
        }
        run(apt.args(["-q", "-y"]).args(args).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    // The package lists may be older than the packages.
    let install = ["install", "--no-install-recommends", "postgresql"];
    apt(&install).or_else(|_| apt(&["update"]).and_then(|()| apt(&install)))?;
    match has_postgres() {
        true => Ok(()),
        false => bail!("installed, and still not found"),
    }
}

fn has_postgres() -> bool {
    streamer_servers::postgres::programs().is_some()
}

/// Installs the stand-in for MongoDB under the target folder, unless it is there.
pub(crate) fn mongodb(workspace: &Workspace) -> Result<()> {
    let tools = workspace.target("tools");
    let folder = tools.join(STAND_IN);
    if folder.exists() {
        return Ok(());
    }
    // Made beside and moved: a folder of the final name is whole, even if this is interrupted.
    let unfinished = tools.join(format!("{STAND_IN}.unfinished-{}", std::process::id()));
    fs::create_dir_all(&unfinished)?;
    build_stand_in(workspace, &unfinished)
        .and_then(|()| fs::rename(&unfinished, &folder).context("cannot move the installed files"))
        .inspect_err(|_| drop(fs::remove_dir_all(&unfinished)))
        .context("cannot install the stand-in for MongoDB")
}

fn build_stand_in(workspace: &Workspace, folder: &Path) -> Result<()> {
    let java = workspace.root().join("crates/servers/java");
    run(command("mvn", workspace.root())
        .args(["-q", "-B", "-f"])
        .arg(java.join("pom.xml"))
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", folder.display())))?;
    let class_path = PathBuf::from(folder).join("*");
    run(command("javac", workspace.root())
        .arg("-cp")
        .arg(class_path)
        .arg("-d")
        .arg(folder)
        .arg(java.join("StandIn.java")))
}
