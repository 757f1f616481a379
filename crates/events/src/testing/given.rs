//! Small things that tests are made of.

use std::sync::Arc;

use crate::{
    batch::{Author, Group, Placed},
    change::{Change, Field, Op, Origin, Passed},
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

/// A row of the outbox that was inserted; the log that it goes to gives it its position.
#[must_use]
pub fn told(id: &str, event_type: &str, aggregate: &str, payload: &str) -> Change {
    let field = |text: &str| Field::Value(text.into());
    let after = [
        ("event_id", field(id)),
        ("event_type", field(event_type)),
        ("aggregate_id", field(aggregate)),
        ("aggregate_type", field("Thing")),
        ("payload", field(payload)),
        ("created_at", field(&moment(0).to_string())),
    ];
    Change {
        op: Op::Create,
        before: None,
        after: Some(after.into_iter().collect()),
        origin: Origin {
            schema: "activity".into(),
            table: "event_outbox".into(),
            lsn: None,
            tx_id: None,
            committed_at: Some(moment(0)),
            sequence: None,
        },
        position: Position { partition: partition(0), offset: Offset::at(0) },
        may_be_known: false,
        passed: Passed::default(),
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
