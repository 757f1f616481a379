//! MongoDB as the place of read models.
//!
//! A batch is applied by reading the documents that it changes, applying the writes with the one pure function that
//! says what they mean, and replacing each document under the condition that its positions are still those that were
//! read. So whatever a write can say works on any server, and two processes on one document cannot lose each other's
//! writes. Documents that begin with an insert are not read first. Beside the read models there are three collections of
//! our own: the ledger, the source, and the dead letters.

mod applying;
mod command;
mod documents;
mod emptying;
mod error;
mod forgetting;
mod indexes;
mod ledger;
mod letters;
mod settings;
mod sink;

pub use documents::{Opaque, from_bson, to_bson};
pub use forgetting::Entry;
pub use indexes::Index;
pub use settings::Settings;
pub use sink::{DEAD_LETTERS, LEDGER, MongoSink};
