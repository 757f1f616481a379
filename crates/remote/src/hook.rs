//! Who connects or calls, as an application behind a URL says it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hyper::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use streamer_protocol::Timestamp;
use tokio::time::timeout;
use tracing::warn;

use crate::{Target, answer, target::whole, trouble::Trouble};

const EVENT: HeaderName = HeaderName::from_static("streamer-event");
const CONNECTION: HeaderName = HeaderName::from_static("streamer-connection-id");

/// The largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How often a disconnect is told again.
const RETRIES: u32 = 3;

/// Before it is told again the first time; doubled each time.
const RETRY_BASE: Duration = Duration::from_millis(500);

/// What somebody presents who wants to come in: for a connection, or for one call over HTTP.
#[derive(Debug, Clone, Serialize)]
pub struct Knock {
    /// What the connection will be called; none for a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<String>,
    /// How it is called; none for a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path that was asked for.
    pub path: String,
    /// Its query, without tokens.
    pub query: BTreeMap<String, String>,
    /// The headers that are to be shown, by their lower-case names.
    pub headers: BTreeMap<String, String>,
    /// The client's address.
    pub ip_address: String,
}

/// Who it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Admitted {
    /// Inside the tenant.
    pub user_id: String,
    /// Whose data it is.
    pub tenant_id: String,
    /// What the user may do.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// The topics that may be read without the permission `read`.
    #[serde(default)]
    pub topics: Vec<String>,
    /// Until when this holds.
    pub expires_at: Option<Timestamp>,
}

/// Why nobody is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is not known who it is: 401.
    Unauthorized,
    /// It is known, and not wanted: 403.
    Forbidden,
    /// The application does not answer, or not what it should: nobody is let in by that.
    Unavailable,
}

/// Who has left.
#[derive(Debug, Clone, Serialize)]
pub struct Disconnected {
    /// The connection.
    pub connection_id: String,
    /// Who it was.
    pub user_id: String,
    /// Whose data it was.
    pub tenant_id: String,
    /// In a word.
    pub reason: String,
    /// When it began.
    pub connected_at: Timestamp,
    /// When it ended.
    pub disconnected_at: Timestamp,
}

#[derive(Serialize)]
struct Event<'a, T> {
    r#type: &'static str,
    #[serde(flatten)]
    event: &'a T,
}

/// An application that is told of connections.
pub struct Hook {
    target: Arc<Target>,
    timeout: Duration,
}

impl Hook {
    /// `timeout` bounds one question in all.
    #[must_use]
    pub fn new(target: Arc<Target>, timeout: Duration) -> Self {
        Self { target, timeout }
    }

    /// Asks who it is. Whatever is no clear answer lets nobody in.
    pub async fn connect(&self, knock: &Knock) -> Result<Admitted, Refused> {
        let event = if knock.connection_id.is_some() { "connect" } else { "call" };
        let asked = self.ask(event, knock.connection_id.as_deref(), knock).await;
        let outcome = match &asked {
            Ok((status, _)) if *status < 300 => "answered",
            Ok(_) => "refused",
            Err(trouble) => trouble.reason(),
        };
        metrics::counter!("streamer_connect_hook_requests_total", "event" => event, "outcome" => outcome)
            .increment(1);
        match asked {
            Ok((401, _)) => Err(Refused::Unauthorized),
            Ok((403, _)) => Err(Refused::Forbidden),
            Ok((_, said)) => serde_json::from_slice(&said).map_err(|_| {
                warn!(address = self.target.shown(), "a connect hook's answer says not who it is");
                Refused::Unavailable
            }),
            Err(trouble) => {
                warn!(address = self.target.shown(), error = %trouble, "a connect hook failed: nobody is let in");
                Err(Refused::Unavailable)
            }
        }
    }

    /// Tells that somebody has left: a few times, until it is heard. Worth no more than that: whoever needs to know for
    /// certain asks who is connected.
    pub async fn disconnect(&self, left: &Disconnected) {
        let mut wait = RETRY_BASE;
        for tried in 0..=RETRIES {
            let trouble = match self.ask("disconnect", Some(&left.connection_id), left).await {
                Ok(_) => return,
                Err(trouble) => trouble,
            };
            if tried == RETRIES {
                metrics::counter!("streamer_disconnect_hook_failures_total").increment(1);
                warn!(address = self.target.shown(), connection_id = left.connection_id, error = %trouble, "a disconnect hook was not heard");
                return;
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
    }

    /// The status, below 300 or a refusal, and what was said.
    async fn ask<T: Serialize>(
        &self,
        event: &'static str,
        connection_id: Option<&str>,
        body: &T,
    ) -> Result<(u16, Vec<u8>), Trouble> {
        let body = serde_json::to_vec(&Event { r#type: event, event: body }).expect("texts print");
        let connection = connection_id.map(|id| (CONNECTION, crate::identity::text(id)));
        let headers = [(EVENT, HeaderValue::from_static(event))].into_iter().chain(connection);
        let asking = async {
            let mut answer = self.target.post("application/json", headers, body.into(), None).await?;
            let status = answer.head.status.as_u16();
            if matches!(status, 401 | 403) {
                return Ok((status, Vec::new()));
            }
            match answer::verdict(&answer.head, self.target.now()) {
                answer::Verdict::Good(_) => {
                    Ok((status, whole(&mut answer.body, self.timeout, ANSWER_BYTES_MAX).await?))
                }
                answer::Verdict::Trouble(trouble) => Err(trouble),
                answer::Verdict::Rejected => Err(Trouble::Unavailable { status, after: None }),
            }
        };
        let silent = |_| Trouble::Silent { what: "its answer", span: self.timeout };
        let asked = timeout(self.timeout, asking).await.map_err(silent).flatten();
        self.target.note(&asked);
        asked
    }
}
