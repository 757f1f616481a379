//! The engine's limits. Every one of them can be set.

use std::time::Duration;

use crate::{backoff::Backoff, breaker::BreakerSettings, store::Quota, topics::TopicSettings};

/// How the engine behaves. `Settings::default()` suits a server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Below this estimate a request runs at once; a run that outlives it is promoted.
    pub short_limit: Duration,
    /// How long one attempt may take, unless its action says otherwise.
    pub attempt_timeout: Duration,
    /// How long a lease holds without renewal. Renewed three times in that time.
    pub lease: Duration,
    /// How often the queue is looked at when nothing announces work.
    pub poll_interval: Duration,
    /// How many queued requests run at once.
    pub running_max: usize,
    /// How many of those may be of one tenant, so that one whose handlers hang leaves places to the others.
    pub tenant_running_max: usize,
    /// How much may be open and kept, in all and per tenant.
    pub quota: Quota,
    /// What a client is told to wait when the queue is full.
    pub overloaded_retry_after: Duration,
    /// Between the attempts of a request.
    pub retry_backoff: Backoff,
    /// How often a request is taken over from dead workers before it fails.
    pub takeovers_max: u32,
    /// How long an ended request, its log and its artifacts are kept.
    pub retention: Duration,
    /// How often what is past its retention is removed.
    pub purge_interval: Duration,
    /// The shortest time between two shown progresses of one request.
    pub progress_interval: Duration,
    /// The largest chunk, in bytes.
    pub chunk_bytes_max: u64,
    /// The largest log of one request: the sum of its chunks, in bytes.
    pub log_bytes_max: u64,
    /// The largest checkpoint, in bytes.
    pub checkpoint_bytes_max: u64,
    /// The largest metadata and message of a progress, in bytes.
    pub progress_bytes_max: u64,
    /// A larger result is kept as an artifact and referred to, in bytes.
    pub result_bytes_max: usize,
    /// The largest artifact, in bytes.
    pub artifact_bytes_max: usize,
    /// Where artifacts are served: their links are this, a slash and their id.
    pub artifacts_url: String,
    /// How long a handler may go on after it was asked to stop.
    pub cancel_grace: Duration,
    /// How many messages of one connection are worked on at once; the next ones wait.
    pub connection_in_flight_max: usize,
    /// How many requests one connection follows at once.
    pub connection_listeners_max: usize,
    /// How many entries are held for a client that is reading its log; what is above is read again.
    pub listener_buffer_max: usize,
    /// What topics keep, and how much there may be of them.
    pub topics: TopicSettings,
    /// When sends to a connection are given up for a while.
    pub breaker: BreakerSettings,
    /// How long before a connection's record may be removed when nothing is heard from it any more.
    pub connection_ttl: Duration,
}

const GIB: u64 = 1024 * 1024 * 1024;

impl Default for Settings {
    fn default() -> Self {
        Self {
            short_limit: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(60 * 60),
            lease: Duration::from_secs(30),
            poll_interval: Duration::from_secs(1),
            running_max: 256,
            tenant_running_max: 192,
            quota: Quota {
                open_max: 100_000,
                tenant_open_max: 10_000,
                stored_bytes_max: 64 * GIB,
                tenant_stored_bytes_max: 8 * GIB,
            },
            overloaded_retry_after: Duration::from_secs(2),
            retry_backoff: Backoff { base: Duration::from_secs(1), max: Duration::from_secs(300) },
            takeovers_max: 10,
            retention: Duration::from_secs(7 * 24 * 60 * 60),
            purge_interval: Duration::from_secs(60),
            progress_interval: Duration::from_millis(100),
            chunk_bytes_max: 64 * 1024,
            log_bytes_max: 16 * 1024 * 1024,
            checkpoint_bytes_max: 128 * 1024,
            progress_bytes_max: 16 * 1024,
            result_bytes_max: 128 * 1024,
            artifact_bytes_max: 64 * 1024 * 1024,
            artifacts_url: "/v1/artifacts".to_owned(),
            cancel_grace: Duration::from_secs(5),
            connection_in_flight_max: 64,
            connection_listeners_max: 1024,
            listener_buffer_max: 256,
            topics: TopicSettings::default(),
            breaker: BreakerSettings::default(),
            connection_ttl: Duration::from_secs(24 * 60 * 60),
        }
    }
}
