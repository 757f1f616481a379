//! From a message to its answer: at once, or through the queue.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context as Polling, Poll, Waker},
    time::Duration,
};

use serde::Deserialize;
use streamer_protocol::{ErrorBody, ErrorCode, Json, Request, RequestId, Timestamp};
use tokio::sync::OwnedSemaphorePermit;
use tracing::error;

use crate::{
    Failure, Frame,
    builtin::{self, Builtin},
    core::{Core, empty_payload, internal},
    drive,
    failure::Verdict,
    handler::placeless,
    handlers::Turn,
    planted::{self, Bug},
    router::Route,
    run::Run,
    session::Session,
    store::{Enqueued, Fingerprint, NewRequest, Priority},
};

/// What a message comes to.
type Answering = Pin<Box<dyn Future<Output = Option<Frame>> + Send>>;

/// Takes one text frame. The answer, if it is there at once; otherwise it is pushed when it is. `room` is held
/// until then.
///
/// Starts the work before it returns, so that the messages of a connection start in the order in which they
/// are given.
pub(crate) fn accept(
    core: &Arc<Core>,
    session: &Arc<Session>,
    room: OwnedSemaphorePermit,
    text: &str,
) -> Option<Frame> {
    match Request::parse(text) {
        Ok(request) => submit(core, session, room, request),
        Err(invalid) => Some(core.error(invalid.id.clone(), invalid.into())),
    }
}

/// Takes one message that is read already. Otherwise as [`accept`].
pub(crate) fn submit(
    core: &Arc<Core>,
    session: &Arc<Session>,
    room: OwnedSemaphorePermit,
    request: Request,
) -> Option<Frame> {
    let id = match request.id.clone() {
        Some(id) => id,
        None => {
            let fresh = core.random.uuid(core.clock.now()).to_string();
            RequestId::parse(&fresh).expect("a UUID is a valid id")
        }
    };
    if core.stopping.is_cancelled() {
        return Some(core.error(Some(id), core.overloaded("the server is stopping: connect elsewhere")));
    }
    let payload = request.payload.clone().unwrap_or_else(empty_payload);
    if let Some(builtin) = Builtin::named(request.action.as_str()) {
        if builtin.is_for_connections() && !session.is_connection() {
            let message = format!("{:?} is for connections: there is none here", request.action);
            let error =
                ErrorBody::new(ErrorCode::ValidationError, message).at("action", "needs a connection");
            return Some(core.error(Some(id), error));
        }
        return match builtin::answer(core, session, builtin, &id, payload) {
            builtin::Answer::Now(answer) => Some(answer),
            builtin::Answer::Later(answering) => start(core, session, answering, Held::Room { _room: room }),
        };
    }
    let Some(route) = core.router.route(&request.action) else {
        let error = ErrorBody::new(ErrorCode::NotFound, format!("there is no action {:?}", request.action))
            .at("action", "unknown");
        return Some(core.error(Some(id), error));
    };
    match plan(core, session, route, &request, id.clone(), payload) {
        Err(error) => Some(core.error(Some(id), error)),
        Ok(Plan { new, short: true }) => {
            metrics::counter!("streamer_requests_accepted_total", "kind" => "short").increment(1);
            let payload = new.payload.clone();
            let run = Run::short(core, route, new, session, room);
            let answering =
                Box::pin(drive::short(Arc::clone(&run), payload, Turn::of(session, &core.handlers)));
            start(core, session, answering, Held::Run(run))
        }
        Ok(Plan { new, short: false }) => {
            let answering = Box::pin(enqueue(Arc::clone(core), Arc::clone(session), new));
            start(core, session, answering, Held::Room { _room: room })
        }
    }
}

/// What is let go once a message is answered.
enum Held {
    /// The message's room.
    Room { _room: OwnedSemaphorePermit },
    /// A short run, which has the room until it is answered or promoted.
    Run(Arc<Run>),
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Self::Run(run) = self {
            run.core.running.remove(run);
            run.leave_room();
        }
    }
}

/// Polls once; what is not ready goes on in a task, and its answer is pushed.
fn start(core: &Arc<Core>, session: &Arc<Session>, mut answering: Answering, held: Held) -> Option<Frame> {
    if let Poll::Ready(answer) = answering.as_mut().poll(&mut Polling::from_waker(Waker::noop())) {
        return answer;
    }
    // From here on it can be cancelled by its id.
    if let Held::Run(run) = &held {
        core.running.insert(run);
    }
    let (core, session) = (Arc::clone(core), Arc::clone(session));
    let tasks = core.tasks.clone();
    tasks.spawn(async move {
        let answer = answering.await;
        if let Held::Run(run) = &held {
            // What has its answer cannot be cancelled any more.
            core.running.remove(run);
        }
        if let Some(answer) = answer {
            // Whoever is gone by now asks again.
            let _ = core.live.tell(&session, answer).await;
        }
        drop(held);
    });
    None
}

struct Plan {
    new: NewRequest,
    short: bool,
}

/// Checks a request and decides how it runs.
fn plan(
    core: &Core,
    session: &Session,
    route: &Route,
    request: &Request,
    id: RequestId,
    payload: Json,
) -> Result<Plan, ErrorBody> {
    let takes = estimate(core, route, &payload)?;
    let now = core.clock.now();
    let Schedule { run_at, priority } = schedule(request.metadata.as_ref(), now, core.settings.retention)?;
    let short = takes < core.settings.short_limit && !route.always_queued() && run_at <= now;
    let new = NewRequest {
        key: session.caller.key(id),
        connection: session.is_connection().then(|| session.connection.clone()),
        action: request.action.clone(),
        fingerprint: Fingerprint::of(&request.action, &payload),
        payload,
        permissions: session.rights().permissions().clone(),
        created_at: now,
        run_at,
        priority: priority.unwrap_or(route.priority),
        max_retries: route.retries,
        repeatable: !short || route.repeatable,
        announced: route.announced,
    };
    Ok(Plan { new, short })
}

/// Asks the handler whether it takes the payload, and how long that will be. One that panics fails this message
/// and not its connection.
fn estimate(core: &Core, route: &Route, payload: &Json) -> Result<Duration, ErrorBody> {
    let asking = AssertUnwindSafe(|| {
        route.handler.validate(payload)?;
        Ok(route.handler.estimated_duration(payload).unwrap_or(route.takes))
    });
    match catch_unwind(asking) {
        Ok(Ok(takes)) => Ok(takes),
        Ok(Err(failure)) => Err(match Failure::into_verdict(failure) {
            Verdict::Reject(error) => error,
            Verdict::Retry { .. } | Verdict::Postpone { .. } | Verdict::Cancel => {
                core.overloaded("this cannot be checked now")
            }
        }),
        Err(_) => {
            let correlation_id = core.random.uuid(core.clock.now()).to_string();
            error!(correlation_id, "a handler panicked when it was to check a payload");
            Err(internal(&correlation_id))
        }
    }
}

/// What a message's metadata may say.
#[derive(Deserialize)]
struct Wishes {
    run_at: Option<Timestamp>,
    delay_ms: Option<u64>,
    priority: Option<Priority>,
}

/// When a request runs, and before which others.
struct Schedule {
    run_at: Timestamp,
    priority: Option<Priority>,
}

fn schedule(metadata: Option<&Json>, now: Timestamp, ahead_max: Duration) -> Result<Schedule, ErrorBody> {
    let Some(metadata) = metadata else { return Ok(Schedule { run_at: now, priority: None }) };
    let invalid = |path: &str, message: &str| {
        ErrorBody::new(ErrorCode::ValidationError, "the message's metadata is not valid")
            .at(format!("metadata{path}"), message)
    };
    let mut json = serde_json::Deserializer::from_str(metadata.as_str());
    let wishes: Wishes = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let what = placeless(e.inner());
        match e.path().to_string() {
            path if path == "." => invalid("", &what),
            path => invalid(&format!(".{path}"), &what),
        }
    })?;
    let priority = wishes.priority;
    let (field, at) = match (wishes.run_at, wishes.delay_ms) {
        (None, None) => return Ok(Schedule { run_at: now, priority }),
        (Some(at), None) => (".run_at", at),
        (None, Some(delay)) => (".delay_ms", now + Duration::from_millis(delay)),
        (Some(_), Some(_)) => return Err(invalid("", "give run_at or delay_ms, not both")),
    };
    if at > now + ahead_max {
        return Err(invalid(field, &format!("at most {} seconds ahead", ahead_max.as_secs())));
    }
    Ok(Schedule { run_at: at.max(now), priority })
}

/// Stores a request for the workers. Acknowledged only once it is durable.
async fn enqueue(core: Arc<Core>, session: Arc<Session>, new: NewRequest) -> Option<Frame> {
    let id = &new.key.id;
    // Registered first, so that nothing is missed of what the workers publish.
    let Ok(listener) = core.live.hold(&session, &new.key) else {
        return Some(core.error(Some(id.clone()), core.too_many_followed()));
    };
    if planted::is(Bug::AcknowledgmentBeforeCommit) {
        let _ = core.live.tell(&session, core.acknowledgment(id, "stored, one hopes")).await;
    }
    match core.persist(|| core.store.enqueue(&new, &core.settings.quota)).await {
        Ok(Enqueued::New) => {
            metrics::counter!("streamer_requests_accepted_total", "kind" => "queued").increment(1);
            core.wake.notify_one();
            let stored = core.acknowledgment(id, "stored: progress and outcome follow");
            // Whoever is gone by now resumes later.
            let _ = core.live.tell(&session, stored).await;
            core.live.follow(&listener, core.store.as_ref()).await;
            None
        }
        Ok(Enqueued::Known(summary)) => {
            // It may be this very message, stored by a try whose reply was lost.
            core.wake.notify_one();
            core.stand(&session, &listener, &summary).await;
            None
        }
        Err(e) => {
            core.live.remove(&listener);
            let correlation_id = core.random.uuid(core.clock.now()).to_string();
            Some(core.error(Some(id.clone()), core.refusal(&e, &correlation_id)))
        }
    }
}
