//! The promises of a request's log, held against what comes: nothing missing, nothing twice, nothing falling.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    file::{Follow, Progressed},
    pattern,
};

/// A log that is being followed.
#[derive(Debug)]
pub(crate) struct Following<'a> {
    wanted: &'a Follow,
    last_seq: u64,
    next_index: Option<u64>,
    percentage: f64,
    saw: BTreeMap<String, u64>,
}

impl<'a> Following<'a> {
    pub(crate) fn new(wanted: &'a Follow) -> Result<Self, String> {
        let number = |value: &Value, name: &str| match value {
            Value::Null => Ok(0),
            value => value.as_u64().ok_or_else(|| format!("{name} is no number: {value}")),
        };
        let last_seq = number(&wanted.after_seq, "after_seq")?;
        let next_index = Some(number(&wanted.from_index, "from_index")?);
        Ok(Self { wanted, last_seq, next_index, percentage: 0.0, saw: BTreeMap::new() })
    }

    /// Takes a frame. True once it is the one to stop at.
    pub(crate) fn take(&mut self, frame: &Value) -> Result<bool, String> {
        if frame["request_id"] != self.wanted.request_id.as_str() {
            return Ok(false);
        }
        let kind = frame["type"].as_str().unwrap_or_default();
        *self.saw.entry(kind.to_owned()).or_default() += 1;
        if let Some(seq) = frame["seq"].as_u64() {
            if seq <= self.last_seq {
                return Err(format!("seq {seq} after {}: {frame}", self.last_seq));
            }
            self.last_seq = seq;
        }
        match kind {
            "progress" => {
                let percentage = frame["percentage"].as_f64().unwrap_or(-1.0);
                if percentage < self.percentage || percentage > 100.0 {
                    return Err(format!("{percentage} % after {} %", self.percentage));
                }
                self.percentage = percentage;
            }
            "chunk" => {
                let index = frame["index"].as_u64().ok_or("a chunk without an index")?;
                if let Some(expected) = self.next_index
                    && index != expected
                {
                    return Err(format!("chunk {index} where {expected} was due"));
                }
                self.next_index = Some(index + 1);
            }
            "restart" => self.next_index = frame["from_index"].as_u64(),
            _ => {}
        }
        if pattern::matches(&self.wanted.until, frame).is_ok() {
            return self.finished().map(|()| true);
        }
        // An error with neither ends a request that was refused; one that counts attempts tells of the next.
        let repeated = frame["seq"].is_null() && frame["error"]["retry"]["attempt"].is_number();
        let ended = kind == "complete" || kind == "response" || (kind == "error" && !repeated);
        if ended { Err(format!("it ended otherwise: {frame}")) } else { Ok(false) }
    }

    /// What the file wants to keep.
    pub(crate) fn saved(&self) -> impl Iterator<Item = (&str, Value)> {
        self.wanted.save.iter().map(|(name, what)| {
            let value = match what {
                Progressed::LastSeq => self.last_seq.into(),
                Progressed::NextIndex => self.next_index.into(),
            };
            (name.as_str(), value)
        })
    }

    fn finished(&self) -> Result<(), String> {
        self.wanted.saw.iter().try_for_each(|(kind, count)| {
            let saw = self.saw.get(kind).copied().unwrap_or(0);
            pattern::matches(count, &saw.into()).map_err(|e| format!("frames of type {kind}: {e}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The first complaint about these frames, or whether the end was reached.
    fn follow(wanted: Value, frames: &[Value]) -> Result<bool, String> {
        let wanted: Follow = serde_json::from_value(wanted).expect("valid");
        let mut following = Following::new(&wanted)?;
        for frame in frames {
            if following.take(frame)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn chunk(seq: u64, index: u64) -> Value {
        json!({ "type": "chunk", "request_id": "r", "seq": seq, "index": index })
    }

    fn progress(seq: u64, percentage: f64) -> Value {
        json!({ "type": "progress", "request_id": "r", "seq": seq, "percentage": percentage })
    }

    fn complete(seq: u64) -> Value {
        json!({ "type": "complete", "request_id": "r", "seq": seq })
    }

    #[test]
    fn a_good_log_passes_to_its_end() {
        let wanted = json!({ "request_id": "r", "until": { "type": "complete" }, "saw": { "chunk": 2, "restart": 0 } });
        let other = json!({ "type": "error", "request_id": "other", "seq": 1 });
        let attempt = json!({ "type": "error", "request_id": "r", "error": { "retry": { "attempt": 1 } } });
        let frames = [chunk(1, 0), other, progress(3, 50.0), attempt, chunk(4, 1), complete(9)];
        assert_eq!(follow(wanted, &frames), Ok(true));
    }

    #[test]
    fn each_broken_promise_is_told() {
        let wanted = || json!({ "request_id": "r", "until": { "type": "complete" }, "saw": { "chunk": 1 } });
        let broken = [
            vec![chunk(1, 0), chunk(2, 2)],
            vec![chunk(1, 1)],
            vec![chunk(2, 0), progress(2, 1.0)],
            vec![progress(1, 50.0), progress(2, 49.0)],
            vec![progress(1, 101.0)],
            vec![complete(1)],
            vec![json!({ "type": "error", "request_id": "r", "seq": 1 })],
            vec![json!({ "type": "error", "request_id": "r", "error": { "code": "NOT_FOUND" } })],
        ];
        for frames in broken {
            assert!(follow(wanted(), &frames).is_err(), "{frames:?}");
        }
    }

    #[test]
    fn a_restart_sets_the_index_back() {
        let wanted = json!({ "request_id": "r", "until": { "type": "complete" } });
        let restart = json!({ "type": "restart", "request_id": "r", "seq": 3, "from_index": 1 });
        assert_eq!(follow(wanted, &[chunk(1, 0), chunk(2, 1), restart, chunk(4, 1), complete(5)]), Ok(true));
    }

    #[test]
    fn a_resumed_log_begins_where_it_was_left() {
        let wanted =
            || json!({ "request_id": "r", "until": { "type": "complete" }, "after_seq": 5, "from_index": 3 });
        assert_eq!(follow(wanted(), &[chunk(6, 3), complete(7)]), Ok(true));
        assert!(follow(wanted(), &[chunk(5, 3)]).is_err());
        assert!(follow(wanted(), &[chunk(6, 4)]).is_err());
    }
}
