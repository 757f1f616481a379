//! The store's file, for syncing it past SQLite.

use std::{fs::File, io, path::Path, sync::Arc};

/// The open file. When a process closes any handle of a file, the system lets go of all locks that the process has
/// on it, SQLite's too: so whoever has a connection has one of these, and drops it after the connection.
#[derive(Clone)]
pub(crate) struct Handle(Arc<File>);

impl Handle {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(Arc::new(File::options().read(true).write(true).open(path)?)))
    }

    /// Waits until all that was written to the file is on the disk, whoever wrote it.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
