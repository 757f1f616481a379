//! What a client may rely on about one request, held against everything that it hears of it, over any number of
//! connections: nothing missing, nothing twice, nothing falling, one end.

use serde_json::{Value, json};

/// What was heard of a request.
#[derive(Debug)]
pub struct Heard {
    /// Its id.
    pub id: String,
    /// Whether the server promised to run it.
    pub acknowledged: bool,
    /// How often it began anew.
    pub restarts: u64,
    /// The data of the chunks that count, by index.
    pub chunks: Vec<Value>,
    /// The percentages that were shown.
    pub percentages: Vec<f64>,
    /// How it ended: a `response`, a `complete` or an `error`.
    pub end: Option<Value>,
    /// What to resume after.
    pub last_seq: u64,
}

impl Heard {
    /// Nothing yet.
    #[must_use]
    pub fn nothing_of(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            acknowledged: false,
            restarts: 0,
            chunks: Vec::new(),
            percentages: Vec::new(),
            end: None,
            last_seq: 0,
        }
    }

    /// Takes a message; those about other requests are left out.
    #[track_caller]
    pub fn take(&mut self, frame: &Value) {
        if frame["request_id"] != self.id.as_str() {
            return;
        }
        let kind = frame["type"].as_str().expect("a message has a type");
        if let Some(seq) = frame["seq"].as_u64() {
            assert!(seq > self.last_seq, "seq {seq} after {}: {frame}", self.last_seq);
            assert!(self.end.is_none(), "{frame} after the end {:?}", self.end);
            self.last_seq = seq;
        }
        match kind {
            "acknowledgment" => self.acknowledged = true,
            "progress" => {
                let percentage = frame["percentage"].as_f64().expect("a percentage");
                let before = self.percentages.last().copied().unwrap_or(0.0);
                assert!((before..=100.0).contains(&percentage), "{percentage} % after {before} %: {frame}");
                self.percentages.push(percentage);
            }
            "chunk" => {
                let due = self.chunks.len();
                assert_eq!(frame["index"], json!(due), "a gap or a double: {frame}");
                self.chunks.push(frame["data"].clone());
            }
            "restart" => {
                self.restarts += 1;
                let from = usize::try_from(frame["from_index"].as_u64().expect("an index")).expect("small");
                assert!(from <= self.chunks.len(), "chunks up to {from} never came: {frame}");
                self.chunks.truncate(from);
            }
            "complete" | "response" => self.end(frame),
            "error" if frame["error"]["retry"]["attempt"].is_null() || frame["seq"].is_number() => {
                self.end(frame);
            }
            "error" => {}
            other => panic!("a {other} is not about a request: {frame}"),
        }
    }

    #[track_caller]
    fn end(&mut self, frame: &Value) {
        assert!(self.end.is_none(), "a second end: {frame} after {:?}", self.end);
        self.end = Some(frame.clone());
    }

    /// The result; it must have ended well.
    #[must_use]
    #[track_caller]
    pub fn result(&self) -> &Value {
        let end = self.end.as_ref().unwrap_or_else(|| panic!("{} has not ended", self.id));
        match end["type"].as_str() {
            Some("complete") => &end["result"],
            Some("response") => &end["data"],
            _ => panic!("{} ended badly: {end}", self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(frames: &[Value]) -> Heard {
        let mut heard = Heard::nothing_of("r");
        frames.iter().for_each(|frame| heard.take(frame));
        heard
    }

    fn chunk(seq: u64, index: u64) -> Value {
        json!({ "type": "chunk", "request_id": "r", "seq": seq, "index": index, "data": index })
    }

    #[test]
    fn a_restart_makes_chunks_void() {
        let restart = json!({ "type": "restart", "request_id": "r", "seq": 3, "from_index": 1 });
        let heard = heard(&[chunk(1, 0), chunk(2, 1), restart, chunk(4, 1)]);
        assert_eq!((heard.chunks.len(), heard.restarts, heard.last_seq), (2, 1, 4));
    }

    #[test]
    #[should_panic(expected = "a gap or a double")]
    fn a_gap_is_seen() {
        heard(&[chunk(1, 0), chunk(2, 2)]);
    }

    #[test]
    #[should_panic(expected = "seq 1 after 1")]
    fn a_double_is_seen() {
        heard(&[chunk(1, 0), chunk(1, 0)]);
    }

    #[test]
    #[should_panic(expected = "40 % after 50 %")]
    fn a_falling_percentage_is_seen() {
        let progress = |seq: u64, at: f64| json!({ "type": "progress", "request_id": "r", "seq": seq, "percentage": at });
        heard(&[progress(1, 50.0), progress(2, 40.0)]);
    }

    #[test]
    #[should_panic(expected = "after the end")]
    fn a_second_end_is_seen() {
        let complete = |seq: u64| json!({ "type": "complete", "request_id": "r", "seq": seq, "result": 1 });
        heard(&[complete(1), complete(2)]);
    }
}
