//! The actions that are always there.

use std::{pin::Pin, sync::Arc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use streamer_protocol::{ErrorBody, ErrorCode, Json, RequestId, RequestStatus, Response, ServerFrame};

use crate::{
    Frame, RequestView,
    core::Core,
    engine,
    failure::Verdict,
    handler,
    session::Session,
    store::{PageQuery, RequestFilter},
};

/// How many requests one page of `requests` has, unless asked otherwise, and at most.
const PAGE_DEFAULT: u32 = 20;
const PAGE_MAX: u32 = 100;

/// An action that is always there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builtin {
    Echo,
    Health,
    Ping,
    Refresh,
    Status,
    Resume,
    Cancel,
    Requests,
}

impl Builtin {
    pub(crate) fn named(action: &str) -> Option<Self> {
        Some(match action {
            "echo" => Self::Echo,
            "health" => Self::Health,
            "ping" => Self::Ping,
            "refresh" => Self::Refresh,
            "status" => Self::Status,
            "resume" => Self::Resume,
            "cancel" => Self::Cancel,
            "requests" => Self::Requests,
            _ => return None,
        })
    }

    /// Whether it makes sense only while there is a connection.
    pub(crate) fn is_for_connections(self) -> bool {
        matches!(self, Self::Refresh | Self::Resume)
    }
}

/// What a built-in action comes to.
pub(crate) enum Answer {
    Now(Frame),
    Later(Pin<Box<dyn Future<Output = Option<Frame>> + Send>>),
}

#[derive(Deserialize)]
struct Refresh {
    token: String,
}

#[derive(Deserialize)]
struct Named {
    request_id: RequestId,
}

#[derive(Deserialize)]
struct Resume {
    request_id: RequestId,
    #[serde(default)]
    after_seq: u64,
}

#[derive(Deserialize)]
struct List {
    status: Option<RequestStatus>,
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct Listed {
    requests: Vec<RequestView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

pub(crate) fn answer(
    core: &Arc<Core>,
    session: &Arc<Session>,
    builtin: Builtin,
    id: &RequestId,
    payload: Json,
) -> Answer {
    let now = core.clock.now();
    match builtin {
        Builtin::Echo => {
            #[derive(Serialize)]
            struct Echo {
                echo: Json,
                timestamp: streamer_protocol::Timestamp,
            }
            respond(core, id, &Echo { echo: payload, timestamp: now })
        }
        Builtin::Ping => respond(core, id, &serde_json::json!({ "pong": true, "timestamp": now })),
        Builtin::Health => {
            let version = env!("CARGO_PKG_VERSION");
            respond(core, id, &serde_json::json!({ "status": "ok", "version": version, "timestamp": now }))
        }
        Builtin::Refresh => match read::<Refresh>(&payload) {
            Err(error) => refuse(core, id, error),
            Ok(Refresh { token }) => match session.refresh(&token) {
                Ok(expires_at) => respond(core, id, &serde_json::json!({ "expires_at": expires_at })),
                Err(error) => refuse(core, id, error),
            },
        },
        Builtin::Status => match read::<Named>(&payload) {
            Err(error) => refuse(core, id, error),
            Ok(named) => later(core, session, id, |core, session, id| async move {
                let key = session.caller.key(named.request_id);
                Some(match engine::status(&core, &key).await {
                    Ok(view) => response(&core, &id, &view),
                    Err(error) => core.error(Some(id), error),
                })
            }),
        },
        Builtin::Cancel => match read::<Named>(&payload) {
            Err(error) => refuse(core, id, error),
            Ok(named) => later(core, session, id, |core, session, id| async move {
                let key = session.caller.key(named.request_id);
                Some(match engine::cancel(&core, &key).await {
                    Ok(asked) => response(&core, &id, &asked),
                    Err(error) => core.error(Some(id), error),
                })
            }),
        },
        Builtin::Requests => match read::<List>(&payload).and_then(|list| list.checked()) {
            Err(error) => refuse(core, id, error),
            Ok((status, page)) => later(core, session, id, move |core, session, id| async move {
                let caller = &session.caller;
                let (tenant, user) = (Some(caller.tenant.clone()), Some(caller.user.clone()));
                let filter = RequestFilter { tenant, user, status, action: None };
                Some(match engine::requests(&core, &filter, &page, "payload.cursor").await {
                    Ok(page) => {
                        let requests = page.items.iter().map(RequestView::from).collect();
                        response(&core, &id, &Listed { requests, cursor: page.cursor })
                    }
                    Err(error) => core.error(Some(id), error),
                })
            }),
        },
        Builtin::Resume => match read::<Resume>(&payload) {
            Err(error) => refuse(core, id, error),
            Ok(wanted) => later(core, session, id, |core, session, id| async move {
                resume(core, session, id, wanted).await
            }),
        },
    }
}

impl List {
    fn checked(self) -> Result<(Option<RequestStatus>, PageQuery), ErrorBody> {
        let limit = self.limit.unwrap_or(PAGE_DEFAULT);
        if limit == 0 || limit > PAGE_MAX {
            let error = ErrorBody::new(ErrorCode::ValidationError, "a page has 1 to 100 requests");
            return Err(error.at("payload.limit", format!("between 1 and {PAGE_MAX}")));
        }
        Ok((self.status, PageQuery { limit, cursor: self.cursor }))
    }
}

/// Answers where the request stands, then its log from above `after_seq`, then what follows.
async fn resume(core: Arc<Core>, session: Arc<Session>, id: RequestId, wanted: Resume) -> Option<Frame> {
    let key = session.caller.key(wanted.request_id);
    let Ok(listener) = core.live.hold(&session, &key) else {
        return Some(core.error(Some(id), core.too_many_followed()));
    };
    match engine::find(&core, &key).await {
        Ok(record) => {
            let standing = serde_json::json!({
                "request_id": key.id,
                "status": record.summary.status,
                "last_seq": record.summary.last_seq,
            });
            let after = wanted.after_seq.min(record.summary.last_seq);
            // What an earlier listener of this connection sends comes before the answer, or not at all.
            let heard = core.live.supersede(&listener).await;
            // Whoever is gone by now resumes again.
            let told = core.live.tell(&session, response(&core, &id, &standing)).await;
            if heard && told.is_ok() {
                core.catch_up(&listener, after, record.summary.status.is_final()).await;
            } else {
                core.live.remove(&listener);
            }
            None
        }
        Err(error) => {
            core.live.remove(&listener);
            Some(core.error(Some(id), error))
        }
    }
}

fn read<P: DeserializeOwned>(payload: &Json) -> Result<P, ErrorBody> {
    handler::read(payload).map_err(|failure| match failure.into_verdict() {
        Verdict::Reject(error) => error,
        Verdict::Retry { .. } | Verdict::Cancel => unreachable!("reading only rejects"),
    })
}

fn later<Answering>(
    core: &Arc<Core>,
    session: &Arc<Session>,
    id: &RequestId,
    answering: impl FnOnce(Arc<Core>, Arc<Session>, RequestId) -> Answering,
) -> Answer
where
    Answering: Future<Output = Option<Frame>> + Send + 'static,
{
    Answer::Later(Box::pin(answering(Arc::clone(core), Arc::clone(session), id.clone())))
}

fn respond<T: Serialize + ?Sized>(core: &Core, id: &RequestId, data: &T) -> Answer {
    Answer::Now(response(core, id, data))
}

fn refuse(core: &Core, id: &RequestId, error: ErrorBody) -> Answer {
    Answer::Now(core.error(Some(id.clone()), error))
}

fn response<T: Serialize + ?Sized>(core: &Core, id: &RequestId, data: &T) -> Frame {
    let data = Json::of(data).expect("our own answers print");
    let timestamp = core.clock.now();
    ServerFrame::Response(Response { request_id: id.clone(), success: true, data, timestamp }).into()
}
