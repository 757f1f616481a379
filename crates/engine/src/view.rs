//! A request as people and programs are shown it.

use serde::{Deserialize, Serialize};
use streamer_protocol::{Action, ErrorBody, Json, RequestId, RequestStatus, TenantId, Timestamp, UserId};

use crate::store::{Outcome, Priority, ProgressState, Record, Summary};

/// Where a request stands: the answer of `status`, and an item of `requests`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RequestView {
    /// Its name.
    pub request_id: RequestId,
    /// Whose data it is; shown to operators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// Who asked; shown to operators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// What was asked for.
    pub action: Action,
    /// Where it stands.
    pub status: RequestStatus,
    /// Its rank among its tenant's requests.
    #[serde(default)]
    pub priority: Priority,
    /// The newest progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressState>,
    /// How many attempts have begun.
    pub attempt: u32,
    /// How many of them failed and were to be repeated.
    pub retry_count: u32,
    /// How often a failed attempt is repeated.
    pub max_retries: u32,
    /// When the next attempt may begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Timestamp>,
    /// Whether somebody asked to cancel it.
    pub cancel_requested: bool,
    /// Not before this.
    pub run_at: Timestamp,
    /// When it came.
    pub created_at: Timestamp,
    /// When its first attempt began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// When it will be forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Its log's last `seq`.
    pub last_seq: u64,
    /// How many chunks its log holds.
    pub chunks: u64,
    /// What it came to, if it ended well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Json>,
    /// What it came to, if it did not; while it is RETRYING, how its last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

impl RequestView {
    /// As an operator sees it.
    #[must_use]
    pub fn with_owner(self, summary: &Summary) -> Self {
        let (tenant_id, user_id) = (Some(summary.key.tenant.clone()), Some(summary.key.user.clone()));
        Self { tenant_id, user_id, ..self }
    }
}

impl From<&Summary> for RequestView {
    fn from(summary: &Summary) -> Self {
        Self {
            request_id: summary.key.id.clone(),
            tenant_id: None,
            user_id: None,
            action: summary.action.clone(),
            status: summary.status,
            priority: summary.priority,
            progress: summary.progress.clone(),
            attempt: summary.attempt,
            retry_count: summary.retry_count,
            max_retries: summary.max_retries,
            retry_after: summary.retry_after,
            cancel_requested: summary.cancel_asked,
            run_at: summary.run_at,
            created_at: summary.created_at,
            started_at: summary.started_at,
            ended_at: summary.ended_at,
            expires_at: summary.expires_at,
            last_seq: summary.last_seq,
            chunks: summary.chunks,
            result: None,
            error: None,
        }
    }
}

impl From<&Record> for RequestView {
    fn from(record: &Record) -> Self {
        let (result, error) = match &record.outcome {
            None => (None, None),
            Some(Outcome::Completed(result)) => (Some(result.clone()), None),
            Some(Outcome::Failed(error) | Outcome::Cancelled(error)) => (None, Some(error.clone())),
        };
        Self { result, error, ..Self::from(&record.summary) }
    }
}
