//! The operators' address: apart from the public one, on loopback unless said otherwise.

mod access;
mod connections;
mod page;
mod requests;

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
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Hub, Readiness, answer, listen};

/// How the admin address behaves.
pub struct AdminSettings {
    /// What an operator presents as `Authorization: Bearer`. Without one, only health and metrics answer.
    pub token: Option<String>,
    /// The host names under which it may be called, beside loopback addresses: a page of another site cannot
    /// reach it by a name of its own.
    pub allowed_hosts: Vec<String>,
    /// The metrics in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The configuration in force, without secrets.
    pub configuration: serde_json::Value,
}

struct Shared {
    engine: Engine,
    hub: Hub,
    readiness: Readiness,
    settings: AdminSettings,
}

/// The admin address.
pub struct Admin {
    shared: Arc<Shared>,
}

impl Admin {
    /// For the operators of `engine` and `hub`.
    #[must_use]
    pub fn new(engine: Engine, hub: Hub, readiness: Readiness, settings: AdminSettings) -> Self {
        Self { shared: Arc::new(Shared { engine, hub, readiness, settings }) }
    }

    /// Serves until `stop`.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
        const SOCKETS_MAX: usize = 256;
        listen::serve(listener, routes(self.shared), HEAD_TIMEOUT, SOCKETS_MAX, &stop).await;
    }
}

fn routes(shared: Arc<Shared>) -> Router {
    let operators = Router::new()
        .route("/v1/requests", get(requests::list))
        .route("/v1/requests/{tenant}/{user}/{id}", get(requests::show))
        .route("/v1/requests/{tenant}/{user}/{id}/cancel", post(requests::cancel))
        .route("/v1/requests/{tenant}/{user}/{id}/replay", post(requests::replay))
        .route("/v1/connections", get(connections::list))
        .route("/v1/connections/{id}", delete(connections::disconnect))
        .route("/v1/connections/{id}/messages", post(connections::send))
        .route("/v1/broadcast", post(connections::broadcast))
        .route("/v1/breakers", get(connections::breakers))
        .route("/v1/configuration", get(configuration))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&shared), access::operator));
    Router::new()
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .merge(operators)
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
        match shared.engine.store().open_requests().await.map_err(|e| e.kind()) {
            Ok(_) => None,
            Err(ErrorKind::Corrupt) => {
                Some("the store is damaged: stop, see `streamer store check`, restore the newest backup")
            }
            Err(_) => Some("the store does not answer"),
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
    let format = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (format, (shared.settings.metrics)()).into_response()
}

async fn configuration(State(shared): State<Arc<Shared>>) -> Response {
    Json(&shared.settings.configuration).into_response()
}
