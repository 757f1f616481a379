//! One process serves a file at a time.

use std::{
    fs::{File, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
};

use crate::{open::OpenError, settings::beside};

/// Held as long as it lives; the system lets go of it when the process dies, however it dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Whether somebody has the lock of the store at `path` just now.
    pub(crate) fn is_held(path: &Path) -> bool {
        let Ok(file) = File::open(beside(path, ".lock")) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// Takes the lock of the store at `path`, or says who has it.
    pub(crate) fn take(path: &Path) -> Result<Self, OpenError> {
        let lock_path = beside(path, ".lock");
        let open = File::options().read(true).write(true).create(true).truncate(false).open(&lock_path);
        let mut file = open.map_err(|e| OpenError::of_io(&lock_path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Whoever has it may not have written its id yet.
                let _ = file.read_to_string(&mut pid);
                return Err(OpenError::Locked { path: path.to_owned(), pid: pid.trim().parse().ok() });
            }
            Err(TryLockError::Error(e)) => return Err(OpenError::of_io(&lock_path, e)),
        }
        let note = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        note.map_err(|e| OpenError::of_io(&lock_path, e))?;
        Ok(Self { _file: file })
    }
}
