//! A client's messages, and what tells two of them apart.

use streamer_engine::store::Fingerprint;
use streamer_protocol::{Action, InvalidRequest, Json, Request};

use crate::{Target, examples};

/// The longest answer to a message that is none, in bytes.
const PROBLEM_BYTES_MAX: usize = 1024;

/// What is read out of a message's text.
pub struct Requests {
    /// Reads one.
    pub parse: fn(&str) -> Result<Request, InvalidRequest>,
    /// Tells payloads apart.
    pub fingerprint: fn(&Action, &Json) -> Fingerprint,
}

impl Default for Requests {
    fn default() -> Self {
        Self { parse: Request::parse, fingerprint: Fingerprint::of }
    }
}

impl Target for Requests {
    fn name(&self) -> &'static str {
        "requests"
    }

    fn examples(&self) -> Vec<Vec<u8>> {
        [examples::golden("crates/protocol/golden/request"), examples::read("fuzz/corpus/requests")].concat()
    }

    fn words(&self) -> &'static [&'static str] {
        super::answers::JSON_WORDS
    }

    fn take(&mut self, input: &[u8]) -> Result<(), String> {
        // The socket reads text only.
        let text = String::from_utf8_lossy(input);
        let request = match (self.parse)(&text) {
            Ok(request) => request,
            Err(invalid) => return is_helpful(&invalid),
        };
        let printed = serde_json::to_string(&request).map_err(|e| format!("it cannot be printed: {e}"))?;
        let again = (self.parse)(&printed).map_err(|e| format!("{printed} was read and is refused: {e}"))?;
        if again != request {
            return Err(format!("{request:?} came back as {again:?}"));
        }
        let Some(payload) = &request.payload else { return Ok(()) };
        self.is_one_of_a_kind(&request.action, payload)
    }
}

impl Requests {
    /// The same payload in another writing has the same fingerprint; under another action it has another.
    fn is_one_of_a_kind(&self, action: &Action, payload: &Json) -> Result<(), String> {
        let known = (self.fingerprint)(action, payload);
        if known != (self.fingerprint)(action, payload) {
            return Err("a fingerprint differs from itself".to_owned());
        }
        let other = Action::parse(if action.as_str() == "a" { "b" } else { "a" }).expect("valid");
        if known == (self.fingerprint)(&other, payload) {
            return Err("two actions have one fingerprint".to_owned());
        }
        let Ok(value) = serde_json::from_str::<serde_json::Value>(payload.as_str()) else { return Ok(()) };
        let spaced = serde_json::to_string_pretty(&value).expect("made of JSON");
        let spaced = Json::parse(spaced).map_err(|e| format!("printed JSON is none: {e}"))?;
        if known != (self.fingerprint)(action, &spaced) {
            return Err(format!("spacing changes the fingerprint of {}", payload.as_str()));
        }
        Ok(())
    }
}

/// It names a field or says what is wrong with the whole, in a few words.
fn is_helpful(invalid: &InvalidRequest) -> Result<(), String> {
    let (path, message) = (invalid.problem.path.as_str(), invalid.problem.message.as_str());
    let known = ["", "id", "action", "metadata", "type"].contains(&path);
    if !known || message.is_empty() || message.len() > PROBLEM_BYTES_MAX {
        return Err(format!("the problem is told badly: {:?}: {:.200}", path, message));
    }
    Ok(())
}
