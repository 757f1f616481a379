//! `streamer config`: check the configuration, or print an example of it.

use std::process::ExitCode;

use clap::Subcommand;
use streamer_service::config::example;

use crate::{
    Application,
    config::{Config, PREFIX, Sources},
};

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List every mistake in the configuration; exit with 1 if there is one.
    Check {
        #[command(flatten)]
        sources: Sources,
        /// Check what `streamer events` uses, and not what only a server does
        #[arg(long)]
        events: bool,
        /// Also print every setting in force and where it comes from, without secrets
        #[arg(long)]
        show: bool,
    },
    /// Print a configuration file with every setting, its default and what it means.
    Example,
}

pub(crate) fn command(command: &Command, application: Application) -> anyhow::Result<ExitCode> {
    match command {
        Command::Example => print!("{}", example::<Config>(PREFIX)),
        Command::Check { sources, events, show } => {
            let loaded = match events {
                true => sources.load_events(&[]),
                // An application may make its actions in no other place than where they are served.
                false => crate::block_on(async { Ok(sources.load(&[], &application.parts().0)) })?,
            };
            match loaded {
                Ok(loaded) if *show => print!("{}", loaded.listing()),
                Ok(_) => println!("the configuration is valid"),
                Err(mistakes) => {
                    eprintln!("{mistakes}");
                    return Ok(ExitCode::FAILURE);
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
