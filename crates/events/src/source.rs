//! Where changes come from, as the pipeline sees it. Every adapter passes `streamer-events-conformance`.

mod error;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    change::Change,
    position::{Epoch, Position},
};

pub use error::{Error, ErrorKind, Result};

/// Gives changes in commit order, and gives them again until they are confirmed.
///
/// One caller reads; confirming may happen at the same time. A source reconnects by itself, with backoff, and an
/// error is something that only a person can mend.
#[async_trait]
pub trait Source: Send + Sync {
    /// Connects, and says which life of the source this is. Waits while another process reads in this one's place.
    /// [`ErrorKind::NotReady`] says what is missing there and how to make it, [`ErrorKind::Lost`] that what was not
    /// confirmed can no longer be had.
    async fn open(&self) -> Result<Opened>;

    /// Begins to read, once after [`open`](Self::open): with `snapshot`, the rows that are there, as that pass of
    /// the epoch's snapshot; then what is not confirmed. Every row is in one or the other; if it may be in both, the
    /// change [says so](Change::may_be_known).
    async fn start(&self, snapshot: Option<u32>) -> Result<()>;

    /// The next changes, at most `limit` and at least one: waits for it. Those of one partition come in the order of
    /// their positions. Dropping the call loses nothing.
    async fn read(&self, limit: Limit) -> Result<Vec<Read>>;

    /// Everything up to and including `position`, in its partition, is durable where it belongs. The source does not
    /// wait for anything: it tells its server when it can, and at [`close`](Self::close).
    async fn confirm(&self, position: &Position);

    /// Tells the server what is confirmed, and leaves. Nothing is read any more.
    async fn close(&self) -> Result<()>;

    /// How far the slot, or what stands for one, was behind when it was last looked at. None where it never was, and
    /// where there is none.
    fn last_lag(&self) -> Option<SlotLag> {
        None
    }
}

/// How far a slot is behind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlotLag {
    /// Bytes of the log between what is confirmed and the log's end.
    pub bytes: u64,
    /// For how long the oldest change that is not confirmed has waited, in seconds.
    pub seconds: f64,
    /// Bytes of the log that the server keeps for the slot.
    pub retained_bytes: u64,
    /// In PostgreSQL's word: `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: String,
}

/// What a source says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Which life of the source this is.
    pub epoch: Epoch,
    /// Whether there may be rows that no stream will bring, because they are older than it.
    pub has_rows_before: bool,
}

/// What is read.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "nearly all are changes")]
pub enum Read {
    /// A change.
    Change(Change),
    /// The snapshot is over: all of its rows have been given.
    SnapshotEnd,
}

/// How much is read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// At most so many changes; at least 1.
    pub changes: usize,
    /// No more changes once these have about so many bytes.
    pub bytes: usize,
}
