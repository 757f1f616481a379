//! What a durable write costs at least: SQLite, one thread that writes, and one commit for all that has queued.

use std::{
    path::Path,
    process,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use streamer_store_sqlite::SqliteStore;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::machine;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Table {
    /// A number and a text.
    Bare,
    /// A request, in the product's own tables with their indexes.
    Own,
}

/// What it came to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Committed {
    pub(crate) per_second: f64,
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
    /// On the core, for each write.
    pub(crate) cpu_micros: f64,
}

/// The size of a payload.
pub(crate) const PAYLOAD_BYTES: usize = 500;

/// How many writes queue, and share a commit, at most: as in the product.
const QUEUE_MAX: usize = 4096;
const GROUP_MAX: usize = 1024;

/// The pages of the write-ahead log at which it is copied into the file, by the writer itself.
const WAL_PAGES_MAX: i64 = 32 * 1024;

type Write = oneshot::Sender<()>;

/// Keeps so many writes under way for so long.
pub(crate) async fn saturate(
    folder: &Path,
    table: Table,
    in_flight: usize,
    span: Duration,
) -> Result<Committed> {
    let (writes, writer) = start(folder, table)?;
    let taken = Arc::new(Mutex::new(machine::latencies()));
    let cpu = machine::cpu_time(process::id())?;
    let (started, mut callers) = (Instant::now(), JoinSet::new());
    for _ in 0..in_flight {
        let (writes, taken) = (writes.clone(), Arc::clone(&taken));
        callers.spawn(async move {
            while started.elapsed() < span {
                let micros = write(&writes).await?;
                taken.lock().saturating_record(micros);
            }
            anyhow::Ok(())
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller??;
    }
    let taken = taken.lock();
    let per_second = taken.len() as f64 / started.elapsed().as_secs_f64();
    let cpu = machine::cpu_time(process::id())?.saturating_sub(cpu);
    drop(writes);
    ended(writer, per_second, cpu, &taken)
}

/// Begins a write at each tick, however long the earlier ones take.
pub(crate) async fn pace(folder: &Path, table: Table, per_second: f64, span: Duration) -> Result<Committed> {
    let (writes, writer) = start(folder, table)?;
    let mut ticks = interval(Duration::from_secs_f64(1.0 / per_second));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let cpu = machine::cpu_time(process::id())?;
    let until = Instant::now() + span;
    let mut callers = JoinSet::new();
    while Instant::now() < until {
        ticks.tick().await;
        let writes = writes.clone();
        callers.spawn(async move { write(&writes).await });
    }
    let mut taken = machine::latencies();
    while let Some(caller) = callers.join_next().await {
        taken.saturating_record(caller??);
    }
    let cpu = machine::cpu_time(process::id())?.saturating_sub(cpu);
    drop(writes);
    ended(writer, per_second, cpu, &taken)
}

/// How long it took, in microseconds.
async fn write(writes: &mpsc::Sender<Write>) -> Result<u64> {
    let started = Instant::now();
    let (reply, answer) = oneshot::channel();
    writes.send(reply).await.ok().context("the writer ended")?;
    answer.await.context("the writer ended")?;
    Ok(u64::try_from(started.elapsed().as_micros())?)
}

type Writer = thread::JoinHandle<Result<()>>;

fn start(folder: &Path, table: Table) -> Result<(mpsc::Sender<Write>, Writer)> {
    let path = folder.join("commit.db");
    if table == Table::Own {
        // Made by the product, and left to us.
        drop(SqliteStore::open(streamer_store_sqlite::Settings::at(&path))?);
    }
    let conn = Connection::open(&path)?;
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16384; \
         CREATE TABLE bare (number INTEGER PRIMARY KEY, json TEXT NOT NULL);",
    )?;
    conn.pragma_update(None, "wal_autocheckpoint", WAL_PAGES_MAX)?;
    let (writes, queue) = mpsc::channel(QUEUE_MAX);
    Ok((writes, thread::spawn(move || commit_groups(&conn, table, queue))))
}

fn commit_groups(conn: &Connection, table: Table, mut queue: mpsc::Receiver<Write>) -> Result<()> {
    let payload = "x".repeat(PAYLOAD_BYTES);
    let mut group = Vec::new();
    let mut written = 0;
    while queue.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for _ in &group {
            written += 1;
            insert(conn, table, written, &payload)?;
        }
        conn.prepare_cached("COMMIT")?.execute([])?;
        // Nobody may be waiting any more.
        group.drain(..).for_each(|reply| {
            let _ = reply.send(());
        });
    }
    Ok(())
}

fn insert(conn: &Connection, table: Table, number: i64, payload: &str) -> rusqlite::Result<()> {
    if table == Table::Bare {
        conn.prepare_cached("INSERT INTO bare (json) VALUES (?1)")?.execute([payload])?;
        return Ok(());
    }
    // Ids in no order, as clients make them.
    let id = format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64));
    conn.prepare_cached(
        "INSERT INTO request (tenant, user, id, connection, action, fingerprint, max_retries, repeatable, \
         created_at, run_at, due_at, status) \
         VALUES ('bench', 'user', ?1, 'c', 'bench.life', ?2, 0, 1, ?3, ?3, ?3, 'PENDING')",
    )?
    .execute((id, [0_u8; 32], number))?;
    conn.prepare_cached("INSERT INTO payload (request, json) VALUES (?1, ?2)")?
        .execute((conn.last_insert_rowid(), payload))?;
    Ok(())
}

fn ended(writer: Writer, per_second: f64, cpu: Duration, taken: &Histogram<u64>) -> Result<Committed> {
    writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    let at = |quantile| taken.value_at_quantile(quantile) as f64;
    let cpu_micros = cpu.as_secs_f64() * 1e6 / taken.len() as f64;
    Ok(Committed { per_second, p50_micros: at(0.5), p99_micros: at(0.99), cpu_micros })
}
