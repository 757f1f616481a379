//! What is not as it should be.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// In which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An event that no one has taken yet, or that was lost.
    NotTaken,
    /// An event that was taken, and whose write is not in its document.
    NotApplied,
    /// An event that a handler rejects, and no dead letter of it.
    NoLetter,
    /// A row that is no event, and no dead letter of it.
    Unreadable,
    /// A document without a field that its event brings.
    Incomplete,
    /// A document that does not hold what an event has written, though nothing was written there later: the write was
    /// lost, or somebody else has changed it.
    Altered,
    /// An entry that an event adds to a list, and that is not there.
    EntryMissing,
    /// A document whose event is not in the outbox.
    Unknown,
    /// Two documents of one event, or two entries of one participant.
    Duplicate,
    /// Somebody who is referred to and has no document.
    BrokenReference,
    /// A number that a recount does not confirm.
    Miscounted,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// In which way.
    pub kind: Kind,
    /// The event, or the document as `collection/id`.
    pub subject: String,
    /// What is wrong with it.
    pub detail: String,
}

/// All of them: how many, and some.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Differences {
    /// How many.
    pub count: u64,
    /// In which ways.
    pub by_kind: BTreeMap<Kind, u64>,
    /// The first of each kind.
    pub examples: Vec<Difference>,
    /// Those that count only if nothing is ever taken away from their collection's documents.
    #[serde(skip)]
    unless_removed: BTreeMap<(Kind, String), u64>,
}

impl Differences {
    /// So many of each kind are shown.
    pub const EXAMPLES_MAX: u64 = 10;

    pub(super) fn add(&mut self, kind: Kind, subject: impl Into<String>, detail: impl Into<String>) {
        self.count += 1;
        let of_kind = self.by_kind.entry(kind).or_default();
        *of_kind += 1;
        if *of_kind <= Self::EXAMPLES_MAX {
            self.examples.push(Difference { kind, subject: subject.into(), detail: detail.into() });
        }
    }

    /// The same of a document of this collection, if something is missing in it.
    pub(super) fn add_absence(&mut self, kind: Kind, collection: &str, id: &str, detail: String) {
        self.add(kind, format!("{collection}/{id}"), detail);
        *self.unless_removed.entry((kind, collection.to_owned())).or_default() += 1;
    }

    /// Takes back what is missing in documents of these collections: a handler may have taken it away.
    pub(super) fn forgive(&mut self, removed_from: &BTreeSet<String>) {
        for ((kind, collection), count) in std::mem::take(&mut self.unless_removed) {
            if !removed_from.contains(&collection) {
                continue;
            }
            self.count -= count;
            if let Some(of_kind) = self.by_kind.get_mut(&kind) {
                *of_kind -= count;
            }
            let prefix = format!("{collection}/");
            self.examples.retain(|example| example.kind != kind || !example.subject.starts_with(&prefix));
        }
        self.by_kind.retain(|_, count| *count > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_bounded_and_the_count_is_not() {
        let mut differences = Differences::default();
        (0..25).for_each(|n| differences.add(Kind::NotTaken, n.to_string(), ""));
        differences.add(Kind::Unknown, "users/a", "");
        assert_eq!((differences.count, differences.by_kind[&Kind::NotTaken]), (26, 25));
        assert_eq!(differences.examples.len() as u64, Differences::EXAMPLES_MAX + 1);
    }

    #[test]
    fn what_a_handler_may_have_taken_away_is_no_difference() {
        let mut differences = Differences::default();
        differences.add_absence(Kind::EntryMissing, "activities", "a", String::new());
        differences.add_absence(Kind::EntryMissing, "users", "u", String::new());
        differences.forgive(&BTreeSet::from(["activities".to_owned()]));
        assert_eq!((differences.count, differences.examples.len()), (1, 1));
        assert_eq!(differences.examples[0].subject, "users/u");
    }
}
