//! A request over HTTP: answered at once, or taken and followed.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{FromRequestParts as _, Request, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use streamer_auth::Identity;
use streamer_protocol::{ErrorBody, ErrorCode, ErrorFrame, Request as Message, RequestId};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{
    Bearer, Door, body,
    heard::{Heard, Kind},
    idempotency, location, prefer,
    problem::{self, problem},
    visit::Visit,
};
use crate::{answer, door::Shared};

/// When to try again what may pass in no time.
const AGAIN: Duration = Duration::from_secs(1);

/// What must hold before the body is read.
struct Admitted {
    identity: Identity,
    room: OwnedSemaphorePermit,
    key: Option<RequestId>,
}

/// What a call comes to.
enum Outcome {
    /// The answer of short work.
    Answered(Heard),
    /// It is stored, and this is how far it is: acknowledged, or ended.
    Stored(Heard),
    /// Nothing more was told.
    Unheard,
}

/// `POST /v1/requests`.
pub(super) async fn submit(State(shared): Door, request: Request) -> Response {
    let read = |text: &str, _: Option<&RequestId>| {
        Message::parse(text).map_err(|invalid| {
            let id = invalid.id.clone();
            Box::new(problem::of_request(StatusCode::BAD_REQUEST, invalid.into(), id, None))
        })
    };
    take(&shared, request, |path| path, read).await
}

/// Takes a call whose body, and key if it has one, `read` makes a message of. Where that is wrong, `place` says where
/// the call is.
pub(super) async fn take(
    shared: &Arc<Shared>,
    request: Request,
    place: impl Fn(&str) -> &str,
    read: impl FnOnce(&str, Option<&RequestId>) -> Result<Message, Box<Response>>,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let admitted = match admit(shared, &mut parts).await {
        Ok(admitted) => admitted,
        Err(refused) => {
            body::linger(&parts.headers, body).await;
            return *refused;
        }
    };
    let settings = &shared.settings;
    let text = match body::read(body, settings.message_bytes_max, settings.http.body_timeout).await {
        Ok(text) => text,
        Err(refused) => return *refused,
    };
    let wait = prefer::wait(&parts.headers, settings.http.wait_max);
    let message = std::str::from_utf8(&text).map_err(|_| {
        let error = ErrorBody::new(ErrorCode::ValidationError, "the body is not UTF-8");
        Box::new(problem(error))
    });
    let outcome = match message.and_then(|text| read(text, admitted.key.as_ref())) {
        Ok(message) => call(shared, admitted, message, wait).await,
        Err(refused) => Err(refused),
    };
    let mut response = match outcome {
        Ok(outcome) => answered(outcome, parts.uri.path(), place),
        Err(refused) => *refused,
    };
    if let Some(wait) = wait {
        let applied = format!("wait={}", wait.as_secs());
        let applied = HeaderValue::from_str(&applied).expect("plain characters");
        response.headers_mut().insert(prefer::PREFERENCE_APPLIED, applied);
    }
    response
}

/// Everything that can be refused by the head alone.
async fn admit(shared: &Arc<Shared>, parts: &mut Parts) -> Result<Admitted, Box<Response>> {
    if shared.draining.is_cancelled() {
        return Err(Box::new(problem::draining()));
    }
    let Bearer(identity) = Bearer::from_request_parts(parts, shared).await.map_err(Box::new)?;
    body::check(&parts.headers, shared.settings.message_bytes_max)?;
    let key = idempotency::key(&parts.headers).map_err(|error| Box::new(problem(error)))?;
    let Some(room) = shared.calls.take(&identity) else {
        let message = "as many of your calls as may are being worked on: wait for one of them";
        metrics::counter!("streamer_rate_limited_total", "what" => "calls_at_once").increment(1);
        return Err(Box::new(problem::later(ErrorCode::RateLimited, message, AGAIN)));
    };
    Ok(Admitted { identity, room, key })
}

/// Hands the request to the engine, and listens until there is something to answer.
async fn call(
    shared: &Shared,
    admitted: Admitted,
    mut message: Message,
    wait: Option<Duration>,
) -> Result<Outcome, Box<Response>> {
    let Admitted { identity, room, key } = admitted;
    message.id = idempotency::agreed(key, message.id).map_err(|error| Box::new(problem(error)))?;

    let visit = Visit::begin(shared, &identity);
    if let Some(answer) = shared.engine.submit(&visit.session, room, message) {
        return Ok(Outcome::Answered(Heard::of(answer.bytes().clone())));
    }
    // Short work is answered, or acknowledged when it takes longer: until then there is nothing to say.
    let acknowledgment = loop {
        match visit.hear().await {
            Some(heard) if heard.kind == Kind::Acknowledgment => break heard,
            Some(heard) if heard.is_outcome() => return Ok(Outcome::Stored(heard)),
            Some(heard) if matches!(heard.kind, Kind::Response | Kind::Error) => {
                return Ok(Outcome::Answered(heard));
            }
            Some(_) => {}
            None => return Ok(Outcome::Unheard),
        }
    };
    let Some(wait) = wait else { return Ok(Outcome::Stored(acknowledgment)) };
    let patience = tokio::time::sleep_until(Instant::now() + wait);
    tokio::pin!(patience);
    loop {
        tokio::select! {
            heard = visit.hear() => match heard {
                Some(heard) if heard.is_outcome() => return Ok(Outcome::Stored(heard)),
                Some(_) => {}
                None => return Ok(Outcome::Stored(acknowledgment)),
            },
            () = &mut patience => return Ok(Outcome::Stored(acknowledgment)),
            () = shared.draining.cancelled() => return Ok(Outcome::Stored(acknowledgment)),
        }
    }
}

fn answered(outcome: Outcome, path: &str, place: impl Fn(&str) -> &str) -> Response {
    let (heard, stored) = match outcome {
        Outcome::Answered(heard) => (heard, false),
        Outcome::Stored(heard) => (heard, true),
        Outcome::Unheard => {
            let again = "it is not known what became of this: send it again with the same id";
            return problem::later(ErrorCode::Overloaded, again, AGAIN);
        }
    };
    let mut response = match heard.kind {
        Kind::Error => {
            let ErrorFrame { request_id, seq, mut error, .. } = heard.error();
            for field in error.details.iter_mut().flat_map(|details| &mut details.fields) {
                field.path = place(&field.path).to_owned();
            }
            problem::of_request(answer::status_of(error.code), error, request_id, seq)
        }
        Kind::Acknowledgment => json(StatusCode::ACCEPTED, heard.text.clone()),
        _ => json(StatusCode::OK, heard.text.clone()),
    };
    if let (true, Some(id)) = (stored, &heard.request_id) {
        response.headers_mut().insert(header::LOCATION, location::of(path, id));
    }
    response
}

/// The frame itself.
fn json(status: StatusCode, text: Bytes) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}
