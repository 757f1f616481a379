//! Who is asking over HTTP: by the token that came with the call, or by the application's word.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderValue, header, request::Parts},
    response::Response,
};
use streamer_auth::{Identity, Rejected};
use streamer_engine::{Caller, Credentials, Rights};
use streamer_protocol::{ErrorBody, ErrorCode, Timestamp};

use super::{guest, problem};
use crate::{credentials::rights_of, door::Shared, proxy};

/// Whoever presents a valid token in the `Authorization` header, or is known to the application, and does not come too
/// often.
pub(crate) struct Bearer(pub(crate) Identity);

/// The same, or in the query: a page's `EventSource`, and a link to a file, can send no headers.
pub(crate) struct BearerOrQuery(pub(crate) Identity);

impl FromRequestParts<Arc<Shared>> for Bearer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Response> {
        let identity = identify(shared, None, parts).await?;
        shared.calls.admit(&identity).map_err(too_often)?;
        Ok(Self(identity))
    }
}

impl FromRequestParts<Arc<Shared>> for BearerOrQuery {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Response> {
        identify(shared, parts.uri.query(), parts).await.map(Self)
    }
}

async fn identify(shared: &Shared, query: Option<&str>, parts: &Parts) -> Result<Identity, Response> {
    let by_token = match &shared.gate {
        Some(gate) if gate.asks(true) => Err(Rejected::Missing),
        _ => by_token(shared, query, parts).await,
    };
    match (by_token, &shared.gate) {
        // Boxed, so that calls with a token do not hold the room for it.
        (Err(Rejected::Missing), Some(gate)) if gate.asks(false) => {
            Box::pin(guest::identify(shared, gate, parts)).await
        }
        (identified, _) => identified.map_err(|why| refuse(shared, parts, why)),
    }
}

/// Counts a token that is not accepted, for its client's address. A good one is let in from wherever it comes, so each is
/// looked at: many users may call by way of one address.
fn refuse(shared: &Shared, parts: &Parts, why: Rejected) -> Response {
    let counter = metrics::counter!("streamer_authentication_failures_total", "reason" => why.reason());
    counter.increment(1);
    let address = client_address(shared, parts);
    let wait = match shared.refusals.note(address, why.reason()) {
        // It was good once: its owner, who shares an address with who knows whom, is to get a new one and not to wait.
        Err(wait) if why != Rejected::Expired => wait,
        _ => return problem::rejected(why),
    };
    metrics::counter!("streamer_rate_limited_total", "what" => "refused_tokens").increment(1);
    let message = "too many calls from this address with tokens that are not accepted: wait";
    let mut response = problem::later(ErrorCode::RateLimited, message, wait);
    // Whoever does not wait has to come all the way again.
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Where a call comes from.
pub(super) fn client_address(shared: &Shared, parts: &Parts) -> IpAddr {
    let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>().expect("every request has it");
    proxy::client_address(peer.ip(), &parts.headers, &shared.settings.trusted_proxies)
}

async fn by_token(shared: &Shared, query: Option<&str>, parts: &Parts) -> Result<Identity, Rejected> {
    let authorization = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let presented = streamer_auth::presented(query, authorization, None)?;
    shared.verifier.verify(presented.token.as_str(), shared.engine.clock().now()).await
}

/// The answer to whoever calls more often than a connection may send messages.
pub(super) fn too_often(wait: Duration) -> Response {
    metrics::counter!("streamer_rate_limited_total", "what" => "calls").increment(1);
    problem::later(ErrorCode::RateLimited, "too many calls: wait", wait)
}

/// Who that is to the engine.
pub(super) fn caller(identity: &Identity) -> Caller {
    Caller { user: identity.user.clone(), tenant: identity.tenant.clone() }
}

/// What the token of a call allows. Each call brings its own along: there is none to be refreshed.
pub(super) struct OneToken(Arc<Rights>);

impl OneToken {
    pub(super) fn of(identity: &Identity) -> Self {
        Self(Arc::new(rights_of(identity)))
    }
}

impl Credentials for OneToken {
    fn rights(&self) -> Arc<Rights> {
        Arc::clone(&self.0)
    }

    fn refresh(&self, _: &str) -> Result<Timestamp, ErrorBody> {
        Err(ErrorBody::new(ErrorCode::ValidationError, "present the fresh token with the next call"))
    }
}
