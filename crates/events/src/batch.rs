//! What is written at once: the writes of many events, gathered by document.

use std::{collections::HashMap, sync::Arc};

use crate::{
    event::{Event, EventId},
    position::{Offset, Partition, Position},
    sink::RefusedWrite,
    write::{Edit, Missing, Write},
};

/// A handler's name, as the registry knows it.
pub type HandlerName = Arc<str>;

/// Whole events, in their order, and everything that their handlers want written.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The events, those of one partition in the order of their positions.
    pub events: Vec<Arrival>,
    /// Their writes: one group for each document and partition.
    pub groups: Vec<Group>,
    /// What a sink that knows no documents refused before, and is in the dead letters: it is left out.
    pub void: Vec<Author>,
    at: HashMap<Key, usize>,
    writes: usize,
    weight: usize,
}

/// An event, and where else it stood before.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The event.
    pub event: Arc<Event>,
    /// Positions at which it was read before: what covers one of them knows the event. Empty for nearly all.
    pub known_at: Arc<[Position]>,
}

impl From<Event> for Arrival {
    /// An event that was not there before.
    fn from(event: Event) -> Self {
        Self { event: Arc::new(event), known_at: Arc::default() }
    }
}

type Key = (Arc<str>, Arc<str>, Partition);

/// All that the events of a batch write to one document from one partition.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Where the document is kept.
    pub collection: Arc<str>,
    /// Its `_id`.
    pub id: Arc<str>,
    /// Where the events come from.
    pub partition: Partition,
    /// In the order of their offsets, never empty.
    pub writes: Vec<Placed>,
    /// What was refused before, and is in the dead letters: it is left out.
    pub void: Vec<Author>,
}

/// The edits that one handler wants for one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// Where the event stands.
    pub offset: Offset,
    /// Whose edits these are.
    pub author: Author,
    /// Where else the event stood before.
    pub known_at: Arc<[Position]>,
    /// What becomes of them if there is no such document.
    pub missing: Missing,
    /// All or none.
    pub edits: Vec<Edit>,
}

/// Which handler, of which event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Author {
    /// The event.
    pub event: EventId,
    /// Its handler.
    pub handler: HandlerName,
}

impl Group {
    /// The first offset: a document at or above it knows some of the group.
    #[must_use]
    pub fn first(&self) -> Offset {
        self.writes.first().map_or(Offset::at(0), |write| write.offset)
    }

    /// The last offset: the document's position once the group is applied.
    #[must_use]
    pub fn last(&self) -> Offset {
        self.writes.last().map_or(Offset::at(0), |write| write.offset)
    }
}

impl Batch {
    /// Adds an event with what its handlers want. Events of one partition come in the order of their positions.
    pub fn add(&mut self, arrival: Arrival, writes: Vec<(HandlerName, Write)>) {
        let event = &arrival.event;
        self.weight += event.weight();
        for (handler, write) in writes {
            self.weight += write.weight();
            self.writes += 1;
            let Position { partition, offset } = &event.position;
            let placed = Placed {
                offset: *offset,
                author: Author { event: event.id.clone(), handler },
                known_at: Arc::clone(&arrival.known_at),
                missing: write.missing,
                edits: write.edits,
            };
            let key = (write.collection, write.id, partition.clone());
            let next = self.groups.len();
            let at = *self.at.entry(key.clone()).or_insert(next);
            if at == next {
                let (collection, id, partition) = key;
                self.groups.push(Group { collection, id, partition, writes: Vec::new(), void: Vec::new() });
            }
            self.groups[at].writes.push(placed);
        }
        self.events.push(arrival);
    }

    /// What is left of it once the refusals are in the dead letters: the groups that had one, without what was
    /// refused. `None` if something was refused that was left out already, which no sink should do.
    #[must_use]
    pub fn without(&self, refused: &[RefusedWrite]) -> Option<Self> {
        let mut rest = Self { events: self.events.clone(), void: self.void.clone(), ..Self::default() };
        for group in &self.groups {
            let of_group = refused.iter().filter(|r| r.collection == group.collection && r.id == group.id);
            let authors: Vec<_> = of_group.map(|refused| refused.author.clone()).collect();
            if authors.is_empty() {
                continue;
            }
            let mut group = group.clone();
            // Another partition's group of the same document may have refused what waited there.
            let new = authors.into_iter().filter(|author| !group.void.contains(author)).collect::<Vec<_>>();
            if new.is_empty() {
                return None;
            }
            group.void.extend(new);
            rest.groups.push(group);
        }
        for refused in refused.iter().filter(|refused| refused.collection.is_empty()) {
            if rest.void.contains(&refused.author) {
                return None;
            }
            rest.void.push(refused.author.clone());
        }
        Some(rest)
    }

    /// Whether it holds no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How many writes it holds, before they were gathered.
    #[must_use]
    pub fn writes(&self) -> usize {
        self.writes
    }

    /// Roughly how many bytes it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::given;

    #[test]
    fn writes_are_gathered_by_document_and_partition() {
        let handler: HandlerName = "h".into();
        let write = |id: &str| (Arc::clone(&handler), Write::on("users", id).increment("n", 1));
        let mut batch = Batch::default();
        for (partition, offset, ids) in
            [(0, 1, vec!["a", "b"]), (0, 2, vec!["a", "a"]), (1, 1, vec!["a"]), (0, 3, vec![])]
        {
            let event = given::event(partition, offset, "Counted", "{}");
            batch.add(event.into(), ids.into_iter().map(write).collect());
        }
        let shape: Vec<_> = batch
            .groups
            .iter()
            .map(|group| (&*group.id, group.partition == given::partition(0), group.writes.len()))
            .collect();
        assert_eq!(shape, [("a", true, 3), ("b", true, 1), ("a", false, 1)]);
        assert_eq!((batch.groups[0].first(), batch.groups[0].last()), (Offset::at(1), Offset::at(2)));
        assert_eq!((batch.events.len(), batch.writes()), (4, 5));
    }
}
