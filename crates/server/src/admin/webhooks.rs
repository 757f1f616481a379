//! Outcomes that nobody heard, as operators see them.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use streamer_engine::store::GivenUp;
use streamer_protocol::{Action, ErrorBody, ErrorCode, RequestId, TenantId, Timestamp, UserId};

use super::{Shared, page::page, requests::Named};
use crate::answer;

#[derive(Deserialize)]
pub(super) struct List {
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct Webhooks {
    webhooks: Vec<View>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Serialize)]
struct View {
    request_id: RequestId,
    tenant_id: TenantId,
    user_id: UserId,
    action: Action,
    failures: u32,
    why: String,
    ended_at: Timestamp,
    given_up_at: Timestamp,
}

impl From<GivenUp> for View {
    fn from(given_up: GivenUp) -> Self {
        let GivenUp { key, action, failures, why, ended_at, given_up_at } = given_up;
        Self {
            request_id: key.id,
            tenant_id: key.tenant,
            user_id: key.user,
            action,
            failures,
            why,
            ended_at,
            given_up_at,
        }
    }
}

/// `GET /v1/webhooks?limit=&cursor=`: the outcomes that were given up, of the last requests first.
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<List>, QueryRejection>,
) -> Response {
    let Query(List { limit, cursor }) = match query {
        Ok(query) => query,
        Err(e) => return answer::error(ErrorBody::new(ErrorCode::ValidationError, e.body_text())),
    };
    let page = match page(limit, cursor) {
        Ok(page) => page,
        Err(e) => return answer::error(e),
    };
    match shared.engine.given_up(&page).await {
        Ok(page) => {
            let webhooks = page.items.into_iter().map(View::from).collect();
            Json(Webhooks { webhooks, cursor: page.cursor }).into_response()
        }
        Err(e) => answer::error(e),
    }
}

/// `POST /v1/webhooks/{tenant}/{user}/{id}/retry`: one that was given up is told anew.
pub(super) async fn retry(State(shared): State<Arc<Shared>>, Named(key): Named) -> Response {
    match shared.engine.announce_again(&key).await {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(e) => answer::error(e),
    }
}
