//! Dead letters: what a handler or a document refused, kept until a person decides.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    batch::Author,
    clock::Moment,
    event::{Event, EventId},
};

/// The longest payload that a letter keeps, in bytes, unless the settings say otherwise.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;

/// One refusal: which event, which handler, why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Its own name, made of what it is about: burying it twice is burying it once.
    pub id: String,
    /// The event.
    pub event_id: EventId,
    /// What happened.
    pub event_type: String,
    /// To what.
    pub aggregate_id: String,
    /// Of which kind that is.
    pub aggregate_type: String,
    /// Where in the source the event stands.
    pub position: String,
    /// Who refused it, or wanted what was refused.
    pub handler: String,
    /// The document that the refused edits were for, as (collection, id); none if the handler itself rejected the
    /// event.
    pub document: Option<(String, String)>,
    /// Why.
    pub error: String,
    /// Where in the payload, if it is one place.
    pub path: Option<String>,
    /// The payload's beginning; all of it unless it is `truncated`.
    pub payload: String,
    /// How long the payload is.
    pub payload_bytes: u64,
    /// Whether `payload` is only its beginning.
    pub truncated: bool,
    /// When the event was made.
    pub created_at: Moment,
    /// When it was refused.
    pub failed_at: Moment,
}

impl DeadLetter {
    /// A letter about an event.
    #[must_use]
    pub fn about(event: &Event, why: Why, now: Moment, payload_bytes_max: usize) -> Self {
        let payload = event.payload.as_str();
        let kept = beginning(payload, payload_bytes_max);
        Self {
            id: match &why.document {
                None => format!("{}/{}", event.id, why.handler),
                Some((collection, id)) => format!("{}/{}/{collection}/{id}", event.id, why.handler),
            },
            event_id: event.id.clone(),
            event_type: event.event_type.to_string(),
            aggregate_id: event.aggregate_id.to_string(),
            aggregate_type: event.aggregate_type.to_string(),
            position: event.position.to_string(),
            handler: why.handler.to_string(),
            document: why.document,
            error: why.error,
            path: why.path,
            payload: kept.to_owned(),
            payload_bytes: payload.len() as u64,
            truncated: kept.len() < payload.len(),
            created_at: event.created_at,
            failed_at: now,
        }
    }

    /// Whose edits were refused.
    #[must_use]
    pub fn author(&self) -> Author {
        Author { event: self.event_id.clone(), handler: self.handler.as_str().into() }
    }
}

/// What a letter says beside its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// Who refused.
    pub handler: Arc<str>,
    /// The document that refused, as (collection, id).
    pub document: Option<(String, String)>,
    /// Why.
    pub error: String,
    /// Where in the payload.
    pub path: Option<String>,
}

/// At most so many bytes, cut between characters.
fn beginning(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::given;

    #[test]
    fn an_oversized_payload_is_cut_between_characters() {
        let event = given::event(0, 7, "Told", "\"éé\"");
        let why = Why { handler: "h".into(), document: None, error: "no".into(), path: None };
        let letter = DeadLetter::about(&event, why.clone(), given::moment(1), 4);
        assert_eq!((letter.payload.as_str(), letter.payload_bytes, letter.truncated), ("\"é", 6, true));
        let whole = DeadLetter::about(&event, why.clone(), given::moment(1), 6);
        assert!(!whole.truncated);
        assert_eq!(whole.id, "e0-7/h");
        let of_document = Why { document: Some(("users".into(), "a".into())), ..why };
        assert_eq!(DeadLetter::about(&event, of_document, given::moment(1), 6).id, "e0-7/h/users/a");
    }
}
