//! Outcomes, told to an address.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;
use streamer_engine::{
    Then, Undelivered, Webhooks,
    store::{Announcement, Outcome},
};
use streamer_protocol::{Action, ErrorBody, Json, RequestId, RequestStatus, TenantId, Timestamp, UserId};
use tokio::time::timeout;

use crate::{
    Target,
    answer::{self, Verdict},
    identity,
    target::whole,
    trouble::Trouble,
};

const DELIVERY: HeaderName = HeaderName::from_static("streamer-delivery");

/// What an address says beside its status is not wanted: so much is read, so that the connection can be used again.
const SAID_BYTES_MAX: usize = 16 * 1024;

/// Posts outcomes to the addresses of their actions.
pub struct UrlWebhooks {
    targets: HashMap<Action, Arc<Target>>,
    timeout: Duration,
}

/// An outcome as its receiver reads it.
#[derive(Serialize)]
struct Told<'a> {
    r#type: &'static str,
    request_id: &'a RequestId,
    tenant_id: &'a TenantId,
    user_id: &'a UserId,
    action: &'a Action,
    status: RequestStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a ErrorBody>,
    attempts: u32,
    created_at: Timestamp,
    ended_at: Timestamp,
}

impl UrlWebhooks {
    /// `timeout` bounds one telling in all.
    #[must_use]
    pub fn new(targets: HashMap<Action, Arc<Target>>, timeout: Duration) -> Self {
        Self { targets, timeout }
    }

    async fn post(&self, target: &Target, announcement: &Announcement) -> Result<(), Trouble> {
        let Announcement { key, action, outcome, .. } = announcement;
        let (result, error) = match outcome {
            Outcome::Completed(result) => (Some(result), None),
            Outcome::Failed(error) | Outcome::Cancelled(error) => (None, Some(error)),
        };
        let told = Told {
            r#type: "outcome",
            request_id: &key.id,
            tenant_id: &key.tenant,
            user_id: &key.user,
            action,
            status: outcome.status(),
            result,
            error,
            attempts: announcement.attempt,
            created_at: announcement.created_at,
            ended_at: announcement.ended_at,
        };
        let body = serde_json::to_vec(&told).expect("names and JSON print");
        let seq = announcement.seq.to_string();
        let more = [
            (identity::IDEMPOTENCY_KEY, identity::idempotency_key(key, &[action.as_str(), "outcome", &seq])),
            (DELIVERY, HeaderValue::from(announcement.failures + 1)),
        ];
        let headers = identity::headers(key, action).into_iter().chain(more);
        let asking = async {
            let mut answer = target.post("application/json", headers, body.into(), None).await?;
            let verdict = answer::verdict(&answer.head, target.now());
            let _ = whole(&mut answer.body, self.timeout, SAID_BYTES_MAX).await;
            match verdict {
                _ if answer.head.status.is_success() => Ok(()),
                Verdict::Trouble(trouble) => Err(trouble),
                Verdict::Good(_) | Verdict::Rejected => {
                    Err(Trouble::Unavailable { status: answer.head.status.as_u16(), after: None })
                }
            }
        };
        let silent = |_| Trouble::Silent { what: "its answer", span: self.timeout };
        let told = timeout(self.timeout, asking).await.map_err(silent).flatten();
        target.note(&told);
        told
    }
}

#[async_trait]
impl Webhooks for UrlWebhooks {
    async fn announce(&self, announcement: &Announcement) -> Result<(), Undelivered> {
        let Some(target) = self.targets.get(&announcement.action) else {
            let why = "no webhook is configured for the action any more".to_owned();
            return Err(Undelivered { why, then: Then::GiveUp });
        };
        self.post(target, announcement).await.map_err(|trouble| {
            let then = match trouble {
                Trouble::CircuitOpen(after) => Then::Wait { after },
                Trouble::Unavailable { status: 410, .. } => Then::GiveUp,
                Trouble::Unavailable { after, .. } => Then::Retry { after },
                _ => Then::Retry { after: None },
            };
            Undelivered { why: trouble.to_string(), then }
        })
    }
}
