//! `cargo xtask check`: what must hold before a commit, beside the tests.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{
    deploy, imports,
    run::{cargo, command, run, succeeds},
    tool,
    workspace::Workspace,
};

/// Runs every check, so that one run shows all that is wrong.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let root = workspace.root();
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    let checks = [
        ("formatting", run(cargo(root).args(["fmt", "--all", "--check"]))),
        ("lints", run(cargo(root).args(clippy))),
        ("the direction of imports", directions(workspace)),
        ("dependencies", dependencies(workspace)),
        ("deployment files", deploy::check(workspace)),
        ("the bench's peers", peers(workspace)),
    ];
    let mut failed = Vec::new();
    for (name, outcome) in checks {
        match outcome {
            Ok(()) => println!("ok: {name}"),
            Err(e) => {
                println!("FAILED: {name}: {e:#}");
                failed.push(name);
            }
        }
    }
    if !failed.is_empty() {
        bail!("{} failed", failed.join(", "));
    }
    Ok(())
}

fn directions(workspace: &Workspace) -> Result<()> {
    let violations = imports::violations(&workspace.metadata);
    if !violations.is_empty() {
        bail!("\n  {}", violations.join("\n  "));
    }
    Ok(())
}

/// The peers of the bench, by Node.js where it is there.
fn peers(workspace: &Workspace) -> Result<()> {
    if !succeeds(command("node", workspace.root()).arg("--version")) {
        println!("not checked: the bench's peers (there is no Node.js)");
        return Ok(());
    }
    for program in ["bench/peers/uwebsockets.mjs", "bench/peers/ws.cjs"] {
        run(command("node", workspace.root()).args(["--check", program]))?;
    }
    Ok(())
}

/// Licences, duplicates and sources by `deny.toml`; known vulnerabilities where their database can be had.
fn dependencies(workspace: &Workspace) -> Result<()> {
    let deny = match tool::CARGO_DENY.find(workspace) {
        Ok(program) => program,
        Err(e) => {
            println!("not checked: licences, bans, sources and advisories of dependencies ({e:#})");
            return Ok(());
        }
    };
    let deny = || -> Command {
        let mut command = command(&deny, workspace.root());
        command.arg("--workspace");
        command
    };
    run(deny().args(["check", "--hide-inclusion-graph", "licenses", "bans", "sources"]))?;
    if succeeds(deny().args(["fetch", "db"])) {
        run(deny().args(["check", "advisories"]))
    } else {
        println!("not checked: advisories (their database cannot be had)");
        Ok(())
    }
}
