//! What is stored of a request.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use streamer_protocol::{
    Action, Chunk, Complete, ConnectionId, ErrorBody, ErrorFrame, Json, Permissions, Progress, RequestId,
    RequestStatus, Restart, ServerFrame, TenantId, Timestamp, UserId,
};

use super::Priority;

/// A request's name: an id means nothing outside its user and tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestKey {
    /// Whose data it is.
    pub tenant: TenantId,
    /// Who asked.
    pub user: UserId,
    /// The name that the user gave it.
    pub id: RequestId,
}

impl RequestKey {
    /// Names a request.
    #[must_use]
    pub fn new(tenant: TenantId, user: UserId, id: RequestId) -> Self {
        Self { tenant, user, id }
    }
}

/// Tells two payloads apart: SHA-256 over the action and the payload with its objects' keys sorted and whole
/// numbers printed as such, so that spacing, order and `6` for `6.0` do not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of an action and its payload.
    #[must_use]
    pub fn of(action: &Action, payload: &Json) -> Self {
        let mut hash = Sha256::new();
        hash.update(action.as_str());
        hash.update([0]);
        Self::completed(hash, payload)
    }

    /// Of a message of a topic.
    pub(crate) fn of_message(data: &Json) -> Self {
        Self::completed(Sha256::new(), data)
    }

    fn completed(mut hash: Sha256, payload: &Json) -> Self {
        match payload.get::<Sorted>() {
            Ok(sorted) => hash.update(serde_json::to_string(&sorted).expect("made of JSON")),
            // Nested deeper than serde_json goes: the text itself.
            Err(_) => hash.update(payload.as_str()),
        }
        Self(hash.finalize().into())
    }

    /// For a store to keep.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What a store kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// A JSON value whose objects are sorted by key, whatever `serde_json`'s features are.
#[derive(Serialize, Deserialize)]
#[serde(untagged, from = "Value")]
enum Sorted {
    Object(BTreeMap<String, Sorted>),
    Array(Vec<Sorted>),
    #[serde(serialize_with = "whole")]
    Number(serde_json::Number),
    Other(Value),
}

/// Not left to serde: it would try one kind after the other, and make an error that quotes the value for each that
/// does not fit.
impl From<Value> for Sorted {
    fn from(value: Value) -> Self {
        match value {
            Value::Object(fields) => {
                Self::Object(fields.into_iter().map(|(name, value)| (name, value.into())).collect())
            }
            Value::Array(items) => Self::Array(items.into_iter().map(Self::from).collect()),
            Value::Number(number) => Self::Number(number),
            other => Self::Other(other),
        }
    }
}

/// Prints a number; one that is whole and that every language holds exactly prints as an integer.
fn whole<S: serde::Serializer>(number: &serde_json::Number, serializer: S) -> Result<S::Ok, S::Error> {
    const EXACT_MAX: f64 = 9_007_199_254_740_991.0;
    match number.as_f64() {
        Some(value) if number.is_f64() && value.fract() == 0.0 && value.abs() <= EXACT_MAX => {
            serializer.serialize_i64(value as i64)
        }
        _ => number.serialize(serializer),
    }
}

/// A request to store.
#[derive(Debug, Clone)]
pub struct NewRequest {
    /// Its name.
    pub key: RequestKey,
    /// The connection that asked, if it was one.
    pub connection: Option<ConnectionId>,
    /// What is asked for.
    pub action: Action,
    /// What the action needs.
    pub payload: Json,
    /// Of action and payload.
    pub fingerprint: Fingerprint,
    /// What whoever asks is allowed now: it is for the handler to look at.
    pub permissions: Permissions,
    /// When it came.
    pub created_at: Timestamp,
    /// Not before this.
    pub run_at: Timestamp,
    /// Its rank among its tenant's requests.
    pub priority: Priority,
    /// How often a failed attempt is repeated.
    pub max_retries: u32,
    /// Whether it may run again after its worker died. False only for promoted requests whose action is not
    /// declared repeatable.
    pub repeatable: bool,
    /// Whether its outcome is put into the [`Outbox`](super::Outbox).
    pub announced: bool,
}

/// Who works.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkerId(Arc<str>);

impl WorkerId {
    /// A name that stays the same when the node starts again, and that no other node has.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The right to work on a request, until another fence is out.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The request.
    pub key: RequestKey,
    /// Rises with every claim.
    pub fence: u64,
    /// Where its store has it, for that store alone to find it again at once; 0 where it needs no such thing.
    pub place: u64,
}

/// Without its place, which differs from store to store.
impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("key", &self.key).field("fence", &self.fence).finish_non_exhaustive()
    }
}

/// What became of an enqueue.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one is made per call and taken apart at once")]
pub enum Enqueued {
    /// It is stored.
    New,
    /// It was stored before, with the same payload.
    Known(Summary),
}

/// What became of a promotion.
#[derive(Debug, Clone)]
pub enum Promoted {
    /// It is stored and leased. Its log is empty.
    Leased(Lease),
    /// The id was taken, by a request with the same payload.
    Known(Summary),
}

/// What became of a cancel.
#[derive(Debug, Clone)]
pub enum Cancelled {
    /// It waited, and has ended: this was appended to its log.
    Ended(LogEntry),
    /// It runs, and its worker will learn it.
    Asked(Summary),
    /// It had ended before.
    Already(Summary),
}

/// What became of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// Held until the new time.
    Held {
        /// Whether somebody asked to cancel the request.
        cancel_asked: bool,
    },
    /// Another fence is out, or the request has ended.
    Lost,
}

/// A claimed request.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The right to work on it.
    pub lease: Lease,
    /// The request as the claim left it.
    pub record: Record,
    /// What the claim appended to the log: from the second attempt on, a restart.
    pub restart: Option<LogEntry>,
}

/// What a worker got.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// What it is to work on now.
    pub claims: Vec<Claim>,
    /// When the next request will be due that was not: its start, its retry or the end of its lease.
    pub next_due: Option<Timestamp>,
}

/// A request without its contents.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Its name.
    pub key: RequestKey,
    /// The connection that asked, if it was one.
    pub connection: Option<ConnectionId>,
    /// What is asked for.
    pub action: Action,
    /// Its rank among its tenant's requests.
    pub priority: Priority,
    /// Where it stands.
    pub status: RequestStatus,
    /// The newest progress.
    pub progress: Option<ProgressState>,
    /// How many attempts have begun.
    pub attempt: u32,
    /// How many of them failed and were to be repeated.
    pub retry_count: u32,
    /// How often a failed attempt is repeated.
    pub max_retries: u32,
    /// How many attempts began because an earlier worker's lease ran out.
    pub takeovers: u32,
    /// When the next attempt may begin, while it is RETRYING.
    pub retry_after: Option<Timestamp>,
    /// Whether it may run again after its worker died.
    pub repeatable: bool,
    /// Whether somebody asked to cancel it.
    pub cancel_asked: bool,
    /// Not before this.
    pub run_at: Timestamp,
    /// When it came.
    pub created_at: Timestamp,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When it may be removed, once it has ended.
    pub expires_at: Option<Timestamp>,
    /// Its log's last `seq`; 0 while the log is empty.
    pub last_seq: u64,
    /// How many chunks its log holds: the next one's index.
    pub chunks: u64,
    /// How many bytes the chunks of its log have.
    pub log_bytes: u64,
}

/// Everything about a request but its log.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// All but the contents.
    pub summary: Summary,
    /// What the action needs.
    pub payload: Json,
    /// What whoever asked was allowed when it came.
    pub permissions: Permissions,
    /// From where another attempt continues.
    pub checkpoint: Option<Json>,
    /// How it ended; while it is RETRYING, how its last attempt failed.
    pub outcome: Option<Outcome>,
}

/// How far a request has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProgressState {
    /// 0 to 100.
    pub percentage: f64,
    /// For people.
    pub message: String,
    /// What the handler set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Well, with this result.
    Completed(Json),
    /// Badly.
    Failed(ErrorBody),
    /// By its owner's or an operator's wish.
    Cancelled(ErrorBody),
}

impl Outcome {
    /// The status of a request that ended so.
    #[must_use]
    pub const fn status(&self) -> RequestStatus {
        match self {
            Self::Completed(_) => RequestStatus::Completed,
            Self::Failed(_) => RequestStatus::Failed,
            Self::Cancelled(_) => RequestStatus::Cancelled,
        }
    }

    /// As JSON text: how a store keeps it, and what counts as its bytes.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::Completed(result) => result.clone(),
            Self::Failed(error) | Self::Cancelled(error) => Json::of(error).expect("an error prints"),
        }
    }
}

/// One entry of a request's log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// Its place: rising, with gaps where an older progress was.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// What it says.
    pub body: EntryBody,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq)]
pub enum EntryBody {
    /// How far it has come. A newer one replaces it.
    Progress(ProgressState),
    /// A partial result.
    Chunk {
        /// Contiguous from 0.
        index: u64,
        /// What it holds.
        data: Json,
    },
    /// A new attempt began.
    Restart {
        /// From 2 on.
        attempt: u32,
        /// Chunks from here on are void. A restart makes earlier ones with the same or a higher index
        /// superfluous; a store may drop them.
        from_index: u64,
    },
    /// The end.
    Outcome(Outcome),
}

impl LogEntry {
    /// The entry as its owner receives it.
    #[must_use]
    pub fn into_frame(self, request_id: &RequestId) -> ServerFrame {
        let (seq, timestamp, request_id) = (self.seq, self.at, request_id.clone());
        match self.body {
            EntryBody::Progress(ProgressState { percentage, message, metadata }) => {
                ServerFrame::Progress(Progress { request_id, seq, percentage, message, metadata, timestamp })
            }
            EntryBody::Chunk { index, data } => {
                ServerFrame::Chunk(Chunk { request_id, seq, index, data, timestamp })
            }
            EntryBody::Restart { attempt, from_index } => {
                ServerFrame::Restart(Restart { request_id, seq, attempt, from_index, timestamp })
            }
            EntryBody::Outcome(Outcome::Completed(result)) => {
                ServerFrame::Complete(Complete { request_id, seq, success: true, result, timestamp })
            }
            EntryBody::Outcome(Outcome::Failed(error) | Outcome::Cancelled(error)) => {
                let (request_id, seq) = (Some(request_id), Some(seq));
                ServerFrame::Error(ErrorFrame { request_id, seq, error, timestamp })
            }
        }
    }
}

/// Which requests are wanted. Empty: all.
#[derive(Debug, Clone, Default)]
pub struct RequestFilter {
    /// Of this tenant only.
    pub tenant: Option<TenantId>,
    /// Of this user only.
    pub user: Option<UserId>,
    /// With this status only.
    pub status: Option<RequestStatus>,
    /// For this action only.
    pub action: Option<Action>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(action: &str, payload: &str) -> Fingerprint {
        let action = Action::parse(action).expect("valid");
        Fingerprint::of(&action, &Json::parse(payload.to_owned()).expect("valid"))
    }

    #[test]
    fn order_and_spacing_do_not_matter_but_values_and_actions_do() {
        let known = fingerprint("a", r#"{"x": [1, {"b":2,"a":null}], "y": "é"}"#);
        assert_eq!(known, fingerprint("a", r#"{"y":"\u00e9","x":[1,{"a":null,"b":2}]}"#));
        assert_eq!(fingerprint("a", "[6, -0.0]"), fingerprint("a", "[6.0, 0]"));
        assert_ne!(fingerprint("a", "6.5"), fingerprint("a", "6"));
        assert_ne!(known, fingerprint("b", r#"{"x":[1,{"b":2,"a":null}],"y":"é"}"#));
        assert_ne!(known, fingerprint("a", r#"{"x":[{"b":2,"a":null},1],"y":"é"}"#));
    }

    #[test]
    fn a_payload_too_deep_to_read_still_has_one() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert_eq!(fingerprint("a", &deep(500)), fingerprint("a", &deep(500)));
        assert_ne!(fingerprint("a", &deep(500)), fingerprint("a", &deep(501)));
    }
}
