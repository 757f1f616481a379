//! Requests, as operators see them.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
    http::request::Parts,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use streamer_engine::{
    RequestView,
    store::{RequestFilter, RequestKey},
};
use streamer_protocol::{Action, ErrorBody, ErrorCode, RequestId, RequestStatus, TenantId, UserId};

use super::{Shared, page::page, query::Query};
use crate::answer;

#[derive(Deserialize)]
pub(super) struct List {
    tenant: Option<TenantId>,
    user: Option<UserId>,
    status: Option<RequestStatus>,
    action: Option<Action>,
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct Requests {
    requests: Vec<RequestView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// A request's whole name, as a path has it: `{tenant}/{user}/{id}`.
pub(super) struct Named(pub(super) RequestKey);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let invalid = |message: &str| ErrorBody::new(ErrorCode::ValidationError, message);
        let path = Path::<(TenantId, UserId, String)>::from_request_parts(parts, state).await;
        let Path((tenant, user, id)) = path.map_err(|e| answer::error(invalid(&e.body_text())))?;
        let id = RequestId::parse(&id)
            .map_err(|e| answer::error(invalid("the id is not valid").at("id", e.to_string())))?;
        Ok(Self(RequestKey::new(tenant, user, id)))
    }
}

/// `GET /v1/requests?tenant=&user=&status=&action=&limit=&cursor=`, newest first.
pub(super) async fn list(State(shared): State<Arc<Shared>>, Query(list): Query<List>) -> Response {
    let List { tenant, user, status, action, limit, cursor } = list;
    let page = match page(limit, cursor) {
        Ok(page) => page,
        Err(e) => return answer::error(e),
    };
    let filter = RequestFilter { tenant, user, status, action };
    match shared.engine.requests(&filter, &page).await {
        Ok(page) => {
            let requests = page.items.iter().map(|item| RequestView::from(item).with_owner(item)).collect();
            Json(Requests { requests, cursor: page.cursor }).into_response()
        }
        Err(e) => answer::error(e),
    }
}

/// `GET /v1/requests/{tenant}/{user}/{id}`.
pub(super) async fn show(State(shared): State<Arc<Shared>>, Named(key): Named) -> Response {
    match shared.engine.status(&key).await {
        Ok(view) => {
            let owned = RequestView { tenant_id: Some(key.tenant), user_id: Some(key.user), ..view };
            Json(owned).into_response()
        }
        Err(e) => answer::error(e),
    }
}

/// `POST /v1/requests/{tenant}/{user}/{id}/cancel`.
pub(super) async fn cancel(State(shared): State<Arc<Shared>>, Named(key): Named) -> Response {
    match shared.engine.cancel(&key).await {
        Ok(view) => Json(view).into_response(),
        Err(e) => answer::error(e),
    }
}

/// `POST /v1/requests/{tenant}/{user}/{id}/replay`: a failed request begins anew.
pub(super) async fn replay(State(shared): State<Arc<Shared>>, Named(key): Named) -> Response {
    match shared.engine.replay(&key).await {
        Ok(view) => Json(view).into_response(),
        Err(e) => answer::error(e),
    }
}
