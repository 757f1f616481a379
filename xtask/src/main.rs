//! What `cargo xtask` runs: the repository's own tools, one file each.

mod aws_clients;
mod bench;
mod check;
mod coverage;
mod debian;
mod deploy;
mod documents;
mod fuzz;
mod handlers;
mod imports;
mod run;
mod schema;
mod servers;
mod setup;
mod test;
mod tool;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{setup::Component, workspace::Workspace};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The tools of this repository")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Formatting, lints, the direction of imports, licences and sources of dependencies, deployment files.
    Check,
    /// Installs what the other commands use, into the target folder. Safe to repeat.
    Setup {
        /// Only these; all of them when none is named.
        components: Vec<Component>,
    },
    /// Every test of the workspace: unit, integration and documentation tests, and the examples.
    Test {
        /// Passed on to `cargo test`, such as `-p streamer-engine` or `-- --nocapture`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// The benchmarks, each row beside its floor, in a release build.
    Bench {
        /// What is measured.
        suite: bench::Suite,
        /// Passed on to the bench, such as `--json FILE` or `--only echo`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Inputs that nobody should send, made up by seed: each target for a minute, or as the arguments say.
    Fuzz {
        /// Passed on, such as `frames --seconds 600`, or `frames --seed 7`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Line coverage per crate; fails where a crate that is held to it stays below the bound.
    Coverage,
    /// Writes what is generated from the types anew: the JSON Schemas of the wire, the OpenAPI and AsyncAPI documents.
    Schema,
}

fn main() -> ExitCode {
    match obey(Cli::parse().command) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn obey(command: Command) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::load()?;
    match command {
        // Ends with cargo's own words, in failure too.
        Command::Test { args } => return test::test(&workspace, &args),
        Command::Bench { suite, args } => return bench::bench(&workspace, suite, &args),
        Command::Fuzz { args } => return fuzz::fuzz(&workspace, &args),
        Command::Check => check::check(&workspace)?,
        Command::Setup { components } => setup::setup(&workspace, &components)?,
        Command::Coverage => coverage::coverage(&workspace)?,
        Command::Schema => schema::write(&workspace)?,
    }
    Ok(ExitCode::SUCCESS)
}
