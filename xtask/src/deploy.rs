//! The files in `deploy/` that other programs read: each is shown to a program that knows how to.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};

use crate::{
    run::{command, run, succeeds},
    tool,
    workspace::Workspace,
};

/// How far the unit may be exposed, in tenths, as `systemd-analyze security` counts: 0 is nothing, 100 everything.
const EXPOSURE_TENTHS_MAX: &str = "12";

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
    )?;
    units(workspace)
}

/// The units, by systemd itself where it is: that they are understood, and how far the server is exposed.
fn units(workspace: &Workspace) -> Result<()> {
    let root = workspace.root();
    if !succeeds(command("systemd-analyze", root).arg("--version")) {
        println!("not checked: deploy/systemd (there is no systemd-analyze)");
        return Ok(());
    }
    const PROGRAM: &str = "/usr/local/bin/streamer";
    let unit = fs::read_to_string(root.join("deploy/systemd/streamer.service"))?;
    ensure!(unit.contains(&format!("ExecStart={PROGRAM} ")), "the unit does not start {PROGRAM}");
    // It is not installed here, and systemd wants a program that is there: this one.
    let program = std::env::current_exe().context("this program's own path")?;
    let copy = workspace.target("deploy").join("streamer.service");
    let folder = copy.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    fs::write(&copy, unit.replace(PROGRAM, &program.to_string_lossy()))?;
    // Beside its service, as it will be.
    let socket = copy.with_file_name("streamer.socket");
    fs::copy(root.join("deploy/systemd/streamer.socket"), &socket)?;
    let verify = ["verify", "--man=false"];
    let verified = command("systemd-analyze", root).args(verify).arg(&copy).arg(&socket).output()?;
    // What it does not know it ignores, with a word but no failure. It has words about the machine's units too.
    let words = String::from_utf8_lossy(&verified.stderr);
    let ours: Vec<_> = words.lines().filter(|line| line.contains("streamer.")).collect();
    ensure!(ours.is_empty() && verified.status.success(), "systemd-analyze verify: {words}");
    let threshold = format!("--threshold={EXPOSURE_TENTHS_MAX}");
    run(command("systemd-analyze", root)
        .args(["security", "--offline=true", "--no-pager", &threshold])
        .arg(&copy)
        // The table is for those who look for more to take away.
        .stdout(std::process::Stdio::null()))
}
