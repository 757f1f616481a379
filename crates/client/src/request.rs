//! Asking for something.

use serde::Serialize;
use streamer_protocol::{Action, Json, Request, RequestId};
use uuid::Uuid;

use crate::{Call, CallError, Client, SendError, open_call::Opening};

/// An id that nobody else has chosen.
pub(crate) fn fresh_id() -> RequestId {
    RequestId::parse(&Uuid::new_v4().to_string()).expect("a UUID is a request id")
}

/// A request that is being put together: [`Client::request`].
#[derive(Debug)]
#[must_use = "nothing is sent before `send` or `outcome`"]
pub struct RequestBuilder<'c> {
    client: &'c Client,
    action: String,
    id: Option<String>,
    payload: Option<Result<Json, serde_json::Error>>,
    metadata: Option<Result<Json, serde_json::Error>>,
}

impl<'c> RequestBuilder<'c> {
    pub(crate) fn new(client: &'c Client, action: &str) -> Self {
        Self { client, action: action.to_owned(), id: None, payload: None, metadata: None }
    }

    /// What the action needs; `{}` without it.
    pub fn payload<T: Serialize + ?Sized>(self, payload: &T) -> Self {
        Self { payload: Some(Json::of(payload)), ..self }
    }

    /// Names the request, so that another process can ask for it again; a UUID without it. The same id with the same
    /// payload never runs queued work twice.
    pub fn id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// About the request itself, as an object: `run_at` or `delay_ms` delay its start, `priority` ranks it within its
    /// tenant.
    pub fn metadata<T: Serialize + ?Sized>(self, metadata: &T) -> Self {
        Self { metadata: Some(Json::of(metadata)), ..self }
    }

    /// Hands it to the connection. While the connection is being made again, it waits there and is sent as soon as
    /// possible; an answer that was lost with a connection is asked for again.
    pub async fn send(self) -> Result<Call, SendError> {
        let id = match &self.id {
            Some(id) => RequestId::parse(id)?,
            None => fresh_id(),
        };
        let request = Request {
            id: Some(id.clone()),
            action: Action::parse(&self.action)?,
            payload: self.payload.transpose()?,
            metadata: self.metadata.transpose()?,
        };
        if request.metadata.as_ref().is_some_and(|metadata| !metadata.as_str().starts_with('{')) {
            return Err(SendError::Metadata);
        }
        let text = serde_json::to_string(&request)?;
        let bytes_max = self.client.settings().request_bytes_max;
        if text.len() > bytes_max {
            return Err(SendError::TooLarge { bytes: text.len(), bytes_max });
        }
        self.client.open(id, Opening::Request(text)).await
    }

    /// Sends it and waits for its end.
    pub async fn outcome(self) -> Result<Json, CallError> {
        self.send().await?.outcome().await
    }
}
