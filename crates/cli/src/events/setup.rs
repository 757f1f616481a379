//! `streamer events setup`: makes what the source needs, and says what is wrong with a server.

use std::process::ExitCode;

use clap::Args;
use streamer_service::telemetry;

use super::Flags;

/// Make in PostgreSQL what is missing. What is there stays as it is; what is wrong with it, or with the server, is told
/// with what mends it.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    flags: Flags,
}

pub(crate) fn command(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Some(loaded) = arguments.flags.load(&[]) else { return Ok(ExitCode::FAILURE) };
    telemetry::install(&loaded.config.logs)?;
    let settings = loaded.config.events.source_settings()?;
    let made = crate::block_on(async { Ok(streamer_source_postgres::setup(&settings).await?) })?;
    for piece in &made {
        println!("made: {piece}");
    }
    println!("{:?} is ready: streamer events run", settings.server);
    Ok(ExitCode::SUCCESS)
}
