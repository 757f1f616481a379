//! `streamer events load`: realistic events into the outbox.

use std::{io::IsTerminal as _, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use streamer_events::random::{Random as _, SystemRandom};
use streamer_events_tools::load::{
    Loaded, NewEvent, Pace, Plan, Settings, Shape as PayloadShape, Watcher, load, log_level,
};
use streamer_service::telemetry;

use super::{Flags, flags::is_given};
use crate::json_file;

/// Write realistic events into the outbox: people who sign up, plan activities, change them and join each other's.
/// 10 take 5 s (and each is shown), 100 take 15 s, 1000 take 30 s, 10000 take 60 s, unless a pace is given; other numbers
/// are written at 100 a second.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many events
    #[arg(default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Spread them evenly over this many seconds
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["rate", "unpaced"], value_parser = positive)]
    within: Option<f64>,
    /// So many events a second
    #[arg(long, value_name = "EVENTS", conflicts_with = "unpaced", value_parser = positive)]
    rate: Option<f64>,
    /// As fast as PostgreSQL takes them
    #[arg(long)]
    unpaced: bool,
    /// The seed of a load before: the same events, ids included; those that are there already stay as they are
    #[arg(long)]
    seed: Option<u64>,
    /// How the payloads are made
    #[arg(long, value_enum, default_value_t = Shape::Both)]
    shape: Shape,
    /// At most so many events in one transaction
    #[arg(long, value_name = "EVENTS", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    transaction_events_max: u32,
    /// Show each event, as is done for up to 10
    #[arg(long)]
    show: bool,
    /// Write what was done to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shape {
    Flat,
    Nested,
    Both,
}

/// So many events are shown one by one.
pub(super) const SHOWN_MAX: u64 = 10;

/// For numbers that are no scenario.
const RATE: f64 = 100.0;

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err("must be a number above 0".to_owned()),
    }
}

/// So many events at the pace of their scenario, if there is one.
pub(super) fn usual_plan(count: u64) -> Plan {
    Plan::scenario(count).unwrap_or(Plan { count, pace: Pace::Rate(RATE) })
}

/// A seed that is short enough to be typed again, and to be read by languages whose numbers are floating.
pub(super) fn new_seed() -> u64 {
    SystemRandom.next_u64() >> 32
}

impl Arguments {
    fn plan(&self) -> Plan {
        let pace = match (self.within, self.rate, self.unpaced) {
            (Some(seconds), ..) => {
                Pace::Within(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
            }
            (_, Some(rate), _) => Pace::Rate(rate),
            (.., true) => Pace::Unpaced,
            _ => return usual_plan(self.count),
        };
        Plan { count: self.count, pace }
    }

    fn settings(&self, source: streamer_source_postgres::Settings) -> Settings {
        let seed = self.seed.unwrap_or_else(new_seed);
        Settings {
            outbox: source.outbox,
            transaction_events_max: self.transaction_events_max as usize,
            shape: match self.shape {
                Shape::Flat => PayloadShape::Flat,
                Shape::Nested => PayloadShape::Nested,
                Shape::Both => PayloadShape::Both,
            },
            ..Settings::of(source.server, self.plan(), seed)
        }
    }
}

pub(crate) fn command(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Some(mut loaded) = arguments.flags.load(&[]) else { return Ok(ExitCode::FAILURE) };
    if !is_given(&loaded, "logs.filter") {
        loaded.config.logs.filter = log_level(arguments.count).to_owned();
    }
    telemetry::install(&loaded.config.logs)?;
    let settings = arguments.settings(loaded.config.events.source_settings()?);
    let mut display = Display::new(&settings, arguments.show || arguments.count <= SHOWN_MAX);
    let done = crate::block_on(async { Ok(load(&settings, &mut display).await) })?;
    display.bar.finish_and_clear();
    let done = done?;
    print(&done);
    if let Some(file) = &arguments.json {
        json_file::write(file, &done)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a person sees meanwhile.
pub(super) struct Display {
    bar: ProgressBar,
    shows_each: bool,
    shown: u64,
}

impl Display {
    pub(super) fn new(settings: &Settings, shows_each: bool) -> Self {
        let rate = settings.plan.rate();
        let pace = rate.map_or("as fast as PostgreSQL takes them".to_owned(), |rate| format!("{rate:.1}/s"));
        println!("{} events into {:?}, {pace}, seed {}", settings.plan.count, settings.server, settings.seed);
        // Lines between the events would break a bar.
        let target = match !shows_each && std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(settings.plan.count), target);
        let style = ProgressStyle::with_template(
            "[{elapsed_precise}] {wide_bar} {pos}/{len} ({per_sec}, {eta} to go)",
        );
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, shows_each, shown: 0 }
    }
}

impl Watcher for Display {
    fn committed(&mut self, events: &[NewEvent], done: u64) {
        self.bar.set_position(done);
        if self.shows_each {
            for event in events {
                self.shown += 1;
                show(self.shown, event);
            }
        }
    }
}

fn show(number: u64, event: &NewEvent) {
    let NewEvent { id, aggregate_id, aggregate_type, event_type, payload, subject } = event;
    println!("\n{number:>3}  {event_type:<18} {subject}");
    println!("     event {id}, {aggregate_type} {aggregate_id}");
    for (name, value) in payload.as_object().into_iter().flatten() {
        println!("     {name:<18} {value}");
    }
}

/// What was done, for people.
pub(super) fn print(done: &Loaded) {
    let by_type: Vec<_> = done.by_type.iter().map(|(name, count)| format!("{name} {count}")).collect();
    println!("\n{} events: {}", done.written + done.known, by_type.join(", "));
    if done.known > 0 {
        println!("{} of them were there before, and stay as they are", done.known);
    }
    println!(
        "{:.1} events a second over {:.1} s, in {} transactions; seed {}",
        done.rate, done.elapsed_s, done.transactions, done.seed
    );
    match done.rate_wanted {
        Some(wanted) if !done.is_held => println!(
            "NOT HELD: {wanted:.1} a second were wanted, and the latest event came {:.0} ms after its turn",
            done.late_max_ms
        ),
        Some(wanted) => {
            println!(
                "{wanted:.1} a second were wanted: held, the latest {:.0} ms after its turn",
                done.late_max_ms
            );
        }
        None => {}
    }
}
