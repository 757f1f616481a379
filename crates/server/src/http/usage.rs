//! What a tenant has, and how much it may have.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use schemars::JsonSchema;
use serde::Serialize;
use streamer_protocol::TenantId;

use super::{Bearer, Door, problem::problem};

/// A tenant's own figures.
#[derive(Serialize, JsonSchema)]
pub(super) struct UsageView {
    /// Whose they are.
    tenant_id: TenantId,
    /// Requests that have not ended.
    open: u64,
    /// How many there may be.
    open_max: u64,
    /// How many of them run.
    running: u64,
    /// Payloads, chunks, checkpoints, outcomes and artifacts that are kept, in bytes.
    stored_bytes: u64,
    /// How many bytes may be kept.
    stored_bytes_max: u64,
    /// Connections and streams of events, on this node.
    connections: u64,
    /// How many there may be.
    connections_max: u64,
}

/// `GET /v1/usage`.
pub(super) async fn usage(State(shared): Door, Bearer(identity): Bearer) -> Response {
    let quota = &shared.engine.settings().quota;
    let connections = shared.hub.connections_of(&identity.tenant);
    match shared.engine.usage(&identity.tenant).await {
        Ok(usage) => Json(UsageView {
            tenant_id: identity.tenant,
            open: usage.open,
            open_max: quota.tenant_open_max,
            running: usage.running,
            stored_bytes: usage.stored_bytes,
            stored_bytes_max: quota.tenant_stored_bytes_max,
            connections: connections as u64,
            connections_max: shared.settings.tenant_connections_max as u64,
        })
        .into_response(),
        Err(error) => problem(error),
    }
}
