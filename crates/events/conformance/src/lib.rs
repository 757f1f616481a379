//! The suites that every source and every sink of events passes.
//!
//! An adapter's tests hold one line, [`sink_suite!`] for a sink of documents, [`outlet_suite!`] for one that knows events
//! alone, or [`source_suite!`], which expands to a named test for each
//! promise of `streamer_events::sink` or `streamer_events::source`. What is promised beyond a process's life only an
//! adapter's own tests can show.
//!
//! ```ignore
//! async fn open() -> (MongoSink, Database) { /* a fresh sink, and what it needs to live */ }
//!
//! streamer_events_conformance::sink_suite!(open);
//! ```

pub mod outlet;
pub mod sink;
pub mod source;
mod suite;
