//! What the example handlers in other languages are made of, for the tests that try them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    run::{command, run},
    workspace::Workspace,
};

/// npm's `eventsource`, by which pages listen.
pub(crate) fn event_source(workspace: &Workspace) -> Result<()> {
    packages(workspace, "event-source", "e2e/event_source/package.json").map(drop)
}

/// Installs what both name in their own files, under the target folder, unless it is there.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    let (python, typescript) = (python(workspace), typescript(workspace));
    python.and(typescript)
}

fn python(workspace: &Workspace) -> Result<()> {
    let wanted = "examples/handlers/python/requirements.txt";
    let install = |folder: &Path| {
        run(command("python3", workspace.root())
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(["--root-user-action", "ignore", "--requirement", wanted, "--target"])
            .arg(folder))
    };
    installed(workspace, "handlers-python", wanted, install).map(drop)
}

fn typescript(workspace: &Workspace) -> Result<()> {
    packages(workspace, "handlers-typescript", "examples/handlers/typescript/package.json").map(drop)
}

/// Installs the packages of npm that a file names into a folder of the tools, unless they are there. Runs none of their
/// scripts.
pub(crate) fn packages(workspace: &Workspace, name: &str, wanted: &str) -> Result<PathBuf> {
    installed(workspace, name, wanted, |folder| {
        fs::create_dir_all(folder)?;
        fs::copy(workspace.root().join(wanted), folder.join("package.json"))?;
        run(command("npm", workspace.root())
            .args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
            .arg(folder))
    })
}

/// Installs into a folder of the tools, unless what it holds was installed for the same wishes.
fn installed(
    workspace: &Workspace,
    name: &str,
    wanted: &str,
    install: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let wishes = fs::read(workspace.root().join(wanted)).with_context(|| format!("cannot read {wanted}"))?;
    let tools = workspace.target("tools");
    let folder = tools.join(name);
    if fs::read(folder.join("wanted")).is_ok_and(|there| there == wishes) {
        return Ok(folder);
    }
    // Installed beside and moved: a folder of the final name is whole, even if this is interrupted.
    let unfinished = tools.join(format!("{name}.unfinished-{}", std::process::id()));
    fs::create_dir_all(&tools)?;
    let done = install(&unfinished).and_then(|()| {
        fs::write(unfinished.join("wanted"), &wishes)?;
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::rename(&unfinished, &folder).context("cannot move the installed files")
    });
    done.inspect_err(|_| drop(fs::remove_dir_all(&unfinished)))
        .with_context(|| format!("cannot install {name}"))?;
    Ok(folder)
}
