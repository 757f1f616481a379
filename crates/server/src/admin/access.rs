//! Who may use the admin address, and under which name it is called.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{header, uri::Authority},
    middleware::Next,
    response::Response,
};
use sha2::{Digest, Sha256};
use streamer_protocol::{ErrorBody, ErrorCode};
use tracing::info;

use super::Shared;
use crate::answer;

/// Lets only operators pass, and writes the audit log.
pub(super) async fn operator(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let refuse = |code, message: &str| answer::error(ErrorBody::new(code, message));
    let Some(token) = shared.settings.token.as_ref().filter(|token| !token.is_empty()) else {
        return refuse(ErrorCode::Forbidden, "operators need a token: set admin.token, and present it");
    };
    let presented = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let presented = presented.and_then(|value| value.split_once(' '));
    let presented = presented
        .map_or("", |(scheme, token)| if scheme.eq_ignore_ascii_case("bearer") { token } else { "" });
    // Comparing digests takes the same time wherever they differ.
    if Sha256::digest(presented) != Sha256::digest(token) {
        metrics::counter!("streamer_authentication_failures_total", "reason" => "admin_token").increment(1);
        return refuse(ErrorCode::Unauthorized, "present the admin token as a bearer token");
    }
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    if method != axum::http::Method::GET {
        info!(operation = "admin", audit = true, %method, path, status = response.status().as_u16(), "an operator acted");
    }
    response
}

/// Refuses calls under a host name that is not ours.
pub(super) async fn host(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if is_allowed_host(&request, &shared.settings.allowed_hosts) {
        return next.run(request).await;
    }
    foreign_host()
}

/// Whether the request names a loopback address or one of these: a page of another site cannot call us by a name of
/// its own.
pub(crate) fn is_allowed_host(request: &Request, allowed_hosts: &[String]) -> bool {
    let named = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    let host = named.and_then(|value| value.parse::<Authority>().ok());
    host.is_some_and(|host| {
        let host = host.host().trim_matches(['[', ']']);
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<IpAddr>().is_ok()
            || allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    })
}

/// What whoever calls under another name is told.
pub(crate) fn foreign_host() -> Response {
    let foreign = "this host name is not allowed here: add it to admin.allowed_hosts";
    answer::error(ErrorBody::new(ErrorCode::Forbidden, foreign))
}
