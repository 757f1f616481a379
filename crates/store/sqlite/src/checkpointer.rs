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
use tracing::warn;

pub(crate) struct Checkpointer {
    nudges: Option<SyncSender<()>>,
    /// Held while the log is copied: SQLite does not let a second one wait for the first.
    copying: Arc<Mutex<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    pub(crate) fn start(conn: Connection) -> std::io::Result<Self> {
        let (nudges, nudged) = sync_channel(1);
        let copying = Arc::new(Mutex::new(()));
        let mine = copying.clone();
        let thread = std::thread::Builder::new().name("store-checkpointer".to_owned()).spawn(move || {
            for () in nudged {
                let _copying = mine.lock();
                failpoint::before(Step::LogCopy);
                // Passive: it takes what it can and makes nobody wait.
                if let Err(error) = conn.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::PASSIVE) {
                    warn!(%error, "the write-ahead log could not be copied; it is tried again");
                }
                failpoint::after(Step::LogCopy);
            }
        })?;
        Ok(Self { nudges: Some(nudges), copying, thread: Some(thread) })
    }

    /// The log has grown. One nudge that waits is enough.
    pub(crate) fn nudge(&self) {
        if let Some(nudges) = &self.nudges {
            let _ = nudges.try_send(());
        }
    }

    /// Copies the rest through the writer's own connection, so that the log begins anew in the space it has;
    /// false while a read needs it.
    pub(crate) fn restart(&self, writer: &Connection) -> bool {
        let _copying = self.copying.lock();
        writer.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::RESTART).is_ok()
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
