//! Connections that read, each by one caller at a time.

use std::{path::PathBuf, sync::Arc};

use parking_lot::Mutex;
use rusqlite::Connection;
use streamer_engine::store::{Error, ErrorKind, Result};
use tokio::sync::Semaphore;

use crate::{error::store_error, handle::Handle, health::Health, open::connect};

pub(crate) struct Readers {
    path: PathBuf,
    health: Health,
    permits: Arc<Semaphore>,
    idle: Arc<Idle>,
}

struct Idle {
    connections: Mutex<Vec<Connection>>,
    _file: Handle,
}

impl Readers {
    pub(crate) fn new(path: PathBuf, file: Handle, health: Health, max: usize) -> Self {
        let idle = Arc::new(Idle { connections: Mutex::default(), _file: file });
        Self { path, health, permits: Arc::new(Semaphore::new(max.max(1))), idle }
    }

    /// Runs `read` on a thread where it may block. All it reads is of one moment.
    pub(crate) async fn call<T, F>(&self, read: F) -> Result<T>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| ErrorKind::Closed)?;
        self.health.allows_reading()?;
        let (idle, path) = (self.idle.clone(), self.path.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let known = idle.connections.lock().pop();
            let conn = known.map_or_else(|| connect(&path), Ok)?;
            let answer = {
                let moment = conn.unchecked_transaction()?;
                read(&moment)?
            };
            idle.connections.lock().push(conn);
            drop(permit);
            Ok(answer)
        });
        let read = reading.await.map_err(|e| Error::new(ErrorKind::Unavailable, e))?;
        read.inspect_err(|failure| self.health.note(failure)).map_err(store_error)
    }

    /// Answers no more calls, waits for those that run, and closes the connections.
    pub(crate) async fn close(&self, max: usize) {
        let max = u32::try_from(max.max(1)).unwrap_or(u32::MAX);
        let all = self.permits.acquire_many(max).await;
        self.permits.close();
        drop(all);
        self.idle.connections.lock().clear();
    }
}
