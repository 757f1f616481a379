//! A message on its way to connections: encoded once, however many there are.

use bytes::Bytes;
use serde::Serialize;
use streamer_protocol::{RequestId, ServerFrame};

/// The text of one message. Clones share the bytes.
#[derive(Debug, Clone)]
pub struct Frame {
    text: Bytes,
    collapses: Option<RequestId>,
}

impl Frame {
    /// Encodes a frame of the protocol. Progress of one request collapses: where a queue still holds an older
    /// one, the newer takes its place.
    #[must_use]
    pub fn of(frame: &ServerFrame) -> Self {
        let collapses = match frame {
            ServerFrame::Progress(progress) => Some(progress.request_id.clone()),
            _ => None,
        };
        Self { text: frame.encode().into(), collapses }
    }

    /// Encodes an application's own message.
    pub fn message<T: Serialize + ?Sized>(message: &T) -> Result<Self, serde_json::Error> {
        Ok(Self { text: serde_json::to_vec(message)?.into(), collapses: None })
    }

    /// An application's own text, which goes as it is.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into().into(), collapses: None }
    }

    /// The message: UTF-8, as it goes on the wire.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.text
    }

    /// The request whose older progress this one replaces in a queue.
    #[must_use]
    pub fn collapses(&self) -> Option<&RequestId> {
        self.collapses.as_ref()
    }
}

impl From<ServerFrame> for Frame {
    fn from(frame: ServerFrame) -> Self {
        Self::of(&frame)
    }
}
