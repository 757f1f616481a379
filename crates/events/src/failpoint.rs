//! Places where a test has the process die: one on either side of every durable step of an event's way.
//!
//! Without the feature `failpoints` nothing of it is compiled: [`around`] only calls, and [`around_models`] and
//! [`around_sink`] give back what they are given.

#[cfg(feature = "failpoints")]
mod ports;

use std::sync::Arc;

pub use streamer_failpoint::around;

use crate::sink::{ReadModels, Sink};

// First the calls of the sinks' ports that write, then what the adapters do inside of them and beside them.
streamer_failpoint::steps! {
    /// [`Ledger::adopt`](crate::sink::Ledger::adopt): a snapshot is begun, or complete
    Adopt = "adopt",
    /// [`Ledger::record`](crate::sink::Ledger::record)
    Record = "record",
    /// [`Sink::apply`] of the read models
    Apply = "apply",
    /// [`Sink::apply`] of any other sink
    Publish = "publish",
    /// [`DeadLetters::bury`](crate::sink::DeadLetters::bury)
    Bury = "bury",
    /// [`DeadLetters::discard`](crate::sink::DeadLetters::discard)
    Discard = "discard",
    /// A command that updates documents: one call may take several.
    Update = "update",
    /// An index is made.
    Index = "index",
    /// The documents of one collection are removed, to begin from nothing.
    Empty = "empty",
    /// Some entries of the ledger are noted as gone, or removed.
    Forget = "forget",
    /// A piece of what the source needs is made: schema, outbox, table of slots, publication.
    Make = "make",
    /// A piece of what the source needs is removed.
    Unmake = "unmake",
    /// The slot is made. It is not known yet.
    MakeSlot = "make_slot",
    /// The slot is known: its incarnation is written down.
    KnowSlot = "know_slot",
    /// The slot is dropped. It is still known.
    DropSlot = "drop_slot",
    /// The slot is not known any more.
    ForgetSlot = "forget_slot",
    /// It is written down which changes may be rows of a snapshot too.
    Overlap = "overlap",
    /// It is written down how far the server will be told.
    Report = "report",
    /// The server is told how far the slot is confirmed.
    Confirm = "confirm",
    /// Some rows of the outbox that are handled are marked or removed.
    SeeTo = "see_to",
}

/// The read models, with a place before and after each of their writes.
#[cfg(not(feature = "failpoints"))]
#[must_use]
pub fn around_models(models: Arc<dyn ReadModels>) -> Arc<dyn ReadModels> {
    models
}

/// The read models, with a place before and after each of their writes.
#[cfg(feature = "failpoints")]
#[must_use]
pub fn around_models(models: Arc<dyn ReadModels>) -> Arc<dyn ReadModels> {
    Arc::new(ports::Models(models))
}

/// A sink beside the read models, with a place before and after each of its writes.
#[cfg(not(feature = "failpoints"))]
#[must_use]
pub fn around_sink(sink: Arc<dyn Sink>) -> Arc<dyn Sink> {
    sink
}

/// A sink beside the read models, with a place before and after each of its writes.
#[cfg(feature = "failpoints")]
#[must_use]
pub fn around_sink(sink: Arc<dyn Sink>) -> Arc<dyn Sink> {
    Arc::new(ports::Other(sink))
}
