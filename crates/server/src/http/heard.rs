//! A frame, as far as HTTP has to look inside.

use bytes::Bytes;
use serde::Deserialize;
use streamer_protocol::{ErrorFrame, RequestId};

/// A frame on its way to a visitor: its text, and what decides where that goes.
pub(super) struct Heard {
    pub(super) text: Bytes,
    pub(super) kind: Kind,
    pub(super) seq: Option<u64>,
    pub(super) request_id: Option<RequestId>,
}

/// The frames that are told to whoever has no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Acknowledgment,
    Response,
    Progress,
    Chunk,
    Restart,
    Complete,
    Error,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Head {
    r#type: Kind,
    seq: Option<u64>,
    request_id: Option<RequestId>,
}

impl Heard {
    /// Of a frame of ours.
    pub(super) fn of(text: Bytes) -> Self {
        let Head { r#type, seq, request_id } = serde_json::from_slice(&text).expect("a frame of ours");
        Self { text, kind: r#type, seq, request_id }
    }

    /// Whether nothing follows it in its request's log.
    pub(super) fn is_outcome(&self) -> bool {
        self.seq.is_some() && matches!(self.kind, Kind::Complete | Kind::Error)
    }

    /// The error that an error frame holds.
    pub(super) fn error(&self) -> ErrorFrame {
        serde_json::from_slice(&self.text).expect("an error frame of ours")
    }
}

impl Kind {
    /// As the frame has it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Acknowledgment => "acknowledgment",
            Self::Response => "response",
            Self::Progress => "progress",
            Self::Chunk => "chunk",
            Self::Restart => "restart",
            Self::Complete => "complete",
            Self::Error => "error",
            Self::Other => "message",
        }
    }
}
