//! The first stage: reading, and projecting.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering},
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Core, Error, Prepared, stopped};
use crate::{
    batch::Arrival,
    change::Change,
    clock::Moment,
    event::{Event, EventId, Payload},
    letter::{DeadLetter, Why},
    position::{Offset, Partition, Position},
    rejection::Rejection,
    source::{Limit, Read},
};

/// Who refuses a row that is no event.
const READER: &str = "outbox";

/// Reads and projects until `halt`; hands a batch on as soon as the next stage takes it.
pub(super) async fn run(
    core: &Core,
    next: mpsc::Sender<Prepared>,
    halt: &CancellationToken,
) -> Result<(), Error> {
    let mut prepared = Prepared::default();
    let mut taken = Taken::new();
    let mut unrecorded = Unrecorded::default();
    loop {
        let room = prepared.room(core);
        tokio::select! {
            biased;
            () = halt.cancelled() => break,
            place = next.reserve(), if !prepared.is_empty() => match place {
                Ok(place) => {
                    place.send(std::mem::take(&mut prepared));
                    unrecorded.hand_on();
                }
                // The next stage has ended, and says why.
                Err(_) => return Ok(()),
            },
            reads = core.parts.source.read(room.unwrap_or(NONE)), if room.is_some() => {
                if take(core, &mut prepared, &mut taken, &mut unrecorded, reads?, halt).await?.is_none() {
                    break;
                }
            }
        }
    }
    if !prepared.is_empty() {
        // What was taken is finished. If the next stage is stuck, it gives up by itself.
        drop(next.send(prepared).await);
    }
    Ok(())
}

const NONE: Limit = Limit { changes: 1, bytes: 1 };

impl Prepared {
    fn is_empty(&self) -> bool {
        self.confirm.is_empty() && !self.snapshot_end
    }

    /// How much more fits, if anything does.
    fn room(&self, core: &Core) -> Option<Limit> {
        let changes = core.settings.batch_events_max.saturating_sub(self.batch.events.len());
        let bytes = core.settings.batch_bytes_max.saturating_sub(self.batch.weight());
        (changes > 0 && bytes > 0).then_some(Limit { changes, bytes })
    }

    /// This is the last of its partition that the batch holds.
    fn reaches(&mut self, position: Position) {
        match self.confirm.iter_mut().find(|known| known.partition == position.partition) {
            Some(known) => *known = position,
            None => self.confirm.push(position),
        }
    }
}

/// The last offset of each partition that was taken in this run.
type Taken = HashMap<Partition, Offset>;

/// Where events of a snapshot stand that are on their way to the ledger, which does not know them yet: the stream may
/// bring them before it does. Nearly always empty.
#[derive(Default)]
struct Unrecorded(VecDeque<Known>);

impl Unrecorded {
    /// The batch in hand, the one between the stages, and the one that is being recorded.
    const BATCHES: usize = 3;

    /// The batch in hand goes on.
    fn hand_on(&mut self) {
        if self.0.iter().any(|batch| !batch.is_empty()) {
            self.0.push_front(Known::new());
            self.0.truncate(Self::BATCHES);
        }
    }

    fn add(&mut self, event: &Event) {
        if self.0.is_empty() {
            self.0.push_front(Known::new());
        }
        self.0[0].entry(event.id.clone()).or_default().push(event.position.clone());
    }

    fn positions<'a>(&'a self, id: &'a EventId) -> impl Iterator<Item = &'a Position> {
        self.0.iter().filter_map(move |batch| batch.get(id)).flatten()
    }
}

/// Projects what was read. Nothing if the pipeline is to stop.
async fn take(
    core: &Core,
    prepared: &mut Prepared,
    taken: &mut Taken,
    unrecorded: &mut Unrecorded,
    reads: Vec<Read>,
    halt: &CancellationToken,
) -> Result<Option<()>, Error> {
    let now = core.parts.clock.now();
    let mut arrivals = Vec::with_capacity(reads.len());
    let mut maybe_known = Vec::new();
    for read in reads {
        match read {
            Read::SnapshotEnd => prepared.snapshot_end = true,
            Read::Change(change) => {
                let Position { partition, offset } = &change.position;
                if taken.get(partition) >= Some(offset) {
                    // After a rebalance it comes again, and it is in this batch or one before it.
                    continue;
                }
                taken.insert(partition.clone(), *offset);
                prepared.reaches(change.position.clone());
                match core.parts.outbox.event(&change) {
                    None => drop(core.tally.passed_over.fetch_add(1, Ordering::Relaxed)),
                    Some(Err(rejection)) => prepared.letters.push(unreadable(core, &change, rejection, now)),
                    Some(Ok(event)) => {
                        if change.may_be_known {
                            maybe_known.push(event.id.clone());
                        }
                        arrivals.push((event, change.may_be_known));
                    }
                }
            }
        }
    }
    let Some(known) = recall(core, &maybe_known, halt).await? else { return Ok(None) };
    for (event, may_be_known) in arrivals {
        let mut known_at = known.get(&event.id).cloned().unwrap_or_default();
        if may_be_known {
            known_at.extend(unrecorded.positions(&event.id).cloned());
            unrecorded.add(&event);
        }
        project(core, prepared, event, known_at, now);
    }
    Ok(Some(()))
}

type Known = HashMap<EventId, Vec<Position>>;

/// Where these events stood before.
async fn recall(core: &Core, ids: &[EventId], halt: &CancellationToken) -> Result<Option<Known>, Error> {
    let mut known = Known::new();
    if ids.is_empty() {
        return Ok(Some(known));
    }
    let recalled = core.patience(halt).insist("recall", || core.parts.models.recall(ids)).await;
    let Some(recalled) = stopped(recalled)? else { return Ok(None) };
    for (id, position) in recalled {
        known.entry(id).or_default().push(position);
    }
    Ok(Some(known))
}

fn project(core: &Core, prepared: &mut Prepared, event: Event, mut known_at: Vec<Position>, now: Moment) {
    let projected = core.parts.registry.project(&event);
    for (handler, rejection) in projected.rejected {
        let why = Why { handler, document: None, error: rejection.reason, path: rejection.path };
        prepared.letters.push(letter(core, &event, why, now));
    }
    known_at.retain(|position| *position != event.position);
    prepared.taken.push(now);
    prepared.batch.add(Arrival { event: Arc::new(event), known_at: known_at.into() }, projected.writes);
}

fn letter(core: &Core, event: &Event, why: Why, now: Moment) -> DeadLetter {
    // The reason stays out of the log: a handler may have put anything into it.
    warn!(event_id = %event.id, event_type = %event.event_type, handler = %why.handler, "an event was rejected");
    DeadLetter::about(event, why, now, core.settings.letter_payload_bytes_max)
}

/// A letter about a row that is no event: its place stands for its id, and the row for its payload.
fn unreadable(core: &Core, change: &Change, rejection: Rejection, now: Moment) -> DeadLetter {
    let event = Event {
        id: EventId::new(change.position.to_string()),
        event_type: "unknown".into(),
        aggregate_id: "unknown".into(),
        aggregate_type: "unknown".into(),
        payload: Payload::new(serde_json::to_string(&change.after).unwrap_or_default()),
        created_at: change.origin.committed_at.unwrap_or(now),
        committed_at: change.origin.committed_at,
        passed: change.passed,
        position: change.position.clone(),
    };
    let why = Why { handler: READER.into(), document: None, error: rejection.reason, path: rejection.path };
    letter(core, &event, why, now)
}
