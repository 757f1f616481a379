//! Connections, as operators see them.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use streamer_engine::{
    SendError,
    store::{ConnectionFilter, ConnectionRecord},
};
use streamer_protocol::{CloseCode, ConnectionId, ErrorBody, ErrorCode, TenantId, Timestamp, UserId};

use super::{Shared, page::page, query::Query};
use crate::answer;

#[derive(Deserialize)]
pub(super) struct List {
    tenant: Option<TenantId>,
    user: Option<UserId>,
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct Connections {
    connections: Vec<ConnectionView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Serialize)]
struct ConnectionView {
    connection_id: ConnectionId,
    user_id: UserId,
    tenant_id: TenantId,
    endpoint: String,
    connected_at: Timestamp,
    last_ping: Timestamp,
    user_agent: Option<String>,
    ip_address: Option<String>,
}

impl From<ConnectionRecord> for ConnectionView {
    fn from(record: ConnectionRecord) -> Self {
        Self {
            connection_id: record.id,
            user_id: record.user,
            tenant_id: record.tenant,
            endpoint: record.endpoint,
            connected_at: record.connected_at,
            last_ping: record.last_ping,
            user_agent: record.user_agent,
            ip_address: record.ip_address,
        }
    }
}

/// `GET /v1/connections?tenant=&user=&limit=&cursor=`.
pub(super) async fn list(State(shared): State<Arc<Shared>>, Query(list): Query<List>) -> Response {
    let List { tenant, user, limit, cursor } = list;
    let page = match page(limit, cursor) {
        Ok(page) => page,
        Err(e) => return answer::error(e),
    };
    match shared.engine.connections(&ConnectionFilter { tenant, user }, &page).await {
        Ok(page) => {
            let connections = page.items.into_iter().map(ConnectionView::from).collect();
            Json(Connections { connections, cursor: page.cursor }).into_response()
        }
        Err(e) => answer::error(e),
    }
}

/// `DELETE /v1/connections/{id}`: closes it with 4403.
pub(super) async fn disconnect(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    let id = ConnectionId::new(id);
    match shared.engine.sender().disconnect(&id, CloseCode::Disconnected).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(e) => send_error(e),
    }
}

/// `POST /v1/connections/{id}/messages`: the body, any JSON, goes to the connection.
pub(super) async fn send(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    body: Result<Json<serde_json::Value>, JsonRejection>,
) -> Response {
    let Json(message) = match body {
        Ok(body) => body,
        Err(e) => return unreadable(&e),
    };
    match shared.engine.sender().send(&ConnectionId::new(id), &message).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(e) => send_error(e),
    }
}

#[derive(Deserialize)]
pub(super) struct BroadcastOrder {
    connections: Vec<ConnectionId>,
    message: serde_json::Value,
}

/// `POST /v1/broadcast {connections, message}`: answers how many took it, and which did not and why.
pub(super) async fn broadcast(
    State(shared): State<Arc<Shared>>,
    body: Result<Json<BroadcastOrder>, JsonRejection>,
) -> Response {
    let Json(BroadcastOrder { connections, message }) = match body {
        Ok(body) => body,
        Err(e) => return unreadable(&e),
    };
    match shared.engine.sender().broadcast(&connections, &message).await {
        Ok(broadcast) => {
            let failed: Vec<_> = broadcast
                .failed
                .iter()
                .map(|(id, why)| serde_json::json!({ "connection_id": id, "error": why }))
                .collect();
            Json(serde_json::json!({ "delivered": broadcast.delivered, "failed": failed })).into_response()
        }
        Err(e) => send_error(e),
    }
}

/// `GET /v1/breakers`: the connections to which sends have failed of late.
pub(super) async fn breakers(State(shared): State<Arc<Shared>>) -> Response {
    Json(serde_json::json!({ "breakers": shared.engine.sender().unwell() })).into_response()
}

fn unreadable(e: &JsonRejection) -> Response {
    let code = match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::PayloadTooLarge,
        _ => ErrorCode::ValidationError,
    };
    answer::error(ErrorBody::new(code, e.body_text()))
}

fn send_error(e: SendError) -> Response {
    let (status, code) = match e {
        SendError::NotFound => (StatusCode::NOT_FOUND, ErrorCode::NotFound),
        SendError::Stale => (StatusCode::GONE, ErrorCode::NotFound),
        SendError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::PayloadTooLarge),
        SendError::CircuitOpen | SendError::Unavailable | SendError::ShuttingDown => {
            (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Overloaded)
        }
        SendError::Unencodable => (StatusCode::BAD_REQUEST, ErrorCode::ValidationError),
    };
    answer::with_status(status, ErrorBody::new(code, e.to_string()))
}
