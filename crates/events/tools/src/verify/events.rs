//! Events, each with what its handlers want written.

use std::collections::{BTreeMap, HashMap, HashSet};

use streamer_events::{
    Document, Edit, Event, EventId, Number, Position, Registry, Write,
    apply::{DELETED, PENDING, reached},
    projections::ACTIVITIES,
};

use super::{Error, Findings, Kind, content, ledger::Ledger, models::Models};

/// An event, and what became of it.
pub(super) struct Claim {
    pub(super) event: Event,
    pub(super) writes: Vec<(String, Write)>,
    /// Handlers that want nothing of it.
    rejected: Vec<String>,
    pub(super) positions: Vec<Position>,
    state: State,
}

/// The worst of what became of an event's writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Applied,
    Waiting,
    DeadLettered,
    Missing,
}

/// What events add to numbers, in all: `(collection, id, path)`.
#[derive(Default)]
pub(super) struct Recount {
    pub(super) sums: BTreeMap<(String, String, String), i64>,
    /// Who takes part in activities: at most so many, by the events.
    pub(super) participants: u64,
}

/// So many numbers are counted again. Statistics are a few.
const SUMS_MAX: usize = 1000;

/// Who writes letters about rows that are no events.
const READER: &str = "outbox";

/// Compares a batch of events with the documents, the ledger and the dead letters.
pub(super) async fn compare(
    events: Vec<Event>,
    ledger: &mut Ledger,
    models: &Models<'_>,
    registry: &Registry,
    findings: &mut Findings,
) -> Result<(), Error> {
    let mut claims: Vec<Claim> = events.into_iter().map(|event| claim(event, registry)).collect();
    for claim in &claims {
        note_removals(claim, findings);
    }
    let ids: Vec<EventId> = claims.iter().map(|claim| claim.event.id.clone()).collect();
    let mut known = ledger.find(&ids, models).await?;
    for claim in &mut claims {
        claim.positions = known.remove(&claim.event.id).unwrap_or_default();
    }
    let letters = find_letters(&claims, models).await?;
    let wanted = judge_letters(&mut claims, &letters, findings);
    judge_documents(&mut claims, wanted, models, findings).await?;
    for claim in &claims {
        let counts = findings.counts(&claim.event.event_type);
        counts.postgres += 1;
        counts.mongodb += u64::from(claim.state != State::Missing);
        match claim.state {
            State::Applied => counts.applied += 1,
            State::Waiting => counts.waiting += 1,
            State::DeadLettered => counts.dead_lettered += 1,
            State::Missing => counts.missing += 1,
        }
    }
    Ok(())
}

/// Rows that are no events have letters of their reader.
pub(super) async fn compare_unreadable(
    rows: u64,
    models: &Models<'_>,
    findings: &mut Findings,
) -> Result<(), Error> {
    if rows == 0 {
        return Ok(());
    }
    let letters = models.count_letters(READER, None).await?;
    let counts = findings.counts("unreadable");
    counts.postgres += rows;
    counts.dead_lettered += rows.min(letters);
    counts.mongodb += rows.min(letters);
    counts.missing += rows.saturating_sub(letters);
    if letters < rows {
        let detail =
            format!("{rows} rows lack a value that an event needs, and {letters} dead letters say so");
        findings.differences.add(Kind::Unreadable, "outbox", detail);
    }
    Ok(())
}

/// Which letters there are of these events.
pub(super) async fn find_letters(claims: &[Claim], models: &Models<'_>) -> Result<HashSet<String>, Error> {
    models.letters(&claims.iter().flat_map(Claim::letters).collect::<Vec<_>>()).await
}

/// An event, with what its handlers want; where it stood is not known yet.
pub(super) fn claim(event: Event, registry: &Registry) -> Claim {
    let projected = registry.project(&event);
    let writes = projected.writes.into_iter().map(|(handler, write)| (handler.to_string(), write));
    let rejected = projected.rejected.into_iter().map(|(handler, _)| handler.to_string());
    let (writes, rejected) = (writes.collect(), rejected.collect());
    Claim { event, writes, rejected, positions: Vec::new(), state: State::Applied }
}

/// What handlers take away may be missing later on.
fn note_removals(claim: &Claim, findings: &mut Findings) {
    for (_, write) in &claim.writes {
        let removes = |edit: &Edit| matches!(edit, Edit::Remove(_) | Edit::Unset(_) | Edit::Delete);
        if write.edits.iter().any(removes) && !findings.removed_from.contains(&*write.collection) {
            findings.removed_from.insert(write.collection.to_string());
        }
    }
}

impl Claim {
    /// The names of all letters that there may be of it.
    fn letters(&self) -> impl Iterator<Item = String> {
        let rejected = self.rejected.iter().map(|handler| self.letter(handler));
        let refused = self
            .writes
            .iter()
            .flat_map(|(handler, write)| [self.letter(handler), self.letter_of_document(handler, write)]);
        rejected.chain(refused)
    }

    fn letter(&self, handler: &str) -> String {
        format!("{}/{handler}", self.event.id)
    }

    fn letter_of_document(&self, handler: &str, write: &Write) -> String {
        format!("{}/{handler}/{}/{}", self.event.id, write.collection, write.id)
    }

    fn worsen(&mut self, state: State) {
        self.state = self.state.max(state);
    }

    fn subject(&self) -> String {
        format!("{} {}", self.event.event_type, self.event.id)
    }

    /// Whether a letter says that the write was refused.
    pub(super) fn is_buried(&self, write: usize, letters: &HashSet<String>) -> bool {
        let (handler, write) = &self.writes[write];
        letters.contains(&self.letter(handler)) || letters.contains(&self.letter_of_document(handler, write))
    }

    /// Whether the document has what was applied at one of the event's positions.
    pub(super) fn is_covered(&self, document: &Document) -> bool {
        self.positions.iter().any(|at| reached(document, &at.partition) >= Some(at.offset))
    }
}

/// Documents that must have a write: by collection and id, the claim's number and the write's.
type Wanted = BTreeMap<String, HashMap<String, Vec<(usize, usize)>>>;

/// What the letters account for, and which documents must account for the rest.
fn judge_letters(claims: &mut [Claim], letters: &HashSet<String>, findings: &mut Findings) -> Wanted {
    let mut wanted = Wanted::new();
    for (number, claim) in claims.iter_mut().enumerate() {
        for handler in std::mem::take(&mut claim.rejected) {
            if letters.contains(&claim.letter(&handler)) {
                claim.worsen(State::DeadLettered);
            } else if !claim.positions.is_empty() {
                claim.worsen(State::Missing);
                let detail = format!("the handler {handler} rejects it, and no dead letter says so");
                findings.differences.add(Kind::NoLetter, claim.subject(), detail);
            }
        }
        if claim.positions.is_empty() && claim.state != State::DeadLettered {
            claim.worsen(State::Missing);
            findings.differences.add(Kind::NotTaken, claim.subject(), "no pipeline has taken it yet");
            continue;
        }
        for at in 0..claim.writes.len() {
            if claim.is_buried(at, letters) {
                claim.worsen(State::DeadLettered);
                continue;
            }
            let write = &claim.writes[at].1;
            let of_collection = wanted.entry(write.collection.to_string()).or_default();
            of_collection.entry(write.id.to_string()).or_default().push((number, at));
        }
    }
    wanted
}

/// Documents come one by one: however large they are, one is in memory.
async fn judge_documents(
    claims: &mut [Claim],
    wanted: Wanted,
    models: &Models<'_>,
    findings: &mut Findings,
) -> Result<(), Error> {
    for (collection, mut by_id) in wanted {
        let ids: Vec<String> = by_id.keys().cloned().collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let mut documents = models.documents(&collection, &ids).await?;
        while let Some((id, document)) = documents.next().await? {
            for (number, at) in by_id.remove(&id).unwrap_or_default() {
                let claim = &mut claims[number];
                if !claim.is_covered(&document) {
                    // It may have been taken more than once, and applied at another place than the first.
                    let places = models.recall(std::slice::from_ref(&claim.event.id)).await?;
                    claim.positions = places.into_iter().map(|(_, position)| position).collect();
                }
                judge(claim, at, &document, findings);
            }
        }
        for (id, writes) in by_id {
            for (number, _) in writes {
                let claim = &mut claims[number];
                claim.worsen(State::Missing);
                let detail = format!("{collection}/{id} is not there");
                findings.differences.add(Kind::NotApplied, claim.subject(), detail);
            }
        }
    }
    Ok(())
}

fn judge(claim: &mut Claim, at: usize, document: &Document, findings: &mut Findings) {
    let (handler, write) = &claim.writes[at];
    if waits(document, claim.event.id.as_str(), handler) {
        claim.worsen(State::Waiting);
        return;
    }
    if !claim.is_covered(document) {
        let detail = format!("{}/{} does not have it yet", write.collection, write.id);
        findings.differences.add(Kind::NotApplied, claim.subject(), detail);
        claim.worsen(State::Missing);
        return;
    }
    findings.recount.add(write);
    if !document.contains(DELETED) && !document.contains(PENDING) {
        let unlike = content::compare(write, document, &mut findings.differences);
        findings.doubts.take(claim, at, document, unlike);
    }
}

/// Whether the write is laid by in the document until it is made.
fn waits(document: &Document, event: &str, handler: &str) -> bool {
    let waiting = document.get(PENDING).and_then(|pending| pending.as_list()).unwrap_or_default();
    waiting.iter().filter_map(|waiting| waiting.as_document()).any(|waiting| {
        let text = |name: &str| waiting.get(name).and_then(|value| value.as_text());
        text("event") == Some(event) && text("handler") == Some(handler)
    })
}

impl Recount {
    fn add(&mut self, write: &Write) {
        for edit in &write.edits {
            match edit {
                Edit::Increment(path, Number::Int(by)) => {
                    let key = (write.collection.to_string(), write.id.to_string(), path.as_str().to_owned());
                    if self.sums.len() < SUMS_MAX || self.sums.contains_key(&key) {
                        let sum = self.sums.entry(key).or_default();
                        *sum = sum.saturating_add(*by);
                    }
                }
                Edit::AddOnce(entry) if is_of_participants(write, entry.array.as_str()) => {
                    self.participants += 1;
                }
                Edit::Insert(fields) if &*write.collection == ACTIVITIES => {
                    self.participants += super::documents::participants(fields).len() as u64;
                }
                _ => {}
            }
        }
    }
}

fn is_of_participants(write: &Write, array: &str) -> bool {
    &*write.collection == ACTIVITIES && array == "participants.list"
}
