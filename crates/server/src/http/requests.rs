//! One's own requests: where they stand, which there are, and their end.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
    http::{StatusCode, Uri, request::Parts},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamer_engine::{
    RequestView,
    store::{PageQuery, RequestFilter},
};
use streamer_protocol::{ErrorBody, ErrorCode, RequestId, RequestStatus};

use super::{
    Bearer, Door,
    caller::caller,
    problem::{self, problem},
};
use crate::{door::Shared, query};

/// How many requests one page has, unless asked otherwise, and at most.
const PAGE_DEFAULT: u32 = 20;
pub(super) const PAGE_MAX: u32 = 100;

/// Which requests are wanted.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Wanted {
    /// With this status only.
    status: Option<RequestStatus>,
    /// How many at most: 1 to 100, 20 unless said.
    limit: Option<u32>,
    /// Where an earlier page ended.
    cursor: Option<String>,
}

/// A page of one's own requests, newest first.
#[derive(Serialize, JsonSchema)]
pub(super) struct Listed {
    /// Without their results.
    requests: Vec<RequestView>,
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// The request that the path names. A text that is no id names none.
pub(super) struct Named(pub(super) RequestId);

impl FromRequestParts<Arc<Shared>> for Named {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Response> {
        let path = Path::<String>::from_request_parts(parts, shared).await;
        let id = path.ok().and_then(|Path(id)| RequestId::parse(&id).ok());
        let missing = || problem(ErrorBody::new(ErrorCode::NotFound, "you have no request with this id"));
        id.map(Self).ok_or_else(missing)
    }
}

/// `GET /v1/requests/{id}`.
pub(super) async fn show(State(shared): Door, Bearer(identity): Bearer, Named(id): Named) -> Response {
    match shared.engine.status(&caller(&identity).key(id)).await {
        Ok(view) => Json(view).into_response(),
        Err(error) => problem(error),
    }
}

/// `DELETE /v1/requests/{id}`: 200 once it has ended, 202 while it still has to.
pub(super) async fn cancel(State(shared): Door, Bearer(identity): Bearer, Named(id): Named) -> Response {
    match shared.engine.cancel(&caller(&identity).key(id)).await {
        Ok(view) if view.status.is_final() => Json(view).into_response(),
        Ok(view) => (StatusCode::ACCEPTED, Json(view)).into_response(),
        Err(error) => problem(error),
    }
}

/// `GET /v1/requests?status=&limit=&cursor=`.
pub(super) async fn list(State(shared): Door, Bearer(identity): Bearer, uri: Uri) -> Response {
    let Wanted { status, limit, cursor } = match query::read(&uri) {
        Ok(wanted) => wanted,
        Err(error) => return problem(error),
    };
    let limit = limit.unwrap_or(PAGE_DEFAULT);
    if limit == 0 || limit > PAGE_MAX {
        return problem::invalid("limit", format!("between 1 and {PAGE_MAX}"));
    }
    let (tenant, user) = (Some(identity.tenant), Some(identity.user));
    let filter = RequestFilter { tenant, user, status, action: None };
    match shared.engine.requests(&filter, &PageQuery { limit, cursor }).await {
        Ok(page) => {
            let requests = page.items.iter().map(RequestView::from).collect();
            Json(Listed { requests, cursor: page.cursor }).into_response()
        }
        Err(error) if error.code == ErrorCode::ValidationError => {
            problem::invalid("cursor", "use a cursor as an earlier answer gave it")
        }
        Err(error) => problem(error),
    }
}
