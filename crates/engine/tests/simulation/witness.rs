//! The store itself, on the durable side of all faults: what is done here is done, whatever the caller learns.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use streamer_engine::{
    protocol::{Action, ConnectionId, ErrorBody, Json, TenantId, Timestamp, UserId},
    store::{
        Append, Appended, Artifact, ArtifactBody, ArtifactId, Artifacts, Cancelled, Claimed,
        ConnectionFilter, ConnectionRecord, Connections, Enqueued, GivenUp, Lease, LogEntry, Message,
        NewArtifact, NewRequest, Outbox, OutboxDepth, Outcome, Page, PageQuery, Promoted, Quota, Record,
        Renewed, RequestFilter, RequestKey, Requests, Result, RunningMax, Summary, ToAnnounce, TopicHead,
        TopicKey, TopicLog, TopicUsage, Usage, WorkerId,
    },
    testing::MemoryStore,
};

use crate::{ledger::Ledger, work::narrow};

/// A node's way to the store: tells the ledger what is done.
pub(crate) struct Witness {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) ledger: Arc<Ledger>,
    /// Which of all lives of all nodes this is.
    pub(crate) life: u64,
}

#[async_trait]
impl Requests for Witness {
    async fn enqueue(&self, new: &NewRequest, quota: &Quota) -> Result<Enqueued> {
        self.store.enqueue(new, quota).await
    }

    async fn promote(
        &self,
        new: &NewRequest,
        quota: &Quota,
        worker: &WorkerId,
        lease_until: Timestamp,
    ) -> Result<Promoted> {
        let promoted = self.store.promote(new, quota, worker, lease_until).await?;
        if let Promoted::Leased(lease) = &promoted {
            self.ledger.leased(lease, self.life);
        }
        Ok(promoted)
    }

    async fn claim(
        &self,
        worker: &WorkerId,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
        running_max: &RunningMax,
    ) -> Result<Claimed> {
        let claimed = self.store.claim(worker, now, lease_until, limit, running_max).await?;
        for claim in &claimed.claims {
            self.ledger.claimed(claim, self.life);
        }
        self.ledger.runs(self.store.running_of_action(&narrow(), now));
        Ok(claimed)
    }

    async fn renew(&self, leases: &[Lease], lease_until: Timestamp) -> Result<Vec<Renewed>> {
        let renewed = self.store.renew(leases, lease_until).await?;
        for (lease, _) in leases.iter().zip(&renewed).filter(|(_, renewed)| **renewed != Renewed::Lost) {
            self.ledger.done_under(lease, "renew");
        }
        Ok(renewed)
    }

    async fn reclaim(&self, worker: &WorkerId, now: Timestamp) -> Result<u64> {
        self.store.reclaim(worker, now).await
    }

    async fn append(
        &self,
        lease: &Lease,
        entries: &[LogEntry],
        checkpoint: Option<&Json>,
        quota: &Quota,
    ) -> Result<bool> {
        let cancel_asked = self.store.append(lease, entries, checkpoint, quota).await?;
        self.ledger.done_under(lease, "append");
        Ok(cancel_asked)
    }

    async fn finish(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<u64> {
        let seq = self.store.finish(lease, outcome, now, expires_at).await?;
        self.ledger.finished(lease, outcome, self.life);
        Ok(seq)
    }

    async fn retry(&self, lease: &Lease, run_at: Timestamp, error: &ErrorBody) -> Result<()> {
        self.store.retry(lease, run_at, error).await?;
        self.ledger.done_under(lease, "retry");
        Ok(())
    }

    async fn release(&self, lease: &Lease, run_at: Timestamp) -> Result<()> {
        self.store.release(lease, run_at).await?;
        self.ledger.done_under(lease, "release");
        Ok(())
    }

    async fn cancel(
        &self,
        key: &RequestKey,
        outcome: &Outcome,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Cancelled> {
        let cancelled = self.store.cancel(key, outcome, now, expires_at).await?;
        if !matches!(cancelled, Cancelled::Already(_)) {
            self.ledger.cancelled(key, self.life);
        }
        Ok(cancelled)
    }

    async fn replay(&self, key: &RequestKey, now: Timestamp) -> Result<Summary> {
        let summary = self.store.replay(key, now).await?;
        self.ledger.replayed(key);
        Ok(summary)
    }

    async fn request(&self, key: &RequestKey) -> Result<Option<Record>> {
        self.store.request(key).await
    }

    async fn requests(&self, filter: &RequestFilter, page: &PageQuery) -> Result<Page<Summary>> {
        self.store.requests(filter, page).await
    }

    async fn log(&self, key: &RequestKey, after: u64, limit: u32) -> Result<Vec<LogEntry>> {
        self.store.log(key, after, limit).await
    }

    async fn open_requests(&self) -> Result<u64> {
        self.store.open_requests().await
    }

    async fn stored_bytes(&self) -> Result<u64> {
        self.store.stored_bytes().await
    }

    async fn usage(&self, tenant: &TenantId, now: Timestamp) -> Result<Usage> {
        self.store.usage(tenant, now).await
    }

    async fn purge_requests(&self, now: Timestamp, limit: u32) -> Result<u64> {
        self.store.purge_requests(now, limit).await
    }
}

#[async_trait]
impl Connections for Witness {
    async fn connect(&self, connection: &ConnectionRecord) -> Result<()> {
        self.store.connect(connection).await
    }

    async fn connection(&self, id: &ConnectionId) -> Result<Option<ConnectionRecord>> {
        self.store.connection(id).await
    }

    async fn touch(&self, ids: &[ConnectionId], at: Timestamp, expires_at: Timestamp) -> Result<()> {
        self.store.touch(ids, at, expires_at).await
    }

    async fn disconnect(&self, id: &ConnectionId) -> Result<Option<ConnectionRecord>> {
        self.store.disconnect(id).await
    }

    async fn connections(
        &self,
        filter: &ConnectionFilter,
        page: &PageQuery,
    ) -> Result<Page<ConnectionRecord>> {
        self.store.connections(filter, page).await
    }

    async fn forget_endpoint(&self, endpoint: &str) -> Result<u64> {
        self.store.forget_endpoint(endpoint).await
    }

    async fn purge_connections(&self, now: Timestamp, limit: u32) -> Result<u64> {
        self.store.purge_connections(now, limit).await
    }
}

#[async_trait]
impl Outbox for Witness {
    async fn take(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
        except: &BTreeSet<Action>,
    ) -> Result<ToAnnounce> {
        self.store.take(now, lease_until, limit, except).await
    }

    async fn announced(&self, key: &RequestKey, fence: u64) -> Result<()> {
        self.store.announced(key, fence).await
    }

    async fn put_off(
        &self,
        key: &RequestKey,
        fence: u64,
        due_at: Timestamp,
        why: Option<&str>,
    ) -> Result<()> {
        self.store.put_off(key, fence, due_at, why).await
    }

    async fn give_up(&self, key: &RequestKey, fence: u64, now: Timestamp, why: &str) -> Result<()> {
        self.store.give_up(key, fence, now, why).await
    }

    async fn given_up(&self, page: &PageQuery) -> Result<Page<GivenUp>> {
        self.store.given_up(page).await
    }

    async fn revive(&self, key: &RequestKey, now: Timestamp) -> Result<()> {
        self.store.revive(key, now).await
    }

    async fn outbox_depth(&self) -> Result<OutboxDepth> {
        self.store.outbox_depth().await
    }
}

#[async_trait]
impl Artifacts for Witness {
    async fn keep(&self, new: NewArtifact, quota: &Quota) -> Result<Artifact> {
        self.store.keep(new, quota).await
    }

    async fn artifact(
        &self,
        tenant: &TenantId,
        user: &UserId,
        id: &ArtifactId,
    ) -> Result<Option<(Artifact, ArtifactBody)>> {
        self.store.artifact(tenant, user, id).await
    }

    async fn purge_artifacts(&self, now: Timestamp, limit: u32) -> Result<u64> {
        self.store.purge_artifacts(now, limit).await
    }
}

#[async_trait]
impl TopicLog for Witness {
    async fn append_messages(&self, key: &TopicKey, append: &Append) -> Result<Appended> {
        self.store.append_messages(key, append).await
    }

    async fn topic(&self, key: &TopicKey) -> Result<Option<TopicHead>> {
        self.store.topic(key).await
    }

    async fn messages(&self, key: &TopicKey, after: u64, upto: u64, limit: u32) -> Result<Vec<Message>> {
        self.store.messages(key, after, upto, limit).await
    }

    async fn purge_topics(&self, now: Timestamp, limit: u32) -> Result<u64> {
        self.store.purge_topics(now, limit).await
    }

    async fn topic_usage(&self) -> Result<TopicUsage> {
        self.store.topic_usage().await
    }
}
