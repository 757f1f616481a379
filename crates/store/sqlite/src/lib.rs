//! The embedded store: one SQLite file, its write-ahead log, and a folder of artifacts beside it.
//!
//! One thread writes. It takes whatever calls have queued, runs them in one transaction, commits (one `fsync`
//! for all of them), and only then answers: so an answered call is durable, and thousands of them are so each
//! second. Readers have connections of their own. The write-ahead log is copied into the file by a third
//! thread, off the way of the answers.
//!
//! One process serves a file at a time, which a lock beside it holds. [`check`] and [`backup`] may run beside
//! it.

mod agenda;
mod artifacts;
mod backup;
mod check;
mod checkpointer;
mod connections;
mod error;
mod handle;
mod health;
mod lock;
mod open;
mod outbox;
mod readers;
mod requests;
mod schema;
mod settings;
mod store;
mod stored_bytes;
mod sweep;
mod topics;
mod value;
mod wal;
mod writer;

pub use backup::{BackupError, backup};
pub use check::{Finding, Report, check};
pub use open::OpenError;
pub use settings::Settings;
pub use store::SqliteStore;
