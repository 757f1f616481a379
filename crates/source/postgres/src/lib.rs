//! PostgreSQL's log as a source of changes: a native client of logical replication, without a JVM or a broker.
//!
//! A [`PostgresSource`] holds two connections while it streams. One reads the log of a replication slot, decoded by
//! [`pgoutput`], and is not read while the pipeline has no room: a transaction of any size passes through in bounded
//! memory. The other holds the lock that makes this process the only reader, keeps a small table of what was ever
//! confirmed, and beats. A snapshot has a third.

mod approach;
mod check;
mod client;
mod connection;
mod error;
mod handled;
mod heart;
mod json;
pub mod pgoutput;
mod progress;
mod session;
mod settings;
mod setup;
mod slot;
mod snapshot;
mod source;
mod stream;
mod table;
mod teardown;

pub use client::{Client, QueryError, Row, RowText};
pub use connection::{literal, quoted};
pub use handled::{Handled, see_to_handled, until_confirmed};
pub use settings::{Server, Settings, Tls, TlsMode};
pub use setup::setup;
pub use slot::Lag;
pub use source::PostgresSource;
pub use teardown::teardown;
