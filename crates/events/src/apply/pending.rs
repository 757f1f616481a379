//! Writes that wait with the document, as a field of it.

use super::{PENDING, PENDING_MAX, Refusal};
use crate::{
    batch::{Author, Placed},
    event::EventId,
    path::Path,
    position::Partition,
    value::{Document, Value},
    write::{Edit, Entry, Number},
};

/// Lays a write by.
pub(super) fn add(body: &mut Document, written: Value) -> Result<(), Refusal> {
    match body.get_mut(PENDING) {
        Some(Value::List(waiting)) if waiting.len() >= PENDING_MAX => Err(Refusal::TooManyWaiting),
        Some(Value::List(waiting)) => {
            waiting.push(written);
            Ok(())
        }
        _ => {
            body.set(PENDING, vec![written]);
            Ok(())
        }
    }
}

/// What waited in a document that is made now.
pub(super) fn taken(mut body: Document) -> Vec<Value> {
    match body.remove(PENDING) {
        Some(Value::List(waiting)) => waiting,
        _ => Vec::new(),
    }
}

/// A write as it waits.
pub(super) fn written(write: &Placed, partition: &Partition) -> Value {
    let edits: Vec<Value> = write.edits.iter().map(edit_written).collect();
    Document::new()
        .with("event", write.author.event.as_str())
        .with("handler", &*write.author.handler)
        .with("from", partition.as_str())
        .with("offset", write.offset.to_string())
        .with("edits", edits)
        .into()
}

fn edit_written(edit: &Edit) -> Value {
    let of = |op: &str| Document::new().with("op", op);
    let at = |op: &str, path: &Path| of(op).with("path", path.as_str());
    let entry = |op: &str, entry: &Entry| {
        at(op, &entry.array)
            .with("key", entry.key.clone())
            .with("value", entry.value.clone())
            .with("counter", entry.counter.as_ref().map(Path::as_str))
    };
    let written = match edit {
        Edit::Insert(fields) => of("insert").with("value", fields.clone()),
        Edit::Set(path, value) => at("set", path).with("value", value.clone()),
        Edit::Unset(path) => at("unset", path),
        Edit::Increment(path, Number::Int(by)) => at("increment", path).with("value", *by),
        Edit::Increment(path, Number::Float(by)) => at("increment", path).with("value", *by),
        Edit::AddOnce(added) => entry("add_once", added),
        Edit::Remove(removed) => entry("remove", removed),
        Edit::Delete => of("delete"),
    };
    written.into()
}

/// What waited, read again.
pub(super) fn read(waited: Value) -> (Author, Result<Vec<Edit>, Refusal>) {
    let Value::Document(mut waited) = waited else {
        return (author(&Document::new()), Err(Refusal::Unreadable));
    };
    let edits = match waited.remove("edits") {
        Some(Value::List(edits)) => edits.into_iter().map(edit_read).collect::<Option<_>>(),
        _ => None,
    };
    (author(&waited), edits.ok_or(Refusal::Unreadable))
}

fn author(waited: &Document) -> Author {
    let text = |name: &str| waited.get(name).and_then(Value::as_text).unwrap_or("unknown");
    Author { event: EventId::new(text("event")), handler: text("handler").into() }
}

fn edit_read(edit: Value) -> Option<Edit> {
    let Value::Document(mut edit) = edit else { return None };
    let path = |edit: &Document, name: &str| edit.get(name)?.as_text()?.parse::<Path>().ok();
    let op = edit.get("op")?.as_text()?.to_owned();
    Some(match op.as_str() {
        "insert" => match edit.remove("value")? {
            Value::Document(fields) => Edit::Insert(fields),
            _ => return None,
        },
        "set" => Edit::Set(path(&edit, "path")?, edit.remove("value")?),
        "unset" => Edit::Unset(path(&edit, "path")?),
        "increment" => match edit.get("value")? {
            Value::Int(by) => Edit::Increment(path(&edit, "path")?, Number::Int(*by)),
            Value::Float(by) => Edit::Increment(path(&edit, "path")?, Number::Float(*by)),
            _ => return None,
        },
        "add_once" | "remove" => {
            let entry = Entry {
                array: path(&edit, "path")?,
                key: edit.get("key").and_then(Value::as_text).map(ToOwned::to_owned),
                counter: path(&edit, "counter"),
                value: edit.remove("value")?,
            };
            if op == "remove" { Edit::Remove(entry) } else { Edit::AddOnce(entry) }
        }
        "delete" => Edit::Delete,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{testing::given, write::Write};

    #[test]
    fn every_edit_comes_back() {
        let entry = || Document::new().with("user_id", "u").with("at", given::moment(5));
        let write = Write::on("c", "d")
            .insert(Document::new().with("a", 1))
            .set("a.b", "text")
            .set("n", Value::Null)
            .unset("a")
            .increment("i", 2)
            .increment("f", 0.5)
            .add_once("list", "user_id", entry())
            .counting("count")
            .remove("list", "user_id", entry())
            .delete();
        let placed = given::placed(3, "h", write);
        let (author, edits) = read(written(&placed, &given::partition(0)));
        assert_eq!(author, placed.author);
        assert_eq!(edits, Ok(placed.edits));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for bad in [
            Value::Null,
            Document::new().into(),
            Document::new().with("edits", vec![Value::Null]).into(),
            Document::new().with("edits", vec![Document::new().with("op", "fly").into()]).into(),
        ] {
            assert_eq!(read(bad).1, Err(Refusal::Unreadable));
        }
    }
}
