//! The HTTP door: what the socket does, for clients that call and listen.
//!
//! A call has no connection. It is a *visit*: a session whose way is a queue of this process, through which it
//! hears its answer ([`submit`]) or a request's log ([`events`]) by the very path that a socket's frames take.

mod allowance;
mod body;
mod caller;
mod cors;
mod events;
mod guest;
mod heard;
mod idempotency;
mod location;
mod openapi;
mod outlet;
mod prefer;
pub(crate) mod problem;
mod requests;
mod settings;
mod submit;
mod topics;
mod usage;
mod visit;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};

pub(crate) use allowance::Allowances;
pub(crate) use caller::{Bearer, BearerOrQuery};
pub use settings::HttpSettings;

use crate::{artifact, door::Shared};

/// The paths below a prefix's `/v1`.
pub(crate) fn routes(shared: &Arc<Shared>, prefix: &str) -> Router<Arc<Shared>> {
    let at = |path: &str| format!("{prefix}/v1/{path}");
    Router::new()
        .route(&at("requests"), get(requests::list).post(submit::submit))
        .route(&at("requests/{id}"), get(requests::show).delete(requests::cancel))
        .route(&at("requests/{id}/events"), get(events::events))
        .route(&at("topics/{topic}"), post(topics::publish))
        .route(&at("usage"), get(usage::usage))
        .route(&at("artifacts/{id}"), get(artifact::get))
        .route(&at("openapi.json"), get(async || Json(&*openapi::OPENAPI)))
        .route(&at("asyncapi.json"), get(async || Json(&*openapi::ASYNCAPI)))
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(middleware::from_fn(guarded))
        .layer(middleware::from_fn_with_state(Arc::clone(shared), cors::cors))
}

/// What answers where nothing is: as the others, so that a page learns that it has the wrong path.
pub(crate) fn elsewhere(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    Router::new()
        .fallback(problem::not_found)
        .layer(middleware::from_fn(guarded))
        .layer(middleware::from_fn_with_state(Arc::clone(shared), cors::cors))
}

/// Adds what keeps browsers from making more of an answer than it is, where the answer does not say so itself.
async fn guarded(request: Request, next: Next) -> Response {
    const GUARDS: [(HeaderName, &str); 4] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        // The address may hold a token.
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in GUARDS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// The state that handlers take.
type Door = State<Arc<Shared>>;
