//! What a document must hold because of a write that it has.

use streamer_events::{Document, Edit, Entry, Moment, Value, Write};

use super::{Differences, Kind};

/// Compares a live document with one write that was applied to it. Returns the paths at which it holds something else:
/// whether a later write explains that, one write cannot say.
pub(super) fn compare(write: &Write, document: &Document, differences: &mut Differences) -> Vec<String> {
    let (collection, id) = (&*write.collection, &*write.id);
    let mut unlike = Vec::new();
    for (at, edit) in write.edits.iter().enumerate() {
        let mut of_edit = Vec::new();
        match edit {
            Edit::Insert(fields) => {
                let lacking: Vec<_> =
                    fields.iter().map(|(name, _)| name).filter(|name| !document.contains(name)).collect();
                if !lacking.is_empty() {
                    let detail = format!("lacks {}", lacking.join(", "));
                    differences.add_absence(Kind::Incomplete, collection, id, detail);
                }
                for (name, wanted) in fields.iter() {
                    if let Some(held) = document.get(name) {
                        note_unlike(name, Some(held), Some(wanted), &mut of_edit);
                    }
                }
            }
            Edit::Set(path, wanted) => {
                note_unlike(path.as_str(), path.find(document), Some(wanted), &mut of_edit);
            }
            Edit::Unset(path) => note_unlike(path.as_str(), path.find(document), None, &mut of_edit),
            Edit::AddOnce(entry) if !has_entry(document, entry) => {
                let detail = format!("{} lacks an entry", entry.array);
                differences.add_absence(Kind::EntryMissing, collection, id, detail);
            }
            _ => {}
        }
        of_edit.retain(|path| !write.edits[at + 1..].iter().any(|later| reaches(later, path)));
        unlike.append(&mut of_edit);
    }
    unlike
}

/// Whether the edit may change what stands at the path. An insert does not: whatever else a document has came after it.
pub(super) fn reaches(edit: &Edit, path: &str) -> bool {
    let touches = |written: &str| is_within(written, path) || is_within(path, written);
    match edit {
        Edit::Insert(_) => false,
        Edit::Set(written, _) | Edit::Unset(written) | Edit::Increment(written, _) => {
            touches(written.as_str())
        }
        Edit::AddOnce(entry) | Edit::Remove(entry) => {
            touches(entry.array.as_str())
                || entry.counter.as_ref().is_some_and(|counter| touches(counter.as_str()))
        }
        Edit::Delete => true,
    }
}

/// Whether a path is the other, or leads into it.
fn is_within(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The places at which what is held is not what is wanted, as deep inside as can be said.
fn note_unlike(path: &str, held: Option<&Value>, wanted: Option<&Value>, unlike: &mut Vec<String>) {
    match (held, wanted) {
        (Some(Value::Document(held)), Some(Value::Document(wanted))) => {
            let unwanted = held.iter().map(|(name, _)| name).filter(|name| !wanted.contains(name));
            for name in wanted.iter().map(|(name, _)| name).chain(unwanted) {
                note_unlike(&format!("{path}.{name}"), held.get(name), wanted.get(name), unlike);
            }
        }
        (Some(held), Some(wanted)) if is_same(held, wanted) => {}
        (None, None) => {}
        _ => unlike.push(path.to_owned()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn unlike(write: &Write, document: &Document) -> Vec<String> {
        compare(write, document, &mut Differences::default())
    }

    #[test]
    fn what_is_unlike_is_named_as_deep_as_can_be_said() {
        let profile = Document::new().with("bio", "new").with("more", 1);
        let document = Document::new().with("email", "a").with("profile", profile.clone());
        let insert = Document::new().with("email", "a").with("profile", Document::new().with("bio", "old"));
        let paths = unlike(&Write::on("users", "u").insert(insert), &document);
        assert_eq!(paths, ["profile.bio", "profile.more"]);
        let set = Write::on("users", "u").set("profile", profile).set("email", "b").set("profile.age", 7);
        assert_eq!(unlike(&set, &document), ["email", "profile.age"]);
        assert_eq!(unlike(&Write::on("users", "u").unset("email").unset("gone"), &document), ["email"]);
        let twice = Write::on("users", "u").set("email", "b").set("email", "a");
        assert!(unlike(&twice, &document).is_empty(), "the first was overwritten by the second");
    }

    #[test]
    fn an_edit_reaches_what_is_above_and_below_it_and_nothing_beside() {
        let edits = Write::on("c", "d").set("a.b", 1).add_once("l", "k", Document::new()).counting("n").edits;
        for (path, reached) in [("a", 0), ("a.b", 0), ("a.b.c", 0), ("l", 1), ("n", 1)] {
            assert!(reaches(&edits[reached], path), "{path}");
        }
        assert!(!["a.bc", "ab", "l"].iter().any(|path| reaches(&edits[0], path)));
    }
}
