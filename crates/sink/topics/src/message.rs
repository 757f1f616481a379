//! What subscribers are told of an event.

use serde::Serialize;
use serde_json::value::RawValue;
use streamer_events::{Event, Moment, Rejection};
use streamer_protocol::Json;

/// A message's data. The event's payload stands in it as it came.
#[derive(Debug, Serialize)]
pub struct Message<'a> {
    /// The event's own name: the same if it should come twice.
    pub event_id: &'a str,
    /// What happened.
    pub event_type: &'a str,
    /// To what.
    pub aggregate_id: &'a str,
    /// Of which kind that is.
    pub aggregate_type: &'a str,
    /// When the event was made.
    pub created_at: Moment,
    /// What is told.
    pub payload: &'a RawValue,
}

impl Message<'_> {
    /// The message of an event; a payload that is no JSON is a rejection.
    pub(crate) fn of(event: &Event) -> Result<Json, Rejection> {
        // A reason of serde's could quote the payload.
        let not_json = |_| Rejection::new("is not JSON").at("payload");
        let message = Message {
            event_id: event.id.as_str(),
            event_type: &event.event_type,
            aggregate_id: &event.aggregate_id,
            aggregate_type: &event.aggregate_type,
            created_at: event.created_at,
            payload: serde_json::from_str(event.payload.as_str()).map_err(not_json)?,
        };
        Json::of(&message).map_err(not_json)
    }
}
