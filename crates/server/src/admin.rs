//! The operators' address: apart from the public one, on loopback unless said otherwise.

pub(crate) mod access;
mod connections;
mod letters;
mod page;
mod query;
mod requests;
mod tenants;
mod webhooks;

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use streamer_engine::{Engine, store::ErrorKind};
use streamer_protocol::{ErrorBody, ErrorCode};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    Hub, Management, Readiness, answer,
    listen::{self, Listening, Sockets},
};

pub use letters::PublishLetter;

/// A store that takes longer to answer does not.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// How many sockets of operators are open at once; more wait.
const SOCKETS_MAX: usize = 256;

/// How the admin address behaves.
pub struct AdminSettings {
    /// What an operator presents as `Authorization: Bearer`. Without one, only health and metrics answer.
    pub token: Option<String>,
    /// The host names under which it may be called, beside loopback addresses: a page of another site cannot
    /// reach it by a name of its own.
    pub allowed_hosts: Vec<String>,
    /// The metrics in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// What the pipeline of events has measured, as JSON; none where there is none, or none just now.
    pub events: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// Publishes what a dead letter of events is about; none where no events are published.
    pub letters: Option<PublishLetter>,
    /// The configuration in force, without secrets.
    pub configuration: serde_json::Value,
}

struct Shared {
    engine: Engine,
    hub: Hub,
    readiness: Readiness,
    sockets: Sockets,
    settings: AdminSettings,
}

/// The admin address.
pub struct Admin {
    shared: Arc<Shared>,
    management: Option<Management>,
}

impl Admin {
    /// For the operators of `engine` and `hub`.
    #[must_use]
    pub fn new(engine: Engine, hub: Hub, readiness: Readiness, settings: AdminSettings) -> Self {
        let sockets = Sockets::new(SOCKETS_MAX);
        let shared = Arc::new(Shared { engine, hub, readiness, sockets, settings });
        Self { shared, management: None }
    }

    /// Serves the connection management API too, to operators and to those who sign.
    #[must_use]
    pub fn with_management(self, management: Management) -> Self {
        Self { management: Some(management), ..self }
    }

    /// Serves until `stop`.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let listening = Listening {
            head_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            sockets: self.shared.sockets.clone(),
            handshakes: None,
        };
        let management = self.management.map(|api| api.routes(self.shared.settings.token.as_deref()));
        let routes = routes(self.shared, management.unwrap_or_default());
        listen::serve(listener, routes, Arc::new(listening), &stop).await;
    }
}

fn routes(shared: Arc<Shared>, management: Router<Arc<Shared>>) -> Router {
    let operators = Router::new()
        .route("/v1/requests", get(requests::list))
        .route("/v1/requests/{tenant}/{user}/{id}", get(requests::show))
        .route("/v1/requests/{tenant}/{user}/{id}/cancel", post(requests::cancel))
        .route("/v1/requests/{tenant}/{user}/{id}/replay", post(requests::replay))
        .route("/v1/webhooks", get(webhooks::list))
        .route("/v1/webhooks/{tenant}/{user}/{id}/retry", post(webhooks::retry))
        .route("/v1/connections", get(connections::list))
        .route("/v1/connections/{id}", delete(connections::disconnect))
        .route("/v1/connections/{id}/messages", post(connections::send))
        .route("/v1/broadcast", post(connections::broadcast))
        .route("/v1/breakers", get(connections::breakers))
        .route("/v1/configuration", get(configuration))
        .route("/v1/events", get(events))
        .merge(letters::routes())
        .route_layer(middleware::from_fn_with_state(Arc::clone(&shared), access::operator));
    Router::new()
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .merge(operators)
        .merge(management)
        .fallback(answer::not_found)
        .method_not_allowed_fallback(answer::method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), access::host))
        .with_state(shared)
}

/// The process is alive.
async fn healthy() -> Response {
    Json(serde_json::json!({ "status": "ok" })).into_response()
}

/// New connections are taken, and the store answers.
async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let problem = if shared.readiness.is_ready() {
        match timeout(READY_TIMEOUT, shared.engine.store().open_requests()).await {
            Ok(Ok(_)) => None,
            Ok(Err(e)) if e.kind() == ErrorKind::Corrupt => {
                Some("the store is damaged: stop, see `streamer store check`, restore the newest backup")
            }
            Ok(Err(e)) if e.kind() == ErrorKind::NoSpace => Some("the store's disk is full: make room"),
            Ok(Err(_)) | Err(_) => Some("the store does not answer"),
        }
    } else {
        Some("draining")
    };
    match problem {
        None => {
            Json(serde_json::json!({ "status": "ready", "connections": shared.hub.len() })).into_response()
        }
        Some(problem) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(serde_json::json!({ "status": problem }))).into_response()
        }
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    shared.engine.measure();
    shared.hub.measure();
    shared.readiness.measure();
    metrics::gauge!("streamer_admin_sockets_open").set(shared.sockets.open() as f64);
    let format = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    let text = (shared.settings.metrics)() + &tenants::connections(&shared.hub);
    (format, text).into_response()
}

async fn events(State(shared): State<Arc<Shared>>) -> Response {
    match (shared.settings.events)() {
        Some(figures) => ([(header::CONTENT_TYPE, "application/json")], figures).into_response(),
        None => {
            let missing =
                "no events are followed here: set events.enabled, or see the log for what stopped them";
            answer::error(ErrorBody::new(ErrorCode::NotFound, missing))
        }
    }
}

async fn configuration(State(shared): State<Arc<Shared>>) -> Response {
    Json(&shared.settings.configuration).into_response()
}
