//! What a device has understood of a request, over all its connections.

use serde_json::Value;
use streamer_engine::store::{EntryBody, LogEntry, Outcome};

use crate::work::{Done, Row};

#[derive(Default)]
pub(crate) struct View {
    pub(crate) seq: u64,
    rows: Vec<Value>,
    percentage: f64,
    ended: Option<Value>,
}

impl View {
    /// Takes a frame of the request's log. Says what is wrong with it.
    pub(crate) fn take(
        &mut self,
        seq: u64,
        frame: &Value,
        owner: &str,
        replayed: bool,
    ) -> Result<(), String> {
        if seq <= self.seq {
            return Ok(()); // Read again.
        }
        self.seq = seq;
        if self.ended.is_some() && !replayed {
            return Err(format!("something after the end: {frame}"));
        }
        self.ended = None;
        let rows = self.rows.len() as u64;
        match frame["type"].as_str() {
            Some("chunk") if frame["index"] != rows => {
                Err(format!("a gap or a double after {rows} rows: {frame}"))
            }
            Some("chunk") => {
                self.rows.push(frame["data"].clone());
                row_is(&frame["data"], rows, owner)
            }
            Some("restart") => match frame["from_index"].as_u64() {
                Some(from) if from <= rows => {
                    self.rows.truncate(usize::try_from(from).expect("fits"));
                    Ok(())
                }
                _ => Err(format!("a restart beyond {rows} rows: {frame}")),
            },
            Some("progress") => {
                let percentage = frame["percentage"].as_f64().unwrap_or(-1.0);
                if percentage < self.percentage {
                    return Err(format!("the percentage fell from {}: {frame}", self.percentage));
                }
                self.percentage = percentage;
                Ok(())
            }
            Some("complete") => {
                self.ended = Some(frame.clone());
                let done: Option<Done> = serde_json::from_value(frame["result"].clone()).ok();
                match done {
                    Some(done) if done.owner == owner && (done.cut || done.rows == rows) => Ok(()),
                    _ => Err(format!("it is complete, with {rows} rows seen by {owner}: {frame}")),
                }
            }
            Some("error") => {
                self.ended = Some(frame.clone());
                Ok(())
            }
            _ => Err(format!("not of a log: {frame}")),
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Whether this is what the log of a request that has ended says.
    pub(crate) fn is(&self, log: &[LogEntry]) -> Result<(), String> {
        let rows: Vec<Value> = log.iter().filter_map(row).collect();
        if rows != self.rows {
            return Err(format!("the log has the rows {rows:?}, the device has {:?}", self.rows));
        }
        let end = log.last().filter(|entry| matches!(entry.body, EntryBody::Outcome(_)));
        let status = self.ended.as_ref().map(|frame| (&frame["seq"], &frame["type"]));
        match (end, status) {
            (
                Some(LogEntry { seq, body: EntryBody::Outcome(Outcome::Completed(_)), .. }),
                Some((seen, kind)),
            ) if seen == seq && kind == "complete" => Ok(()),
            (Some(LogEntry { seq, .. }), Some((seen, kind))) if seen == seq && kind == "error" => Ok(()),
            _ => Err(format!("the log ends with {end:?}, the device saw {status:?}")),
        }
    }
}

/// The row in an entry.
pub(crate) fn row(entry: &LogEntry) -> Option<Value> {
    match &entry.body {
        EntryBody::Chunk { data, .. } => data.get().ok(),
        _ => None,
    }
}

/// Whether a chunk holds what its handler must have made.
pub(crate) fn row_is(data: &Value, n: u64, owner: &str) -> Result<(), String> {
    let expected = Row { owner: owner.to_owned(), n };
    match serde_json::from_value::<Row>(data.clone()) {
        Ok(row) if row == expected => Ok(()),
        _ => Err(format!("row {n} of {owner} is {data}")),
    }
}
