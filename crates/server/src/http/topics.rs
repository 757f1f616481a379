//! Publishing over HTTP: the action `publish`, for whoever has no connection.

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    response::Response,
};
use schemars::JsonSchema;
use serde::Deserialize;
use streamer_protocol::{Action, ErrorBody, ErrorCode, IdempotencyKey, Json, Publish, RequestId, Topic};

use super::{Door, problem::problem, submit};

/// A message for those who are subscribed.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Message {
    /// What they get.
    data: Json,
}

/// `POST /v1/topics/{topic}`: the answer says where the message is in its topic.
pub(super) async fn publish(
    State(shared): Door,
    topic: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let read = |text: &str, key: Option<&RequestId>| {
        let topic = topic.map(|Path(topic)| topic).unwrap_or_default();
        let topic =
            Topic::parse(&topic).map_err(|e| invalid("the topic is not valid", "topic", e.to_string()))?;
        // A list of its values would be taken for an object otherwise.
        if !text.trim_start().starts_with('{') {
            return Err(invalid(
                "the message is not valid",
                "data",
                "an object that has it is expected".to_owned(),
            ));
        }
        // It has one field: whatever is wrong is that this is not there.
        let Message { data } = serde_json::from_str(text)
            .map_err(|e| invalid("the message is not valid", "data", e.to_string()))?;
        let idempotency_key = key.cloned().map(IdempotencyKey::from);
        let payload = Json::of(&Publish { topic, data, idempotency_key }).expect("made of JSON");
        let action = Action::parse("publish").expect("valid");
        Ok(streamer_protocol::Request { payload: Some(payload), ..streamer_protocol::Request::new(action) })
    };
    submit::take(&shared, request, place, read).await
}

/// Where in the call it is that the engine finds wrong: what is the payload to it came in body and head.
fn place(path: &str) -> &str {
    match path.strip_prefix("payload.") {
        Some("idempotency_key") => "Idempotency-Key",
        Some(field) => field,
        None => path,
    }
}

fn invalid(message: &str, field: &str, what: String) -> Box<Response> {
    Box::new(problem(ErrorBody::new(ErrorCode::ValidationError, message).at(field, what)))
}
