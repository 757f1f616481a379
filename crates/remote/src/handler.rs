//! An action whose work is done behind a URL.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;
use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;
use streamer_engine::{Context, Failure, Handler, store::RequestKey};
use streamer_http::{Answer, Body};
use streamer_protocol::{Action, Json, Permissions, RequestId, TenantId, UserId};
use tracing::{debug, warn};

use crate::{
    Target,
    answer::{self, Kind, Verdict},
    identity,
    lines::{Framing, Records},
    record::{self, Record},
    target::{next, whole},
    trouble::Trouble,
};

const ACCEPT: &str = "application/json, application/x-ndjson, text/event-stream";

/// The longest body of a rejection that is read, in bytes.
const REJECTION_BYTES_MAX: usize = 64 * 1024;

/// What is posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyShape {
    /// The payload, as it came: what a service takes that knows nothing of Streamer.
    #[default]
    Payload,
    /// `{"request_id", "tenant_id", "user_id", "action", "attempt", "payload", "checkpoint"?}`: for a handler that
    /// hands out checkpoints, and continues from them.
    Envelope,
}

/// How an address is asked to do the work of an action.
#[derive(Debug, Clone, Copy)]
pub struct HandlerSettings {
    /// What is posted.
    pub body: BodyShape,
    /// How long the beginning of an answer may take; as long as the whole attempt unless said.
    pub first_byte_timeout: Option<Duration>,
    /// How long an answer may stand still once it has begun.
    pub idle_timeout: Duration,
    /// The largest answer that is one JSON value, and the largest line or event of a stream, in bytes.
    pub answer_bytes_max: usize,
    /// The largest stream, in bytes.
    pub stream_bytes_max: u64,
    /// How long the whole attempt may take, as far as the router was told: an address that takes all of it has failed.
    pub timeout: Option<Duration>,
}

impl Default for HandlerSettings {
    fn default() -> Self {
        Self {
            body: BodyShape::Payload,
            first_byte_timeout: None,
            idle_timeout: Duration::from_secs(60),
            answer_bytes_max: 8 * 1024 * 1024,
            stream_bytes_max: 256 * 1024 * 1024,
            timeout: None,
        }
    }
}

/// Runs requests by posting them to an address.
pub struct UrlHandler {
    target: Arc<Target>,
    settings: HandlerSettings,
}

/// A request as its handler reads it.
#[derive(Serialize)]
struct Envelope<'a> {
    request_id: &'a RequestId,
    tenant_id: &'a TenantId,
    user_id: &'a UserId,
    permissions: &'a Permissions,
    action: &'a Action,
    attempt: u32,
    payload: &'a Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Json>,
}

impl UrlHandler {
    /// For one action.
    #[must_use]
    pub fn new(target: Arc<Target>, settings: HandlerSettings) -> Self {
        Self { target, settings }
    }

    async fn ask(&self, cx: &Context, payload: Json) -> Result<Json, Trouble> {
        let body = self.body(cx, payload)?;
        let answer = self.target.post(ACCEPT, headers(cx), body, self.settings.first_byte_timeout).await?;
        let Answer { head, mut body } = answer;
        let idle = self.settings.idle_timeout;
        match answer::verdict(&head, self.target.now()) {
            Verdict::Good(Kind::Empty) => Ok(Json::null()),
            Verdict::Good(Kind::Whole) => {
                record::result(whole(&mut body, idle, self.settings.answer_bytes_max).await?)
            }
            Verdict::Good(Kind::Stream(framing)) => self.stream(cx, body, framing).await,
            Verdict::Rejected => {
                // However much it says: only what fits is looked at.
                let said = whole(&mut body, idle, REJECTION_BYTES_MAX).await.unwrap_or_default();
                Err(Trouble::Rejected(answer::rejection(head.status, &said, self.settings.body)))
            }
            Verdict::Trouble(trouble) => {
                // What is short is read, so that the connection can be used again.
                let _ = whole(&mut body, idle, REJECTION_BYTES_MAX).now_or_never();
                Err(trouble)
            }
        }
    }

    fn body(&self, cx: &Context, payload: Json) -> Result<Bytes, Trouble> {
        let checkpoint = cx.restored::<Json>();
        match self.settings.body {
            BodyShape::Payload if checkpoint.is_some() => Err(NO_CHECKPOINTS),
            BodyShape::Payload => Ok(Bytes::from(payload.into_text().into_boxed_bytes())),
            BodyShape::Envelope => {
                let envelope = Envelope {
                    request_id: cx.request_id(),
                    tenant_id: cx.tenant(),
                    user_id: cx.user(),
                    permissions: cx.permissions(),
                    action: cx.action(),
                    attempt: cx.attempt(),
                    payload: &payload,
                    checkpoint,
                };
                Ok(serde_json::to_vec(&envelope).expect("names and JSON print").into())
            }
        }
    }

    async fn stream(&self, cx: &Context, mut body: Body, framing: Framing) -> Result<Json, Trouble> {
        let mut records = Records::new(framing, self.settings.answer_bytes_max);
        let mut bytes_left = self.settings.stream_bytes_max;
        while let Some(bytes) = next(&mut body, self.settings.idle_timeout).await? {
            let Some(left) = bytes_left.checked_sub(bytes.len() as u64) else {
                let bytes_max = usize::try_from(self.settings.stream_bytes_max).unwrap_or(usize::MAX);
                return Err(Trouble::TooLarge { what: "its answer", bytes_max });
            };
            bytes_left = left;
            records.push(&bytes);
            while let Some(record) = records.next()? {
                if let Some(result) = self.obey(cx, &record).await? {
                    // If this was the last of it, the connection can be used again.
                    let _ = body.next().now_or_never();
                    return Ok(result);
                }
            }
        }
        if let Some(record) = records.rest()
            && let Some(result) = self.obey(cx, &record).await?
        {
            return Ok(result);
        }
        Err(Trouble::Garbage("its answer ended without a result"))
    }

    /// Does what a record says. Gives the result, if that is what it says.
    async fn obey(&self, cx: &Context, record: &[u8]) -> Result<Option<Json>, Trouble> {
        let mut record = Record::read(record)?;
        for (key, value) in &record.metadata {
            cx.set_metadata(key, value).map_err(Trouble::Engine)?;
        }
        if let Some(percentage) = record.progress {
            cx.progress(percentage, &record.message).await.map_err(Trouble::Engine)?;
        }
        let chunks = record.take_chunks();
        match &record.checkpoint {
            Some(_) if self.settings.body == BodyShape::Payload => return Err(NO_CHECKPOINTS),
            Some(state) => cx.chunks_with_checkpoint(&chunks, state).await.map_err(Trouble::Engine)?,
            None => {
                for chunk in &chunks {
                    cx.chunk(chunk).await.map_err(Trouble::Engine)?;
                }
            }
        }
        match record.error {
            Some(error) => Err(error.into_trouble()),
            None => Ok(record.result),
        }
    }
}

const NO_CHECKPOINTS: Trouble =
    Trouble::Garbage("there is a checkpoint, which only `body = \"envelope\"` hands to another attempt");

/// The headers that are signed.
fn headers(cx: &Context) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let key = RequestKey::new(cx.tenant().clone(), cx.user().clone(), cx.request_id().clone());
    let more = [
        (identity::IDEMPOTENCY_KEY, identity::idempotency_key(&key, &[cx.action().as_str()])),
        (identity::ATTEMPT, HeaderValue::from(cx.attempt())),
        (identity::CORRELATION, identity::text(cx.correlation_id())),
    ];
    let permissions = identity::permissions(cx.permissions()).map(|list| (identity::PERMISSIONS, list));
    identity::headers(&key, cx.action()).into_iter().chain(more).chain(permissions)
}

#[async_trait]
impl Handler for UrlHandler {
    async fn process(&self, cx: Context, payload: Json) -> Result<Json, Failure> {
        let started = Instant::now();
        let mut went = tokio::select! {
            biased;
            went = self.ask(&cx, payload) => went,
            // What is dropped with the asking closes its connection.
            () = cx.cancelled() => Err(Trouble::Stopped),
        };
        let took = started.elapsed();
        if let (Err(Trouble::Stopped), Some(span)) =
            (&went, self.settings.timeout.filter(|span| took >= *span))
        {
            // The engine says what becomes of the request; here it is the address that let its time run out.
            went = Err(Trouble::Silent { what: "its answer", span });
        }
        self.target.note(&went);
        let reason = went.as_ref().map_or_else(Trouble::reason, |_| "answered");
        let action = cx.action().as_str().to_owned();
        metrics::counter!("streamer_url_handler_requests_total", "action" => action.clone(), "outcome" => reason)
            .increment(1);
        metrics::histogram!("streamer_url_handler_duration_seconds", "action" => action)
            .record(took.as_secs_f64());
        went.map_err(|trouble| {
            let address = self.target.shown();
            if trouble.is_of_the_address() || matches!(trouble, Trouble::Garbage(_)) {
                warn!(address, reason, error = %trouble, "a handler behind a URL failed");
            } else {
                debug!(address, reason, "a handler behind a URL did not succeed");
            }
            if cx.is_cancelled() { Failure::cancel() } else { trouble.into_failure() }
        })
    }
}
