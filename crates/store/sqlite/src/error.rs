//! From SQLite's errors to the engine's.

use rusqlite::{ErrorCode, ffi};
use streamer_engine::store::{Error, ErrorKind};

/// Why a write was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was found impossible before anything was written: the others of its group are not concerned.
    Refused(Error),
    /// A statement failed, perhaps after others of the same call: what was written must be rolled back.
    Broken(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Broken(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<ErrorKind> for Failure {
    fn from(kind: ErrorKind) -> Self {
        Self::Refused(kind.into())
    }
}

/// Whether there was no room on the disk. The index of the write-ahead log has a code of its own for that.
pub(crate) fn is_full(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(ffi::SQLITE_FULL | ffi::SQLITE_IOERR_SHMSIZE))
}

/// What a failed statement or commit means to the engine.
pub(crate) fn kind_of(error: &rusqlite::Error) -> ErrorKind {
    match error.sqlite_error_code() {
        _ if is_full(error) => ErrorKind::NoSpace,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ErrorKind::Corrupt,
        Some(_) => ErrorKind::Unavailable,
        // A column that holds what this store never wrote.
        None => match error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..) => ErrorKind::Corrupt,
            _ => ErrorKind::Unavailable,
        },
    }
}

pub(crate) fn store_error(error: rusqlite::Error) -> Error {
    Error::new(kind_of(&error), error)
}

pub(crate) fn io_error(error: std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, error)
}

pub(crate) fn invalid(why: &'static str) -> Error {
    Error::new(ErrorKind::Invalid, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of_code(code: i32) -> ErrorKind {
        kind_of(&rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None))
    }

    #[test]
    fn a_full_disk_a_damaged_page_and_a_passing_fault_are_told_apart() {
        assert_eq!(kind_of_code(rusqlite::ffi::SQLITE_FULL), ErrorKind::NoSpace);
        assert_eq!(kind_of_code(rusqlite::ffi::SQLITE_IOERR_SHMSIZE), ErrorKind::NoSpace);
        assert_eq!(kind_of_code(rusqlite::ffi::SQLITE_CORRUPT), ErrorKind::Corrupt);
        assert_eq!(kind_of_code(rusqlite::ffi::SQLITE_BUSY), ErrorKind::Unavailable);
        assert_eq!(kind_of_code(rusqlite::ffi::SQLITE_IOERR), ErrorKind::Unavailable);
        assert_eq!(io_error(std::io::ErrorKind::StorageFull.into()).kind(), ErrorKind::NoSpace);
        assert_eq!(io_error(std::io::ErrorKind::BrokenPipe.into()).kind(), ErrorKind::Unavailable);
    }
}
