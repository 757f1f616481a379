//! `streamer store`: look after a store's file.

use std::{path::PathBuf, process::ExitCode};

use clap::Subcommand;
use streamer_store_sqlite::{Finding, Settings};

/// What to do with the file.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look for damage; exit with 1 if there is some. The file may be in use.
    Check {
        /// The store's file
        #[arg(default_value = "streamer.db")]
        path: PathBuf,
    },
    /// Make a complete copy, artifacts included. The file may be in use.
    Backup {
        /// The store's file
        path: PathBuf,
        /// Where the copy goes: a name that is not taken
        to: PathBuf,
    },
}

pub(crate) fn command(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Check { path } => {
            let report = streamer_store_sqlite::check(&Settings::at(path))?;
            println!(
                "{}: version {}, {} requests ({} open), {} artifacts, {} topics",
                path.display(),
                report.version,
                report.requests,
                report.open_requests,
                report.artifacts,
                report.topics
            );
            for finding in &report.findings {
                println!("- {finding}");
            }
            let sound = report.findings.iter().all(Finding::is_harmless);
            println!(
                "{}",
                if sound { "the store is sound" } else { "the store is damaged: restore a backup" }
            );
            Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Backup { path, to } => {
            streamer_store_sqlite::backup(&Settings::at(path), to)?;
            println!("copied {} to {}", path.display(), to.display());
            Ok(ExitCode::SUCCESS)
        }
    }
}
