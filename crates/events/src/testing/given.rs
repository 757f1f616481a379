//! Small things that tests are made of.

use std::sync::Arc;

use crate::{
    batch::{Author, Group, Placed},
    change::Passed,
    clock::Moment,
    event::{Event, EventId, Payload},
    position::{Epoch, Offset, Partition, Position},
    write::Write,
};

/// The life of a source.
#[must_use]
pub fn epoch() -> Epoch {
    Epoch::Kafka { cluster: "cluster".into(), topic: "topic".into() }
}

/// A partition of it.
#[must_use]
pub fn partition(index: u32) -> Partition {
    Partition::of(&epoch(), index)
}

/// A moment.
#[must_use]
pub fn moment(seconds: i64) -> Moment {
    Moment::from_millis(1_795_254_103_000 + seconds * 1000)
}

/// An event `e{offset}` of the partition, of the aggregate `a`.
#[must_use]
pub fn event(partition_index: u32, offset: u64, event_type: &str, payload: &str) -> Event {
    Event {
        id: EventId::new(format!("e{partition_index}-{offset}")),
        event_type: event_type.into(),
        aggregate_id: "a".into(),
        aggregate_type: "Aggregate".into(),
        payload: Payload::new(payload),
        created_at: moment(0),
        committed_at: None,
        passed: Passed::default(),
        position: Position { partition: partition(partition_index), offset: Offset::at(offset) },
    }
}

/// A handler's write, placed.
#[must_use]
pub fn placed(offset: u64, handler: &str, write: Write) -> Placed {
    Placed {
        offset: Offset::at(offset),
        author: Author { event: EventId::new(format!("e{offset}")), handler: handler.into() },
        known_at: Arc::default(),
        missing: write.missing,
        edits: write.edits,
    }
}

/// Writes to one document, each with its offset.
pub fn group(partition_index: u32, id: &str, writes: impl IntoIterator<Item = (u64, Write)>) -> Group {
    let mut collection: Arc<str> = "c".into();
    let writes = writes.into_iter().map(|(offset, write)| {
        collection = Arc::clone(&write.collection);
        let mut placed = placed(offset, "h", write);
        placed.author.event = EventId::new(format!("e{partition_index}-{offset}"));
        placed
    });
    let writes = writes.collect();
    Group { collection, id: id.into(), partition: partition(partition_index), writes, void: Vec::new() }
}
