//! A request's log as server-sent events (WHATWG HTML, section 9.2).

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use bytes::{BufMut as _, BytesMut};
use futures_util::stream;
use schemars::JsonSchema;
use serde::Deserialize;
use streamer_auth::Identity;
use streamer_protocol::ErrorCode;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Sleep, sleep},
};

use super::{
    Door,
    caller::{BearerOrQuery, too_often},
    heard::Heard,
    problem::{self, problem},
    requests::Named,
    visit::Visit,
};
use crate::{door::Shared, places::Place, query};

pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How long a client waits before it comes back by itself, in milliseconds.
const RECONNECT_MS: u64 = 1000;

/// So much is sent in one piece, if it waits already.
const PIECE_BYTES: usize = 16 * 1024;

/// What of the log is wanted.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Wanted {
    /// Only what comes after this `seq`. A `Last-Event-ID` goes before it.
    after_seq: Option<u64>,
}

/// `GET /v1/requests/{id}/events`: the log above `Last-Event-ID`, then what follows, to the outcome. 204 if all
/// of it was heard already: a browser's `EventSource` then stays away.
pub(super) async fn events(
    State(shared): Door,
    BearerOrQuery(identity): BearerOrQuery,
    Named(id): Named,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let after = match last_event_id(&headers, &uri) {
        Ok(after) => after,
        Err(invalid) => return *invalid,
    };
    let place = match place(&shared, &identity) {
        Ok(place) => place,
        Err(refused) => return *refused,
    };
    let visit = Visit::begin(&shared, &identity);
    match shared.engine.follow(&visit.session, id, after).await {
        Ok(true) => {}
        Ok(false) => return StatusCode::NO_CONTENT.into_response(),
        Err(error) => return problem(error),
    }
    let left = (identity.expires_at + shared.settings.token_grace).since(shared.engine.clock().now());
    let events =
        Events { visit, opened: false, ended: false, expiry: Box::pin(sleep(left)), shared, _held: place };
    let pieces = stream::unfold(events, async |mut events| {
        events.next().await.map(|piece| (Ok::<_, Infallible>(piece), events))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // nginx would wait for more otherwise.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The `seq` of the last event that the client has; 0 if it has none.
fn last_event_id(headers: &HeaderMap, uri: &Uri) -> Result<u64, Box<Response>> {
    let Wanted { after_seq } = query::read(uri).map_err(|error| Box::new(problem(error)))?;
    let Some(last) = headers.get(LAST_EVENT_ID).filter(|last| !last.is_empty()) else {
        return Ok(after_seq.unwrap_or(0));
    };
    let seq = last.to_str().ok().and_then(|last| last.trim().parse().ok());
    seq.ok_or_else(|| Box::new(problem::invalid("Last-Event-ID", "the id of an event, as it came")))
}

/// A stream's place: among its user's, and among its tenant's connections, which it is one of in all but name.
struct Held {
    _of_user: OwnedSemaphorePermit,
    _of_tenant: Place,
}

fn place(shared: &Shared, identity: &Identity) -> Result<Held, Box<Response>> {
    const AGAIN: Duration = Duration::from_secs(5);
    if shared.draining.is_cancelled() {
        return Err(Box::new(problem::draining()));
    }
    shared.calls.admit(identity).map_err(|wait| Box::new(too_often(wait)))?;
    let refuse = |what, message| {
        metrics::counter!("streamer_rate_limited_total", "what" => what).increment(1);
        Box::new(problem::later(ErrorCode::RateLimited, message, AGAIN))
    };
    let too_many = || refuse("streams", "you listen to as many streams as you may: close one first");
    let of_user = shared.streams.take(identity).ok_or_else(too_many)?;
    let of_tenant =
        shared.hub.place(&identity.tenant).map_err(|full| refuse(full.as_str(), full.message()))?;
    Ok(Held { _of_user: of_user, _of_tenant: of_tenant })
}

/// A stream of events. Ends with the outcome, with the token, when its reader is too slow, and when the server
/// goes away; whoever has not heard the outcome comes back and says how far it came.
struct Events {
    visit: Visit,
    opened: bool,
    ended: bool,
    expiry: Pin<Box<Sleep>>,
    shared: Arc<Shared>,
    _held: Held,
}

impl Events {
    /// What to send next.
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        if !self.opened {
            self.opened = true;
            // Something to read at once: some of those who stand between let the head through only then.
            return Some(reconnect(RECONNECT_MS));
        }
        let heartbeat = sleep(self.shared.settings.http.events_heartbeat);
        tokio::pin!(heartbeat);
        let mut piece = BytesMut::new();
        while piece.is_empty() {
            let heard = tokio::select! {
                biased;
                () = self.shared.draining.cancelled() => return Some(self.farewell()),
                heard = self.visit.hear() => heard?,
                () = self.expiry.as_mut() => return None,
                () = heartbeat.as_mut() => return Some(Bytes::from_static(b":\n\n")),
            };
            self.write(&heard, &mut piece);
        }
        while !self.ended && piece.len() < PIECE_BYTES {
            let Some(heard) = self.visit.heard() else { break };
            self.write(&heard, &mut piece);
        }
        Some(piece.freeze())
    }

    /// The last words of a server that goes away: what waits, and when to come back.
    fn farewell(&mut self) -> Bytes {
        let mut piece = BytesMut::new();
        while let Some(heard) = self.visit.heard().filter(|_| !self.ended) {
            self.write(&heard, &mut piece);
        }
        self.ended = true;
        let spread = self.shared.settings.drain_spread.mul_f64(self.shared.engine.random().fraction());
        let spread = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX);
        piece.put(reconnect(spread.saturating_add(RECONNECT_MS)));
        piece.freeze()
    }

    fn write(&mut self, heard: &Heard, piece: &mut BytesMut) {
        // Only what is in the log has a place to come back to.
        let Some(seq) = heard.seq else { return };
        piece.put_slice(format!("id: {seq}\nevent: {}\n", heard.kind.as_str()).as_bytes());
        // A handler's JSON may hold line ends between its values; an event's data has them for its own.
        for line in heard.text.split(|byte| matches!(byte, b'\n' | b'\r')) {
            piece.put_slice(b"data: ");
            piece.put_slice(line);
            piece.put_u8(b'\n');
        }
        piece.put_u8(b'\n');
        self.ended = heard.is_outcome();
    }
}

fn reconnect(after_ms: u64) -> Bytes {
    format!("retry: {after_ms}\n\n").into()
}
