//! What writes mean. This function is the whole semantics: every sink does what it does, by it or as it does.
//!
//! Three fields of a document are its own: `pos` holds, per partition, the last offset applied to it; `_pending` the
//! writes that came before its insert; `_deleted` says that it was removed. A document that only waits has no other
//! fields, nor has one that was removed.

mod edit;
mod pending;

use std::fmt;

use crate::{
    batch::{Author, Group, Placed},
    path::Path,
    position::{Offset, Partition, Position},
    value::{Document, Value},
    write::{Edit, Missing},
};

/// The field with the document's key.
pub const ID: &str = "_id";
/// The field with the last offset applied, per partition.
pub const POSITIONS: &str = "pos";
/// The field with the writes that wait for the document's insert.
pub const PENDING: &str = "_pending";
/// The field that a removed document keeps beside its positions.
pub const DELETED: &str = "_deleted";

/// At most so many writes wait for one insert.
pub const PENDING_MAX: usize = 1000;

/// What becomes of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Applied {
    /// The whole group was applied before.
    Known,
    /// The document is to be stored so.
    Document(Document),
    /// Some of it cannot be applied; nothing of it is, until these are left out.
    Refused(Vec<Refused>),
}

/// A write that cannot be applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// Whose write.
    pub author: Author,
    /// Why.
    pub refusal: Refusal,
}

/// Why a write cannot be applied to its document. Trying again does not help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The insert of a document that is there.
    Exists,
    /// The path goes on below something that is no document.
    NotADocument(Path),
    /// The path leads to something that is no list.
    NotAList(Path),
    /// The path leads to something that is no number.
    NotANumber(Path),
    /// The sum is beyond what a number holds.
    Overflow(Path),
    /// A field that only the pipeline writes.
    Reserved(String),
    /// Too many writes wait for the document's insert.
    TooManyWaiting,
    /// A write that waited cannot be read.
    Unreadable,
    /// The document would be larger than the database takes.
    TooLarge,
    /// Another document has the same value where an index wants it once.
    Duplicate(String),
    /// The database does not take it.
    Invalid(String),
    /// It cannot be told to anybody.
    Unpublishable(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists => f.write_str("the document exists"),
            Self::NotADocument(path) => write!(f, "{path}: stands below something that is no document"),
            Self::NotAList(path) => write!(f, "{path}: is not a list"),
            Self::NotANumber(path) => write!(f, "{path}: is not a number"),
            Self::Overflow(path) => write!(f, "{path}: the sum is too large"),
            Self::Reserved(field) => write!(f, "{field}: is written by the pipeline alone"),
            Self::TooManyWaiting => {
                write!(f, "more than {PENDING_MAX} writes wait for the document's insert")
            }
            Self::Unreadable => f.write_str("a write that waited cannot be read"),
            Self::TooLarge => f.write_str("the document would be larger than the database takes"),
            Self::Duplicate(index) => write!(f, "another document has the same value in index {index}"),
            Self::Invalid(why) => write!(f, "the database does not take it: {why}"),
            Self::Unpublishable(why) => write!(f, "cannot be published: {why}"),
        }
    }
}

/// The last offset of the partition that was applied to the document.
#[must_use]
pub fn reached(stored: &Document, partition: &Partition) -> Option<Offset> {
    stored.get(POSITIONS)?.as_document()?.get(partition.as_str())?.as_text()?.parse().ok()
}

/// Whether the document has the write already: at its offset, or at another where its event stood before.
fn has(stored: Option<&Document>, reached: Option<Offset>, write: &Placed) -> bool {
    let covers =
        |at: &Position| stored.is_some_and(|stored| self::reached(stored, &at.partition) >= Some(at.offset));
    Some(write.offset) <= reached || write.known_at.iter().any(covers)
}

/// How many writes wait for the document's insert.
#[must_use]
pub fn waiting(stored: &Document) -> usize {
    stored.get(PENDING).and_then(Value::as_list).map_or(0, <[Value]>::len)
}

/// Applies to the stored document what of the group is above its position, in order, and sets the position to the
/// group's last. Applying a group twice, or another that overlaps it, is applying it once.
#[must_use]
pub fn apply(stored: Option<Document>, group: &Group) -> Applied {
    let reached = stored.as_ref().and_then(|document| reached(document, &group.partition));
    if reached >= Some(group.last()) {
        return Applied::Known;
    }
    let due = group.writes.iter().filter(|write| !has(stored.as_ref(), reached, write));
    let due: Vec<_> = due.filter(|write| !group.void.contains(&write.author)).collect();
    if due.is_empty() && stored.is_none() {
        // All of it is in the dead letters: there is no document to make.
        return Applied::Known;
    }
    let mut subject = Subject::of(stored, group);
    let mut refused = Vec::new();
    for write in due {
        subject.write(write, &mut refused);
    }
    match refused.is_empty() {
        true => Applied::Document(subject.stored(group)),
        false => Applied::Refused(refused),
    }
}

/// A document on its way through a group.
struct Subject<'a> {
    group: &'a Group,
    /// As it is stored, without its key and positions.
    body: Document,
    positions: Document,
    state: State,
    /// What waited for the document, once it is made.
    waiting: Vec<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not there, or there only as writes that wait.
    Absent,
    Live,
    Deleted,
}

impl<'a> Subject<'a> {
    fn of(stored: Option<Document>, group: &'a Group) -> Self {
        let Some(mut body) = stored else {
            let (body, positions) = (Document::new(), Document::new());
            return Self { group, body, positions, state: State::Absent, waiting: Vec::new() };
        };
        body.remove(ID);
        let positions = match body.remove(POSITIONS) {
            Some(Value::Document(positions)) => positions,
            _ => Document::new(),
        };
        let state = match () {
            () if body.contains(DELETED) => State::Deleted,
            () if body.contains(PENDING) => State::Absent,
            () => State::Live,
        };
        Self { group, body, positions, state, waiting: Vec::new() }
    }

    fn stored(mut self, group: &Group) -> Document {
        self.positions.set(group.partition.as_str(), group.last().to_string());
        let id = (ID.to_owned(), Value::from(&*group.id));
        let positions = (POSITIONS.to_owned(), Value::Document(self.positions));
        // The body has neither of the two.
        Document::of_unique(std::iter::once(id).chain(self.body).chain([positions]))
    }

    fn write(&mut self, write: &Placed, refused: &mut Vec<Refused>) {
        match self.try_write(write) {
            Ok(()) => self.catch_up(refused),
            Err(refusal) => refused.push(Refused { author: write.author.clone(), refusal }),
        }
    }

    fn try_write(&mut self, write: &Placed) -> Result<(), Refusal> {
        let begins = matches!(write.edits.first(), Some(Edit::Insert(_) | Edit::Delete));
        match (self.state, write.missing) {
            _ if begins => {}
            (State::Live, _) | (State::Absent | State::Deleted, Missing::Create) => {}
            (State::Absent, Missing::Wait) => return self.wait(write),
            // It is gone: there is nothing to edit.
            (State::Deleted, Missing::Wait) => return Ok(()),
        }
        self.edit(&write.edits, !begins)
    }

    /// All of the edits, or none.
    fn edit(&mut self, edits: &[Edit], makes: bool) -> Result<(), Refusal> {
        let makes = makes && self.state != State::Live;
        // A single edit of what is there checks before it changes anything.
        let before = (makes || edits.len() > 1).then(|| (self.body.clone(), self.state));
        if makes {
            self.begin(Document::new());
        }
        let done = edits.iter().try_for_each(|edit| self.edit_one(edit));
        if let (Err(_), Some((body, state))) = (&done, before) {
            (self.body, self.state) = (body, state);
            self.waiting.clear();
        }
        done
    }

    fn edit_one(&mut self, edit: &Edit) -> Result<(), Refusal> {
        match edit {
            Edit::Insert(_) if self.state == State::Live => Err(Refusal::Exists),
            Edit::Insert(fields) => {
                edit::unreserved(fields)?;
                self.begin(fields.clone());
                Ok(())
            }
            Edit::Delete => {
                self.body = Document::new().with(DELETED, true);
                self.state = State::Deleted;
                self.waiting.clear();
                Ok(())
            }
            // After a delete in the same write.
            _ if self.state == State::Deleted => Ok(()),
            edit => edit::edit(&mut self.body, edit),
        }
    }

    /// Makes the document; what waited for it is due now.
    fn begin(&mut self, mut fields: Document) {
        fields.remove(ID);
        let before = std::mem::replace(&mut self.body, fields);
        self.state = State::Live;
        self.waiting = pending::taken(before);
    }

    /// Applies what waited, if the document was made.
    fn catch_up(&mut self, refused: &mut Vec<Refused>) {
        for waited in std::mem::take(&mut self.waiting) {
            let (author, edits) = pending::read(waited);
            if self.group.void.contains(&author) {
                continue;
            }
            if let Err(refusal) = edits.and_then(|edits| self.edit(&edits, false)) {
                refused.push(Refused { author, refusal });
            }
        }
    }

    /// Lays the write by until the insert comes.
    fn wait(&mut self, write: &Placed) -> Result<(), Refusal> {
        // What can never be applied does not wait.
        write.edits.iter().try_for_each(edit::check_reserved)?;
        pending::add(&mut self.body, pending::written(write, &self.group.partition))
    }
}

#[cfg(test)]
mod tests;
