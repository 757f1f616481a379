//! A store in memory: one lock, nothing clever, and the same promises but for durability.

mod artifacts;
mod connections;
mod outbox;
mod request;
mod requests;
mod share;
mod topics;

use std::collections::BTreeSet;

use async_trait::async_trait;
use parking_lot::Mutex;
use streamer_protocol::{Action, ConnectionId, ErrorBody, Json, TenantId, Timestamp, UserId};

use self::{
    artifacts::StoredArtifacts, connections::StoredConnections, requests::StoredRequests, share::Kept,
    topics::StoredTopics,
};
use crate::store::{
    Append, Appended, Artifact, ArtifactBody, ArtifactId, Artifacts, Cancelled, Claimed, ConnectionFilter,
    ConnectionRecord, Connections, Enqueued, Error, ErrorKind, GivenUp, Lease, LogEntry, Message,
    NewArtifact, NewRequest, Outbox, OutboxDepth, Outcome, Page, PageQuery, Promoted, Quota, Record, Renewed,
    RequestFilter, RequestKey, Requests, Result, RunningMax, Summary, ToAnnounce, TopicHead, TopicKey,
    TopicLog, TopicUsage, Usage, WorkerId,
};

/// A store that forgets everything when it is dropped.
#[derive(Default)]
pub struct MemoryStore {
    connections: Mutex<StoredConnections>,
    requests: Mutex<StoredRequests>,
    artifacts: Mutex<StoredArtifacts>,
    topics: Mutex<StoredTopics>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many requests of an action run at `now`: their lease holds.
    #[must_use]
    pub fn running_of_action(&self, action: &Action, now: Timestamp) -> u64 {
        self.requests.lock().running_of_action(action, now)
    }

    /// The bytes of artifacts.
    fn kept(&self, tenant: &TenantId) -> Kept {
        let artifacts = self.artifacts.lock();
        Kept { all: artifacts.bytes(None), tenant: artifacts.bytes(Some(tenant)) }
    }
}

/// At most `page.limit` of `items`, and a cursor that names the last of them if there are more.
fn page_of<T>(
    items: impl Iterator<Item = T>,
    limit: u32,
    cursor_of: impl Fn(&T) -> String,
) -> Result<Page<T>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if limit == 0 {
        return Err(Error::new(ErrorKind::Invalid, "a page has at least one item"));
    }
    let mut items: Vec<T> = items.take(limit.saturating_add(1)).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let cursor = if more { items.last().map(cursor_of) } else { None };
    Ok(Page { items, cursor })
}

/// What follows `prefix` in a cursor.
fn read_cursor<'a>(cursor: &'a str, prefix: &str) -> Result<&'a str> {
    cursor.strip_prefix(prefix).ok_or_else(|| Error::new(ErrorKind::Invalid, "a foreign cursor"))
}

#[async_trait]
impl Connections for MemoryStore {
    async fn connect(&self, connection: &ConnectionRecord) -> Result<()> {
        self.connections.lock().connect(connection);
        Ok(())
    }

    async fn connection(&self, id: &ConnectionId) -> Result<Option<ConnectionRecord>> {
        Ok(self.connections.lock().get(id))
    }

    async fn touch(&self, ids: &[ConnectionId], at: Timestamp, expires_at: Timestamp) -> Result<()> {
        self.connections.lock().touch(ids, at, expires_at);
        Ok(())
    }

    async fn disconnect(&self, id: &ConnectionId) -> Result<Option<ConnectionRecord>> {
        Ok(self.connections.lock().disconnect(id))
    }

    async fn connections(
        &self,
        filter: &ConnectionFilter,
        page: &PageQuery,
    ) -> Result<Page<ConnectionRecord>> {
        self.connections.lock().list(filter, page)
    }

    async fn forget_endpoint(&self, endpoint: &str) -> Result<u64> {
        Ok(self.connections.lock().forget_endpoint(endpoint))
    }

    async fn purge_connections(&self, now: Timestamp, limit: u32) -> Result<u64> {
        Ok(self.connections.lock().purge(now, limit))
    }
}

#[async_trait]
impl Requests for MemoryStore {
    async fn enqueue(&self, new: &NewRequest, quota: &Quota) -> Result<Enqueued> {
        let kept = self.kept(&new.key.tenant);
        self.requests.lock().enqueue(new, quota, kept)
    }

    async fn promote(
        &self,
        new: &NewRequest,
        quota: &Quota,
        worker: &WorkerId,
        lease_until: Timestamp,
    ) -> Result<Promoted> {
        let kept = self.kept(&new.key.tenant);
        self.requests.lock().promote(new, quota, kept, worker, lease_until)
    }

    async fn claim(
        &self,
        worker: &WorkerId,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
        running_max: &RunningMax,
    ) -> Result<Claimed> {
        Ok(self.requests.lock().claim(worker, now, lease_until, limit, running_max))
    }

    async fn renew(&self, leases: &[Lease], lease_until: Timestamp) -> Result<Vec<Renewed>> {
        Ok(self.requests.lock().renew(leases, lease_until))
    }

    async fn reclaim(&self, worker: &WorkerId, now: Timestamp) -> Result<u64> {
        Ok(self.requests.lock().reclaim(worker, now))
    }

    async fn append(
        &self,
        lease: &Lease,
        entries: &[LogEntry],
        checkpoint: Option<&Json>,
        quota: &Quota,
    ) -> Result<bool> {
        let kept = self.kept(&lease.key.tenant);
        self.requests.lock().append(lease, entries, checkpoint, quota, kept)
    }

    async fn finish(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<u64> {
        self.requests.lock().finish(lease, outcome, now, expires_at)
    }

    async fn retry(&self, lease: &Lease, run_at: Timestamp, error: &ErrorBody) -> Result<()> {
        self.requests.lock().retry(lease, run_at, error)
    }

    async fn release(&self, lease: &Lease, run_at: Timestamp) -> Result<()> {
        self.requests.lock().release(lease, run_at)
    }

    async fn cancel(
        &self,
        key: &RequestKey,
        outcome: &Outcome,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Cancelled> {
        self.requests.lock().cancel(key, outcome, now, expires_at)
    }

    async fn replay(&self, key: &RequestKey, now: Timestamp) -> Result<Summary> {
        self.requests.lock().replay(key, now)
    }

    async fn request(&self, key: &RequestKey) -> Result<Option<Record>> {
        Ok(self.requests.lock().get(key))
    }

    async fn requests(&self, filter: &RequestFilter, page: &PageQuery) -> Result<Page<Summary>> {
        self.requests.lock().list(filter, page)
    }

    async fn log(&self, key: &RequestKey, after: u64, limit: u32) -> Result<Vec<LogEntry>> {
        Ok(self.requests.lock().log(key, after, limit))
    }

    async fn open_requests(&self) -> Result<u64> {
        Ok(self.requests.lock().open())
    }

    async fn stored_bytes(&self) -> Result<u64> {
        Ok(self.requests.lock().bytes(None) + self.artifacts.lock().bytes(None))
    }

    async fn usage(&self, tenant: &TenantId, now: Timestamp) -> Result<Usage> {
        let requests = self.requests.lock();
        Ok(Usage {
            open: requests.open_of(tenant),
            running: requests.running_of(tenant, now),
            stored_bytes: requests.bytes(Some(tenant)) + self.kept(tenant).tenant,
        })
    }

    async fn purge_requests(&self, now: Timestamp, limit: u32) -> Result<u64> {
        Ok(self.requests.lock().purge(now, limit))
    }
}

#[async_trait]
impl Outbox for MemoryStore {
    async fn take(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
        except: &BTreeSet<Action>,
    ) -> Result<ToAnnounce> {
        Ok(self.requests.lock().take(now, lease_until, limit, except))
    }

    async fn announced(&self, key: &RequestKey, fence: u64) -> Result<()> {
        self.requests.lock().announced(key, fence);
        Ok(())
    }

    async fn put_off(
        &self,
        key: &RequestKey,
        fence: u64,
        due_at: Timestamp,
        why: Option<&str>,
    ) -> Result<()> {
        self.requests.lock().put_off(key, fence, due_at, why.is_some());
        Ok(())
    }

    async fn give_up(&self, key: &RequestKey, fence: u64, now: Timestamp, why: &str) -> Result<()> {
        self.requests.lock().give_up(key, fence, now, why);
        Ok(())
    }

    async fn given_up(&self, page: &PageQuery) -> Result<Page<GivenUp>> {
        self.requests.lock().given_up(page)
    }

    async fn revive(&self, key: &RequestKey, now: Timestamp) -> Result<()> {
        self.requests.lock().revive(key, now)
    }

    async fn outbox_depth(&self) -> Result<OutboxDepth> {
        Ok(self.requests.lock().outbox_depth())
    }
}

#[async_trait]
impl Artifacts for MemoryStore {
    async fn keep(&self, new: NewArtifact, quota: &Quota) -> Result<Artifact> {
        let requests = self.requests.lock();
        let (all, tenant) = (requests.bytes(None), requests.bytes(Some(&new.tenant)));
        self.artifacts.lock().keep(new, quota, Kept { all, tenant })
    }

    async fn artifact(
        &self,
        tenant: &TenantId,
        user: &UserId,
        id: &ArtifactId,
    ) -> Result<Option<(Artifact, ArtifactBody)>> {
        Ok(self.artifacts.lock().get(tenant, user, id))
    }

    async fn purge_artifacts(&self, now: Timestamp, limit: u32) -> Result<u64> {
        Ok(self.artifacts.lock().purge(now, limit))
    }
}

#[async_trait]
impl TopicLog for MemoryStore {
    async fn append_messages(&self, key: &TopicKey, append: &Append) -> Result<Appended> {
        self.topics.lock().append(key, append)
    }

    async fn topic(&self, key: &TopicKey) -> Result<Option<TopicHead>> {
        Ok(self.topics.lock().head(key))
    }

    async fn messages(&self, key: &TopicKey, after: u64, upto: u64, limit: u32) -> Result<Vec<Message>> {
        Ok(self.topics.lock().messages(key, after, upto, limit))
    }

    async fn purge_topics(&self, now: Timestamp, limit: u32) -> Result<u64> {
        Ok(self.topics.lock().purge(now, limit))
    }

    async fn topic_usage(&self) -> Result<TopicUsage> {
        Ok(self.topics.lock().usage())
    }
}
