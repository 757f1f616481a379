//! `streamer events verify`: whether every event is where it belongs.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use streamer_events::{Moment, Registry};
use streamer_events_tools::verify::{Counts, Error, Settings, Verified, verify};
use streamer_service::telemetry;
use streamer_sink_mongodb::MongoSink;
use tokio::time::Instant;

use super::Flags;
use crate::{config::Events, json_file};

/// Compare the outbox with the read models: every event applied, waiting for its document or in the dead letters; every
/// document complete, with its event, its references and its counts. Exits with 1 if there is a difference. The same
/// handlers must be configured as for the pipeline.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Try again for so long, as events may be on their way
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
    /// Leave out what was made before; unless given, that is what was pruned, by the oldest row
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Write what was found to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) fn command(arguments: &Arguments, registry: Registry) -> anyhow::Result<ExitCode> {
    let Some(loaded) = arguments.flags.load(&[]) else { return Ok(ExitCode::FAILURE) };
    telemetry::install(&loaded.config.logs)?;
    let wait = Duration::from_secs(arguments.wait);
    let verified = crate::block_on(verify_within(wait, arguments.since, &loaded.config.events, registry))?;
    print!("{}", table(&verified));
    if let Some(file) = &arguments.json {
        json_file::write(file, &verified)?;
    }
    Ok(if verified.is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn settings(since: Option<Moment>, events: &Events) -> anyhow::Result<Settings> {
    let source = events.source_settings()?;
    Ok(Settings {
        outbox: source.outbox,
        sequence: source.sequence,
        row_bytes_max: source.message_bytes_max,
        since,
        ..Settings::of(source.server)
    })
}

/// Verifies until there is no difference, for as long as this.
pub(super) async fn verify_within(
    wait: Duration,
    since: Option<Moment>,
    events: &Events,
    registry: Registry,
) -> anyhow::Result<Verified> {
    let settings = settings(since, events)?;
    let registry = events.registry(registry)?;
    let sink = MongoSink::connect(&events.sink_settings()).await.map_err(Error::from)?;
    let end = Instant::now() + wait;
    loop {
        let verified = verify(&settings, &sink, &registry).await?;
        if verified.is_whole || Instant::now() + PAUSE > end {
            return Ok(verified);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Of the table's numbers: with their names, as wide as a terminal.
const WIDTHS: [usize; 6] = [11, 9, 9, 9, 14, 9];

/// What was found, for people.
pub(crate) fn table(verified: &Verified) -> String {
    let mut text = String::new();
    let mut line = |cells: [&str; 7]| {
        let [name, numbers @ ..] = cells;
        let _ = write!(text, "{name:<18}");
        for (number, width) in numbers.iter().zip(WIDTHS) {
            let _ = write!(text, "{number:>width$}");
        }
        text.push('\n');
    };
    line(["event type", "PostgreSQL", "MongoDB", "applied", "waiting", "dead letters", "missing"]);
    let total = ("in all".to_owned(), verified.total);
    let by_type = verified.by_type.iter().map(|(name, counts)| (name.clone(), *counts));
    for (name, counts) in by_type.chain([total]) {
        let Counts { postgres, mongodb, applied, waiting, dead_lettered, missing } = counts;
        let numbers = [postgres, mongodb, applied, waiting, dead_lettered, missing].map(|n| n.to_string());
        let [a, b, c, d, e, f] = &numbers;
        line([&name, a, b, c, d, e, f]);
    }
    text.push('\n');
    for (name, documents) in &verified.documents {
        let _ = write!(text, "{name:<22}{:>13} documents", documents.live);
        for (count, what) in [
            (documents.waiting, "not made yet"),
            (documents.deleted, "deleted"),
            (documents.older, "older than the outbox's oldest row"),
            (documents.excused_references, "references to users in the dead letters"),
        ] {
            if count > 0 {
                let _ = write!(text, ", {count} {what}");
            }
        }
        text.push('\n');
    }
    for statistic in &verified.statistics {
        let stored = statistic.stored.map_or("nothing".to_owned(), |stored| stored.to_string());
        let _ = writeln!(text, "{} says {stored}, {} counted", statistic.name, statistic.recounted);
    }
    if let (false, Some(since)) = (verified.window.is_everything, verified.window.since) {
        let _ = writeln!(text, "Rows were pruned or left out: verified since {since}.");
    }
    let differences = &verified.differences;
    for example in &differences.examples {
        let kind = serde_json::to_value(example.kind).ok();
        let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or_default().replace('_', " ");
        let _ = writeln!(text, "{kind}: {}: {}", example.subject, example.detail);
    }
    let more = differences.count - differences.examples.len() as u64;
    if more > 0 {
        let _ = writeln!(text, "… and {more} more");
    }
    let _ = match differences.count {
        0 => writeln!(
            text,
            "No difference: {} of {} events are accounted for.",
            verified.total.mongodb, verified.total.postgres
        ),
        1 => writeln!(text, "1 DIFFERENCE"),
        count => writeln!(text, "{count} DIFFERENCES"),
    };
    text
}
