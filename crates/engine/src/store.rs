//! Storage as the engine sees it. Every adapter passes `streamer-store-conformance`.
//!
//! Stores read no clock: every moment comes in as an argument, so that the engine alone decides what time it
//! is. What a method's comment calls atomic is so across a crash too.

mod artifact;
mod connection;
mod error;
mod outbox;
mod request;
mod share;
mod topic;

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use streamer_protocol::{Action, ConnectionId, ErrorBody, Json, TenantId, Timestamp, UserId};

pub use artifact::{Artifact, ArtifactBody, ArtifactId, NewArtifact};
pub use connection::{ConnectionFilter, ConnectionRecord};
pub use error::{Error, ErrorKind, Result};
pub use outbox::{Announcement, GivenUp, OutboxDepth, ToAnnounce};
pub use request::{
    Cancelled, Claim, Claimed, Enqueued, EntryBody, Fingerprint, Lease, LogEntry, NewRequest, Outcome,
    ProgressState, Promoted, Record, Renewed, RequestFilter, RequestKey, Summary, WorkerId,
};
pub use share::{Priority, Quota, RunningMax, Usage};
pub use topic::{
    Append, AppendId, Appended, Keep, Message, MessageKey, NewMessage, Placed, SourcePosition, TopicHead,
    TopicKey, TopicLog, TopicQuota, TopicUsage,
};

/// One page of a longer list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Where the next page begins, if there is one. Opaque: only the store that made it reads it.
    pub cursor: Option<String>,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default)]
pub struct PageQuery {
    /// At most so many items. 0 is [`ErrorKind::Invalid`].
    pub limit: u32,
    /// Where an earlier page ended. One that the store did not make, or that it can no longer find its place by,
    /// is [`ErrorKind::Invalid`].
    pub cursor: Option<String>,
}

/// Who is connected.
#[async_trait]
pub trait Connections: Send + Sync {
    /// Stored once this returns, so that it outlives the process. It need not outlive the machine: no connection
    /// does. A second `connect` with the same id replaces the record.
    async fn connect(&self, connection: &ConnectionRecord) -> Result<()>;

    /// The record, if it is there.
    async fn connection(&self, id: &ConnectionId) -> Result<Option<ConnectionRecord>>;

    /// Notes that these were heard from, and keeps their records until `expires_at`. Unknown ids are skipped. May
    /// be lost in a crash.
    async fn touch(&self, ids: &[ConnectionId], at: Timestamp, expires_at: Timestamp) -> Result<()>;

    /// Removes the record and returns it; `None` if it was gone already.
    async fn disconnect(&self, id: &ConnectionId) -> Result<Option<ConnectionRecord>>;

    /// Those that match, oldest id first.
    async fn connections(
        &self,
        filter: &ConnectionFilter,
        page: &PageQuery,
    ) -> Result<Page<ConnectionRecord>>;

    /// Removes what `endpoint` left behind in a former life. Returns how many.
    async fn forget_endpoint(&self, endpoint: &str) -> Result<u64>;

    /// Removes at most `limit` records whose `expires_at` has come. Returns how many.
    async fn purge_connections(&self, now: Timestamp, limit: u32) -> Result<u64>;
}

/// Requests and their logs.
///
/// A request's log is a sequence of entries with rising `seq`. Only the holder of its lease appends, and it
/// numbers its entries itself: so a write whose reply was lost can be repeated, and changes nothing if it was
/// done. The log keeps the newest progress, every chunk that is not void, restarts, and the outcome.
#[async_trait]
pub trait Requests: Send + Sync {
    /// Durable once this returns. A known id with the same fingerprint answers with where it stands; with
    /// another it is [`ErrorKind::Conflict`]. A quota that is used up is [`ErrorKind::Full`]; a known id is
    /// answered even then. Atomic: id, record and quota.
    async fn enqueue(&self, new: &NewRequest, quota: &Quota) -> Result<Enqueued>;

    /// Stores a request that runs already: as PROCESSING, first attempt, leased to `worker` until
    /// `lease_until`. Otherwise as [`enqueue`](Self::enqueue). Not safe to repeat: a second call finds the first
    /// one's request as [`Promoted::Known`]. Atomic: id, record, lease and quota.
    async fn promote(
        &self,
        new: &NewRequest,
        quota: &Quota,
        worker: &WorkerId,
        lease_until: Timestamp,
    ) -> Result<Promoted>;

    /// Leases at most `limit` due requests: PENDING and RETRYING ones whose `run_at` has come, and PROCESSING ones
    /// whose lease has run out. Each claim carries a new fence and counts an attempt (and, when it takes over a
    /// lease that ran out, a takeover). From the second attempt on, the chunks that the checkpoint does not cover
    /// are removed and a restart is appended.
    ///
    /// Fair between tenants: each goes to the tenant that runs the fewest; among equals they take turns, and one
    /// that had nothing open begins behind those that wait for theirs. Within a tenant the highest priority goes
    /// first, and then what is due longest. An action that runs as often as `running_max` lets it is passed over,
    /// alone or with those that share its bound, and so is a tenant that has as many places as it lets it have. A
    /// request runs as long as its lease holds.
    ///
    /// Atomic: status, lease, attempt, voided chunks and the restart. Durable, but for first attempts: one need not
    /// outlive the machine, whose request then waits as before.
    async fn claim(
        &self,
        worker: &WorkerId,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
        running_max: &RunningMax,
    ) -> Result<Claimed>;

    /// Prolongs leases, also those that ran out while nobody claimed the request. The answer has one item per
    /// lease, in order.
    async fn renew(&self, leases: &[Lease], lease_until: Timestamp) -> Result<Vec<Renewed>>;

    /// Runs out at once every lease that `worker` holds: it did so in a former life. Returns how many; those
    /// that had run out already are not counted.
    async fn reclaim(&self, worker: &WorkerId, now: Timestamp) -> Result<u64>;

    /// Appends to the request's log, and with `checkpoint` stores the state from which another attempt
    /// continues; it covers every chunk of the log as this call leaves it. [`ErrorKind::LeaseLost`] once
    /// another fence is out, the lease was given up, or the request has ended. Entries at or below the log's
    /// last `seq` were appended before and are skipped; a call whose last entry is below it is an old one's
    /// repetition, and its checkpoint is skipped too. Entries that do not continue the log (a `seq` that does
    /// not rise, a chunk that is not the next, a restart or an outcome) are [`ErrorKind::Invalid`], and nothing
    /// of the call is done. So is a call that adds more bytes than the tenant's or all tenants' stored bytes leave room
    /// for: it is [`ErrorKind::Full`]. One that adds none, such as progress alone or a checkpoint that is no larger than the
    /// one before, always has room. Returns whether somebody asked to cancel the request.
    /// Atomic: the entries, the checkpoint and the quota.
    async fn append(
        &self,
        lease: &Lease,
        entries: &[LogEntry],
        checkpoint: Option<&Json>,
        quota: &Quota,
    ) -> Result<bool>;

    /// Ends the request under its lease, at the log's next `seq`, which is returned. Safe to repeat under the
    /// same lease: what ended stays as it ended. [`ErrorKind::LeaseLost`] once another fence is out or the lease
    /// was given up.
    /// Atomic: status, outcome, log and quota, and the [`Outbox`] if the request is announced.
    async fn finish(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<u64>;

    /// An attempt failed; the next may begin at `run_at`, which becomes the request's `run_at` and
    /// `retry_after`. Counts a failure and gives the lease up. Safe to repeat under the same lease.
    /// [`ErrorKind::LeaseLost`] once another fence is out, or the request has ended or was released.
    async fn retry(&self, lease: &Lease, run_at: Timestamp, error: &ErrorBody) -> Result<()>;

    /// Gives the lease up, so that anyone may claim the request from `run_at` on, which becomes the request's
    /// `run_at`: it is PENDING, and no failure is counted. Safe to repeat under the same lease.
    /// [`ErrorKind::LeaseLost`] once another fence is out, or the request has ended or waits for a retry.
    async fn release(&self, lease: &Lease, run_at: Timestamp) -> Result<()>;

    /// Asks to end the request. One that waits is CANCELLED at once (its outcome is appended to its log); one
    /// that runs is marked, and its worker learns it at its next write or renewal; one that has ended stays
    /// as it is. The mark outlives the attempt: a retry, a release or a takeover keeps it.
    /// [`ErrorKind::NotFound`] if there is none; [`ErrorKind::Invalid`] if `outcome` is no
    /// [`Outcome::Cancelled`]. Atomic: status, outcome, log and quota, and the [`Outbox`] if the request is announced.
    async fn cancel(
        &self,
        key: &RequestKey,
        outcome: &Outcome,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Cancelled>;

    /// An operator's second chance for a FAILED request: it is PENDING again from `now`, with its failures,
    /// takeovers and cancel forgotten, and its outcome taken out of the log. Attempts and `seq` count on, and
    /// the checkpoint stays. It is open again, even above the quota, and its end is announced no more: another will be.
    /// [`ErrorKind::NotFound`] if there is none, [`ErrorKind::Conflict`] if it did not fail. Atomic: status, log, quota
    /// and outbox.
    async fn replay(&self, key: &RequestKey, now: Timestamp) -> Result<Summary>;

    /// Everything about one request, if it is there.
    async fn request(&self, key: &RequestKey) -> Result<Option<Record>>;

    /// Those that match, the last that came first.
    async fn requests(&self, filter: &RequestFilter, page: &PageQuery) -> Result<Page<Summary>>;

    /// What a returning client missed: at most `limit` entries with a `seq` above `after`, in order.
    async fn log(&self, key: &RequestKey, after: u64, limit: u32) -> Result<Vec<LogEntry>>;

    /// How many requests have not ended, in all tenants.
    async fn open_requests(&self) -> Result<u64>;

    /// How many bytes are kept, in all tenants; see [`Usage::stored_bytes`].
    async fn stored_bytes(&self) -> Result<u64>;

    /// What a tenant has open, runs and keeps.
    async fn usage(&self, tenant: &TenantId, now: Timestamp) -> Result<Usage>;

    /// Removes at most `limit` ended requests whose `expires_at` has come, with their logs. Returns how many.
    async fn purge_requests(&self, now: Timestamp, limit: u32) -> Result<u64>;
}

/// The outcomes that somebody outside is to be told: a request that is
/// [announced](NewRequest::announced) is in it from its end (put in by the very step that ends it) until it was told,
/// was replayed, or is removed.
///
/// Like requests, announcements are leased and fenced: whoever dies telling one has it told again by another. So each is
/// told at least once. None of the calls below need outlive the machine at once, but [`revive`](Self::revive): what is
/// undone by a power cut is told again.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Takes at most `limit` announcements that are due, the longest due first, without those of the actions in
    /// `except`. Each is due again at `lease_until` unless its new fence is used before. Says when the next one is due
    /// that was not.
    async fn take(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
        except: &BTreeSet<Action>,
    ) -> Result<ToAnnounce>;

    /// It was told. Changes nothing under an old fence.
    async fn announced(&self, key: &RequestKey, fence: u64) -> Result<()>;

    /// It is told later: not before `due_at`. With `why`, telling it has failed once more. Changes nothing under an old
    /// fence.
    async fn put_off(&self, key: &RequestKey, fence: u64, due_at: Timestamp, why: Option<&str>)
    -> Result<()>;

    /// It failed once more, and is not told any more unless it is [revived](Self::revive). Changes nothing under an old
    /// fence.
    async fn give_up(&self, key: &RequestKey, fence: u64, now: Timestamp, why: &str) -> Result<()>;

    /// Those that were given up, the request that came last first.
    async fn given_up(&self, page: &PageQuery) -> Result<Page<GivenUp>>;

    /// One that was given up is due at `now`, with its failures forgotten. [`ErrorKind::NotFound`] if there is none.
    async fn revive(&self, key: &RequestKey, now: Timestamp) -> Result<()>;

    /// How many there are.
    async fn outbox_depth(&self) -> Result<OutboxDepth>;
}

/// Files that requests made: reports, and results too large for a message.
#[async_trait]
pub trait Artifacts: Send + Sync {
    /// Durable once this returns. Safe to repeat: the same bytes of the same owner again are those that are
    /// kept. Anything else under a taken id is [`ErrorKind::Conflict`]. What the tenant's or all tenants' stored
    /// bytes leave no room for is [`ErrorKind::Full`]. Atomic: the file and the quota.
    async fn keep(&self, new: NewArtifact, quota: &Quota) -> Result<Artifact>;

    /// What is known of it and its bytes, if `tenant` and `user` own it. Somebody else's is not there.
    async fn artifact(
        &self,
        tenant: &TenantId,
        user: &UserId,
        id: &ArtifactId,
    ) -> Result<Option<(Artifact, ArtifactBody)>>;

    /// Removes at most `limit` whose `expires_at` has come. Returns how many.
    async fn purge_artifacts(&self, now: Timestamp, limit: u32) -> Result<u64>;
}

/// Everything the engine needs; adapters never name this trait.
pub trait Store: Connections + Requests + Outbox + Artifacts + TopicLog {}
impl<T: Connections + Requests + Outbox + Artifacts + TopicLog> Store for T {}

/// A store that is chosen at start.
pub type SharedStore = Arc<dyn Store>;
