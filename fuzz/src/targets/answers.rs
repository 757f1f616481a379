//! A server's frames, as the client reads them.

use streamer_protocol::{ServerFrame, UnreadableFrame};

use crate::{Target, examples};

/// Words of JSON, of the wire, and of what breaks either.
pub(super) const JSON_WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "null",
    "true",
    "-0",
    "1e400",
    "9223372036854775808",
    "0.1",
    "\\u0000",
    "\\ud800",
    "\u{0}",
    "\u{feff}",
    "\u{202e}",
    "é",
    "\"id\":",
    "\"action\":",
    "\"payload\":",
    "\"metadata\":",
    "\"type\":",
    "\"run_at\":",
    "\"request\"",
    "\"echo\"",
    "\"seq\":",
    "\"request_id\":",
    "\"timestamp\":",
    "\"percentage\":",
    "\"index\":",
    "\"error\":",
    "\"code\":",
    "\"chunk\"",
    "\"progress\"",
    "\"complete\"",
    "2026-01-31T12:00:00.000Z",
    "9999-12-31T23:59:60Z",
    "{\"a\":",
    "[[",
    "  ",
    "\n",
];

/// What is read out of a frame's text.
pub struct Answers {
    /// Reads one.
    pub parse: fn(&str) -> Result<ServerFrame, UnreadableFrame>,
}

impl Default for Answers {
    fn default() -> Self {
        Self { parse: ServerFrame::parse }
    }
}

impl Target for Answers {
    fn name(&self) -> &'static str {
        "answers"
    }

    fn examples(&self) -> Vec<Vec<u8>> {
        [examples::golden("crates/protocol/golden/server"), examples::read("fuzz/corpus/answers")].concat()
    }

    fn words(&self) -> &'static [&'static str] {
        JSON_WORDS
    }

    fn take(&mut self, input: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(input);
        let frame = match (self.parse)(&text) {
            Ok(frame) => frame,
            Err(unreadable) => {
                return if unreadable.to_string().is_empty() { Err("no reason".to_owned()) } else { Ok(()) };
            }
        };
        let printed = frame.encode();
        let again = (self.parse)(&printed).map_err(|e| format!("{printed} was read and is refused: {e}"))?;
        // Printed once more: fractions of a percentage may be none that equal themselves.
        if again.encode() != printed {
            return Err(format!("{printed} came back as {}", again.encode()));
        }
        Ok(())
    }
}
