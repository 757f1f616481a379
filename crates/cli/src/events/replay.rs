//! `streamer events replay`: dead letters, looked at, tried again or thrown away.

use std::{process::ExitCode, sync::Arc};

use clap::Args;
use streamer_events::{
    DeadLetter, Registry, failpoint,
    replay::{Replayed, replay},
    sink::ReadModels,
};
use streamer_service::telemetry;

use super::{Flags, letters::Letters, processor};
use crate::config::Config;

/// So many letters are read at once.
const PAGE: u32 = 100;

/// Try dead letters again: all, or those that are chosen. One whose writes are done now is gone; one that is refused again
/// stays. May be done while a processor runs. Those of topics are published by the server that has the topics, which must run
/// and is asked at its admin address. Exits with 1 if any stays.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only these, by their ids as --list prints them
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Only those of this handler
    #[arg(long, value_name = "NAME")]
    handler: Option<String>,
    /// Only those of events of this type
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// List them and do nothing: id, when, event type, handler, error
    #[arg(long, conflicts_with = "discard")]
    list: bool,
    /// As JSON, a letter a line, with what is kept of its payload
    #[arg(long, requires = "list")]
    json: bool,
    /// Throw them away instead; name at least one, or a handler, or an event type
    #[arg(long)]
    discard: bool,
    #[command(flatten)]
    flags: Flags,
}

impl Arguments {
    fn concerns(&self, letter: &DeadLetter) -> bool {
        let is =
            |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
        (self.ids.is_empty() || self.ids.contains(&letter.id))
            && is(&self.handler, &letter.handler)
            && is(&self.event_type, &letter.event_type)
    }

    fn is_narrow(&self) -> bool {
        !self.ids.is_empty() || self.handler.is_some() || self.event_type.is_some()
    }
}

pub(crate) fn command(arguments: &Arguments, registry: Registry) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        !arguments.discard || arguments.is_narrow(),
        "--discard: say which: ids, --handler or --event-type"
    );
    let Some(loaded) = arguments.flags.load(&[]) else { return Ok(ExitCode::FAILURE) };
    telemetry::install(&loaded.config.logs)?;
    crate::block_on(go_through(arguments, &loaded.config, registry))
}

/// What was done.
#[derive(Default)]
struct Count {
    concerned: u64,
    done: u64,
}

async fn go_through(arguments: &Arguments, config: &Config, registry: Registry) -> anyhow::Result<ExitCode> {
    let registry = config.events.registry(registry)?;
    let models = failpoint::around_models(Arc::new(processor::models(&config.events).await?));
    let with = With { models: &*models, registry, letters: Letters::new(config) };
    let mut count = Count::default();
    let mut after = None;
    loop {
        let page = models.letters(after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        for letter in page.iter().filter(|letter| arguments.concerns(letter)) {
            count.concerned += 1;
            count.done += u64::from(see_to(arguments, &with, letter).await?);
        }
    }
    let missing = (arguments.ids.len() as u64).saturating_sub(count.concerned);
    if missing > 0 {
        eprintln!("{missing} of these ids are not there");
    }
    if arguments.list {
        eprintln!("{} dead letters", count.concerned);
        return Ok(ExitCode::SUCCESS);
    }
    let verb = if arguments.discard { "discarded" } else { "applied" };
    println!("{} {verb}, {} stay", count.done, count.concerned - count.done);
    let all_done = missing == 0 && count.done == count.concerned;
    Ok(if all_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What letters are tried with.
struct With<'a> {
    models: &'a dyn ReadModels,
    registry: Registry,
    letters: Letters,
}

/// Whether the letter is gone.
async fn see_to(arguments: &Arguments, with: &With<'_>, letter: &DeadLetter) -> anyhow::Result<bool> {
    let With { models, registry, letters } = with;
    let id = &letter.id;
    if arguments.list {
        print_letter(letter, arguments.json)?;
        return Ok(false);
    }
    if arguments.discard {
        models.discard(std::slice::from_ref(id)).await?;
        println!("{id}\tdiscarded");
        return Ok(true);
    }
    // A handler of that name is a handler like any other.
    let is_of_topics = Letters::concern(letter) && !registry.has(&letter.event_type, &letter.handler);
    let replayed = match is_of_topics {
        true => letters.replay(*models, letter).await?,
        false => replay(*models, registry, letter).await?,
    };
    match &replayed {
        Replayed::Applied => println!("{id}\tapplied"),
        Replayed::Refused(why) => println!("{id}\trefused again: {why}"),
        Replayed::Impossible(why) => println!("{id}\tcannot be replayed: {why}"),
    }
    Ok(replayed == Replayed::Applied)
}

fn print_letter(letter: &DeadLetter, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string(letter)?);
        return Ok(());
    }
    let DeadLetter { id, failed_at, event_type, handler, error, path, .. } = letter;
    let at = path.as_ref().map(|path| format!("{path}: ")).unwrap_or_default();
    println!("{id}\t{failed_at}\t{event_type}\t{handler}\t{at}{error}");
    Ok(())
}
