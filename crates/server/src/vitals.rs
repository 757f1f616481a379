//! Health and metrics of a process that has no doors.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    admin::access,
    answer,
    listen::{self, Listening, Sockets},
};

/// How many sockets are open at once; more wait.
const SOCKETS_MAX: usize = 64;

/// What a process says of itself at `/healthz`, `/readyz`, `/metrics` and `/v1/events`.
pub struct Vitals {
    /// The metrics in Prometheus' text format.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// What its pipeline has measured, as JSON.
    pub figures: Box<dyn Fn() -> String + Send + Sync>,
    /// Whether it does its work, and in a word what it does.
    pub ready: Box<dyn Fn() -> (bool, &'static str) + Send + Sync>,
    /// The host names under which it may be called, beside loopback addresses.
    pub allowed_hosts: Vec<String>,
}

impl Vitals {
    /// Serves until `stop`.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let listening = Listening {
            head_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            sockets: Sockets::new(SOCKETS_MAX),
            handshakes: None,
        };
        let vitals = Arc::new(self);
        let routes = Router::new()
            .route("/healthz", get(healthy))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .route("/v1/events", get(figures))
            .fallback(answer::not_found)
            .method_not_allowed_fallback(answer::method_not_allowed)
            .layer(middleware::from_fn_with_state(Arc::clone(&vitals), host))
            .with_state(vitals);
        listen::serve(listener, routes, Arc::new(listening), &stop).await;
    }
}

async fn host(State(vitals): State<Arc<Vitals>>, request: Request, next: Next) -> Response {
    if access::is_allowed_host(&request, &vitals.allowed_hosts) {
        return next.run(request).await;
    }
    access::foreign_host()
}

async fn healthy() -> Response {
    Json(serde_json::json!({ "status": "ok" })).into_response()
}

async fn ready(State(vitals): State<Arc<Vitals>>) -> Response {
    let (is_ready, status) = (vitals.ready)();
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(serde_json::json!({ "status": status }))).into_response()
}

async fn metrics(State(vitals): State<Arc<Vitals>>) -> Response {
    let format = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (format, (vitals.metrics)()).into_response()
}

async fn figures(State(vitals): State<Arc<Vitals>>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], (vitals.figures)()).into_response()
}
