//! Whether the store's files can be trusted, and are still where they were.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use streamer_engine::store::{Error, ErrorKind, Result};
use tracing::error;

use crate::{error::kind_of, settings::beside};

/// With less than this a disk that was full still is: a group of writes takes that much.
const ROOM_BYTES: u64 = 64 * 1024;

/// Shared by all who read and write. What was found damaged once is written no more: a person must look.
#[derive(Clone)]
pub(crate) struct Health(Arc<State>);

struct State {
    /// The files as they were opened. Whoever removes one that is open does not stop anybody from writing into it,
    /// and what is written goes with it.
    files: Vec<(PathBuf, Identity)>,
    damaged: AtomicBool,
    /// Whether a write has found the disk full.
    full: AtomicBool,
}

impl Health {
    /// Of the file at `path` and its write-ahead log, both of which are open.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let files = [path.to_owned(), beside(path, "-wal")];
        let files = files.into_iter().map(|file| Ok((file.clone(), Identity::of(&file)?)));
        let files = files.collect::<io::Result<_>>()?;
        Ok(Self(Arc::new(State { files, damaged: AtomicBool::new(false), full: AtomicBool::new(false) })))
    }

    /// Whether anything may be written.
    pub(crate) fn allows_writing(&self) -> Result<()> {
        if self.0.damaged.load(Ordering::Relaxed) {
            let stop =
                "the file is damaged: stop the server, see `streamer store check`, restore the newest backup";
            return Err(Error::new(ErrorKind::Corrupt, stop));
        }
        self.allows_reading()
    }

    /// Whether what is read is this store. What of it is damaged SQLite refuses by itself.
    pub(crate) fn allows_reading(&self) -> Result<()> {
        for (file, opened) in &self.0.files {
            if !Identity::of(file).is_ok_and(|there| there == *opened) {
                let gone = format!("{} was removed or replaced: put it back, or restart", file.display());
                return Err(Error::new(ErrorKind::Unavailable, gone));
            }
        }
        Ok(())
    }

    /// Whether the disk has room, as far as is known: since a write found it full, it is asked each time, until it
    /// took one.
    pub(crate) fn has_space(&self) -> Result<()> {
        let state = &self.0;
        if state.full.load(Ordering::Relaxed) {
            if state.files.iter().any(|(file, _)| free_bytes(file).is_none_or(|free| free < ROOM_BYTES)) {
                return Err(Error::new(ErrorKind::NoSpace, "the disk is full"));
            }
            state.full.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Takes notice that the disk took a write.
    pub(crate) fn has_written(&self) {
        self.0.full.store(false, Ordering::Relaxed);
    }

    /// Takes notice of a failure that tells of damage, or of a full disk.
    pub(crate) fn note(&self, failure: &rusqlite::Error) {
        if kind_of(failure) == ErrorKind::NoSpace {
            self.0.full.store(true, Ordering::Relaxed);
        }
        if kind_of(failure) == ErrorKind::Corrupt && !self.0.damaged.swap(true, Ordering::Relaxed) {
            error!(error = %failure, "the store's file is damaged: nothing is written into it any more");
        }
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.0.damaged.load(Ordering::Relaxed)
    }
}

/// How many bytes there is room for on the disk that holds a file.
#[cfg(unix)]
fn free_bytes(file: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(file).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_file: &Path) -> Option<u64> {
    Some(u64::MAX)
}

/// Tells a file from another one that has got its name.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    #[cfg(unix)]
    place: (u64, u64),
}

impl Identity {
    fn of(path: &Path) -> io::Result<Self> {
        let file = path.metadata()?;
        #[cfg(unix)]
        return Ok(Self {
            place: (std::os::unix::fs::MetadataExt::dev(&file), std::os::unix::fs::MetadataExt::ino(&file)),
        });
        #[cfg(not(unix))]
        {
            drop(file);
            Ok(Self {})
        }
    }
}
