//! Where events stood when they were taken, read beside the outbox.
//!
//! Events are written down in about the order of their rows. So the ledger is read once, in its order, a little ahead of
//! the rows; what is not met on the way is asked for by its id.

use std::collections::{HashMap, VecDeque};

use streamer_events::{EventId, Offset, Partition, Position};
use streamer_sink_mongodb::LEDGER;

use super::{
    Error,
    models::{Models, Stream},
};

/// So many events are kept that were read ahead of their rows.
const AHEAD_MAX: usize = 50_000;

/// The ledger, read forward.
pub(super) struct Ledger {
    /// None once it was read to its end.
    stream: Option<Stream>,
    ahead: HashMap<EventId, Vec<Position>>,
    /// Those of `ahead` and some that have left it, in their order.
    order: VecDeque<EventId>,
    /// Some were dropped to make room: what is not met may have been among them.
    has_dropped: bool,
}

impl Ledger {
    pub(super) async fn open(models: &Models<'_>) -> Result<Self, Error> {
        let stream = Some(models.unordered(LEDGER).await?);
        Ok(Self { stream, ahead: HashMap::new(), order: VecDeque::new(), has_dropped: false })
    }

    /// Where each of these stood: all of its places, or some that may do. Not all events are there.
    pub(super) async fn find(
        &mut self,
        ids: &[EventId],
        models: &Models<'_>,
    ) -> Result<HashMap<EventId, Vec<Position>>, Error> {
        let mut found = HashMap::new();
        let mut wanted: Vec<&EventId> = ids.iter().collect();
        let mut read = 0;
        loop {
            wanted.retain(|id| match self.ahead.remove(*id) {
                Some(positions) => {
                    found.insert((*id).clone(), positions);
                    false
                }
                None => true,
            });
            if wanted.is_empty() || read >= AHEAD_MAX {
                break;
            }
            match self.read_some().await? {
                0 => break,
                more => read += more,
            }
        }
        if !wanted.is_empty() && (self.stream.is_some() || self.has_dropped) {
            let wanted: Vec<EventId> = wanted.into_iter().cloned().collect();
            for (id, position) in models.recall(&wanted).await? {
                found.entry(id).or_default().push(position);
            }
        }
        Ok(found)
    }

    /// Reads what was written down at once; returns how many events that were.
    async fn read_some(&mut self) -> Result<usize, Error> {
        let Some(stream) = &mut self.stream else { return Ok(0) };
        let Some((_, document)) = stream.next().await? else {
            self.stream = None;
            return Ok(0);
        };
        let partition = document.get("partition").and_then(|value| value.as_text());
        let partition = partition.and_then(|text| text.parse::<Partition>().ok());
        let events = document.get("events").and_then(|value| value.as_list()).unwrap_or_default();
        for event in events.iter().filter_map(|event| event.as_document()) {
            let text = |name: &str| event.get(name).and_then(|value| value.as_text());
            let offset = text("at").and_then(|at| at.parse::<Offset>().ok());
            let (Some(id), Some(partition), Some(offset)) = (text("id"), &partition, offset) else {
                continue;
            };
            let position = Position { partition: partition.clone(), offset };
            let id = EventId::new(id);
            self.order.push_back(id.clone());
            self.ahead.entry(id).or_default().push(position);
        }
        while self.order.len() > AHEAD_MAX {
            let oldest = self.order.pop_front();
            self.has_dropped |= oldest.is_some_and(|oldest| self.ahead.remove(&oldest).is_some());
        }
        Ok(events.len().max(1))
    }
}
