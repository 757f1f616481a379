//! The one suite that every store passes.
//!
//! An adapter's tests hold one line, [`suite!`], which expands to a named test for each promise of
//! `streamer_engine::store`. What a store promises beyond a process's life (durability) only its own tests can
//! show.
//!
//! ```ignore
//! async fn open() -> (SqliteStore, TempDir) { /* a fresh store, and what it needs to live */ }
//!
//! streamer_store_conformance::suite!(open);
//! ```

pub mod append;
pub mod artifacts;
pub mod cancel;
pub mod claim;
pub mod connections;
pub mod enqueue;
pub mod finish;
mod given;
pub mod keys;
pub mod lease;
pub mod listing;
pub mod model;
pub mod outbox;
pub mod purge;
pub mod quota;
pub mod replay;
pub mod restart;
pub mod share;
mod suite;
pub mod topics;
