//! From a path to a store, or to the reason why not in plain words.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig, ffi};
use streamer_engine::failpoint::{self, Step};
use thiserror::Error;
use tracing::warn;

use crate::{
    error::is_full,
    lock::Holder,
    schema::{APPLICATION_ID, VERSION, migrate},
    settings::beside,
    wal::{self, Damage},
};

/// Why a store could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file is something else.
    #[error(
        "{} is not a SQLite database: name another file. If it was Streamer's, its beginning is damaged: restore the \
         newest backup",
        path.display()
    )]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is another program's database.
    #[error("{} is a SQLite database, but not Streamer's", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// There is no such file, where one is needed.
    #[error("there is no store at {}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A newer Streamer wrote the file.
    #[error(
        "{} was written by a newer Streamer (store version {found}, this one knows up to {known}): \
         use that one, or restore a backup",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: usize,
        /// The newest version that can be read.
        known: usize,
    },
    /// Another process serves the file.
    #[error("{} is in use by {}", path.display(), process(*pid))]
    Locked {
        /// The file.
        path: PathBuf,
        /// That process, if it has said who it is.
        pid: Option<u32>,
    },
    /// The folder is missing.
    #[error("the folder {} is missing: create it first", folder.display())]
    MissingFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// The file or its folder may not be read or written.
    #[error("no permission to read and write {}", path.display())]
    NoPermission {
        /// The file or folder.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error(
        "{} is damaged: see what `streamer store check` finds, and restore the newest backup",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The write-ahead log is damaged.
    #[error(
        "{} is damaged ({}): what was committed after that cannot be read. Restore the newest backup",
        path.display(),
        place(*frame, *frames)
    )]
    DamagedLog {
        /// The log.
        path: PathBuf,
        /// The first frame that cannot be read; 0 for the log's head.
        frame: u64,
        /// How many there are.
        frames: u64,
    },
    /// The disk is mounted so that nothing can be written.
    #[error("the disk that holds {} is mounted read-only", path.display())]
    ReadOnlyDisk {
        /// The file.
        path: PathBuf,
    },
    /// The disk is full.
    #[error("the disk that holds {} is full", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// The system failed otherwise.
    #[error("{} cannot be used", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// SQLite failed otherwise.
    #[error("{} cannot be used", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
}

fn process(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("the process {pid}"))
}

pub(crate) fn place(frame: u64, frames: u64) -> String {
    if frame == 0 { "at its head".to_owned() } else { format!("at frame {frame} of {frames}") }
}

impl OpenError {
    pub(crate) fn of_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::NoPermission { path },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnlyDisk { path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io { path, source },
        }
    }

    pub(crate) fn of_sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        if is_full(&source) {
            return Self::DiskFull { path };
        }
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) if is_blank(&path) => Self::Damaged { path, source },
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, source },
            Some(ErrorCode::CannotOpen) if path.is_dir() => {
                Self::Io { path, source: io::ErrorKind::IsADirectory.into() }
            }
            Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
                Self::NoPermission { path }
            }
            _ => Self::Sqlite { path, source },
        }
    }
}

/// Whether nothing but zeros is where a file's format would be told (the SQLite file format, section 1.3). Nobody writes
/// such a file: a disk or a copy lost its first page.
fn is_blank(path: &Path) -> bool {
    let mut head = [0xff; 100];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head.iter().all(|byte| *byte == 0)
}

/// Whether the folder that `path` is to be in is there.
pub(crate) fn check_folder(path: &Path) -> Result<(), OpenError> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        Some(folder) => Err(OpenError::MissingFolder { folder: folder.to_owned() }),
        None => Ok(()),
    }
}

/// A connection to a file that is there, with this store's ways.
pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    configured(Connection::open_with_flags(path, flags)?)
}

fn configured(conn: Connection) -> rusqlite::Result<Connection> {
    conn.busy_timeout(std::time::Duration::from_millis(100))?;
    conn.set_prepared_statement_cache_capacity(64);
    // Else a statement over a partial index is compiled anew whenever its parameters change.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(conn)
}

/// Whether the log of the store at `path`, which nobody may have open, can be read to its end. After the machine was
/// down it may lack what was never synced, which nobody was promised.
pub(crate) fn look_at_log(path: &Path, former: &Holder) -> Result<(), OpenError> {
    let log = beside(path, "-wal");
    match wal::damage(&log).map_err(|e| OpenError::of_io(&log, e))? {
        None => Ok(()),
        Some(Damage { frame, frames }) if former.is_of_this_boot() || frame == 0 => {
            Err(OpenError::DamagedLog { path: log, frame, frames })
        }
        Some(Damage { frame, frames }) => {
            warn!(frame, frames, "the write-ahead log cannot be read from here on, as after a power cut");
            Ok(())
        }
    }
}

/// Opens the file, makes it if it is missing, and brings it to this version. Nobody else may have it open.
pub(crate) fn open_file(path: &Path, former: &Holder, check_bytes_max: u64) -> Result<Connection, OpenError> {
    let broken = |e| OpenError::of_sqlite(path, e);
    look_at_log(path, former)?;
    let flags = OpenFlags::default() | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags).map_err(broken)?;
    let found = version(&conn, path)?;
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(broken)?;
    if mode != "wal" {
        let source = io::Error::new(io::ErrorKind::Unsupported, "this disk cannot hold a write-ahead log");
        return Err(OpenError::Io { path: path.to_owned(), source });
    }
    conn = configured(conn).map_err(broken)?;
    // 16 MiB: most of the pages that enqueues touch at random. Each commit walks the cache, so more is slower.
    conn.pragma_update(None, "cache_size", -16 * 1024).map_err(broken)?;
    let bytes: u64 = path.metadata().map_err(|e| OpenError::of_io(path, e))?.len();
    if found > 0 && bytes <= check_bytes_max {
        look_through(&conn).map_err(broken)?;
    }
    failpoint::before(Step::Migrate);
    migrate(&mut conn, found).map_err(broken)?;
    failpoint::after(Step::Migrate);
    Ok(conn)
}

/// Whether every page can be read and every index has what its table has.
fn look_through(conn: &Connection) -> rusqlite::Result<()> {
    let found: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found == "ok" {
        return Ok(());
    }
    let found = found.replace('\n', " ");
    Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(found)))
}

/// The version of the store in a file; 0 for a file that is new or empty.
pub(crate) fn version(conn: &Connection, path: &Path) -> Result<usize, OpenError> {
    let broken = |e| OpenError::of_sqlite(path, e);
    let number = |name| conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let tables: i64 =
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(broken)?;
    let (id, version) = (number("application_id").map_err(broken)?, number("user_version").map_err(broken)?);
    if (tables, id, version) == (0, 0, 0) {
        return Ok(0);
    }
    let path = path.to_owned();
    if id != i64::from(APPLICATION_ID) {
        return Err(OpenError::NotAStore { path });
    }
    match usize::try_from(version) {
        Ok(found) if (1..=VERSION).contains(&found) => Ok(found),
        Ok(found) if found > VERSION => Err(OpenError::Newer { path, found, known: VERSION }),
        _ => Err(OpenError::NotAStore { path }),
    }
}
