//! Dead letters of events that were not published, tried again.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;
use streamer_protocol::{ErrorBody, ErrorCode};

use super::Shared;
use crate::answer;

/// Takes a letter as JSON; answers why it is refused again, if it is.
pub type PublishLetter =
    Arc<dyn Fn(Bytes) -> BoxFuture<'static, Result<Option<String>, ErrorBody>> + Send + Sync>;

/// The longest letter, in bytes: its payload is text in JSON, and a topic's message is not larger than a frame.
const LETTER_BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Serialize)]
struct Published {
    published: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

pub(super) fn routes() -> Router<Arc<Shared>> {
    let publish = post(publish).layer(DefaultBodyLimit::max(LETTER_BYTES_MAX));
    Router::new().route("/v1/events/letters", publish)
}

/// `POST /v1/events/letters`: once it is answered, the letter's event is in its topic, once, or was refused again. The letter
/// stays where it is.
async fn publish(State(shared): State<Arc<Shared>>, letter: Bytes) -> Response {
    let Some(publish) = &shared.settings.letters else {
        let missing = "no events are published here: set events.enabled and events.topics.enabled";
        return answer::error(ErrorBody::new(ErrorCode::NotFound, missing));
    };
    match publish(letter).await {
        Ok(refused) => Json(Published { published: refused.is_none(), refused }).into_response(),
        Err(e) => answer::error(e),
    }
}
