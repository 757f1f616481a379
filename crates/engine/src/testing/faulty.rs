//! A store that fails when a test wants it to.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use streamer_protocol::{Action, ConnectionId, ErrorBody, Json, TenantId, Timestamp, UserId};

use crate::store::{
    Append, Appended, Artifact, ArtifactBody, ArtifactId, Artifacts, Cancelled, Claimed, ConnectionFilter,
    ConnectionRecord, Connections, Enqueued, Error, ErrorKind, GivenUp, Lease, LogEntry, Message,
    NewArtifact, NewRequest, Outbox, OutboxDepth, Outcome, Page, PageQuery, Promoted, Quota, Record, Renewed,
    RequestFilter, RequestKey, Requests, Result, RunningMax, Summary, ToAnnounce, TopicHead, TopicKey,
    TopicLog, TopicUsage, Usage, WorkerId,
};

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, and the caller is told [`ErrorKind::Unavailable`].
    Refuse,
    /// Nothing is done, and the caller is told [`ErrorKind::NoSpace`].
    NoSpace,
    /// It is done, but the caller is told [`ErrorKind::Unavailable`].
    LoseReply,
    /// It is done after so long.
    Delay(Duration),
    /// It is done, and the caller is told so after so long.
    DelayReply(Duration),
    /// Nothing is done, and the caller is never told anything: its process is dead.
    Never,
}

type Plan = dyn Fn(&'static str) -> Option<Fault> + Send + Sync;

/// Any store, with faults by a plan.
pub struct Faulty<S> {
    store: S,
    plan: Box<Plan>,
}

impl<S> Faulty<S> {
    /// Asks `plan` before each call; it is given the method's name, such as `"enqueue"`.
    pub fn new(store: S, plan: impl Fn(&'static str) -> Option<Fault> + Send + Sync + 'static) -> Self {
        Self { store, plan: Box::new(plan) }
    }

    /// Faults that strike once each, in order: a call takes the first one if it is for its name.
    pub fn scripted(store: S, script: impl IntoIterator<Item = (&'static str, Fault)>) -> Self {
        let script: Mutex<VecDeque<_>> = Mutex::new(script.into_iter().collect());
        Self::new(store, move |name| {
            let mut script = script.lock();
            script.pop_front_if(|(wanted, _)| *wanted == name).map(|(_, fault)| fault)
        })
    }

    /// The store itself, without faults.
    pub fn inner(&self) -> &S {
        &self.store
    }

    async fn call<T>(&self, name: &'static str, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        match (self.plan)(name) {
            None => call.await,
            Some(Fault::Refuse) => Err(unavailable("refused by the test's plan")),
            Some(Fault::NoSpace) => Err(ErrorKind::NoSpace.into()),
            Some(Fault::LoseReply) => {
                call.await?;
                Err(unavailable("done, but its reply is lost by the test's plan"))
            }
            Some(Fault::Delay(span)) => {
                tokio::time::sleep(span).await;
                call.await
            }
            Some(Fault::DelayReply(span)) => {
                let done = call.await;
                tokio::time::sleep(span).await;
                done
            }
            Some(Fault::Never) => std::future::pending().await,
        }
    }
}

fn unavailable(why: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, why)
}

#[async_trait]
impl<S: Connections> Connections for Faulty<S> {
    async fn connect(&self, connection: &ConnectionRecord) -> Result<()> {
        self.call("connect", self.store.connect(connection)).await
    }

    async fn connection(&self, id: &ConnectionId) -> Result<Option<ConnectionRecord>> {
        self.call("connection", self.store.connection(id)).await
    }

    async fn touch(&self, ids: &[ConnectionId], at: Timestamp, expires_at: Timestamp) -> Result<()> {
        self.call("touch", self.store.touch(ids, at, expires_at)).await
    }

    async fn disconnect(&self, id: &ConnectionId) -> Result<Option<ConnectionRecord>> {
        self.call("disconnect", self.store.disconnect(id)).await
    }

    async fn connections(
        &self,
        filter: &ConnectionFilter,
        page: &PageQuery,
    ) -> Result<Page<ConnectionRecord>> {
        self.call("connections", self.store.connections(filter, page)).await
    }

    async fn forget_endpoint(&self, endpoint: &str) -> Result<u64> {
        self.call("forget_endpoint", self.store.forget_endpoint(endpoint)).await
    }

    async fn purge_connections(&self, now: Timestamp, limit: u32) -> Result<u64> {
        self.call("purge_connections", self.store.purge_connections(now, limit)).await
    }
}

#[async_trait]
impl<S: Requests> Requests for Faulty<S> {
    async fn enqueue(&self, new: &NewRequest, quota: &Quota) -> Result<Enqueued> {
        self.call("enqueue", self.store.enqueue(new, quota)).await
    }

    async fn promote(
        &self,
        new: &NewRequest,
        quota: &Quota,
        worker: &WorkerId,
        lease_until: Timestamp,
    ) -> Result<Promoted> {
        self.call("promote", self.store.promote(new, quota, worker, lease_until)).await
    }

    async fn claim(
        &self,
        worker: &WorkerId,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
        running_max: &RunningMax,
    ) -> Result<Claimed> {
        self.call("claim", self.store.claim(worker, now, lease_until, limit, running_max)).await
    }

    async fn renew(&self, leases: &[Lease], lease_until: Timestamp) -> Result<Vec<Renewed>> {
        self.call("renew", self.store.renew(leases, lease_until)).await
    }

    async fn reclaim(&self, worker: &WorkerId, now: Timestamp) -> Result<u64> {
        self.call("reclaim", self.store.reclaim(worker, now)).await
    }

    async fn append(
        &self,
        lease: &Lease,
        entries: &[LogEntry],
        checkpoint: Option<&Json>,
        quota: &Quota,
    ) -> Result<bool> {
        self.call("append", self.store.append(lease, entries, checkpoint, quota)).await
    }

    async fn finish(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<u64> {
        self.call("finish", self.store.finish(lease, outcome, now, expires_at)).await
    }

    async fn retry(&self, lease: &Lease, run_at: Timestamp, error: &ErrorBody) -> Result<()> {
        self.call("retry", self.store.retry(lease, run_at, error)).await
    }

    async fn release(&self, lease: &Lease, run_at: Timestamp) -> Result<()> {
        self.call("release", self.store.release(lease, run_at)).await
    }

    async fn cancel(
        &self,
        key: &RequestKey,
        outcome: &Outcome,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Cancelled> {
        self.call("cancel", self.store.cancel(key, outcome, now, expires_at)).await
    }

    async fn replay(&self, key: &RequestKey, now: Timestamp) -> Result<Summary> {
        self.call("replay", self.store.replay(key, now)).await
    }

    async fn request(&self, key: &RequestKey) -> Result<Option<Record>> {
        self.call("request", self.store.request(key)).await
    }

    async fn requests(&self, filter: &RequestFilter, page: &PageQuery) -> Result<Page<Summary>> {
        self.call("requests", self.store.requests(filter, page)).await
    }

    async fn log(&self, key: &RequestKey, after: u64, limit: u32) -> Result<Vec<LogEntry>> {
        self.call("log", self.store.log(key, after, limit)).await
    }

    async fn open_requests(&self) -> Result<u64> {
        self.call("open_requests", self.store.open_requests()).await
    }

    async fn stored_bytes(&self) -> Result<u64> {
        self.call("stored_bytes", self.store.stored_bytes()).await
    }

    async fn usage(&self, tenant: &TenantId, now: Timestamp) -> Result<Usage> {
        self.call("usage", self.store.usage(tenant, now)).await
    }

    async fn purge_requests(&self, now: Timestamp, limit: u32) -> Result<u64> {
        self.call("purge_requests", self.store.purge_requests(now, limit)).await
    }
}

#[async_trait]
impl<S: Outbox> Outbox for Faulty<S> {
    async fn take(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
        except: &BTreeSet<Action>,
    ) -> Result<ToAnnounce> {
        self.call("take", self.store.take(now, lease_until, limit, except)).await
    }

    async fn announced(&self, key: &RequestKey, fence: u64) -> Result<()> {
        self.call("announced", self.store.announced(key, fence)).await
    }

    async fn put_off(
        &self,
        key: &RequestKey,
        fence: u64,
        due_at: Timestamp,
        why: Option<&str>,
    ) -> Result<()> {
        self.call("put_off", self.store.put_off(key, fence, due_at, why)).await
    }

    async fn give_up(&self, key: &RequestKey, fence: u64, now: Timestamp, why: &str) -> Result<()> {
        self.call("give_up", self.store.give_up(key, fence, now, why)).await
    }

    async fn given_up(&self, page: &PageQuery) -> Result<Page<GivenUp>> {
        self.call("given_up", self.store.given_up(page)).await
    }

    async fn revive(&self, key: &RequestKey, now: Timestamp) -> Result<()> {
        self.call("revive", self.store.revive(key, now)).await
    }

    async fn outbox_depth(&self) -> Result<OutboxDepth> {
        self.call("outbox_depth", self.store.outbox_depth()).await
    }
}

#[async_trait]
impl<S: Artifacts> Artifacts for Faulty<S> {
    async fn keep(&self, new: NewArtifact, quota: &Quota) -> Result<Artifact> {
        self.call("keep", self.store.keep(new, quota)).await
    }

    async fn artifact(
        &self,
        tenant: &TenantId,
        user: &UserId,
        id: &ArtifactId,
    ) -> Result<Option<(Artifact, ArtifactBody)>> {
        self.call("artifact", self.store.artifact(tenant, user, id)).await
    }

    async fn purge_artifacts(&self, now: Timestamp, limit: u32) -> Result<u64> {
        self.call("purge_artifacts", self.store.purge_artifacts(now, limit)).await
    }
}

#[async_trait]
impl<S: TopicLog> TopicLog for Faulty<S> {
    async fn append_messages(&self, key: &TopicKey, append: &Append) -> Result<Appended> {
        self.call("append_messages", self.store.append_messages(key, append)).await
    }

    async fn topic(&self, key: &TopicKey) -> Result<Option<TopicHead>> {
        self.call("topic", self.store.topic(key)).await
    }

    async fn messages(&self, key: &TopicKey, after: u64, upto: u64, limit: u32) -> Result<Vec<Message>> {
        self.call("messages", self.store.messages(key, after, upto, limit)).await
    }

    async fn purge_topics(&self, now: Timestamp, limit: u32) -> Result<u64> {
        self.call("purge_topics", self.store.purge_topics(now, limit)).await
    }

    async fn topic_usage(&self) -> Result<TopicUsage> {
        self.call("topic_usage", self.store.topic_usage()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::MemoryStore;

    fn connection() -> ConnectionRecord {
        ConnectionRecord {
            id: ConnectionId::new("c"),
            user: UserId::new("u"),
            tenant: TenantId::new("t"),
            endpoint: "here".to_owned(),
            connected_at: Timestamp::from_millis(1),
            last_ping: Timestamp::from_millis(1),
            user_agent: None,
            ip_address: None,
            expires_at: Timestamp::from_millis(9),
        }
    }

    async fn is_there(store: &Faulty<MemoryStore>) -> bool {
        store.inner().connection(&connection().id).await.expect("works").is_some()
    }

    #[tokio::test]
    async fn what_is_refused_is_not_done_and_what_lost_its_reply_is() {
        let faults = [("connect", Fault::Refuse), ("connect", Fault::LoseReply)];
        let store = Faulty::scripted(MemoryStore::default(), faults);
        for there in [false, true] {
            let error = store.connect(&connection()).await.expect_err("faulty");
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert_eq!(is_there(&store).await, there);
        }
        store.connect(&connection()).await.expect("the script is over");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_delayed_is_done_later() {
        let span = Duration::from_secs(3);
        let store = Faulty::new(MemoryStore::default(), move |_| Some(Fault::Delay(span)));
        let started = tokio::time::Instant::now();
        store.connect(&connection()).await.expect("done");
        assert_eq!(started.elapsed(), span);
        assert!(is_there(&store).await);
    }
}
