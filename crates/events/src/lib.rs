//! From changes of an outbox to writes of read models.
//!
//! A change's way: a [`Source`](source::Source) reads the database's log, in commit order; a change that inserts a row
//! into the [`Outbox`] is an [`Event`]; the [`Registry`] hands it to its handlers, pure functions that say what they
//! want [written](Write), as data; the [`Pipeline`] gathers the writes of many events by document, has the
//! [`Sink`](sink::Sink) [apply](mod@apply) them, and confirms the position. **Confirm after write, always**: what was not
//! confirmed comes again, and what a document's position covers changes nothing.
//!
//! What this crate needs of the outside are ports: [`source`], [`sink`], [`clock`] and [`random`]. In-memory ones for
//! tests are in [`testing`].

pub mod apply;
mod backoff;
pub mod batch;
pub mod change;
pub mod clock;
mod event;
pub mod failpoint;
pub mod latency;
mod letter;
mod mapping;
mod outbox;
mod path;
mod pipeline;
pub mod position;
pub mod projections;
pub mod random;
mod registry;
mod rejection;
pub mod replay;
pub mod sink;
pub mod source;
#[cfg(feature = "testing")]
pub mod testing;
mod value;
mod write;

pub use backoff::Backoff;
pub use batch::Batch;
pub use change::Change;
pub use clock::Moment;
pub use event::{Event, EventId, Payload};
pub use letter::{DeadLetter, PAYLOAD_BYTES_MAX, Why};
pub use mapping::{Action, Mapping};
pub use outbox::Outbox;
pub use path::{InvalidPath, Path};
pub use pipeline::{Error, Figures, NewEpoch, Pace, Parts, Pipeline, Recent, Settings, State, Tally};
pub use position::{Epoch, Offset, Partition, Position};
pub use registry::{Handler, Projected, Registry};
pub use rejection::Rejection;
pub use value::{Document, Value};
pub use write::{Edit, Entry, Missing, Number, Write};
