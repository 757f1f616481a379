//! The thread that copies the write-ahead log into the file, while others go on writing and reading.

use std::{
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use parking_lot::Mutex;
use rusqlite::{Connection, MAIN_DB, wal::CheckpointMode};
use streamer_engine::failpoint::{self, Step};
use tracing::{debug, warn};

use crate::handle::Handle;

/// How much less of a core than others the thread gets when they want it too: who waits for a commit goes first, and
/// still a copy comes to its end.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;

/// What became of a try to let the log begin anew.
pub(crate) enum Restart {
    Done,
    /// A read needs what is in it.
    Needed,
    /// It is being copied.
    Busy,
}

pub(crate) struct Checkpointer {
    nudges: Option<SyncSender<()>>,
    /// Held while the log is copied: SQLite does not let a second one wait for the first.
    copying: Arc<Mutex<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    pub(crate) fn start(conn: Connection, file: Handle) -> std::io::Result<Self> {
        let (nudges, nudged) = sync_channel(1);
        let copying = Arc::new(Mutex::new(()));
        let mine = copying.clone();
        let thread = std::thread::Builder::new().name("store-checkpointer".to_owned()).spawn(move || {
            yield_to_others();
            for () in nudged {
                let _copying = mine.lock();
                failpoint::before(Step::LogCopy);
                // Passive: it takes what it can and makes nobody wait.
                if let Err(error) = conn.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::PASSIVE) {
                    warn!(%error, "the write-ahead log could not be copied; it is tried again");
                }
                // SQLite does this only where nothing was written meanwhile; else the writer would do it for all.
                if let Err(error) = file.sync() {
                    warn!(%error, "what was copied from the write-ahead log could not be synced; it is tried again");
                }
                failpoint::after(Step::LogCopy);
            }
            drop(conn);
            drop(file);
        })?;
        Ok(Self { nudges: Some(nudges), copying, thread: Some(thread) })
    }

    /// The log has grown. One nudge that waits is enough.
    pub(crate) fn nudge(&self) {
        if let Some(nudges) = &self.nudges {
            let _ = nudges.try_send(());
        }
    }

    /// Copies the rest through the writer's own connection, so that the log begins anew in the space it has.
    /// Unless it `waits`, it does nothing while a copy is under way.
    pub(crate) fn restart(&self, writer: &Connection, waits: bool) -> Restart {
        let copying = if waits { Some(self.copying.lock()) } else { self.copying.try_lock() };
        if copying.is_none() {
            return Restart::Busy;
        }
        match writer.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::RESTART) {
            Ok(_) => Restart::Done,
            Err(_) => Restart::Needed,
        }
    }

    /// Ends the thread after what it is at.
    pub(crate) fn stop(&mut self) {
        self.nudges = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the checkpointer panicked");
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(target_os = "linux")]
fn yield_to_others() {
    use rustix::{process::setpriority_process, thread::gettid};

    // Here the number of a thread stands for that thread only.
    if let Err(error) = setpriority_process(Some(gettid()), NICENESS) {
        debug!(%error, "the checkpointer runs with the priority of the others");
    }
}

#[cfg(not(target_os = "linux"))]
fn yield_to_others() {
    debug!("the checkpointer runs with the priority of the others");
}
