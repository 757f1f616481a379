//! Connections as the clients of AWS manage them: the API Gateway Management API, `/@connections/{id}`.
//!
//! By the AWS documentation, "Use @connections commands in your backend service", and by what the SDKs make of the
//! answers. Requests are signed ([`sigv4`]), or at the operators' address bear their token. The public address never
//! takes that token: it opens more than this.

mod body;
mod caller;
mod exception;

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderName, HeaderValue, Method, StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use streamer_auth::sigv4;
use streamer_engine::{Engine, Frame, SendError, store::ConnectionRecord};
use streamer_protocol::{CloseCode, ConnectionId, Timestamp};
use tracing::{debug, error, info};

use crate::{Settings, answer};
use caller::Caller;
use exception::Exception;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// The connection management API. Cheap to clone: it may be served at both addresses.
#[derive(Clone)]
pub struct Management {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    /// Whose signatures count; without it only operators are answered.
    keys: Option<sigv4::Verifier>,
    path_prefixes: Vec<String>,
    message_bytes_max: usize,
    body_timeout: Duration,
}

/// An address at which the API is served.
struct Place {
    shared: Arc<Shared>,
    /// What operators present here, if they are answered here at all.
    operator_token: Option<String>,
}

impl Management {
    /// Over the connections of `engine`, under the same path prefixes and with the same bounds as the doors.
    #[must_use]
    pub fn new(engine: Engine, settings: &Settings, keys: Option<sigv4::Verifier>) -> Self {
        let shared = Shared {
            engine,
            keys,
            path_prefixes: settings.path_prefixes.clone(),
            message_bytes_max: settings.message_bytes_max,
            body_timeout: settings.http.body_timeout,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The API's routes; with a token, operators are answered too.
    pub(crate) fn routes<S>(&self, operator_token: Option<&str>) -> Router<S> {
        let operator_token = operator_token.filter(|token| !token.is_empty()).map(str::to_owned);
        let place = Arc::new(Place { shared: Arc::clone(&self.shared), operator_token });
        let mut routes = Router::new();
        for prefix in crate::door::prefixes(&self.shared.path_prefixes) {
            // Routes are of what is on the wire, where the SDKs write the sign in two ways.
            for name in ["@connections", "%40connections"] {
                let calls = get(call).post(call).delete(call).fallback(other_method);
                routes = routes.route(&format!("{prefix}/{name}/{{id}}"), calls);
            }
        }
        routes.with_state(place)
    }
}

/// `POST`: the body goes to the connection. `GET`: about the connection. `DELETE`: closes it with 4403.
async fn call(
    State(place): State<Arc<Place>>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let engine = &place.shared.engine;
    let request_id = engine.random().uuid(engine.clock().now()).to_string();
    let (parts, body) = request.into_parts();
    let (caller, answered) = match place.caller(&parts, body, &request_id).await {
        Ok((caller, body)) => {
            // What is no text names no connection.
            let id = id.map(|Path(id)| ConnectionId::new(id)).map_err(|_| Exception::Gone);
            let answered = match id {
                Ok(id) => place.answer(&parts, &caller, &id, body, &request_id).await,
                Err(gone) => Err(gone),
            };
            (Some(caller), answered)
        }
        Err(exception) => (None, Err(exception)),
    };
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    response.headers_mut().insert(REQUEST_ID, header_of(&request_id));
    note(&parts, caller.as_ref(), response.status(), &request_id);
    response
}

/// A method that the API does not have: nobody is asked who calls, but the answer has its id like any other.
async fn other_method(State(place): State<Arc<Place>>) -> Response {
    let engine = &place.shared.engine;
    let request_id = engine.random().uuid(engine.clock().now()).to_string();
    let mut response = answer::method_not_allowed().await;
    response.headers_mut().insert(REQUEST_ID, header_of(&request_id));
    response
}

fn header_of(request_id: &str) -> HeaderValue {
    HeaderValue::from_str(request_id).expect("hexadecimal digits")
}

impl Place {
    async fn answer(
        &self,
        parts: &Parts,
        caller: &Caller<'_>,
        id: &ConnectionId,
        body: Bytes,
        request_id: &str,
    ) -> Result<Response, Exception> {
        let engine = &self.shared.engine;
        let record = engine.store().connection(id).await.map_err(|e| {
            error!(correlation_id = request_id, operation = "management", error = %e, "a connection could not be read");
            Exception::Internal
        })?;
        // Another tenant's connection is as gone as one that never was.
        let record = record.filter(|record| caller.opens(&record.tenant)).ok_or(Exception::Gone)?;
        match parts.method {
            Method::POST => {
                let text = String::from_utf8(body.into()).map_err(|_| Exception::NotText)?;
                engine.sender().send_frame(id, Frame::text(text)).await?;
                Ok(StatusCode::OK.into_response())
            }
            Method::DELETE => {
                engine.sender().disconnect(id, CloseCode::Disconnected).await?;
                Ok(StatusCode::NO_CONTENT.into_response())
            }
            _ if engine.sender().is_active(id).await => Ok(Json(About::from(record)).into_response()),
            _ => Err(Exception::Gone),
        }
    }
}

/// What `GET` answers, as API Gateway has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct About {
    connected_at: Timestamp,
    identity: Identity,
    last_active_at: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    #[serde(skip_serializing_if = "Option::is_none")]
    source_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
}

impl From<ConnectionRecord> for About {
    fn from(record: ConnectionRecord) -> Self {
        Self {
            connected_at: record.connected_at,
            identity: Identity { source_ip: record.ip_address, user_agent: record.user_agent },
            last_active_at: record.last_ping,
        }
    }
}

impl From<SendError> for Exception {
    fn from(e: SendError) -> Self {
        match e {
            SendError::NotFound | SendError::Stale => Self::Gone,
            SendError::TooLarge => Self::PayloadTooLarge,
            SendError::CircuitOpen | SendError::Unavailable => Self::LimitExceeded,
            SendError::ShuttingDown => Self::Unavailable,
            SendError::Unencodable => Self::NotText,
        }
    }
}

/// Counts a call, and writes it down: what ends a connection and what operators do into the audit log.
fn note(parts: &Parts, caller: Option<&Caller<'_>>, status: StatusCode, request_id: &str) {
    let operation = match parts.method {
        Method::POST => "send",
        Method::DELETE => "disconnect",
        _ => "show",
    };
    let label = status.as_str().to_owned();
    metrics::counter!("streamer_management_requests_total", "operation" => operation, "status" => label)
        .increment(1);
    let Some(caller) = caller else { return };
    let (method, path, status) = (&parts.method, parts.uri.path(), status.as_u16());
    let caller = caller.name();
    match (operation, caller) {
        ("disconnect", _) | ("send", None) => info!(
            correlation_id = request_id,
            operation = "management",
            audit = true,
            access_key_id = caller,
            %method,
            path,
            status,
            "a connection was managed"
        ),
        _ => debug!(
            correlation_id = request_id,
            operation = "management",
            access_key_id = caller,
            %method,
            path,
            status,
            "a connection was managed"
        ),
    }
}
