//! Any store, with a place before and after each of its writes.
//!
//! It has the whole port: a write that is new there has no way past this file.

use std::collections::BTreeSet;

use async_trait::async_trait;
use streamer_failpoint::{around as write, around_some as write_some};
use streamer_protocol::{Action, ConnectionId, ErrorBody, Json, TenantId, Timestamp, UserId};

use super::Step;
use crate::store::{
    Append, Appended, Artifact, ArtifactBody, ArtifactId, Artifacts, Cancelled, Claimed, ConnectionFilter,
    ConnectionRecord, Connections, Enqueued, GivenUp, Lease, LogEntry, Message, NewArtifact, NewRequest,
    Outbox, OutboxDepth, Outcome, Page, PageQuery, Promoted, Quota, Record, Renewed, RequestFilter,
    RequestKey, Requests, Result, RunningMax, SharedStore, Summary, ToAnnounce, TopicHead, TopicKey,
    TopicLog, TopicUsage, Usage, WorkerId,
};

pub(super) struct Points(pub(super) SharedStore);

/// Whether so many is something.
fn any(count: &u64) -> bool {
    *count > 0
}

#[async_trait]
impl Connections for Points {
    async fn connect(&self, connection: &ConnectionRecord) -> Result<()> {
        write(Step::Connect, self.0.connect(connection)).await
    }

    async fn connection(&self, id: &ConnectionId) -> Result<Option<ConnectionRecord>> {
        self.0.connection(id).await
    }

    async fn touch(&self, ids: &[ConnectionId], at: Timestamp, expires_at: Timestamp) -> Result<()> {
        write(Step::Touch, self.0.touch(ids, at, expires_at)).await
    }

    async fn disconnect(&self, id: &ConnectionId) -> Result<Option<ConnectionRecord>> {
        write(Step::Disconnect, self.0.disconnect(id)).await
    }

    async fn connections(
        &self,
        filter: &ConnectionFilter,
        page: &PageQuery,
    ) -> Result<Page<ConnectionRecord>> {
        self.0.connections(filter, page).await
    }

    async fn forget_endpoint(&self, endpoint: &str) -> Result<u64> {
        write_some(Step::ForgetEndpoint, self.0.forget_endpoint(endpoint), any).await
    }

    async fn purge_connections(&self, now: Timestamp, limit: u32) -> Result<u64> {
        write_some(Step::PurgeConnections, self.0.purge_connections(now, limit), any).await
    }
}

#[async_trait]
impl Requests for Points {
    async fn enqueue(&self, new: &NewRequest, quota: &Quota) -> Result<Enqueued> {
        write(Step::Enqueue, self.0.enqueue(new, quota)).await
    }

    async fn promote(
        &self,
        new: &NewRequest,
        quota: &Quota,
        worker: &WorkerId,
        lease_until: Timestamp,
    ) -> Result<Promoted> {
        write(Step::Promote, self.0.promote(new, quota, worker, lease_until)).await
    }

    async fn claim(
        &self,
        worker: &WorkerId,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
        running_max: &RunningMax,
    ) -> Result<Claimed> {
        let some = |claimed: &Claimed| !claimed.claims.is_empty();
        let claiming = self.0.claim(worker, now, lease_until, limit, running_max);
        write_some(Step::Claim, claiming, some).await
    }

    async fn renew(&self, leases: &[Lease], lease_until: Timestamp) -> Result<Vec<Renewed>> {
        write(Step::Renew, self.0.renew(leases, lease_until)).await
    }

    async fn reclaim(&self, worker: &WorkerId, now: Timestamp) -> Result<u64> {
        write_some(Step::Reclaim, self.0.reclaim(worker, now), any).await
    }

    async fn append(
        &self,
        lease: &Lease,
        entries: &[LogEntry],
        checkpoint: Option<&Json>,
        quota: &Quota,
    ) -> Result<bool> {
        write(Step::Append, self.0.append(lease, entries, checkpoint, quota)).await
    }

    async fn finish(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<u64> {
        write(Step::Finish, self.0.finish(lease, outcome, now, expires_at)).await
    }

    async fn retry(&self, lease: &Lease, run_at: Timestamp, error: &ErrorBody) -> Result<()> {
        write(Step::Retry, self.0.retry(lease, run_at, error)).await
    }

    async fn release(&self, lease: &Lease, run_at: Timestamp) -> Result<()> {
        write(Step::Release, self.0.release(lease, run_at)).await
    }

    async fn cancel(
        &self,
        key: &RequestKey,
        outcome: &Outcome,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Cancelled> {
        write(Step::Cancel, self.0.cancel(key, outcome, now, expires_at)).await
    }

    async fn replay(&self, key: &RequestKey, now: Timestamp) -> Result<Summary> {
        write(Step::Replay, self.0.replay(key, now)).await
    }

    async fn request(&self, key: &RequestKey) -> Result<Option<Record>> {
        self.0.request(key).await
    }

    async fn requests(&self, filter: &RequestFilter, page: &PageQuery) -> Result<Page<Summary>> {
        self.0.requests(filter, page).await
    }

    async fn log(&self, key: &RequestKey, after: u64, limit: u32) -> Result<Vec<LogEntry>> {
        self.0.log(key, after, limit).await
    }

    async fn open_requests(&self) -> Result<u64> {
        self.0.open_requests().await
    }

    async fn stored_bytes(&self) -> Result<u64> {
        self.0.stored_bytes().await
    }

    async fn usage(&self, tenant: &TenantId, now: Timestamp) -> Result<Usage> {
        self.0.usage(tenant, now).await
    }

    async fn purge_requests(&self, now: Timestamp, limit: u32) -> Result<u64> {
        write_some(Step::PurgeRequests, self.0.purge_requests(now, limit), any).await
    }
}

#[async_trait]
impl Outbox for Points {
    async fn take(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
        except: &BTreeSet<Action>,
    ) -> Result<ToAnnounce> {
        let some = |taken: &ToAnnounce| !taken.announcements.is_empty();
        write_some(Step::Take, self.0.take(now, lease_until, limit, except), some).await
    }

    async fn announced(&self, key: &RequestKey, fence: u64) -> Result<()> {
        write(Step::Announced, self.0.announced(key, fence)).await
    }

    async fn put_off(
        &self,
        key: &RequestKey,
        fence: u64,
        due_at: Timestamp,
        why: Option<&str>,
    ) -> Result<()> {
        write(Step::PutOff, self.0.put_off(key, fence, due_at, why)).await
    }

    async fn give_up(&self, key: &RequestKey, fence: u64, now: Timestamp, why: &str) -> Result<()> {
        write(Step::GiveUp, self.0.give_up(key, fence, now, why)).await
    }

    async fn given_up(&self, page: &PageQuery) -> Result<Page<GivenUp>> {
        self.0.given_up(page).await
    }

    async fn revive(&self, key: &RequestKey, now: Timestamp) -> Result<()> {
        write(Step::Revive, self.0.revive(key, now)).await
    }

    async fn outbox_depth(&self) -> Result<OutboxDepth> {
        self.0.outbox_depth().await
    }
}

#[async_trait]
impl Artifacts for Points {
    async fn keep(&self, new: NewArtifact, quota: &Quota) -> Result<Artifact> {
        write(Step::Keep, self.0.keep(new, quota)).await
    }

    async fn artifact(
        &self,
        tenant: &TenantId,
        user: &UserId,
        id: &ArtifactId,
    ) -> Result<Option<(Artifact, ArtifactBody)>> {
        self.0.artifact(tenant, user, id).await
    }

    async fn purge_artifacts(&self, now: Timestamp, limit: u32) -> Result<u64> {
        write_some(Step::PurgeArtifacts, self.0.purge_artifacts(now, limit), any).await
    }
}

#[async_trait]
impl TopicLog for Points {
    async fn append_messages(&self, key: &TopicKey, append: &Append) -> Result<Appended> {
        write(Step::AppendMessages, self.0.append_messages(key, append)).await
    }

    async fn topic(&self, key: &TopicKey) -> Result<Option<TopicHead>> {
        self.0.topic(key).await
    }

    async fn messages(&self, key: &TopicKey, after: u64, upto: u64, limit: u32) -> Result<Vec<Message>> {
        self.0.messages(key, after, upto, limit).await
    }

    async fn purge_topics(&self, now: Timestamp, limit: u32) -> Result<u64> {
        write_some(Step::PurgeTopics, self.0.purge_topics(now, limit), any).await
    }

    async fn topic_usage(&self) -> Result<TopicUsage> {
        self.0.topic_usage().await
    }
}
