//! Load: realistic events, written into the outbox at a rate that is held and measured.
//!
//! Everything that is written follows from the seed, event ids included. An event that is there already is left as it is,
//! so a load that broke off, in whatever place, is completed by the same seed again.

mod generator;
mod names;
mod pace;
mod writer;

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use streamer_events::Outbox;
use streamer_source_postgres::{QueryError, Server};
use tokio::time::Instant;
use tracing::{debug, info, warn};

pub use generator::{Generator, NewEvent, Shape};
pub use pace::{Pace, Plan, SCENARIOS};

use pace::Schedule;
use writer::Writer;

/// What is loaded, and into what.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the outbox is.
    pub server: Server,
    /// The outbox.
    pub outbox: Outbox,
    /// How long one transaction may take.
    pub timeout: Duration,
    /// At most so many events in one transaction: what falls due while one is under way goes into the next.
    pub transaction_events_max: usize,
    /// How many, how fast.
    pub plan: Plan,
    /// What the events follow from.
    pub seed: u64,
    /// How their payloads are made.
    pub shape: Shape,
}

impl Settings {
    /// The settings of a plan, the rest as specified.
    #[must_use]
    pub fn of(server: Server, plan: Plan, seed: u64) -> Self {
        Self {
            server,
            outbox: Outbox::default(),
            timeout: Duration::from_secs(30),
            transaction_events_max: 500,
            plan,
            seed,
            shape: Shape::Both,
        }
    }
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Loaded {
    /// What repeats it.
    pub seed: u64,
    /// Events that were written now.
    pub written: u64,
    /// Events that the outbox had already.
    pub known: u64,
    /// Those of both, by their types.
    pub by_type: BTreeMap<&'static str, u64>,
    /// How many transactions that took.
    pub transactions: u64,
    /// How long it took, from the first event's turn to the last commit.
    pub elapsed_s: f64,
    /// Events a second that were wanted; none as fast as possible.
    pub rate_wanted: Option<f64>,
    /// Events a second that were reached.
    pub rate: f64,
    /// The longest that an event was committed after its turn, in milliseconds.
    pub late_max_ms: f64,
    /// Whether the rate was held: at least 98 % of it.
    pub is_held: bool,
}

/// Why a load broke off. The same seed again writes what is missing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not begin.
    #[error(transparent)]
    Unreachable(QueryError),
    /// The server refused a transaction: nothing of it was written.
    #[error(
        "after {done} of {count} events: {source}; to write the rest: the same command with --seed {seed}"
    )]
    Refused {
        /// How many are there.
        done: u64,
        /// How many were wanted.
        count: u64,
        /// What repeats it.
        seed: u64,
        /// What the server said.
        source: QueryError,
    },
    /// The connection failed, or the server did not answer.
    #[error(
        "after {done} of {count} events, and perhaps the {unknown} after them (to write what is missing: the same \
         command with --seed {seed})"
    )]
    Lost {
        /// How many are there.
        done: u64,
        /// How many of the next may be.
        unknown: usize,
        /// How many were wanted.
        count: u64,
        /// What repeats it.
        seed: u64,
        /// How it failed.
        source: QueryError,
    },
}

/// Hears of what is committed.
pub trait Watcher {
    /// These were committed together; `done` is how many are there now.
    fn committed(&mut self, events: &[NewEvent], done: u64);
}

impl<F: FnMut(&[NewEvent], u64)> Watcher for F {
    fn committed(&mut self, events: &[NewEvent], done: u64) {
        self(events, done);
    }
}

/// Writes what is planned. PostgreSQL sets the pace if it is slower: what is due meanwhile goes into the next
/// transaction, up to its bound, and how late that is shows in the outcome.
pub async fn load(settings: &Settings, watcher: &mut impl Watcher) -> Result<Loaded, Error> {
    let Settings { plan, seed, .. } = *settings;
    let mut writer = Writer::connect(settings).await.map_err(Error::Unreachable)?;
    let mut generator = Generator::new(seed, settings.shape);
    let schedule = Schedule::new(plan);
    let mut by_type = BTreeMap::new();
    let (mut done, mut written, mut transactions) = (0_u64, 0_u64, 0_u64);
    let mut late_max = Duration::ZERO;
    let mut has_warned = false;
    info!(count = plan.count, rate = plan.rate(), seed, "loading");
    let began = Instant::now();
    while done < plan.count {
        let due = schedule.due(began.elapsed()).saturating_sub(done);
        if due == 0 {
            tokio::time::sleep_until(began + schedule.turn(done)).await;
            continue;
        }
        let take = usize::try_from(due).unwrap_or(usize::MAX).min(settings.transaction_events_max.max(1));
        let events: Vec<NewEvent> = generator.by_ref().take(take).collect();
        let now_written = match writer.write(&events).await {
            Ok(written) => written,
            Err(source) => return Err(broken(source, done, events.len(), &plan, seed)),
        };
        written += now_written;
        transactions += 1;
        // Each was the later the earlier its turn was.
        let late = began.elapsed().saturating_sub(schedule.turn(done));
        late_max = late_max.max(late);
        done += events.len() as u64;
        debug!(events = events.len(), written = now_written, done, "committed");
        if !schedule.is_unpaced() && late > LATE && !std::mem::replace(&mut has_warned, true) {
            warn!(late_ms = millis(late), done, "PostgreSQL takes events slower than they fall due");
        }
        for event in &events {
            *by_type.entry(event.event_type).or_default() += 1;
        }
        watcher.committed(&events, done);
    }
    let elapsed = began.elapsed();
    // Everything is committed: a goodbye that fails changes nothing.
    drop(writer.close().await);
    let rate = done as f64 / elapsed.as_secs_f64().max(f64::EPSILON);
    let loaded = Loaded {
        seed,
        written,
        known: done - written,
        by_type,
        transactions,
        elapsed_s: elapsed.as_secs_f64(),
        rate_wanted: plan.rate(),
        rate,
        late_max_ms: if schedule.is_unpaced() { 0.0 } else { millis(late_max) },
        is_held: plan.rate().is_none_or(|wanted| rate >= 0.98 * wanted),
    };
    info!(written, known = loaded.known, rate, late_max_ms = loaded.late_max_ms, "loaded");
    Ok(loaded)
}

/// So late is worth a warning.
const LATE: Duration = Duration::from_secs(1);

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

fn broken(source: QueryError, done: u64, unknown: usize, plan: &Plan, seed: u64) -> Error {
    let count = plan.count;
    // A server that ends (57P01 and the like) says so, perhaps after it has committed.
    match source.code() {
        Some(code) if !code.starts_with("57P") => Error::Refused { done, count, seed, source },
        _ => Error::Lost { done, unknown, count, seed, source },
    }
}

/// What is worth a line in the log, by how much is loaded: each transaction of a few events, only trouble of many.
#[must_use]
pub const fn log_level(count: u64) -> &'static str {
    match count {
        0..=10 => "debug",
        11..=1000 => "info",
        _ => "warn",
    }
}
