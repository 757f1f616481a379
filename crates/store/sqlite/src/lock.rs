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
    former: Holder,
}

/// Who has the lock, or had it last: it notes that in the file.
#[derive(Debug, Default)]
pub(crate) struct Holder {
    pid: Option<u32>,
    boot: Option<String>,
}

impl Holder {
    fn read(file: &mut File) -> Self {
        let mut note = String::new();
        // Whoever has it may not have written its note yet.
        let _ = file.read_to_string(&mut note);
        let mut lines = note.lines();
        let pid = lines.next().and_then(|pid| pid.trim().parse().ok());
        Self { pid, boot: lines.next().map(str::to_owned) }
    }

    /// Whether the machine has not been down since: then all that was written is there, synced or not.
    pub(crate) fn is_of_this_boot(&self) -> bool {
        self.boot.is_some() && self.boot == boot()
    }
}

/// Names the time since the machine was started, where the system tells.
fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

impl Lock {
    /// Who had the lock of the store at `path` last; none if somebody has it just now.
    pub(crate) fn last_holder(path: &Path) -> Option<Holder> {
        let Ok(mut file) = File::open(beside(path, ".lock")) else { return Some(Holder::default()) };
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => None,
            _ => Some(Holder::read(&mut file)),
        }
    }

    /// Takes the lock of the store at `path`, or says who has it.
    pub(crate) fn take(path: &Path) -> Result<Self, OpenError> {
        let lock_path = beside(path, ".lock");
        let open = File::options().read(true).write(true).create(true).truncate(false).open(&lock_path);
        let mut file = open.map_err(|e| OpenError::of_io(&lock_path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = Holder::read(&mut file).pid;
                return Err(OpenError::Locked { path: path.to_owned(), pid });
            }
            Err(TryLockError::Error(e)) => return Err(OpenError::of_io(&lock_path, e)),
        }
        let former = Holder::read(&mut file);
        let note = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}\n{}", std::process::id(), boot().unwrap_or_default()));
        note.map_err(|e| OpenError::of_io(&lock_path, e))?;
        Ok(Self { _file: file, former })
    }

    /// Who had it before.
    pub(crate) fn former(&self) -> &Holder {
        &self.former
    }
}
