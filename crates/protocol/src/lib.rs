//! The wire of Streamer: what client and server say to each other, and nothing else.
//!
//! Every message is one JSON object in one WebSocket text frame. A client sends a [`Request`]; the
//! server sends a [`ServerFrame`]. This crate parses and prints them; it does no I/O and knows no
//! handler, store or socket, so that every side of the product can depend on it.
//!
//! `golden/` beside this crate holds one file per frame, valid and invalid. Every SDK, in any language,
//! replays them.

mod close;
mod code;
mod frame;
mod id;
mod json;
mod part;
mod permissions;
mod request;
#[cfg(feature = "schema")]
pub mod schema;
mod status;
mod timestamp;
mod topic;
mod topic_action;

pub use close::{CloseCode, Reconnect};
pub use code::ErrorCode;
pub use frame::{
    Acknowledgment, Chunk, Complete, Details, Draining, ErrorBody, ErrorFrame, Event, FieldProblem, Part,
    Presence, PresenceChange, Progress, Response, Restart, Retry, ServerFrame, UnreadableFrame,
};
pub use id::{
    Action, ConnectionId, IdempotencyKey, InvalidAction, InvalidIdempotencyKey, InvalidRequestId,
    REQUEST_ID_CHARS_MAX, RequestId, TenantId, UserId,
};
pub use json::Json;
pub use part::{JoinError, PartJoiner, split};
pub use permissions::Permissions;
pub use request::{InvalidRequest, MESSAGE_BYTES_MAX, Request};
pub use status::{QUEUED, RequestStatus};
pub use timestamp::{InvalidTimestamp, Timestamp};
pub use topic::{Epoch, InvalidTopic, TOPIC_CHARS_MAX, Topic};
pub use topic_action::{
    History, Lost, OfTopic, Position, Present, PresentUser, Publish, Published, Subscribe, Subscribed,
    Unsubscribed,
};
