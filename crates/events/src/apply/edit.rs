//! One edit of a document that is there. Each checks before it changes anything.

use super::{DELETED, ID, PENDING, POSITIONS, Refusal};
use crate::{
    path::Path,
    value::{Document, Value},
    write::{Edit, Entry, Number},
};

/// Does the edit. Inserts and deletes are the document's own affair and not done here.
pub(super) fn edit(document: &mut Document, edit: &Edit) -> Result<(), Refusal> {
    check_reserved(edit)?;
    match edit {
        Edit::Insert(_) | Edit::Delete => Ok(()),
        Edit::Set(path, value) => {
            *place(document, path)? = value.clone();
            Ok(())
        }
        Edit::Unset(path) => {
            path.remove(document);
            Ok(())
        }
        Edit::Increment(path, by) => increment(document, path, *by),
        Edit::AddOnce(entry) => add_once(document, entry),
        Edit::Remove(entry) => remove(document, entry),
    }
}

/// Whether the fields of a new document are its handler's to write. An `_id` is its own and ignored.
pub(super) fn unreserved(fields: &Document) -> Result<(), Refusal> {
    match fields.iter().map(|(name, _)| name).find(|name| *name != ID && is_reserved(name)) {
        None => Ok(()),
        Some(name) => Err(Refusal::Reserved(name.to_owned())),
    }
}

/// Whether the edit is of fields that are its handler's to write.
pub(super) fn check_reserved(edit: &Edit) -> Result<(), Refusal> {
    let of = |path: &Path| match is_reserved(path.root()) {
        false => Ok(()),
        true => Err(Refusal::Reserved(path.root().to_owned())),
    };
    match edit {
        Edit::Insert(fields) => unreserved(fields),
        Edit::Delete => Ok(()),
        Edit::Set(path, _) | Edit::Unset(path) | Edit::Increment(path, _) => of(path),
        Edit::AddOnce(entry) | Edit::Remove(entry) => {
            of(&entry.array)?;
            entry.counter.as_ref().map_or(Ok(()), of)
        }
    }
}

fn is_reserved(field: &str) -> bool {
    matches!(field, ID | POSITIONS | PENDING | DELETED)
}

fn place<'a>(document: &'a mut Document, path: &Path) -> Result<&'a mut Value, Refusal> {
    path.place(document).map_err(|_| Refusal::NotADocument(path.clone()))
}

fn increment(document: &mut Document, path: &Path, by: Number) -> Result<(), Refusal> {
    let sum = sum(path.find(document), path, by)?;
    *place(document, path)? = sum;
    Ok(())
}

fn sum(value: Option<&Value>, path: &Path, by: Number) -> Result<Value, Refusal> {
    Ok(match (value, by) {
        (None | Some(Value::Null), Number::Int(by)) => Value::Int(by),
        (None | Some(Value::Null), Number::Float(by)) => Value::Float(by),
        (Some(Value::Int(number)), Number::Int(by)) => {
            Value::Int(number.checked_add(by).ok_or_else(|| Refusal::Overflow(path.clone()))?)
        }
        (Some(Value::Int(number)), Number::Float(by)) => Value::Float(*number as f64 + by),
        (Some(Value::Float(number)), Number::Int(by)) => Value::Float(number + by as f64),
        (Some(Value::Float(number)), Number::Float(by)) => Value::Float(number + by),
        (Some(_), _) => return Err(Refusal::NotANumber(path.clone())),
    })
}

fn items<'a>(document: &'a Document, path: &Path) -> Result<&'a [Value], Refusal> {
    path.check(document).map_err(|_| Refusal::NotADocument(path.clone()))?;
    match path.find(document) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::List(items)) => Ok(items),
        Some(_) => Err(Refusal::NotAList(path.clone())),
    }
}

fn count(document: &mut Document, counter: Option<&Path>, by: i64) -> Result<(), Refusal> {
    counter.map_or(Ok(()), |counter| increment(document, counter, Number::Int(by)))
}

fn add_once(document: &mut Document, entry: &Entry) -> Result<(), Refusal> {
    if items(document, &entry.array)?.iter().any(|item| entry.is_like(item)) {
        return Ok(());
    }
    count(document, entry.counter.as_ref(), 1)?;
    let place = place(document, &entry.array)?;
    match place {
        Value::List(items) => items.push(entry.value.clone()),
        _ => *place = Value::List(vec![entry.value.clone()]),
    }
    Ok(())
}

fn remove(document: &mut Document, entry: &Entry) -> Result<(), Refusal> {
    let Some(at) = items(document, &entry.array)?.iter().position(|item| entry.is_like(item)) else {
        return Ok(());
    };
    count(document, entry.counter.as_ref(), -1)?;
    if let Value::List(items) = place(document, &entry.array)? {
        items.remove(at);
    }
    Ok(())
}
