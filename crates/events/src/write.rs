//! What a handler wants written, as data.

use std::sync::Arc;

use crate::{
    path::Path,
    value::{Document, Value},
};

/// Edits of one document, all or none.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// Where the document is kept.
    pub collection: Arc<str>,
    /// Its `_id`.
    pub id: Arc<str>,
    /// What becomes of the edits if there is no such document.
    pub missing: Missing,
    /// In their order.
    pub edits: Vec<Edit>,
}

/// What becomes of edits to a document that is not there. An insert makes it, whatever this says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// They wait for its insert, and are done then.
    Wait,
    /// They make it, empty.
    Create,
}

/// One edit of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Makes the document; refused if it is there.
    Insert(Document),
    /// Puts a value.
    Set(Path, Value),
    /// Takes a value out.
    Unset(Path),
    /// Adds to a number, 0 where there is none.
    Increment(Path, Number),
    /// Adds an entry to a list, unless there is one like it.
    AddOnce(Entry),
    /// Takes the entry like it out of a list.
    Remove(Entry),
    /// Removes the document. It leaves its positions behind, so that nothing is applied to it again.
    Delete,
}

/// What is added to a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number.
    Int(i64),
    /// Any other.
    Float(f64),
}

/// An entry of a list, and what makes it the same as another.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where the list stands.
    pub array: Path,
    /// The field that two entries have in common if they are the same; without it, whole values are compared.
    pub key: Option<String>,
    /// The entry; to remove it, a document with the key is enough.
    pub value: Value,
    /// Where the entries are counted, if they are.
    pub counter: Option<Path>,
}

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl Write {
    /// Begins the edits of a document.
    pub fn on(collection: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        Self { collection: collection.into(), id: id.into(), missing: Missing::Wait, edits: Vec::new() }
    }

    /// Makes the document if it is not there, rather than waiting for its insert.
    #[must_use]
    pub fn creating(mut self) -> Self {
        self.missing = Missing::Create;
        self
    }

    /// Makes the document with these fields (and its `_id`).
    #[must_use]
    pub fn insert(self, document: Document) -> Self {
        self.edit(Edit::Insert(document))
    }

    /// Puts a value.
    #[must_use]
    pub fn set(self, path: impl Into<Path>, value: impl Into<Value>) -> Self {
        self.edit(Edit::Set(path.into(), value.into()))
    }

    /// Takes a value out.
    #[must_use]
    pub fn unset(self, path: impl Into<Path>) -> Self {
        self.edit(Edit::Unset(path.into()))
    }

    /// Adds to a number.
    #[must_use]
    pub fn increment(self, path: impl Into<Path>, by: impl Into<Number>) -> Self {
        self.edit(Edit::Increment(path.into(), by.into()))
    }

    /// Adds an entry to the list, unless one has the same in its field `key`.
    #[must_use]
    pub fn add_once(self, array: impl Into<Path>, key: &str, entry: Document) -> Self {
        self.edit(Edit::AddOnce(Entry::of(array, key, entry)))
    }

    /// Takes out of the list the entry that has the same as `entry` in its field `key`.
    #[must_use]
    pub fn remove(self, array: impl Into<Path>, key: &str, entry: Document) -> Self {
        self.edit(Edit::Remove(Entry::of(array, key, entry)))
    }

    /// Counts, in `counter`, the entries that the last [`add_once`](Self::add_once) or [`remove`](Self::remove)
    /// adds or removes.
    #[must_use]
    pub fn counting(mut self, counter: impl Into<Path>) -> Self {
        if let Some(Edit::AddOnce(entry) | Edit::Remove(entry)) = self.edits.last_mut() {
            entry.counter = Some(counter.into());
        }
        self
    }

    /// Removes the document.
    #[must_use]
    pub fn delete(self) -> Self {
        self.edit(Edit::Delete)
    }

    fn edit(mut self, edit: Edit) -> Self {
        self.edits.push(edit);
        self
    }

    /// Roughly how many bytes it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        const FIXED: usize = 100;
        let edit = |edit: &Edit| match edit {
            Edit::Insert(document) => document.weight(),
            Edit::Set(_, value) => value.weight(),
            Edit::AddOnce(entry) | Edit::Remove(entry) => entry.value.weight(),
            Edit::Unset(_) | Edit::Increment(..) | Edit::Delete => 0,
        };
        FIXED + self.edits.iter().map(|e| edit(e) + 50).sum::<usize>()
    }
}

impl Entry {
    fn of(array: impl Into<Path>, key: &str, entry: Document) -> Self {
        Self { array: array.into(), key: Some(key.to_owned()), value: entry.into(), counter: None }
    }

    /// Whether `other` is the same entry.
    pub(crate) fn is_like(&self, other: &Value) -> bool {
        match &self.key {
            None => *other == self.value,
            Some(key) => {
                let of = |value: &Value| value.as_document().and_then(|document| document.get(key).cloned());
                of(&self.value).is_some_and(|wanted| of(other) == Some(wanted))
            }
        }
    }
}
