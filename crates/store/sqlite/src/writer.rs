//! The thread that writes.

use std::{thread::JoinHandle, time::Instant};

use metrics::{gauge, histogram};
use parking_lot::Mutex;
use rusqlite::{Connection, MAIN_DB, config::DbConfig, wal::CheckpointMode};
use streamer_engine::{
    failpoint::{self, Step},
    store::{Error, ErrorKind, Result},
};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use crate::{
    agenda::Agenda,
    checkpointer::{Checkpointer, Restart},
    error::{Failure, kind_of},
    health::Health,
    stored_bytes::StoredBytes,
};

const PAGE_BYTES: f64 = 4096.0;

/// What a write works on: one transaction of the file, and what is kept in memory beside it.
pub(crate) struct Tx<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) agenda: &'a mut Agenda,
    pub(crate) stored: &'a mut StoredBytes,
    /// Whether the transaction must outlive the machine. A [lazy](Writer::call_lazily) call that finds that it must
    /// says so here.
    pub(crate) durable: bool,
}

/// What the writer keeps in memory beside the file.
pub(crate) struct Beside {
    pub(crate) agenda: Agenda,
    pub(crate) stored: StoredBytes,
}

/// Hands writes to the thread.
pub(crate) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Bounds of the thread.
pub(crate) struct Bounds {
    pub(crate) queue_depth_max: usize,
    pub(crate) group_max: usize,
    pub(crate) wal_pages_soft_max: u32,
    pub(crate) wal_pages_max: u32,
}

impl Writer {
    /// Starts the thread. What it is given to `keep` it drops last: what must outlive its connection.
    pub(crate) fn start(
        conn: Connection,
        beside: Beside,
        checkpointer: Checkpointer,
        bounds: Bounds,
        health: Health,
        keep: impl Send + 'static,
    ) -> std::io::Result<Self> {
        let (queue, calls) = mpsc::channel(bounds.queue_depth_max);
        let work = WriterThread {
            conn,
            synced: true,
            beside,
            checkpointer,
            bounds,
            health,
            nudged: None,
            wal_pages_tried: 0,
        };
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
            work.run(calls);
            drop(keep);
        })?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) })
    }

    /// Runs `work` in a transaction, and answers once it is durable. It may be run again if another write of
    /// its group made the transaction fail. Once it is queued it is done, even if nobody waits for the answer.
    pub(crate) async fn call<T, F>(&self, work: F) -> Result<T>
    where
        F: FnMut(&mut Tx<'_>) -> std::result::Result<T, Failure> + Send + 'static,
        T: Send + 'static,
    {
        self.queue(work, true).await
    }

    /// As [`call`](Self::call), but answers without waiting for the disk: what it did outlives the process, and a
    /// power cut may undo it until a later call is durable.
    pub(crate) async fn call_lazily<T, F>(&self, work: F) -> Result<T>
    where
        F: FnMut(&mut Tx<'_>) -> std::result::Result<T, Failure> + Send + 'static,
        T: Send + 'static,
    {
        self.queue(work, false).await
    }

    async fn queue<T, F>(&self, work: F, durable: bool) -> Result<T>
    where
        F: FnMut(&mut Tx<'_>) -> std::result::Result<T, Failure> + Send + 'static,
        T: Send + 'static,
    {
        let queue = self.queue.lock().clone().ok_or(ErrorKind::Closed)?;
        let (reply, answer) = oneshot::channel();
        let call = Box::new(Call { work, durable, done: None, reply });
        queue.send(call).await.map_err(|_| ErrorKind::Closed)?;
        drop(queue);
        answer.await.map_err(|_| ErrorKind::Closed)?
    }

    /// Takes no more calls. The thread ends once those that have queued are done.
    pub(crate) fn close(&self) -> Option<JoinHandle<()>> {
        self.queue.lock().take();
        self.thread.lock().take()
    }
}

/// A queued write.
trait Job: Send {
    /// Whether it must outlive the machine.
    fn is_durable(&self) -> bool;

    /// Does it, unless a statement fails.
    fn run(&mut self, tx: &mut Tx<'_>) -> rusqlite::Result<()>;

    /// Tells the caller how it went, or why the transaction failed.
    fn answer(self: Box<Self>, transaction: Result<()>);
}

struct Call<T, F> {
    work: F,
    durable: bool,
    done: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnMut(&mut Tx<'_>) -> std::result::Result<T, Failure> + Send> Job for Call<T, F> {
    fn is_durable(&self) -> bool {
        self.durable
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> rusqlite::Result<()> {
        self.done = Some(match (self.work)(tx) {
            Ok(done) => Ok(done),
            Err(Failure::Refused(error)) => Err(error),
            Err(Failure::Broken(error)) => return Err(error),
        });
        Ok(())
    }

    fn answer(self: Box<Self>, transaction: Result<()>) {
        let Self { done, reply, .. } = *self;
        let answer = transaction.and_then(|()| done.expect("a committed call was run"));
        // Nobody may be waiting any more; the write stays done.
        let _ = reply.send(answer);
    }
}

/// Whether a transaction was committed.
enum Committed {
    Yes,
    /// It was rolled back, to be run again as a durable one.
    No,
}

/// How long the write-ahead log is.
struct Log {
    pages: u32,
    /// How many of them the file has.
    copied: u32,
}

impl Log {
    fn left(&self) -> u32 {
        self.pages.saturating_sub(self.copied)
    }
}

struct WriterThread {
    conn: Connection,
    /// Whether a commit waits for the disk.
    synced: bool,
    beside: Beside,
    checkpointer: Checkpointer,
    bounds: Bounds,
    health: Health,
    /// The write-ahead log when the checkpointer was last told to copy it.
    nudged: Option<Log>,
    /// How long it was when it was last tried to begin it anew.
    wal_pages_tried: u32,
}

impl WriterThread {
    fn run(mut self, mut calls: mpsc::Receiver<Box<dyn Job>>) {
        let mut group = Vec::new();
        while calls.blocking_recv_many(&mut group, self.bounds.group_max) > 0 {
            // Whoever shares this core and is about to queue more goes first: then more calls share the commit.
            std::thread::yield_now();
            while group.len() < self.bounds.group_max
                && let Ok(call) = calls.try_recv()
            {
                group.push(call);
            }
            gauge!("streamer_store_queue_depth").set(calls.len() as f64);
            match self.health.allows_writing() {
                Ok(()) => {
                    self.commit_group(&mut group);
                    self.bound_wal();
                }
                Err(refused) => self.refuse(&mut group, &refused),
            }
        }
        self.checkpointer.stop();
        if self.health.is_damaged() {
            // Whoever looks into it finds the log as it was.
            let _ = self.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            return;
        }
        failpoint::before(Step::LogCopy);
        if let Err(error) = self.conn.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::TRUNCATE) {
            warn!(%error, "the write-ahead log could not be emptied at the end; the next start reads it");
        }
        failpoint::after(Step::LogCopy);
    }

    fn refuse(&self, group: &mut Vec<Box<dyn Job>>, why: &Error) {
        error!(error = %why, calls = group.len(), "nothing can be written to the store");
        for job in group.drain(..) {
            job.answer(Err(Error::new(why.kind(), why.to_string())));
        }
    }

    fn commit_group(&mut self, group: &mut Vec<Box<dyn Job>>) {
        histogram!("streamer_store_group_calls").record(group.len() as f64);
        failpoint::before(Step::Group);
        match self.transaction(group) {
            Ok(()) => {
                group.drain(..).for_each(|job| job.answer(Ok(())));
                failpoint::after(Step::Group);
            }
            Err(error) if group.len() == 1 => {
                error!(%error, "a write to the store failed");
                self.health.note(&error);
                group
                    .drain(..)
                    .for_each(|job| job.answer(Err(Error::new(kind_of(&error), error.to_string()))));
            }
            // One of them made it fail: alone, each answers for itself.
            Err(_) => {
                for job in group.drain(..) {
                    self.commit_group(&mut vec![job]);
                }
            }
        }
    }

    fn transaction(&mut self, group: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
        let durable = group.iter().any(|job| job.is_durable());
        match self.try_transaction(group, durable) {
            // One of them found that it must be durable after all.
            Ok(Committed::No) => self.try_transaction(group, true).map(drop),
            done => done.map(drop),
        }
    }

    fn try_transaction(&mut self, group: &mut [Box<dyn Job>], durable: bool) -> rusqlite::Result<Committed> {
        self.sync_commits(durable)?;
        let done = self.run_group(group, durable).and_then(|needs_sync| {
            if needs_sync && !durable {
                return Ok(Committed::No);
            }
            failpoint::before(Step::Commit);
            let started = Instant::now();
            self.conn.prepare_cached("COMMIT")?.execute([])?;
            failpoint::after(Step::Commit);
            if durable {
                self.health.has_written();
            }
            let how = if durable { "synced" } else { "unsynced" };
            histogram!("streamer_store_commit_duration_seconds", "commit" => how).record(started.elapsed());
            Ok(Committed::Yes)
        });
        let Beside { agenda, stored } = &mut self.beside;
        if let Ok(Committed::Yes) = done {
            agenda.commit();
            stored.commit();
        } else {
            agenda.roll_back();
            stored.roll_back();
            // Some errors have rolled back already.
            if !self.conn.is_autocommit()
                && let Err(error) = self.conn.execute_batch("ROLLBACK")
            {
                error!(%error, "a failed transaction could not be rolled back");
            }
        }
        done
    }

    /// Answers whether the transaction must be durable.
    fn run_group(&mut self, group: &mut [Box<dyn Job>], durable: bool) -> rusqlite::Result<bool> {
        self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let Beside { agenda, stored } = &mut self.beside;
        let mut tx = Tx { conn: &self.conn, agenda, stored, durable };
        group.iter_mut().try_for_each(|job| job.run(&mut tx))?;
        let durable = tx.durable;
        self.beside.stored.write(&self.conn)?;
        Ok(durable)
    }

    /// Whether the next commits wait for the disk. SQLite takes this between transactions only.
    fn sync_commits(&mut self, synced: bool) -> rusqlite::Result<()> {
        if self.synced != synced {
            self.conn.pragma_update(None, "synchronous", if synced { "FULL" } else { "NORMAL" })?;
            self.synced = synced;
        }
        Ok(())
    }

    /// Has the write-ahead log copied into the file, and lets it begin anew once little is left. When that falls
    /// behind, the writer copies the rest itself, however much it is.
    fn bound_wal(&mut self) {
        let Ok((pages, copied)) = self.conn.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::NOOP) else {
            return;
        };
        let log =
            Log { pages: u32::try_from(pages).unwrap_or(0), copied: u32::try_from(copied).unwrap_or(0) };
        gauge!("streamer_store_wal_bytes").set(f64::from(log.pages) * PAGE_BYTES);
        let Bounds { wal_pages_soft_max: soft_max, wal_pages_max: max, .. } = self.bounds;
        if log.pages < soft_max {
            (self.nudged, self.wal_pages_tried) = (None, 0);
            return;
        }
        // A long read may keep it from beginning anew: each try, which waits a little, is farther from the last.
        let may_try = log.pages >= self.wal_pages_tried / 2 * 3;
        if may_try && (log.pages >= max || self.is_copied_enough(&log)) {
            match self.checkpointer.restart(&self.conn, log.pages >= max) {
                Restart::Done => return,
                Restart::Needed => {
                    self.wal_pages_tried = log.pages;
                    warn!(
                        pages = log.pages,
                        "the write-ahead log grows: a long read keeps it from beginning anew"
                    );
                }
                Restart::Busy => return,
            }
        }
        if self
            .nudged
            .as_ref()
            .is_none_or(|nudged| log.copied > nudged.copied || log.pages >= nudged.pages + soft_max)
        {
            self.nudged = Some(log);
            self.checkpointer.nudge();
        }
    }

    /// Whether the writer may copy what is left. That holds up those who wait for it, so the checkpointer makes as
    /// many passes as it takes, each with what was written during the one before; while so much is written that
    /// this does not get less by far, that would only cost.
    fn is_copied_enough(&self, log: &Log) -> bool {
        let soft_max = self.bounds.wal_pages_soft_max;
        let Some(nudged) = &self.nudged else { return false };
        log.left() <= soft_max / 256
            || log.copied > nudged.copied && log.left() <= soft_max / 4 && log.left() > nudged.left() / 4
    }
}
