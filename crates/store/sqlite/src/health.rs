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

/// Shared by all who read and write. What was found damaged once is written no more: a person must look.
#[derive(Clone)]
pub(crate) struct Health(Arc<State>);

struct State {
    /// The files as they were opened. Whoever removes one that is open does not stop anybody from writing into it,
    /// and what is written goes with it.
    files: Vec<(PathBuf, Identity)>,
    damaged: AtomicBool,
}

impl Health {
    /// Of the file at `path` and its write-ahead log, both of which are open.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let files = [path.to_owned(), beside(path, "-wal")];
        let files = files.into_iter().map(|file| Ok((file.clone(), Identity::of(&file)?)));
        let files = files.collect::<io::Result<_>>()?;
        Ok(Self(Arc::new(State { files, damaged: AtomicBool::new(false) })))
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

    /// Takes notice of a failure that tells of damage.
    pub(crate) fn note(&self, failure: &rusqlite::Error) {
        if kind_of(failure) == ErrorKind::Corrupt && !self.0.damaged.swap(true, Ordering::Relaxed) {
            error!(error = %failure, "the store's file is damaged: nothing is written into it any more");
        }
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.0.damaged.load(Ordering::Relaxed)
    }
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
