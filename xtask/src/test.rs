//! `cargo xtask test`: every test, in one build.

use std::process::ExitCode;

use anyhow::Result;

use crate::{
    aws_clients, debian, documents, handlers,
    run::{cargo, status},
    servers,
    workspace::Workspace,
};

type SetUp = fn(&Workspace) -> Result<()>;

/// What the tests of these packages use beside the toolchain.
const SET_UP: &[(&[&str], &str, SetUp)] = &[
    (&["streamer-e2e"], "proxies", |workspace| debian::PROXIES.prepare(workspace)),
    (&["streamer-e2e"], "the clients of AWS", aws_clients::install),
    (&["streamer-e2e"], "handlers in other languages", handlers::install),
    (&["streamer-e2e"], "an event source", handlers::event_source),
    (&["streamer-server"], "the validators of docs/*.json", documents::prepare),
    (&["streamer-servers", "streamer-source-postgres"], "postgres", servers::postgres),
    (&["streamer-servers", "streamer-sink-mongodb"], "mongodb", servers::mongodb),
];

/// Runs the workspace's tests, or those of the packages that `args` name, and goes on after a failure.
///
/// What the tests use beside the toolchain is set up first, where it can be had. A test that lacks a component says
/// `skipped: …` past the capture of its output, so that it shows here; the last lines are cargo's own.
pub(crate) fn test(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let concerns = |names: &[&str]| {
        !names_packages(args) || args.iter().any(|arg| names.iter().any(|name| arg.contains(name)))
    };
    for (packages, what, set_up) in SET_UP {
        if concerns(packages)
            && let Err(e) = set_up(workspace)
        {
            println!("not set up: {what} ({e:#})");
        }
    }
    let mut command = cargo(workspace.root());
    command.args(["test", "--no-fail-fast"]);
    if !names_packages(args) {
        command.arg("--workspace");
    }
    let status = status(command.args(args))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn names_packages(args: &[String]) -> bool {
    let of_cargo = args.iter().take_while(|arg| *arg != "--");
    of_cargo.into_iter().any(|arg| {
        arg.starts_with("-p") || arg.starts_with("--package") || arg == "--workspace" || arg == "--all"
    })
}

#[cfg(test)]
mod tests {
    use super::names_packages;

    #[test]
    fn packages_are_named_before_the_dashes() {
        let named = |args: &[&str]| names_packages(&args.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert!(named(&["-p", "streamer-engine"]));
        assert!(named(&["--package=streamer-engine", "lease"]));
        assert!(!named(&["lease"]));
        assert!(!named(&["--", "-p"]));
        assert!(!named(&["--no-run"]));
    }
}
