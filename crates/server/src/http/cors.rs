//! Calls from pages of other origins, as far as the configuration lets them (Fetch, section 3.3).

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::{HttpSettings, events::LAST_EVENT_ID, idempotency::IDEMPOTENCY_KEY, prefer};
use crate::door::Shared;

/// How long a browser need not ask again, in seconds.
const MAX_AGE_S: u32 = 600;

/// Answers preflights, and says of every answer which page may read it. Without allowed origins: nothing of this.
pub(super) async fn cors(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let settings = &shared.settings.http;
    if settings.allowed_origins.is_empty() {
        return next.run(request).await;
    }
    let headers = request.headers();
    let allowed = headers.get(header::ORIGIN).and_then(|origin| allow(settings, origin));
    let asks = request.method() == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match asks {
        true => {
            let shown = shared.gate.as_ref().map(|gate| gate.headers.as_slice()).unwrap_or_default();
            preflight(allowed.is_some(), shown)
        }
        false => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if settings.allow_credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if !asks {
            let exposed = [header::LOCATION, header::RETRY_AFTER, prefer::PREFERENCE_APPLIED];
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, listed(&exposed));
        }
    }
    response
}

/// What an allowed origin is answered: itself, or `*` if it is one of all.
fn allow(settings: &HttpSettings, origin: &HeaderValue) -> Option<HeaderValue> {
    let named = |allowed: &String| origin.as_bytes().eq_ignore_ascii_case(allowed.as_bytes());
    if settings.allowed_origins.iter().any(named) {
        return Some(origin.clone());
    }
    let any = settings.allowed_origins.iter().any(|allowed| allowed == "*");
    // Together they would let every page act as its visitor. The configuration refuses it; so does this.
    (any && !settings.allow_credentials).then(|| HeaderValue::from_static("*"))
}

/// `shown` is what the application looks at, beside what every call may send.
fn preflight(allowed: bool, shown: &[HeaderName]) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    let asked = [header::ACCESS_CONTROL_REQUEST_METHOD, header::ACCESS_CONTROL_REQUEST_HEADERS];
    headers.insert(header::VARY, listed(&asked));
    if allowed {
        let methods = HeaderValue::from_static("GET, HEAD, POST, DELETE");
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        let sent =
            [header::AUTHORIZATION, header::CONTENT_TYPE, IDEMPOTENCY_KEY, prefer::PREFER, LAST_EVENT_ID];
        let sent = sent.iter().chain(shown.iter().filter(|name| !sent.contains(name)));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, listed(sent));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_S.into());
    }
    response
}

fn listed<'a>(names: impl IntoIterator<Item = &'a HeaderName>) -> HeaderValue {
    let names: Vec<_> = names.into_iter().map(HeaderName::as_str).collect();
    HeaderValue::from_str(&names.join(", ")).expect("names of headers")
}
