//! What the server sends.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Epoch, ErrorCode, Json, RequestId, Timestamp, Topic, UserId};

/// One message of the server. On the wire an object whose `type` names the variant in snake case.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(missing_docs, reason = "each variant's struct says what it is")]
pub enum ServerFrame {
    Acknowledgment(Acknowledgment),
    Response(Response),
    Progress(Progress),
    Chunk(Chunk),
    Restart(Restart),
    Complete(Complete),
    Error(ErrorFrame),
    Event(Event),
    Presence(Presence),
    Part(Part),
    Draining(Draining),
}

/// The request is stored and will be run: sent only after it is durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Acknowledgment {
    /// The request.
    pub request_id: RequestId,
    /// Always [`QUEUED`](crate::QUEUED).
    pub status: String,
    /// For people.
    pub message: String,
    /// When it was sent.
    pub timestamp: Timestamp,
}

/// The answer of a short request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Response {
    /// The request.
    pub request_id: RequestId,
    /// Always true: what fails is answered by an error.
    pub success: bool,
    /// What the handler returned.
    pub data: Json,
    /// When it was sent.
    pub timestamp: Timestamp,
}

/// How far a request has come. Only the newest one is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Progress {
    /// The request.
    pub request_id: RequestId,
    /// Its place in the request's log.
    pub seq: u64,
    /// 0 to 100, never less than shown before.
    pub percentage: f64,
    /// For people.
    pub message: String,
    /// What the handler set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
    /// When it was reported.
    pub timestamp: Timestamp,
}

/// A partial result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Chunk {
    /// The request.
    pub request_id: RequestId,
    /// Its place in the request's log.
    pub seq: u64,
    /// Its place among the chunks: contiguous from 0, so that a client can prove it has all.
    pub index: u64,
    /// Tokens, rows, whatever the handler makes.
    pub data: Json,
    /// When it was written.
    pub timestamp: Timestamp,
}

/// A new attempt began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Restart {
    /// The request.
    pub request_id: RequestId,
    /// Its place in the request's log.
    pub seq: u64,
    /// The attempt that begins, from 2 on.
    pub attempt: u32,
    /// Chunks from this index on are void and will come again.
    pub from_index: u64,
    /// When it began.
    pub timestamp: Timestamp,
}

/// The good end of a stored request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Complete {
    /// The request.
    pub request_id: RequestId,
    /// Its place in the request's log: the last.
    pub seq: u64,
    /// Always true: what fails ends in an error.
    pub success: bool,
    /// What the handler returned; a large one is kept as an artifact and this refers to it.
    pub result: Json,
    /// When it ended.
    pub timestamp: Timestamp,
}

/// Something failed. With a `seq` it ends a stored request; without, it answers a message or tells of an
/// attempt that will be repeated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorFrame {
    /// The request, if it could be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// Its place in the request's log: the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// What failed.
    pub error: ErrorBody,
    /// When it was sent.
    pub timestamp: Timestamp,
}

/// What failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorBody {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
    /// Where to look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
    /// Whether and when it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

impl ErrorBody {
    /// A code and its message, nothing else.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: None, retry: None }
    }

    /// Names the field that is wrong by its path.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>, message: impl Into<String>) -> Self {
        let problem = FieldProblem { path: path.into(), message: message.into() };
        self.details.get_or_insert_default().fields.push(problem);
        self
    }

    /// Names the entry in the server's log that says more.
    #[must_use]
    pub fn correlated(mut self, correlation_id: impl Into<String>) -> Self {
        self.details.get_or_insert_default().correlation_id = Some(correlation_id.into());
        self
    }

    /// Says whether and when to try again.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }
}

/// Where to look.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Details {
    /// The fields that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldProblem>,
    /// The entry in the server's log that says more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// A field and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FieldProblem {
    /// Such as `payload.rows[3].amount`; empty for the message itself.
    pub path: String,
    /// For people.
    pub message: String,
}

/// Whether and when something is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Retry {
    /// By the server when a stored request's attempt failed; by the client when it was turned away.
    pub retryable: bool,
    /// Milliseconds until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// The attempt that failed, from 1 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// How many attempts there are in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tries: Option<u32>,
}

/// A message on a subscribed topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// The topic inside the subscriber's tenant.
    pub topic: Topic,
    /// Which life of the topic: offsets compare only within one.
    pub epoch: Epoch,
    /// Its place in that life: 1 for the first message, and one more for each that follows.
    pub offset: u64,
    /// What was published.
    pub data: Json,
    /// When it was published.
    pub timestamp: Timestamp,
}

/// Somebody came to a topic or left it: only for subscriptions that asked for it. Not in the topic's history, and
/// without a place in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Presence {
    /// The topic inside the subscriber's tenant.
    pub topic: Topic,
    /// What happened.
    pub change: PresenceChange,
    /// Who came or left.
    pub user_id: UserId,
    /// When it happened.
    pub timestamp: Timestamp,
}

/// What happened on a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PresenceChange {
    /// The first of a user's connections subscribed.
    Join,
    /// The last of a user's connections is gone.
    Leave,
}

/// A piece of a message that was too large for the gateway; see [`PartJoiner`](crate::PartJoiner).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Part {
    /// The message that it is a piece of.
    pub message_id: String,
    /// Which piece, from 0.
    pub index: u32,
    /// How many pieces there are.
    pub count: u32,
    /// The piece of the message's text.
    pub data: String,
    /// When it was sent.
    pub timestamp: Timestamp,
}

/// The server is going away: reconnect, and resume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Draining {
    /// Milliseconds to wait before reconnecting, so that not all come at once.
    pub retry_after_ms: u64,
    /// When it was sent.
    pub timestamp: Timestamp,
}

/// The text is no frame of the server.
#[derive(Debug)]
pub enum UnreadableFrame {
    /// A `type` that this version does not know: skip it.
    UnknownType(String),
    /// Not an object with the fields of its type.
    Malformed(serde_json::Error),
}

impl fmt::Display for UnreadableFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownType(kind) => write!(f, "unknown frame type {kind:?}"),
            Self::Malformed(e) => write!(f, "malformed frame: {e}"),
        }
    }
}

impl std::error::Error for UnreadableFrame {}

impl From<serde_json::Error> for UnreadableFrame {
    fn from(e: serde_json::Error) -> Self {
        Self::Malformed(e)
    }
}

impl ServerFrame {
    /// Reads one text frame.
    pub fn parse(text: &str) -> Result<Self, UnreadableFrame> {
        #[derive(Deserialize)]
        struct Head {
            r#type: String,
        }
        // `type` first, then the whole: serde's own tagging would have to buffer every value.
        let Head { r#type } = serde_json::from_str(text)?;
        Ok(match r#type.as_str() {
            "acknowledgment" => Self::Acknowledgment(serde_json::from_str(text)?),
            "response" => Self::Response(serde_json::from_str(text)?),
            "progress" => Self::Progress(serde_json::from_str(text)?),
            "chunk" => Self::Chunk(serde_json::from_str(text)?),
            "restart" => Self::Restart(serde_json::from_str(text)?),
            "complete" => Self::Complete(serde_json::from_str(text)?),
            "error" => Self::Error(serde_json::from_str(text)?),
            "event" => Self::Event(serde_json::from_str(text)?),
            "presence" => Self::Presence(serde_json::from_str(text)?),
            "part" => Self::Part(serde_json::from_str(text)?),
            "draining" => Self::Draining(serde_json::from_str(text)?),
            _ => return Err(UnreadableFrame::UnknownType(r#type)),
        })
    }

    /// The frame as one line of JSON.
    #[must_use]
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("frames hold only text keys")
    }

    /// The request that it is about.
    #[must_use]
    pub fn request_id(&self) -> Option<&RequestId> {
        match self {
            Self::Acknowledgment(f) => Some(&f.request_id),
            Self::Response(f) => Some(&f.request_id),
            Self::Progress(f) => Some(&f.request_id),
            Self::Chunk(f) => Some(&f.request_id),
            Self::Restart(f) => Some(&f.request_id),
            Self::Complete(f) => Some(&f.request_id),
            Self::Error(f) => f.request_id.as_ref(),
            Self::Event(_) | Self::Presence(_) | Self::Part(_) | Self::Draining(_) => None,
        }
    }

    /// Its place in the request's log.
    #[must_use]
    pub fn seq(&self) -> Option<u64> {
        match self {
            Self::Progress(f) => Some(f.seq),
            Self::Chunk(f) => Some(f.seq),
            Self::Restart(f) => Some(f.seq),
            Self::Complete(f) => Some(f.seq),
            Self::Error(f) => f.seq,
            _ => None,
        }
    }
}
