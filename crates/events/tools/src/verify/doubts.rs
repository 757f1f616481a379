//! Values that are not what an event wrote: a later write has changed them, or the event's own was lost.
//!
//! Which it is, the rest of the outbox says. Most doubts are dispelled on the way, by the rows that follow. What is left at the
//! end, or when there are too many, is looked for in all rows once more: those of two transactions need not stand in the
//! order of their commits, and an update may stand before the creation that it waited for.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
};

use streamer_events::{
    Document, Edit, EventId, Position, Write,
    apply::{POSITIONS, reached},
};

use super::{Differences, Error, Kind, Settings, content, models::Models, outbox::Rows};
use crate::verify::events::{Claim, claim, find_letters};

/// So many documents are in doubt at once.
const DOCUMENTS_MAX: usize = 100_000;

/// So many events are asked for at once.
const EVENTS_AT_ONCE: usize = 500;

/// All of them, by collection and id of the document.
#[derive(Default)]
pub(super) struct Doubts {
    by_document: HashMap<(String, String), OfDocument>,
    /// The name that the partitions of the source's present life begin with.
    present: String,
}

#[derive(Default)]
struct OfDocument {
    /// Its positions, and nothing else.
    positions: Document,
    /// The last position of each partition that rows were found for.
    seen: Vec<Position>,
    doubts: Vec<Doubt>,
}

/// The values of one write.
struct Doubt {
    event: EventId,
    event_type: String,
    place: Place,
    paths: Vec<String>,
}

/// When a document came by a write.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    /// The first position of the event's that the document covers. None if that cannot be told from several.
    position: Option<Position>,
    /// Which of the event's writes it is.
    number: usize,
    /// Whether it made the document: all others came after it, those too that had waited for it.
    is_first: bool,
}

impl Place {
    fn of(claim: &Claim, number: usize, document: &Document, present: &str) -> Self {
        let is_first = claim.writes[number].1.edits.iter().any(|edit| matches!(edit, Edit::Insert(_)));
        Self { position: first(&claim.positions, document, present), number, is_first }
    }
}

impl Doubts {
    pub(super) async fn of(models: &Models<'_>) -> Result<Self, Error> {
        Ok(Self { present: models.present().await?, ..Self::default() })
    }

    pub(super) fn is_full(&self) -> bool {
        self.by_document.len() >= DOCUMENTS_MAX
    }

    /// The document has the write numbered `number` of a claim. The writes of a document come in the order of their rows.
    pub(super) fn take(&mut self, claim: &Claim, number: usize, document: &Document, unlike: Vec<String>) {
        let write = &claim.writes[number].1;
        let key = (write.collection.to_string(), write.id.to_string());
        if unlike.is_empty() && !self.by_document.contains_key(&key) {
            return;
        }
        let place = Place::of(claim, number, document, &self.present);
        let of_document = self.by_document.entry(key.clone()).or_default();
        of_document.positions = Document::new().with(POSITIONS, document.get(POSITIONS).cloned());
        of_document.dispel(write, &place, &self.present);
        if !unlike.is_empty() {
            of_document.doubts.push(Doubt {
                event: claim.event.id.clone(),
                event_type: claim.event.event_type.to_string(),
                place,
                paths: unlike,
            });
        }
        if of_document.doubts.is_empty() {
            self.by_document.remove(&key);
        }
    }

    /// Looks in all rows for what explains them. What is left is reported, and there is no doubt any more.
    pub(super) async fn settle(
        &mut self,
        settings: &Settings,
        models: &Models<'_>,
        registry: &streamer_events::Registry,
        differences: &mut Differences,
    ) -> Result<(), Error> {
        // Where an event stood more than once, the ledger may have been asked for one of its places only.
        self.recall(models).await?;
        self.look_through(settings, models, registry).await?;
        for ((collection, id), of_document) in std::mem::take(&mut self.by_document) {
            let OfDocument { positions, seen, doubts } = of_document;
            let told = doubts.into_iter().filter(|doubt| !doubt.is_open(&positions, &seen));
            for Doubt { event, event_type, paths, .. } in told {
                let fields = paths.join(", ");
                // What it holds instead stays out: reports are shown to many.
                let detail = format!(
                    "does not hold what {event_type} {event} has written to {fields}, and nothing was written there later"
                );
                differences.add(Kind::Altered, format!("{collection}/{id}"), detail);
            }
        }
        Ok(())
    }

    async fn look_through(
        &mut self,
        settings: &Settings,
        models: &Models<'_>,
        registry: &streamer_events::Registry,
    ) -> Result<(), Error> {
        if self.by_document.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::open(settings).await?;
        while let Some(batch) = rows.next().await? {
            let mut claims: Vec<Claim> = batch.into_iter().map(|event| claim(event, registry)).collect();
            claims.retain(|claim| claim.writes.iter().any(|(_, write)| self.concerns(write)));
            let ids: Vec<EventId> = claims.iter().map(|claim| claim.event.id.clone()).collect();
            let mut known = places(&ids, models).await?;
            let letters = find_letters(&claims, models).await?;
            for mut claim in claims {
                claim.positions = known.remove(&claim.event.id).unwrap_or_default();
                for number in 0..claim.writes.len() {
                    if !claim.is_buried(number, &letters) {
                        self.dispel(&claim, number);
                    }
                }
            }
        }
        rows.close().await;
        Ok(())
    }

    fn concerns(&self, write: &Write) -> bool {
        self.by_document.contains_key(&(write.collection.to_string(), write.id.to_string()))
    }

    fn dispel(&mut self, claim: &Claim, number: usize) {
        let write = &claim.writes[number].1;
        let key = (write.collection.to_string(), write.id.to_string());
        let Some(of_document) = self.by_document.get_mut(&key) else { return };
        if !claim.is_covered(&of_document.positions) {
            return;
        }
        of_document.see(&claim.positions);
        let place = Place::of(claim, number, &of_document.positions, &self.present);
        of_document.dispel(write, &place, &self.present);
        if of_document.doubts.is_empty() {
            self.by_document.remove(&key);
        }
    }

    /// Asks for all places of the events in doubt.
    async fn recall(&mut self, models: &Models<'_>) -> Result<(), Error> {
        let doubts = self.by_document.values().flat_map(|of| &of.doubts);
        let events: HashSet<EventId> = doubts.map(|doubt| doubt.event.clone()).collect();
        let known = places(&events.into_iter().collect::<Vec<_>>(), models).await?;
        for of_document in self.by_document.values_mut() {
            for doubt in &mut of_document.doubts {
                let places = known.get(&doubt.event).map_or(&[][..], Vec::as_slice);
                doubt.place.position = first(places, &of_document.positions, &self.present);
            }
        }
        Ok(())
    }
}

/// All places where these events stood.
async fn places(ids: &[EventId], models: &Models<'_>) -> Result<HashMap<EventId, Vec<Position>>, Error> {
    let mut known: HashMap<EventId, Vec<Position>> = HashMap::new();
    for part in ids.chunks(EVENTS_AT_ONCE) {
        for (event, position) in models.recall(part).await? {
            known.entry(event).or_default().push(position);
        }
    }
    Ok(known)
}

impl Doubt {
    /// Whether the document has a later write whose row is not among those that were read: it may have been removed, or
    /// its transaction began before the first of them.
    fn is_open(&self, positions: &Document, seen: &[Position]) -> bool {
        let Some(at) = &self.place.position else { return true };
        let last = seen.iter().find(|seen| seen.partition == at.partition).map(|seen| seen.offset);
        reached(positions, &at.partition) > last.max(Some(at.offset))
    }
}

impl OfDocument {
    /// Rows were found for these positions.
    fn see(&mut self, positions: &[Position]) {
        for at in positions {
            match self.seen.iter_mut().find(|seen| seen.partition == at.partition) {
                Some(seen) => seen.offset = seen.offset.max(at.offset),
                None => self.seen.push(at.clone()),
            }
        }
    }

    /// Takes away what the write explains, which stands at `place`.
    fn dispel(&mut self, write: &Write, place: &Place, present: &str) {
        // What was written before it was removed is gone, and what came after it may have waited in vain.
        let is_removal = write.edits.iter().any(|edit| matches!(edit, Edit::Delete));
        for doubt in &mut self.doubts {
            if is_removal || may_follow(place, &doubt.place, present) {
                doubt.paths.retain(|path| {
                    !is_removal && !write.edits.iter().any(|edit| content::reaches(edit, path))
                });
            }
        }
        self.doubts.retain(|doubt| !doubt.paths.is_empty());
    }
}

/// The first of those positions that the document covers: there it came by the event.
fn first(positions: &[Position], document: &Document, present: &str) -> Option<Position> {
    let mut covered = positions.iter().filter(|at| reached(document, &at.partition) >= Some(at.offset));
    let first = covered.next()?;
    covered
        .try_fold(first, |first, at| {
            let order = order(at, first, present)?;
            Some(if order == Ordering::Less { at } else { first })
        })
        .cloned()
}

/// Whether the one may have come after the other. What cannot be told may be.
fn may_follow(place: &Place, other: &Place, present: &str) -> bool {
    let (Some(at), Some(other_at), false) = (&place.position, &other.position, other.is_first) else {
        return place != other;
    };
    match order(at, other_at, present) {
        Some(Ordering::Less) => false,
        Some(Ordering::Equal) => place.number > other.number,
        Some(Ordering::Greater) | None => true,
    }
}

/// Which of two positions a document came by first: in one life of the source the snapshots in their order, then the
/// stream; and in its present life after any former one.
fn order(a: &Position, b: &Position, present: &str) -> Option<Ordering> {
    if a.partition == b.partition {
        return Some(a.offset.cmp(&b.offset));
    }
    let (life_a, pass_a) = life_and_pass(a)?;
    let (life_b, pass_b) = life_and_pass(b)?;
    match (life_a == present, life_b == present) {
        _ if life_a == life_b && pass_a != pass_b => Some(pass_a.cmp(&pass_b)),
        (true, false) => Some(Ordering::Greater),
        (false, true) => Some(Ordering::Less),
        _ => None,
    }
}

/// None of a dead letter that was replayed: that may have been at any time.
fn life_and_pass(at: &Position) -> Option<(&str, u32)> {
    let (life, part) = at.partition.as_str().split_once('_').filter(|(life, _)| *life != "replay")?;
    let pass = match part.strip_prefix('s') {
        Some(pass) => pass.parse().ok()?,
        None => u32::MAX,
    };
    Some((life, pass))
}

#[cfg(test)]
mod tests {
    use streamer_events::Offset;

    use super::*;

    fn at(partition: &str, offset: u64) -> Position {
        Position { partition: partition.parse().expect("a partition"), offset: Offset::at(offset) }
    }

    #[test]
    fn positions_are_ordered_as_far_as_their_order_is_known() {
        let order = |a: (&str, u64), b: (&str, u64)| order(&at(a.0, a.1), &at(b.0, b.1), "bb");
        assert_eq!(order(("bb_0", 1), ("bb_0", 2)), Some(Ordering::Less));
        assert_eq!(order(("bb_s2", 9), ("bb_s10", 1)), Some(Ordering::Less));
        assert_eq!(order(("bb_0", 1), ("bb_s10", 9)), Some(Ordering::Greater));
        assert_eq!(order(("bb_s1", 1), ("aa_0", 9)), Some(Ordering::Greater));
        assert_eq!(order(("aa_0", 1), ("cc_0", 9)), None);
        // Two partitions of one topic.
        assert_eq!(order(("bb_0", 1), ("bb_1", 9)), None);
        assert_eq!(order(("bb_0", 1), ("replay_ab", 1)), None);
    }

    #[test]
    fn a_document_came_by_an_event_where_it_first_covers_it() {
        let positions = Document::new().with("bb_s1", Offset::at(5).to_string());
        let positions = positions.with("bb_0", Offset::at(9).to_string());
        let document = Document::new().with(POSITIONS, positions);
        assert_eq!(first(&[at("bb_0", 7), at("bb_s1", 5)], &document, "bb"), Some(at("bb_s1", 5)));
        assert_eq!(first(&[at("bb_0", 7), at("bb_s1", 6)], &document, "bb"), Some(at("bb_0", 7)));
        assert_eq!(first(&[at("bb_0", 10)], &document, "bb"), None);
    }

    #[test]
    fn what_a_row_has_written_that_is_not_there_is_not_told() {
        let positions =
            Document::new().with(POSITIONS, Document::new().with("bb_0", Offset::at(9).to_string()));
        let place = |position| Place { position, number: 0, is_first: false };
        let of = |position| Doubt {
            event: EventId::new("e"),
            event_type: "Told".into(),
            place: place(position),
            paths: Vec::new(),
        };
        let is_open = |doubt: Doubt, seen: &[u64]| {
            let mut of_document = OfDocument::default();
            seen.iter().for_each(|offset| of_document.see(&[at("bb_0", *offset)]));
            doubt.is_open(&positions, &of_document.seen)
        };
        assert!(is_open(of(Some(at("bb_0", 5))), &[5, 3]), "the row of 9 is gone");
        assert!(!is_open(of(Some(at("bb_0", 5))), &[9, 5]));
        assert!(!is_open(of(Some(at("bb_0", 9))), &[]), "nothing came later");
        assert!(is_open(of(None), &[]));
    }

    #[test]
    fn only_a_later_write_to_the_same_place_explains() {
        let place = |offset, number| Place { position: Some(at("bb_0", offset)), number, is_first: false };
        let doubtful = |place: Place| OfDocument {
            doubts: vec![Doubt {
                event: EventId::new("e"),
                event_type: "Told".into(),
                place,
                paths: vec!["a.b".into(), "c".into()],
            }],
            ..OfDocument::default()
        };
        let left = |doubted: Place, write: &Write, at: Place| {
            let mut of_document = doubtful(doubted);
            of_document.dispel(write, &at, "bb");
            of_document.doubts.into_iter().flat_map(|doubt| doubt.paths).collect::<Vec<_>>()
        };
        let write = Write::on("d", "1").set("a", 1);
        assert_eq!(left(place(5, 0), &write, place(6, 0)), ["c"]);
        assert_eq!(left(place(5, 0), &write, place(5, 1)), ["c"]);
        for before in [place(4, 9), place(5, 0)] {
            assert_eq!(left(place(5, 0), &write, before), ["a.b", "c"]);
        }
        let made = Place { is_first: true, ..place(5, 0) };
        assert_eq!(left(made.clone(), &write, place(4, 0)), ["c"], "it waited for the document");
        assert_eq!(left(made.clone(), &write, made), ["a.b", "c"]);
        let unknown = Place { position: None, number: 0, is_first: false };
        assert_eq!(left(unknown.clone(), &write, place(1, 0)), ["c"]);
        assert_eq!(left(unknown.clone(), &write, unknown), ["a.b", "c"], "it does not explain itself");
        assert!(left(place(5, 0), &Write::on("d", "1").delete(), place(1, 0)).is_empty());
    }
}
