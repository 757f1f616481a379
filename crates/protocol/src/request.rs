//! What a client sends.

use std::fmt;

use serde::{
    Deserialize, Deserializer as _, Serialize,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{Action, ErrorBody, ErrorCode, FieldProblem, Json, RequestId};

/// The largest message a client may send by default, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 128 * 1024;

/// Within so many bytes [`Request::peek_id`] looks for the id.
const PEEK_BYTES: usize = 1024;

/// A client's message: `{"id"?, "action", "payload"?, "metadata"?}`. Unknown fields are ignored, and so is a
/// `"type": "request"`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(transform = crate::schema::tolerate_type))]
pub struct Request {
    /// Chosen by the client, so that it can ask again; the server makes one when it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
    /// What is asked for.
    pub action: Action,
    /// What the action needs; `{}` when missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Json>,
    /// About the request itself, an object: `run_at` (RFC 3339) or `delay_ms` delay the start of queued work,
    /// `priority` (-10 to 10) ranks it within its tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<std::collections::BTreeMap<String, Json>>"))]
    pub metadata: Option<Json>,
}

/// Why a message is no request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRequest {
    /// The message's id, if it could be read: an answer can name it.
    pub id: Option<RequestId>,
    /// Where and what.
    pub problem: FieldProblem,
}

impl InvalidRequest {
    /// The code that answers it.
    pub const CODE: ErrorCode = ErrorCode::ValidationError;

    fn at(path: &str, message: impl fmt::Display) -> Self {
        Self { id: None, problem: FieldProblem { path: path.to_owned(), message: message.to_string() } }
    }
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problem.path.as_str() {
            "" => f.write_str(&self.problem.message),
            path => write!(f, "{path}: {}", self.problem.message),
        }
    }
}

impl std::error::Error for InvalidRequest {}

impl From<InvalidRequest> for ErrorBody {
    fn from(InvalidRequest { problem, .. }: InvalidRequest) -> Self {
        Self::new(InvalidRequest::CODE, "the message is not a request").at(problem.path, problem.message)
    }
}

/// Every field as its text, so that a wrong one is named and the others stay readable.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
}

impl Request {
    /// A request for `action` with neither id nor payload.
    #[must_use]
    pub fn new(action: Action) -> Self {
        Self { id: None, action, payload: None, metadata: None }
    }

    /// The id of a message that is not read any further, if it stands near its beginning. Costs no more than
    /// that, whatever the message is.
    #[must_use]
    pub fn peek_id(text: &str) -> Option<RequestId> {
        let head = &text[..text.floor_char_boundary(PEEK_BYTES)];
        let mut id = None;
        // What follows the id does not matter, nor that the head may end amid something.
        let _ = serde_json::Deserializer::from_str(head).deserialize_map(FirstId(&mut id));
        id
    }

    /// Reads one text frame.
    pub fn parse(text: &str) -> Result<Self, InvalidRequest> {
        if !text.trim_start().starts_with('{') {
            return Err(match serde_json::from_str::<&RawValue>(text) {
                Ok(_) => InvalidRequest::at("", "a message is a JSON object"),
                Err(e) => InvalidRequest::at("", format_args!("not JSON: {e}")),
            });
        }
        let fields: Fields<'_> = serde_json::from_str(text).map_err(|e| match e.classify() {
            serde_json::error::Category::Data => InvalidRequest::at("", e),
            _ => InvalidRequest::at("", format_args!("not JSON: {e}")),
        })?;

        let id = match fields.id.map(RawValue::get) {
            None => None,
            Some(raw) => Some(
                string(raw, "id")
                    .and_then(|text| RequestId::parse(&text).map_err(|e| InvalidRequest::at("id", e)))?,
            ),
        };
        let rest = || {
            if let Some(kind) = fields.kind.map(RawValue::get)
                && kind != "\"request\""
            {
                return Err(InvalidRequest::at("type", "a client's message has no type, or \"request\""));
            }
            let action = fields.action.ok_or_else(|| InvalidRequest::at("action", "missing"))?;
            let action = string(action.get(), "action")
                .and_then(|text| Action::parse(&text).map_err(|e| InvalidRequest::at("action", e)))?;
            if fields.metadata.is_some_and(|metadata| !metadata.get().starts_with('{')) {
                return Err(InvalidRequest::at("metadata", "an object is expected"));
            }
            Ok((action, owned(fields.payload), owned(fields.metadata)))
        };
        match rest() {
            Ok((action, payload, metadata)) => Ok(Self { id, action, payload, metadata }),
            Err(e) => Err(InvalidRequest { id, ..e }),
        }
    }
}

/// Reads an object up to its id.
struct FirstId<'a>(&'a mut Option<RequestId>);

impl<'de> Visitor<'de> for FirstId<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "id" {
                *self.0 = RequestId::parse(&map.next_value::<String>()?).ok();
                return Ok(());
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

fn string<'a>(raw: &'a str, path: &str) -> Result<std::borrow::Cow<'a, str>, InvalidRequest> {
    // Most ids and actions hold no escapes and are borrowed.
    if let Ok(text) = serde_json::from_str::<&str>(raw) {
        return Ok(text.into());
    }
    serde_json::from_str::<String>(raw)
        .map(Into::into)
        .map_err(|_| InvalidRequest::at(path, "a string is expected"))
}

fn owned(raw: Option<&RawValue>) -> Option<Json> {
    raw.map(|raw| Json::parse(raw.get().to_owned()).expect("already read as JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> (String, Option<String>) {
        let invalid = Request::parse(text).expect_err(text);
        (invalid.problem.path, invalid.id.map(|id| id.to_string()))
    }

    #[test]
    fn the_wrong_field_is_named_and_the_id_kept() {
        assert_eq!(problem(r#"{"id":"a"}"#), ("action".into(), Some("a".into())));
        assert_eq!(problem(r#"{"id":"a","action":7}"#), ("action".into(), Some("a".into())));
        assert_eq!(problem(r#"{"id":7,"action":"echo"}"#), ("id".into(), None));
        assert_eq!(
            problem(r#"{"id":"a","action":"echo","metadata":[]}"#),
            ("metadata".into(), Some("a".into()))
        );
        assert_eq!(
            problem(r#"{"id":"a","action":"echo","type":"event"}"#),
            ("type".into(), Some("a".into()))
        );
        assert_eq!(problem("[]"), (String::new(), None));
        assert_eq!(problem("{"), (String::new(), None));
    }

    #[test]
    fn unknown_fields_and_the_request_type_are_tolerated() {
        let request = Request::parse(r#"{"type":"request","action":"echo","payload":{"a":1},"extra":true}"#);
        assert_eq!(request.expect("valid").payload.expect("kept").as_str(), r#"{"a":1}"#);
    }

    #[test]
    fn an_id_is_found_near_the_beginning_and_not_looked_for_beyond() {
        let id = |text: &str| Request::peek_id(text).map(|id| id.to_string());
        assert_eq!(id(r#"{"id":"a","action":"#).as_deref(), Some("a"));
        assert_eq!(id(r#"{"action":"echo","payload":[{"id":"no"}],"id":"\u0061"}"#).as_deref(), Some("a"));
        let late = format!(r#"{{"payload":"{}","id":"a"}}"#, "é".repeat(PEEK_BYTES));
        let deep = format!(r#"{{"payload":{}"#, "[".repeat(100_000));
        for none in ["", "[]", "7", r#"{"id":7}"#, r#"{"id":"\u0000"}"#, "{\"id\":\"a", &late, &deep] {
            assert_eq!(id(none), None, "{none:.80}");
        }
    }

    #[test]
    fn depth_does_not_matter_until_somebody_looks() {
        let deep = format!(r#"{{"action":"echo","payload":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        // Whatever the answer, it is an answer and not a crash.
        if let Ok(request) = Request::parse(&deep) {
            assert!(request.payload.expect("kept").get::<serde_json::Value>().is_err());
        }
    }
}
