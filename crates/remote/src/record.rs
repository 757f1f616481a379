//! What one line or event of a streamed answer says.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use streamer_engine::Failure;
use streamer_protocol::{ErrorCode, Json};

use crate::{answer, trouble::Trouble};

/// How deep JSON may be nested: what most parsers, ours among them, take.
const DEPTH_MAX: usize = 127;

/// What some programs write before UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A record. Fields that it does not know are passed over.
#[derive(Deserialize)]
pub(crate) struct Record {
    /// 0 to 100.
    pub(crate) progress: Option<f64>,
    /// Beside `progress`.
    #[serde(default)]
    pub(crate) message: String,
    /// Goes along with every progress from now on.
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, Value>,
    #[serde(default, deserialize_with = "present")]
    chunk: Option<Json>,
    #[serde(default)]
    chunks: Vec<Json>,
    /// Stored in one step with the chunks beside it.
    #[serde(default, deserialize_with = "present")]
    pub(crate) checkpoint: Option<Json>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) result: Option<Json>,
    pub(crate) error: Option<ErrorRecord>,
}

/// How an answer says that it did not succeed.
#[derive(Deserialize)]
pub(crate) struct ErrorRecord {
    kind: Kind,
    #[serde(default)]
    message: String,
    code: Option<String>,
    #[serde(default)]
    fields: Vec<Field>,
    /// Of a retry: not before so long.
    after_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Reject,
    Retry,
}

#[derive(Deserialize)]
struct Field {
    path: String,
    message: String,
}

/// A field that is there, were it `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

impl Record {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Trouble> {
        let text = str::from_utf8(bytes).map_err(|_| Trouble::Garbage("its answer is not UTF-8"))?;
        shallow(text)?;
        let record: Self = serde_json::from_str(text)
            .map_err(|_| Trouble::Garbage("a line or event of its answer is not a record"))?;
        if record.says_nothing() {
            return Err(Trouble::Garbage("a line or event of its answer says nothing that is known"));
        }
        Ok(record)
    }

    fn says_nothing(&self) -> bool {
        self.progress.is_none()
            && self.metadata.is_empty()
            && self.chunk.is_none()
            && self.chunks.is_empty()
            && self.checkpoint.is_none()
            && self.result.is_none()
            && self.error.is_none()
    }

    /// Its partial results, in order.
    pub(crate) fn take_chunks(&mut self) -> Vec<Json> {
        self.chunk.take().into_iter().chain(std::mem::take(&mut self.chunks)).collect()
    }
}

impl ErrorRecord {
    pub(crate) fn into_trouble(self) -> Trouble {
        let message = answer::safe(&self.message);
        match self.kind {
            Kind::Retry => {
                let after =
                    self.after_ms.map(|ms| std::time::Duration::from_millis(ms).min(answer::WAIT_MAX));
                Trouble::Asked { message, after }
            }
            Kind::Reject => {
                let message =
                    if message.is_empty() { "the request was rejected".to_owned() } else { message };
                let mut failure = Failure::reject(message)
                    .code(self.code.as_deref().map_or(ErrorCode::ValidationError, code));
                for Field { path, message } in self.fields.into_iter().take(answer::FIELDS_MAX) {
                    failure = failure.also_at(&answer::safe(&path), answer::safe(&message));
                }
                Trouble::Rejected(failure)
            }
        }
    }
}

/// The codes that a handler may choose: the others say something of the server itself.
fn code(text: &str) -> ErrorCode {
    let offered = [
        ErrorCode::ValidationError,
        ErrorCode::Forbidden,
        ErrorCode::NotFound,
        ErrorCode::Conflict,
        ErrorCode::PayloadTooLarge,
        ErrorCode::Timeout,
        ErrorCode::Overloaded,
        ErrorCode::InternalError,
    ];
    offered.into_iter().find(|code| code.as_str() == text).unwrap_or(ErrorCode::InternalError)
}

/// Reads a whole answer.
pub(crate) fn result(mut bytes: Vec<u8>) -> Result<Json, Trouble> {
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    let text = String::from_utf8(bytes).map_err(|_| Trouble::Garbage("its answer is not UTF-8"))?;
    if text.trim().is_empty() {
        return Ok(Json::null());
    }
    shallow(&text)?;
    Json::parse(text).map_err(|_| Trouble::Garbage("its answer is not JSON"))
}

/// Whether the nesting is one that clients can read: text is passed on as it is, and their parsers have bounds too.
fn shallow(text: &str) -> Result<(), Trouble> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(Trouble::Garbage("its answer is nested too deeply"));
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_may_be_null() {
        let record = Record::read(br#"{"result": null}"#).expect("a record");
        assert_eq!(record.result.as_ref().map(Json::as_str), Some("null"));
        assert!(Record::read(br#"{"chunk": null, "more": 1}"#).is_ok());
    }

    #[test]
    fn chunks_and_checkpoint_stand_in_one_record() {
        let text = br#"{"chunks": [1, {"a": 2}], "chunk": 0, "checkpoint": {"next": 3}, "progress": 5}"#;
        let mut record = Record::read(text).expect("a record");
        let chunks: Vec<String> = record.take_chunks().iter().map(|json| json.as_str().to_owned()).collect();
        assert_eq!(chunks, ["0", "1", r#"{"a": 2}"#]);
        assert_eq!(record.checkpoint.expect("is there").as_str(), r#"{"next": 3}"#);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let deep = format!("{{\"chunk\": {}{}}}", "[".repeat(200), "]".repeat(200));
        for text in
            ["", "7", "[]", "{}", "{\"progress\": \"half\"}", "{\"x\": 1}", "{\"result\": 1", "hello", &deep]
        {
            assert!(matches!(Record::read(text.as_bytes()), Err(Trouble::Garbage(_))), "{text:.40}");
        }
        assert!(matches!(Record::read(b"{\"chunk\": \"\xff\"}"), Err(Trouble::Garbage(_))));
        let just = format!("{{\"chunk\": {}{}}}", "[".repeat(126), "]".repeat(126));
        assert!(Record::read(just.as_bytes()).is_ok());
        let text = format!("{{\"chunk\": \"{}\\\"{}\"}}", "[".repeat(200), "{".repeat(200));
        assert!(Record::read(text.as_bytes()).is_ok(), "brackets in text are no nesting");
    }

    #[test]
    fn an_empty_answer_is_null() {
        assert_eq!(result(Vec::new()).expect("an answer").as_str(), "null");
        assert!(matches!(result(b"{".to_vec()), Err(Trouble::Garbage(_))));
        assert!(matches!(result(b"\xff".to_vec()), Err(Trouble::Garbage(_))));
        assert_eq!(result(b"\xef\xbb\xbf7".to_vec()).expect("an answer").as_str(), "7");
        assert_eq!(
            result(b"{\"a\": 1}\n".to_vec()).expect("an answer").get::<Value>().expect("reads")["a"],
            1
        );
    }
}
