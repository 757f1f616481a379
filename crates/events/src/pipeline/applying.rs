//! The last stage: writing, and confirming.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Core, Error, Prepared, State, recording::bury, stopped, tally::Recent};
use crate::{
    batch::Batch,
    event::{Event, Payload},
    latency::Times,
    letter::{DeadLetter, Why},
    sink::{self, Adopted, ErrorKind, RefusedWrite, Sink},
};

/// Applies and confirms until the stages before have ended.
pub(super) async fn run(
    core: &Core,
    mut batches: mpsc::Receiver<Prepared>,
    halt: &CancellationToken,
) -> Result<(), Error> {
    while let Some(prepared) = batches.recv().await {
        if finish(core, &prepared, halt).await?.is_none() {
            return Ok(());
        }
    }
    Ok(())
}

/// Confirm after write, always.
async fn finish(core: &Core, prepared: &Prepared, halt: &CancellationToken) -> Result<Option<()>, Error> {
    if !prepared.batch.is_empty() {
        let models = apply(core, &*core.parts.models, &prepared.batch, halt);
        let sinks = core.parts.sinks.iter().map(|sink| apply(core, &**sink, &prepared.batch, halt));
        let (models, sinks) = tokio::join!(models, join_all(sinks));
        for applied in std::iter::once(models).chain(sinks) {
            if applied?.is_none() {
                return Ok(None);
            }
        }
        count(core, prepared);
    }
    if prepared.snapshot_end && end_snapshot(core, halt).await?.is_none() {
        return Ok(None);
    }
    for position in &prepared.confirm {
        core.parts.source.confirm(position).await;
    }
    Ok(Some(()))
}

/// Has one sink apply the batch. What it refuses goes to the dead letters first, and is then left out.
async fn apply(
    core: &Core,
    sink: &(impl Sink + ?Sized),
    batch: &Batch,
    halt: &CancellationToken,
) -> Result<Option<()>, Error> {
    let patience = core.patience(halt);
    let Some(mut refused) = stopped(patience.insist("apply", || sink.apply(batch)).await)? else {
        return Ok(None);
    };
    let mut rest = None;
    while !refused.is_empty() {
        let letters: Vec<_> = refused.iter().map(|refused| letter(core, batch, refused)).collect();
        if bury(core, &letters, halt).await?.is_none() {
            return Ok(None);
        }
        let left = rest
            .as_ref()
            .unwrap_or(batch)
            .without(&refused)
            .ok_or_else(|| sink::Error::new(ErrorKind::Invalid, "what was left out was refused again"))?;
        let Some(again) = stopped(patience.insist("apply", || sink.apply(&left)).await)? else {
            return Ok(None);
        };
        (refused, rest) = (again, Some(left));
    }
    Ok(Some(()))
}

fn letter(core: &Core, batch: &Batch, refused: &RefusedWrite) -> DeadLetter {
    let RefusedWrite { author, collection, id, refusal } = refused;
    warn!(event_id = %author.event, handler = %author.handler, %collection, "a document refused a write");
    let document = (!collection.is_empty()).then(|| (collection.to_string(), id.to_string()));
    let why = Why { handler: Arc::clone(&author.handler), document, error: refusal.to_string(), path: None };
    let now = core.parts.clock.now();
    let of_batch = batch.events.iter().find(|arrival| arrival.event.id == author.event);
    let event = match of_batch {
        Some(arrival) => Arc::clone(&arrival.event),
        None => Arc::new(waited(core, batch, author.event.clone())),
    };
    DeadLetter::about(&event, why, now, core.settings.letter_payload_bytes_max)
}

/// An event whose write waited with the document: it came long ago, and only its name is known here.
fn waited(core: &Core, batch: &Batch, id: crate::event::EventId) -> Event {
    let position = batch.events.first().map(|arrival| arrival.event.position.clone());
    let now = core.parts.clock.now();
    Event {
        id,
        event_type: "unknown".into(),
        aggregate_id: "unknown".into(),
        aggregate_type: "unknown".into(),
        payload: Payload::new(""),
        created_at: now,
        committed_at: None,
        passed: crate::change::Passed::default(),
        position: position.expect("a refusal comes from a batch with events"),
    }
}

fn count(core: &Core, prepared: &Prepared) {
    let now = core.parts.clock.now();
    // What was read before is not counted again, and took as long as it took then.
    let events = || {
        prepared.batch.events.iter().zip(&prepared.taken).filter(|(arrival, _)| arrival.known_at.is_empty())
    };
    let times = |event: &Event, taken| Times::of(event, taken, now);
    core.latency
        .record(events().map(|(arrival, taken)| (&*arrival.event.event_type, times(&arrival.event, *taken))));
    let recent = events().rev().take(Recent::MAX).map(|(arrival, taken)| {
        let event = &arrival.event;
        let total = now.micros_since(event.committed_at.unwrap_or(*taken));
        Recent {
            event_type: event.event_type.to_string(),
            aggregate_id: event.aggregate_id.to_string(),
            done_at: now,
            total_micros: total,
        }
    });
    let (recent, new) = (recent.collect(), events().count());
    core.tally.count_events(now, new, prepared.batch.events.len() - new, prepared.batch.writes(), recent);
}

async fn end_snapshot(core: &Core, halt: &CancellationToken) -> Result<Option<()>, Error> {
    let (patience, models) = (core.patience(halt), &core.parts.models);
    let Some(adopted) = stopped(patience.insist("adopted", || models.adopted()).await)? else {
        return Ok(None);
    };
    let Some(Adopted { epoch, snapshot: Some(pass) }) = adopted else { return Ok(Some(())) };
    let over = Adopted { epoch, snapshot: None };
    let adopted = stopped(patience.insist("adopt", || models.adopt(&over)).await)?;
    if adopted.is_some() {
        info!(pass, "the snapshot is complete");
        core.state.send_replace(State::Streaming);
    }
    Ok(adopted)
}
