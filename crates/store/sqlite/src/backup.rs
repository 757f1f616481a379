//! A copy of a store that may be in use.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, ErrorCode, ffi};
use streamer_engine::store::ArtifactId;
use thiserror::Error;

use crate::{
    OpenError, Settings,
    artifacts::{file_of, sync_folder},
    check::open_existing,
    open::{check_folder, connect, version},
};

/// Why there is no backup.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The store could not be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Something is there already: a backup overwrites nothing.
    #[error("{} is there already: name another file, or remove it first", path.display())]
    Exists {
        /// The file or folder.
        path: PathBuf,
    },
    /// The copy could not be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// An artifact's file is missing; all else is in the copy.
    #[error("{missing} artifacts have lost their files: see what `streamer store check` finds")]
    Incomplete {
        /// How many.
        missing: u64,
    },
}

/// Copies the store to a new file at `to`, and its artifacts to `<to>.artifacts`. The copy is the store of one
/// moment, whole and durable, and opens as any store; writers go on meanwhile. What fails half-way is removed.
pub fn backup(settings: &Settings, to: &Path) -> Result<(), BackupError> {
    let target = Settings::at(to);
    let target_dir = target.artifacts_dir();
    for path in [to, &target_dir] {
        if path.exists() {
            return Err(BackupError::Exists { path: path.to_owned() });
        }
    }
    check_folder(to)?;
    let conn = open_existing(&settings.path)?;
    if version(&conn, &settings.path)? == 0 {
        return Err(OpenError::NotAStore { path: settings.path.clone() }.into());
    }
    let copied = copy_file(&conn, &settings.path, to)
        .and_then(|()| copy_artifacts(&settings.artifacts_dir(), to, &target_dir));
    if copied.is_err() && !matches!(copied, Err(BackupError::Incomplete { .. })) {
        // The error that is returned says more than one about the remains.
        let _ = fs::remove_file(to);
        let _ = fs::remove_dir_all(&target_dir);
    }
    copied
}

fn copy_file(conn: &Connection, from: &Path, to: &Path) -> Result<(), BackupError> {
    let name = to.to_str().ok_or_else(|| BackupError::Write {
        path: to.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidInput, "the name is not UTF-8"),
    })?;
    let copied = conn.execute("VACUUM INTO ?1", [name]);
    copied.map_err(|e| OpenError::of_sqlite(if is_of_reading(&e) { from } else { to }, e))?;
    begin_new_lives(to).map_err(|e| write_error(to, io::Error::other(e)))?;
    File::open(to).and_then(|file| file.sync_all()).map_err(|e| write_error(to, e))
}

/// Whether it is the store that could not be read, not the copy that could not be written.
fn is_of_reading(e: &rusqlite::Error) -> bool {
    let code = e.sqlite_error().map(|e| e.extended_code);
    let unreadable = [ffi::SQLITE_IOERR_READ, ffi::SQLITE_IOERR_SHORT_READ];
    code.is_some_and(|code| unreadable.contains(&code))
        || matches!(
            e.sqlite_error_code(),
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::DatabaseBusy)
        )
}

/// In the copy, every topic is in another life. What is published after this moment is not in the copy; if it were
/// restored, its offsets would be given again, to other messages.
fn begin_new_lives(copy: &Path) -> rusqlite::Result<()> {
    let conn = connect(copy)?;
    if conn.table_exists(None, "topic")? {
        conn.execute("UPDATE topic SET epoch = lower(hex(randomblob(8)))", [])?;
    }
    conn.close().map_err(|(_, e)| e)
}

/// The artifacts that the copy knows. One that was purged since is gone from the store, and may be so from its
/// backup.
fn copy_artifacts(from: &Path, copy: &Path, to: &Path) -> Result<(), BackupError> {
    let broken = |e| OpenError::of_sqlite(copy, e);
    let conn = open_existing(copy)?;
    let mut kept = conn.prepare("SELECT id FROM artifact").map_err(broken)?;
    let ids: Vec<String> = kept
        .query_map([], |row| row.get(0))
        .and_then(|rows| rows.collect::<rusqlite::Result<_>>())
        .map_err(broken)?;
    fs::create_dir(to).map_err(|e| write_error(to, e))?;
    let mut missing = 0;
    for id in ids.iter().filter_map(|id| ArtifactId::parse(id)) {
        let path = file_of(to, &id);
        let copied = fs::copy(file_of(from, &id), &path).and_then(|_| File::open(&path)?.sync_all());
        match copied {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => missing += 1,
            Err(e) => return Err(write_error(&path, e)),
        }
    }
    sync_folder(to).map_err(|e| write_error(to, e))?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync_folder(folder).map_err(|e| write_error(folder, e))?;
    if missing > 0 { Err(BackupError::Incomplete { missing }) } else { Ok(()) }
}

fn write_error(path: &Path, source: io::Error) -> BackupError {
    BackupError::Write { path: path.to_owned(), source }
}
