//! The HTTP door's limits. Every one of them can be set.

use std::time::Duration;

/// How the HTTP door behaves.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// How long a call may wait for an outcome (`Prefer: wait`).
    pub wait_max: Duration,
    /// How long a client may take for the body of a request.
    pub body_timeout: Duration,
    /// How many calls of one user are worked on at once.
    pub user_calls_max: usize,
    /// How many streams of events one user has at once.
    pub user_streams_max: usize,
    /// How long a stream of events is silent at most.
    pub events_heartbeat: Duration,
    /// The origins whose pages may call: `https://app.example`, or `*` for any. None unless said.
    pub allowed_origins: Vec<String>,
    /// Whether such pages may send credentials of the browser's. Never together with `*`.
    pub allow_credentials: bool,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            // Below the half minute after which gateways give up.
            wait_max: Duration::from_secs(25),
            body_timeout: Duration::from_secs(30),
            user_calls_max: 64,
            user_streams_max: 64,
            events_heartbeat: Duration::from_secs(15),
            allowed_origins: Vec::new(),
            allow_credentials: false,
        }
    }
}
