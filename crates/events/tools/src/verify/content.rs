//! What a document must hold because of a write that it has.

use streamer_events::{
    Document, Edit, Entry, Moment, Position, Value, Write,
    apply::{POSITIONS, reached},
};

use super::{Differences, Kind};

/// Compares a live document with one write that was applied to it. `positions` are where the write's event stood.
pub(super) fn compare(
    write: &Write,
    document: &Document,
    positions: &[Position],
    differences: &mut Differences,
) {
    let (collection, id) = (&*write.collection, &*write.id);
    for edit in &write.edits {
        match edit {
            Edit::Insert(fields) => {
                let lacking: Vec<_> =
                    fields.iter().map(|(name, _)| name).filter(|name| !document.contains(name)).collect();
                if !lacking.is_empty() {
                    let detail = format!("lacks {}", lacking.join(", "));
                    differences.add_absence(Kind::Incomplete, collection, id, detail);
                } else if write.edits.len() == 1 && is_all_there_was(document, positions) {
                    let altered: Vec<_> = fields
                        .iter()
                        .filter(|(name, value)| !document.get(name).is_some_and(|held| is_same(held, value)))
                        .map(|(name, _)| name)
                        .collect();
                    if !altered.is_empty() {
                        // What it holds instead stays out: reports are shown to many.
                        let detail = format!("holds something else in {}", altered.join(", "));
                        differences.add(Kind::Altered, format!("{collection}/{id}"), detail);
                    }
                }
            }
            Edit::AddOnce(entry) if !has_entry(document, entry) => {
                let detail = format!("{} lacks an entry", entry.array);
                differences.add_absence(Kind::EntryMissing, collection, id, detail);
            }
            _ => {}
        }
    }
}

/// Whether nothing but the event at these positions was ever applied to the document: its one position is the event's,
/// and it says itself that it was not updated (a write that waited for it would be below its position too).
fn is_all_there_was(document: &Document, positions: &[Position]) -> bool {
    let marks = document.get(POSITIONS).and_then(Value::as_document).map_or(0, Document::len);
    let is_last = positions.iter().any(|at| reached(document, &at.partition) == Some(at.offset));
    let metadata = document.get("metadata").and_then(Value::as_document);
    let moment = |name: &str| metadata.and_then(|metadata| metadata.get(name));
    marks == 1
        && is_last
        && moment("created_at").is_some()
        && moment("created_at").zip(moment("updated_at")).is_none_or(|(made, changed)| is_same(made, changed))
}

/// Equal, as far as MongoDB keeps it: fields in any order, dates to the millisecond.
fn is_same(held: &Value, wanted: &Value) -> bool {
    let millis = |moment: &Moment| moment.as_millis();
    match (held, wanted) {
        (Value::Date(held), Value::Date(wanted)) => millis(held) == millis(wanted),
        (Value::Int(held), Value::Float(wanted)) | (Value::Float(wanted), Value::Int(held)) => {
            *held as f64 == *wanted
        }
        (Value::List(held), Value::List(wanted)) => {
            held.len() == wanted.len() && held.iter().zip(wanted).all(|(held, wanted)| is_same(held, wanted))
        }
        (Value::Document(held), Value::Document(wanted)) => {
            held.len() == wanted.len()
                && wanted.iter().all(|(name, value)| held.get(name).is_some_and(|held| is_same(held, value)))
        }
        (held, wanted) => held == wanted,
    }
}

fn has_entry(document: &Document, entry: &Entry) -> bool {
    let Some(key) = &entry.key else { return true };
    let key_of = |value: &'_ Value| value.as_document().and_then(|entry| entry.get(key)).cloned();
    let wanted = key_of(&entry.value);
    let entries = entry.array.find(document).and_then(Value::as_list).unwrap_or_default();
    entries.iter().any(|held| key_of(held) == wanted)
}
