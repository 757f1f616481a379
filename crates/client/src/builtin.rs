//! The actions that are always there.

use serde::{Deserialize, Serialize};
use serde_json::json;
use streamer_protocol::{Json, RequestId, RequestStatus};

use crate::{Call, CallError, Client, SendError, open_call::Opening};

/// Where a stored request stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The request.
    pub request_id: RequestId,
    /// Where it stands.
    pub status: RequestStatus,
    /// The whole answer, these two included.
    pub data: Json,
}

/// Which stored requests are wanted: all, unless told otherwise.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Page {
    /// With this status only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<RequestStatus>,
    /// At most so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where the page before said that this one begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl Client {
    /// Gives `payload` back, with the server's time: `{echo, timestamp}`.
    pub async fn echo<T: Serialize + ?Sized>(&self, payload: &T) -> Result<Json, CallError> {
        self.request("echo").payload(payload).outcome().await
    }

    /// How the server is.
    pub async fn health(&self) -> Result<Json, CallError> {
        self.request("health").outcome().await
    }

    /// A round trip through the server's engine.
    pub async fn ping(&self) -> Result<Json, CallError> {
        self.request("ping").outcome().await
    }

    /// Where one of this user's stored requests stands.
    pub async fn status(&self, request_id: &str) -> Result<Standing, CallError> {
        self.standing("status", request_id).await
    }

    /// Ends one of this user's stored requests, unless it has ended.
    pub async fn cancel(&self, request_id: &str) -> Result<Standing, CallError> {
        self.standing("cancel", request_id).await
    }

    /// This user's stored requests.
    pub async fn requests(&self, page: &Page) -> Result<Json, CallError> {
        self.request("requests").payload(page).outcome().await
    }

    /// Follows a stored request, from wherever it was made: its log after `after_seq` (0 for all of it), then what
    /// happens next. What the server refuses ends the call.
    pub async fn resume(&self, request_id: &str, after_seq: u64) -> Result<Call, SendError> {
        self.open(RequestId::parse(request_id)?, Opening::Resume(after_seq)).await
    }

    /// Lengthens the connection's life by a token of the same user and tenant. A fixed token is replaced by it.
    pub async fn refresh(&self, token: &str) -> Result<Json, CallError> {
        let answer = self.request("refresh").payload(&json!({ "token": token })).outcome().await?;
        self.settings().token.renew(token);
        Ok(answer)
    }

    async fn standing(&self, action: &str, request_id: &str) -> Result<Standing, CallError> {
        #[derive(Deserialize)]
        struct Known {
            request_id: RequestId,
            status: RequestStatus,
        }
        let data = self.request(action).payload(&json!({ "request_id": request_id })).outcome().await?;
        let Known { request_id, status } = data.get()?;
        Ok(Standing { request_id, status, data })
    }
}
