//! What is to be told outside.

use streamer_protocol::{Action, Timestamp};

use super::{Outcome, RequestKey};

/// An outcome to tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Announcement {
    /// The request.
    pub key: RequestKey,
    /// What was asked for.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// The place of the outcome in the request's log: another end of the same request has another.
    pub seq: u64,
    /// When the request came.
    pub created_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How many attempts it took.
    pub attempt: u32,
    /// How often telling it has failed.
    pub failures: u32,
    /// Rises each time that it is taken.
    pub fence: u64,
}

/// What there is to tell.
#[derive(Debug, Clone)]
pub struct ToAnnounce {
    /// Now.
    pub announcements: Vec<Announcement>,
    /// When the next one is due that was not.
    pub next_due: Option<Timestamp>,
}

/// An announcement that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// The request.
    pub key: RequestKey,
    /// What was asked for.
    pub action: Action,
    /// How often telling it has failed.
    pub failures: u32,
    /// Why it did the last time.
    pub why: String,
    /// When the request ended.
    pub ended_at: Timestamp,
    /// When it was given up.
    pub given_up_at: Timestamp,
}

/// How many announcements there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxDepth {
    /// Still to be told.
    pub waiting: u64,
    /// Given up.
    pub given_up: u64,
}
