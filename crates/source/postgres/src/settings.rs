//! Which server, which table, which slot.

use std::{fmt, path::PathBuf, time::Duration};

use streamer_events::{Backoff, Outbox};

/// Where the server is, and who we are there.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// A name or an address; one that begins with `/` is the folder of a Unix socket.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The role.
    pub user: String,
    /// The role's password, if it has one.
    pub password: Option<String>,
    /// Whether the connection is encrypted, and whom it trusts.
    pub tls: Tls,
    /// How long connecting may take.
    pub connect_timeout: Duration,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, database, user, .. } = self;
        write!(f, "{user}@{host}:{port}/{database}")
    }
}

/// Whether the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsMode {
    /// Never.
    Disable,
    /// If the server offers it; the server's name is not checked.
    #[default]
    Prefer,
    /// Always; the server's name is not checked.
    Require,
    /// Always, and the server must have a certificate for its name by an authority that is trusted.
    VerifyFull,
}

/// Encryption.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// Whether.
    pub mode: TlsMode,
    /// A file of the authorities that are trusted, PEM; the system's own without it.
    pub roots_file: Option<PathBuf>,
}

/// Everything about the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the server is.
    pub server: Server,
    /// The table and its columns.
    pub outbox: Outbox,
    /// The column whose rising values the rows are read by in a snapshot: unique, and better in the order of their
    /// making.
    pub sequence: String,
    /// The publication's name.
    pub publication: String,
    /// The slot's name: at most 63 of `a-z`, `0-9` and `_`.
    pub slot: String,
    /// How often what is confirmed is told to the server.
    pub confirm_interval: Duration,
    /// How often something is written into an idle log, so that its slot holds nothing back, and the slot is looked at.
    pub heartbeat_interval: Duration,
    /// A warning is logged once the slot keeps the server from removing so many bytes of its log.
    pub retained_bytes_warn: u64,
    /// A message of the server's may have so many bytes: the largest row.
    pub message_bytes_max: usize,
    /// Between attempts to connect.
    pub backoff: Backoff,
    /// How often a slot that another process reads is asked for.
    pub takeover_interval: Duration,
}

impl Settings {
    /// The settings of a server, the rest as specified.
    #[must_use]
    pub fn of(server: Server) -> Self {
        Self {
            server,
            outbox: Outbox::default(),
            sequence: "sequence_id".into(),
            publication: "debezium_publication".into(),
            slot: "streamer".into(),
            confirm_interval: Duration::from_secs(1),
            heartbeat_interval: Duration::from_secs(10),
            retained_bytes_warn: 1024 * 1024 * 1024,
            message_bytes_max: 64 * 1024 * 1024,
            backoff: Backoff { base: Duration::from_millis(100), max: Duration::from_secs(10) },
            takeover_interval: Duration::from_secs(1),
        }
    }
}
