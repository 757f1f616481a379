//! The store: each method hands its work to the writer or to a reader.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use streamer_engine::{
    failpoint::{self, Step},
    store::{
        Append, Appended, Artifact, ArtifactBody, ArtifactId, Artifacts, Cancelled, Claimed,
        ConnectionFilter, ConnectionRecord, Connections, Enqueued, Error, ErrorKind, GivenUp, Lease,
        LogEntry, Message, NewArtifact, NewRequest, Outbox, OutboxDepth, Outcome, Page, PageQuery, Promoted,
        Quota, Record, Renewed, RequestFilter, RequestKey, Requests, Result, RunningMax, Summary, ToAnnounce,
        TopicHead, TopicKey, TopicLog, TopicUsage, Usage, WorkerId,
    },
};
use streamer_protocol::{Action, ConnectionId, ErrorBody, Json, TenantId, Timestamp, UserId};
use tracing::warn;

use crate::{
    OpenError, Settings,
    agenda::Agenda,
    artifacts,
    artifacts::Owner,
    checkpointer::Checkpointer,
    connections,
    error::{invalid, io_error},
    handle::Handle,
    health::Health,
    lock::Lock,
    open::{check_folder, connect, open_file},
    outbox,
    readers::Readers,
    requests,
    stored_bytes::StoredBytes,
    sweep, topics,
    writer::{Beside, Bounds, Tx, Writer},
};

const REQUESTS_CURSOR: &str = "requests:";
const CONNECTIONS_CURSOR: &str = "connections:";
const OUTBOX_CURSOR: &str = "outbox:";

/// A store in one SQLite file, served by this process alone.
///
/// What has been answered is durable. Dropping the store finishes what has queued, and blocks until that is
/// done; [`close`](Self::close) does the same without blocking.
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    health: Health,
    readers_max: usize,
    open_requests: Arc<AtomicU64>,
    stored_bytes: Arc<AtomicU64>,
    artifacts_dir: Arc<PathBuf>,
    artifacts_written: AtomicU64,
}

impl SqliteStore {
    /// Opens the store, and makes it if it is missing. Blocks: it reads what is open and looks for
    /// orphaned artifact files.
    pub fn open(settings: Settings) -> std::result::Result<Self, OpenError> {
        let path = settings.path.clone();
        let broken = |e| OpenError::of_sqlite(&path, e);
        let failed = |e| OpenError::of_io(&path, e);
        check_folder(&path)?;
        let lock = Lock::take(&path)?;
        let conn = open_file(&path, lock.former(), settings.check_bytes_max)?;
        let health = Health::of(&path).map_err(failed)?;
        // A log that outgrew its bound is cut when it is next emptied.
        let wal_bytes_max = i64::from(settings.wal_pages_max) * 4096;
        conn.pragma_update(None, "journal_size_limit", wal_bytes_max).map_err(broken)?;
        let agenda = Agenda::read(&conn).map_err(broken)?;
        let stored = StoredBytes::read(&conn).map_err(broken)?;
        let artifacts_dir = settings.artifacts_dir();
        std::fs::create_dir_all(&artifacts_dir)
            .and_then(|()| sweep::sweep(&conn, &artifacts_dir))
            .map_err(|e| OpenError::of_io(&artifacts_dir, e))?;

        let (open_requests, stored_bytes) = (agenda.committed(), stored.committed());
        let beside = Beside { agenda, stored };
        let file = Handle::open(&path).map_err(failed)?;
        let checkpointer =
            Checkpointer::start(connect(&path).map_err(broken)?, file.clone()).map_err(failed)?;
        let bounds = Bounds {
            queue_depth_max: settings.queue_depth_max.max(1),
            group_max: settings.group_max.max(1),
            wal_pages_soft_max: settings.wal_pages_soft_max,
            wal_pages_max: settings.wal_pages_max,
        };
        let writer = Writer::start(conn, beside, checkpointer, bounds, health.clone(), (file.clone(), lock))
            .map_err(failed)?;
        let readers_max = settings.readers_max.max(1);
        Ok(Self {
            writer,
            readers: Readers::new(path, file, health.clone(), readers_max),
            health,
            readers_max,
            open_requests,
            stored_bytes,
            artifacts_dir: Arc::new(artifacts_dir),
            artifacts_written: AtomicU64::new(0),
        })
    }

    /// Finishes what has queued, empties the write-ahead log and lets go of the file. Later calls are
    /// [`ErrorKind::Closed`].
    pub async fn close(&self) {
        let writer = self.writer.close();
        self.readers.close(self.readers_max).await;
        if let Some(writer) = writer {
            let joined = tokio::task::spawn_blocking(move || writer.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                warn!("the store's writer did not end well");
            }
        }
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.close()
            && writer.join().is_err()
        {
            warn!("the store's writer did not end well");
        }
    }
}

fn limit_of(page: &PageQuery) -> Result<u32> {
    if page.limit == 0 { Err(invalid("a page has at least one item")) } else { Ok(page.limit) }
}

/// What follows `prefix` in a cursor.
fn read_cursor<'a>(page: &'a PageQuery, prefix: &str) -> Result<Option<&'a str>> {
    let strip = |cursor: &'a String| cursor.strip_prefix(prefix).ok_or_else(|| invalid("a foreign cursor"));
    page.cursor.as_ref().map(strip).transpose()
}

fn with_prefix<T>(prefix: &str, page: Page<T>) -> Page<T> {
    Page { items: page.items, cursor: page.cursor.map(|cursor| format!("{prefix}{cursor}")) }
}

#[async_trait]
impl Connections for SqliteStore {
    async fn connect(&self, connection: &ConnectionRecord) -> Result<()> {
        let connection = connection.clone();
        self.writer.call_lazily(move |tx| connections::connect(tx, &connection)).await
    }

    async fn connection(&self, id: &ConnectionId) -> Result<Option<ConnectionRecord>> {
        let id = id.clone();
        self.readers.call(move |conn| connections::get(conn, &id)).await
    }

    async fn touch(&self, ids: &[ConnectionId], at: Timestamp, expires_at: Timestamp) -> Result<()> {
        let ids = ids.to_vec();
        self.writer.call_lazily(move |tx| connections::touch(tx, &ids, at, expires_at)).await
    }

    async fn disconnect(&self, id: &ConnectionId) -> Result<Option<ConnectionRecord>> {
        let id = id.clone();
        self.writer.call_lazily(move |tx| connections::disconnect(tx, &id)).await
    }

    async fn connections(
        &self,
        filter: &ConnectionFilter,
        page: &PageQuery,
    ) -> Result<Page<ConnectionRecord>> {
        let limit = limit_of(page)?;
        let after = read_cursor(page, CONNECTIONS_CURSOR)?.map(str::to_owned);
        let filter = filter.clone();
        let list = move |conn: &_| connections::list(conn, &filter, limit, after.as_deref());
        Ok(with_prefix(CONNECTIONS_CURSOR, self.readers.call(list).await?))
    }

    async fn forget_endpoint(&self, endpoint: &str) -> Result<u64> {
        let endpoint = endpoint.to_owned();
        self.writer.call_lazily(move |tx| connections::forget_endpoint(tx, &endpoint)).await
    }

    async fn purge_connections(&self, now: Timestamp, limit: u32) -> Result<u64> {
        let expired = self.readers.call(move |conn| connections::expired(conn, now, limit)).await?;
        if expired.is_empty() {
            return Ok(0);
        }
        self.writer.call_lazily(move |tx| connections::purge(tx, &expired, now)).await
    }
}

#[async_trait]
impl Requests for SqliteStore {
    async fn enqueue(&self, new: &NewRequest, quota: &Quota) -> Result<Enqueued> {
        let (new, quota) = (new.clone(), *quota);
        self.writer.call(move |tx| requests::enqueue(tx, &new, &quota)).await
    }

    async fn promote(
        &self,
        new: &NewRequest,
        quota: &Quota,
        worker: &WorkerId,
        lease_until: Timestamp,
    ) -> Result<Promoted> {
        let (new, quota, worker) = (new.clone(), *quota, worker.clone());
        self.writer.call(move |tx| requests::promote(tx, &new, &quota, &worker, lease_until)).await
    }

    async fn claim(
        &self,
        worker: &WorkerId,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
        running_max: &RunningMax,
    ) -> Result<Claimed> {
        let (worker, running_max) = (worker.clone(), running_max.clone());
        self.writer
            .call_lazily(move |tx| requests::claim(tx, &worker, now, lease_until, limit, &running_max))
            .await
    }

    async fn renew(&self, leases: &[Lease], lease_until: Timestamp) -> Result<Vec<Renewed>> {
        let leases = leases.to_vec();
        self.writer.call_lazily(move |tx| requests::renew(tx, &leases, lease_until)).await
    }

    async fn reclaim(&self, worker: &WorkerId, now: Timestamp) -> Result<u64> {
        let worker = worker.clone();
        self.writer.call(move |tx| requests::reclaim(tx, &worker, now)).await
    }

    async fn append(
        &self,
        lease: &Lease,
        entries: &[LogEntry],
        checkpoint: Option<&Json>,
        quota: &Quota,
    ) -> Result<bool> {
        let (lease, entries, checkpoint) = (lease.clone(), entries.to_vec(), checkpoint.cloned());
        let quota = *quota;
        self.writer.call(move |tx| requests::append(tx, &lease, &entries, checkpoint.as_ref(), &quota)).await
    }

    async fn finish(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<u64> {
        let (lease, outcome) = (lease.clone(), outcome.clone());
        self.writer.call(move |tx| requests::finish(tx, &lease, &outcome, now, expires_at)).await
    }

    async fn retry(&self, lease: &Lease, run_at: Timestamp, error: &ErrorBody) -> Result<()> {
        let (lease, error) = (lease.clone(), error.clone());
        self.writer.call(move |tx| requests::retry(tx, &lease, run_at, &error)).await
    }

    async fn release(&self, lease: &Lease, run_at: Timestamp) -> Result<()> {
        let lease = lease.clone();
        self.writer.call(move |tx| requests::release(tx, &lease, run_at)).await
    }

    async fn cancel(
        &self,
        key: &RequestKey,
        outcome: &Outcome,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Cancelled> {
        let (key, outcome) = (key.clone(), outcome.clone());
        self.writer.call(move |tx| requests::cancel(tx, &key, &outcome, now, expires_at)).await
    }

    async fn replay(&self, key: &RequestKey, now: Timestamp) -> Result<Summary> {
        let key = key.clone();
        self.writer.call(move |tx| requests::replay(tx, &key, now)).await
    }

    async fn request(&self, key: &RequestKey) -> Result<Option<Record>> {
        let key = key.clone();
        self.readers.call(move |conn| requests::request(conn, &key)).await
    }

    async fn requests(&self, filter: &RequestFilter, page: &PageQuery) -> Result<Page<Summary>> {
        let limit = limit_of(page)?;
        let after = match read_cursor(page, REQUESTS_CURSOR)? {
            None => None,
            Some(key) => Some(requests::read_cursor(key).ok_or_else(|| invalid("a foreign cursor"))?),
        };
        let filter = filter.clone();
        let list = move |conn: &_| requests::list(conn, &filter, limit, after.as_ref());
        let page = self.readers.call(list).await?;
        Ok(with_prefix(REQUESTS_CURSOR, page.ok_or_else(|| invalid("a cursor at a request that is gone"))?))
    }

    async fn log(&self, key: &RequestKey, after: u64, limit: u32) -> Result<Vec<LogEntry>> {
        let key = key.clone();
        self.readers.call(move |conn| requests::log(conn, &key, after, limit)).await
    }

    async fn open_requests(&self) -> Result<u64> {
        self.health.allows_writing()?;
        self.health.has_space()?;
        Ok(self.open_requests.load(Ordering::Acquire))
    }

    async fn stored_bytes(&self) -> Result<u64> {
        Ok(self.stored_bytes.load(Ordering::Acquire))
    }

    async fn usage(&self, tenant: &TenantId, now: Timestamp) -> Result<Usage> {
        let tenant = tenant.clone();
        let usage = move |tx: &mut Tx<'_>| {
            Ok(Usage {
                open: tx.agenda.open_of(&tenant),
                running: tx.agenda.running_of(&tenant, now),
                stored_bytes: tx.stored.of(tx.conn, &tenant)?,
            })
        };
        self.writer.call_lazily(usage).await
    }

    async fn purge_requests(&self, now: Timestamp, limit: u32) -> Result<u64> {
        self.writer.call(move |tx| requests::purge(tx, now, limit)).await
    }
}

#[async_trait]
impl Outbox for SqliteStore {
    async fn take(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
        except: &BTreeSet<Action>,
    ) -> Result<ToAnnounce> {
        let except = except.clone();
        self.writer.call_lazily(move |tx| outbox::take(tx, now, lease_until, limit, &except)).await
    }

    async fn announced(&self, key: &RequestKey, fence: u64) -> Result<()> {
        let key = key.clone();
        self.writer.call_lazily(move |tx| outbox::announced(tx, &key, fence)).await
    }

    async fn put_off(
        &self,
        key: &RequestKey,
        fence: u64,
        due_at: Timestamp,
        why: Option<&str>,
    ) -> Result<()> {
        let (key, why) = (key.clone(), why.map(str::to_owned));
        self.writer.call_lazily(move |tx| outbox::put_off(tx, &key, fence, due_at, why.as_deref())).await
    }

    async fn give_up(&self, key: &RequestKey, fence: u64, now: Timestamp, why: &str) -> Result<()> {
        let (key, why) = (key.clone(), why.to_owned());
        self.writer.call_lazily(move |tx| outbox::give_up(tx, &key, fence, now, &why)).await
    }

    async fn given_up(&self, page: &PageQuery) -> Result<Page<GivenUp>> {
        let limit = limit_of(page)?;
        let before = read_cursor(page, OUTBOX_CURSOR)?.map(str::parse).transpose();
        let before = before.map_err(|_| invalid("a foreign cursor"))?;
        let page = self.readers.call(move |conn| outbox::given_up(conn, limit, before)).await?;
        Ok(with_prefix(OUTBOX_CURSOR, page))
    }

    async fn revive(&self, key: &RequestKey, now: Timestamp) -> Result<()> {
        let key = key.clone();
        self.writer.call(move |tx| outbox::revive(tx, &key, now)).await
    }

    async fn outbox_depth(&self) -> Result<OutboxDepth> {
        self.readers.call(outbox::depth).await
    }
}

#[async_trait]
impl Artifacts for SqliteStore {
    async fn keep(&self, new: NewArtifact, quota: &Quota) -> Result<Artifact> {
        let owner = Owner { tenant: new.tenant.clone(), user: new.user.clone() };
        if let Some(kept) = self.kept_before(&owner, &new).await? {
            return Ok(kept);
        }
        let artifact = artifacts::describe(&new);
        let (tenant, size, quota) = (new.tenant.clone(), artifact.size, *quota);
        // What has no room is not written at all; what had room and no longer has is taken away again.
        self.writer.call_lazily(move |tx| artifacts::admit(tx, &tenant, size, &quota)).await?;
        let folder = self.artifacts_dir.clone();
        let attempt = self.artifacts_written.fetch_add(1, Ordering::Relaxed);
        let writing =
            tokio::task::spawn_blocking(move || artifacts::write_file(&folder, &new.id, attempt, &new.bytes));
        writing.await.map_err(|e| Error::new(ErrorKind::Unavailable, e))?.map_err(io_error)?;
        let row = artifact.clone();
        match self.writer.call(move |tx| artifacts::insert(tx, &owner, &row, &quota)).await {
            Ok(()) => Ok(artifact),
            Err(e) => {
                if e.kind().is_used_up() {
                    self.remove_file(&artifact.id).await;
                }
                Err(e)
            }
        }
    }

    async fn artifact(
        &self,
        tenant: &TenantId,
        user: &UserId,
        id: &ArtifactId,
    ) -> Result<Option<(Artifact, ArtifactBody)>> {
        let owner = Owner { tenant: tenant.clone(), user: user.clone() };
        let wanted = id.clone();
        let found = self.readers.call(move |conn| artifacts::get(conn, &owner, &wanted)).await?;
        let Some(artifact) = found else { return Ok(None) };
        match tokio::fs::File::open(artifacts::file_of(&self.artifacts_dir, id)).await {
            Ok(file) => Ok(Some((artifact, Box::pin(file)))),
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io_error(e)),
            Err(e) => {
                // Purged since, or lost: the row tells.
                let id = id.clone();
                match self.readers.call(move |conn| artifacts::is_taken(conn, &id)).await? {
                    true => Err(Error::new(ErrorKind::Corrupt, e)),
                    false => Ok(None),
                }
            }
        }
    }

    async fn purge_artifacts(&self, now: Timestamp, limit: u32) -> Result<u64> {
        let removed = self.writer.call(move |tx| artifacts::purge(tx, now, limit)).await?;
        for id in &removed {
            failpoint::before(Step::ArtifactRemoval);
            self.remove_file(id).await;
            failpoint::after(Step::ArtifactRemoval);
        }
        Ok(removed.len() as u64)
    }
}

#[async_trait]
impl TopicLog for SqliteStore {
    async fn append_messages(&self, key: &TopicKey, append: &Append) -> Result<Appended> {
        let (key, append) = (key.clone(), append.clone());
        self.writer.call(move |tx| topics::append(tx, &key, &append)).await
    }

    async fn topic(&self, key: &TopicKey) -> Result<Option<TopicHead>> {
        let key = key.clone();
        self.readers.call(move |conn| topics::head(conn, &key)).await
    }

    async fn messages(&self, key: &TopicKey, after: u64, upto: u64, limit: u32) -> Result<Vec<Message>> {
        let key = key.clone();
        self.readers.call(move |conn| topics::messages(conn, &key, after, upto, limit)).await
    }

    async fn purge_topics(&self, now: Timestamp, limit: u32) -> Result<u64> {
        self.writer.call(move |tx| topics::purge(tx, now, limit)).await
    }

    async fn topic_usage(&self) -> Result<TopicUsage> {
        self.readers.call(topics::usage).await
    }
}

impl SqliteStore {
    /// Removes an artifact's file that has no row: it is out of reach. What stays is swept at the next start.
    async fn remove_file(&self, id: &ArtifactId) {
        if let Err(error) = tokio::fs::remove_file(artifacts::file_of(&self.artifacts_dir, id)).await {
            warn!(%error, artifact = %id, "an artifact's file without a row stays");
        }
    }

    /// The same artifact, if it was kept before; another one of that id is a conflict.
    async fn kept_before(&self, owner: &Owner, new: &NewArtifact) -> Result<Option<Artifact>> {
        let (owner, id) = (owner.clone(), new.id.clone());
        let found = self.readers.call(move |conn| {
            let known = artifacts::get(conn, &owner, &id)?;
            Ok((artifacts::is_taken(conn, &id)?, known))
        });
        let kept = match found.await? {
            (false, _) => return Ok(None),
            (true, kept) => kept.ok_or(ErrorKind::Conflict)?,
        };
        let file = artifacts::file_of(&self.artifacts_dir, &new.id);
        let bytes = tokio::fs::read(file).await.map_err(io_error)?;
        if bytes == new.bytes { Ok(Some(kept)) } else { Err(ErrorKind::Conflict.into()) }
    }
}
