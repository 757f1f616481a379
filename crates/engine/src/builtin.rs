//! The actions that are always there.

use std::{pin::Pin, sync::Arc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use streamer_protocol::{
    ErrorBody, ErrorCode, Json, RequestId, RequestStatus, Response, ServerFrame, Timestamp, Topic,
};

use crate::{
    Frame, RequestView,
    core::Core,
    engine,
    failure::Verdict,
    handler,
    session::Session,
    store::{PageQuery, Record, RequestFilter},
    topics,
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
    Subscribe,
    Unsubscribe,
    Publish,
    Presence,
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
            "subscribe" => Self::Subscribe,
            "unsubscribe" => Self::Unsubscribe,
            "publish" => Self::Publish,
            "presence" => Self::Presence,
            _ => return None,
        })
    }

    /// Whether it makes sense only while there is a connection.
    pub(crate) fn is_for_connections(self) -> bool {
        matches!(self, Self::Refresh | Self::Resume | Self::Subscribe | Self::Unsubscribe)
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

#[derive(Serialize)]
struct Refreshed {
    expires_at: Timestamp,
    /// The topics that the new token does not allow.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unsubscribed: Vec<Topic>,
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
                timestamp: Timestamp,
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
            Ok(Refresh { token }) => later(core, session, id, |core, session, id| async move {
                Some(match session.refresh(&token) {
                    Ok(expires_at) => {
                        let unsubscribed = topics::keep_to_rights(&core, &session).await;
                        response(&core, &id, &Refreshed { expires_at, unsubscribed })
                    }
                    Err(error) => core.error(Some(id), error),
                })
            }),
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
        Builtin::Subscribe => topic(core, session, id, &payload, topics::subscribe),
        Builtin::Unsubscribe => topic(core, session, id, &payload, topics::unsubscribe),
        Builtin::Publish => topic(core, session, id, &payload, topics::publish),
        Builtin::Presence => topic(core, session, id, &payload, topics::presence),
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
    #[derive(Serialize)]
    struct Standing {
        request_id: RequestId,
        status: RequestStatus,
        last_seq: u64,
    }
    let standing = |record: &Record| {
        let summary = &record.summary;
        let request_id = summary.key.id.clone();
        Resumed {
            answer: Standing { request_id, status: summary.status, last_seq: summary.last_seq },
            after: wanted.after_seq.min(summary.last_seq),
        }
    };
    follow(&core, &session, id, wanted.request_id, standing).await
}

/// How the following of a request begins: by this answer, then with its log above `after`.
pub(crate) struct Resumed<A> {
    pub(crate) answer: A,
    pub(crate) after: u64,
}

/// Has a connection follow one of its user's requests.
pub(crate) async fn follow<A: Serialize>(
    core: &Arc<Core>,
    session: &Arc<Session>,
    id: RequestId,
    request: RequestId,
    resumed: impl FnOnce(&Record) -> Resumed<A>,
) -> Option<Frame> {
    let key = session.caller.key(request);
    let Ok(listener) = core.live.hold(session, &key) else {
        return Some(core.error(Some(id), core.too_many_followed()));
    };
    match engine::find(core, &key).await {
        Ok(record) => {
            let Resumed { answer, after } = resumed(&record);
            // What an earlier listener of this connection sends comes before the answer, or not at all.
            let heard = core.live.supersede(&listener).await;
            // Whoever is gone by now resumes again.
            let told = core.live.tell(session, response(core, &id, &answer)).await;
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

/// Reads the payload of an action of topics and sees to it.
fn topic<P: DeserializeOwned, Answering>(
    core: &Arc<Core>,
    session: &Arc<Session>,
    id: &RequestId,
    payload: &Json,
    action: impl FnOnce(Arc<Core>, Arc<Session>, RequestId, P) -> Answering,
) -> Answer
where
    Answering: Future<Output = Option<Frame>> + Send + 'static,
{
    match read::<P>(payload) {
        Err(error) => refuse(core, id, error),
        Ok(wanted) => later(core, session, id, |core, session, id| action(core, session, id, wanted)),
    }
}

fn read<P: DeserializeOwned>(payload: &Json) -> Result<P, ErrorBody> {
    handler::read(payload).map_err(|failure| match failure.into_verdict() {
        Verdict::Reject(error) => error,
        Verdict::Retry { .. } | Verdict::Postpone { .. } | Verdict::Cancel => {
            unreachable!("reading only rejects")
        }
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

pub(crate) fn response<T: Serialize + ?Sized>(core: &Core, id: &RequestId, data: &T) -> Frame {
    let data = Json::of(data).expect("our own answers print");
    let timestamp = core.clock.now();
    ServerFrame::Response(Response { request_id: id.clone(), success: true, data, timestamp }).into()
}
