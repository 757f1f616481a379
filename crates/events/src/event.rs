//! An event: a row of the outbox, read.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

use crate::{change::Passed, clock::Moment, position::Position, rejection::Rejection};

/// An event's own name, unique in the outbox.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Arc<str>);

impl EventId {
    /// Names an event.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// What an event tells, as JSON that stays text until a handler reads it.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Arc<str>);

impl Payload {
    /// Takes text that should be JSON; a handler that reads it finds out.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text, as it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Payloads do not belong in logs: only their size shows.
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// One event, as handlers see it. Whichever way it came, it is the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its own name.
    pub id: EventId,
    /// What happened, such as `UserCreated`.
    pub event_type: Arc<str>,
    /// To what.
    pub aggregate_id: Arc<str>,
    /// Of which kind that is, such as `User`.
    pub aggregate_type: Arc<str>,
    /// What is told.
    pub payload: Payload,
    /// When the transaction that made it true began.
    pub created_at: Moment,
    /// When it was committed, if that is known.
    pub committed_at: Option<Moment>,
    /// When it passed which stage.
    pub passed: Passed,
    /// Where in the source it stands.
    pub position: Position,
}

impl Event {
    /// Reads the payload. What does not fit is a rejection that says where.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, Rejection> {
        let text = self.payload.as_str();
        // Following the place costs as much as reading: only what does not fit is read so.
        if let Ok(read) = serde_json::from_str(text) {
            return Ok(read);
        }
        let mut reader = serde_json::Deserializer::from_str(text);
        let read = serde_path_to_error::deserialize(&mut reader).map_err(|e| {
            let path = e.path().to_string();
            let rejection = Rejection::new(reason(e.inner()));
            // What is no JSON has no place in it.
            if matches!(path.as_str(), "." | "?") { rejection } else { rejection.at(path) }
        })?;
        reader.end().map_err(|e| Rejection::new(reason(&e)))?;
        Ok(read)
    }

    /// Roughly how many bytes it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        const FIXED: usize = 400;
        FIXED + self.payload.as_str().len()
    }
}

/// What serde says, without the value that it found: payloads do not belong in errors.
fn reason(e: &serde_json::Error) -> String {
    let text = e.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    match e.classify() {
        serde_json::error::Category::Data => match text.split_once(", expected ") {
            // `invalid type: string "…", expected u16`
            Some((_, expected)) => format!("expected {expected}"),
            None if text.starts_with("missing field") || text.starts_with("unknown field") => text.to_owned(),
            None if text.starts_with("unknown variant") => "unknown variant".to_owned(),
            None => "not what the handler expects".to_owned(),
        },
        _ => format!("not JSON: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use crate::testing::given;

    #[test]
    fn a_payload_that_does_not_fit_says_where_and_quotes_nothing() {
        #[derive(Debug, Deserialize)]
        struct Person {
            #[allow(dead_code, reason = "only read")]
            age: u8,
        }
        for (payload, expected) in [
            (r#"{"email":"ada@example.com","age":"old"}"#, "age: expected u8"),
            ("{}", "missing field `age`"),
            ("{", "not JSON: EOF while parsing an object"),
            (r#"{"age":1} x"#, "not JSON: trailing characters"),
        ] {
            let event = given::event(0, 1, "Told", payload);
            assert_eq!(event.payload::<Person>().expect_err("wrong").to_string(), expected);
        }
    }
}
