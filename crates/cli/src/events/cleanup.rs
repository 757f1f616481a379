//! `streamer events cleanup`: rows that are handled, what is known of them, and all that was made.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use streamer_events::clock::{Clock as _, SystemClock};
use streamer_events_tools::ledger::{self, Pruned};
use streamer_service::telemetry;
use streamer_source_postgres::{Handled, see_to_handled, teardown};

use super::{Flags, processor};
use crate::config::Config;

/// Mark or remove rows of the outbox that are handled, forget those that are gone, or undo the setup.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Mark rows as processed whose events are durable in the read models.
    Mark(Rows),
    /// Remove rows whose events are durable in the read models, and that are old enough.
    Prune {
        /// How old a row must be, such as 90s, 15m, 12h or 7d
        #[arg(long, value_name = "AGE", value_parser = age)]
        older_than: Duration,
        #[command(flatten)]
        rows: Rows,
    },
    /// Remove events from the ledger whose rows went so long ago; and note which have no rows now, for a later run.
    Ledger {
        /// How long the rows must be gone, such as 30d: longer than the oldest backup of PostgreSQL that may be restored is old
        #[arg(long, value_name = "AGE", value_parser = age)]
        gone_for: Duration,
        #[command(flatten)]
        rows: Rows,
    },
    /// Remove the slot and the publication, and everything that events made in MongoDB: read models, ledger, dead letters.
    /// Stop every processor first.
    All {
        /// Yes, remove it
        #[arg(long, required = true)]
        yes: bool,
        /// The outbox too, with all of its rows
        #[arg(long)]
        outbox: bool,
        #[command(flatten)]
        flags: Flags,
    },
}

/// Which rows, as far as the processor has come.
#[derive(Debug, Args)]
pub(crate) struct Rows {
    /// How long to wait for the processor to confirm what is committed
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait_s: u64,
    #[command(flatten)]
    flags: Flags,
}

fn age(text: &str) -> Result<Duration, String> {
    let expected = || "write a number and s, m, h or d, such as 7d".to_owned();
    let (at, unit) = text.char_indices().next_back().ok_or_else(expected)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(expected()),
    };
    let number: u64 = text[..at].parse().map_err(|_| expected())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(expected)
}

pub(crate) fn command(command: &Command) -> anyhow::Result<ExitCode> {
    let (Command::Mark(Rows { flags, .. })
    | Command::Prune { rows: Rows { flags, .. }, .. }
    | Command::Ledger { rows: Rows { flags, .. }, .. }
    | Command::All { flags, .. }) = command;
    let Some(loaded) = flags.load(&[]) else { return Ok(ExitCode::FAILURE) };
    telemetry::install(&loaded.config.logs)?;
    crate::block_on(clean_up(command, &loaded.config))?;
    Ok(ExitCode::SUCCESS)
}

async fn clean_up(command: &Command, config: &Config) -> anyhow::Result<()> {
    let settings = config.events.source_settings()?;
    let patience = |rows: &Rows| Duration::from_secs(rows.wait_s);
    match command {
        Command::Mark(rows) => {
            let count = see_to_handled(&settings, Handled::Mark, patience(rows)).await?;
            println!("{count} rows marked as processed");
        }
        Command::Prune { older_than, rows } => {
            let handled = Handled::Remove { older_than: *older_than };
            let count = see_to_handled(&settings, handled, patience(rows)).await?;
            println!("{count} rows removed");
        }
        Command::Ledger { gone_for, rows } => {
            let models = processor::models(&config.events).await?;
            let now = SystemClock.now();
            let pruned = ledger::prune(&settings, &models, *gone_for, now, patience(rows)).await?;
            let Pruned { removed, gone, kept } = pruned;
            println!("{removed} events removed from the ledger, {kept} kept, {gone} gone for less than that");
        }
        Command::All { outbox, .. } => {
            // First what somebody may still be reading: then nothing is removed.
            let removed = teardown(&settings, *outbox).await.context("is every processor stopped?")?;
            for piece in removed {
                println!("removed: {piece}");
            }
            let count = processor::models(&config.events).await?.empty().await?;
            println!(
                "removed: {count} documents, the ledger and the dead letters of {:?}",
                config.events.mongodb
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_a_unit() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("12h", 43_200), ("7d", 604_800), ("0s", 0)] {
            assert_eq!(age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "7", "d", "-1d", "1.5h", "7é", "99999999999999999999d", "18446744073709551615d"] {
            assert!(age(bad).is_err(), "{bad}");
        }
    }
}
