//! Documents, each with the event that made it and those that it refers to.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use streamer_events::{
    Document, Moment, Value,
    apply::{DELETED, PENDING},
    projections::{ACTIVITIES, USERS},
};

use super::{Error, Findings, Kind, Settings, Window, models::Models};
use crate::lookup::Lookup;

/// The documents of a collection, each in one of the last three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Documents {
    /// How many there are.
    pub count: u64,
    /// Those that were made and are there.
    pub live: u64,
    /// Those that are not made yet: writes wait for that.
    pub waiting: u64,
    /// Those that were deleted, and keep their positions.
    pub deleted: u64,
    /// Live ones whose event was pruned from the outbox, or is out of the window.
    pub older: u64,
    /// Entries of their participants.
    pub participants: u64,
    /// References to somebody whose creation is in the dead letters.
    pub excused_references: u64,
}

/// What every live document of the shipped handlers has.
const REQUIRED: &[(&str, &[&str])] = &[
    (USERS, &["user_id", "email", "profile", "metadata", "allowed_users", "created_at"]),
    (
        ACTIVITIES,
        &[
            "activity_id",
            "title",
            "creator_id",
            "participants",
            "status",
            "metadata",
            "allowed_users",
            "created_at",
        ],
    ),
];

/// The event that made the document, as it says itself.
pub(super) fn source(document: &Document) -> Option<&str> {
    document.get("metadata")?.as_document()?.get("source_event_id")?.as_text()
}

/// What is kept of a batch of documents.
#[derive(Default)]
struct Batch {
    /// By event: the document's id, and when it was made.
    made: Vec<(String, String, Option<Moment>)>,
    /// Somebody, and who refers to them.
    references: Vec<(String, String)>,
}

/// Compares all documents of the shipped collections with their events.
pub(super) async fn compare(
    lookup: &mut Lookup,
    models: &Models<'_>,
    window: &Window,
    settings: &Settings,
    findings: &mut Findings,
) -> Result<BTreeMap<String, Documents>, Error> {
    let mut all = BTreeMap::new();
    for (collection, required) in REQUIRED {
        let mut counts = Documents::default();
        let mut documents = models.all(collection).await?;
        let mut batch = Batch::default();
        while let Some((id, document)) = documents.next().await? {
            look(collection, required, &id, &document, &mut counts, &mut batch, findings);
            if batch.made.len() >= settings.batch_max || batch.references.len() >= settings.batch_max * 4 {
                compare_batch(&mut batch, collection, lookup, models, window, &mut counts, findings).await?;
            }
        }
        compare_batch(&mut batch, collection, lookup, models, window, &mut counts, findings).await?;
        all.insert((*collection).to_owned(), counts);
        // Who joined twice is listed once: so many at most.
        let accounted = findings.recount.participants;
        if window.is_everything && counts.participants > accounted {
            let detail =
                format!("{} participants are listed, and events tell of {accounted}", counts.participants);
            findings.differences.add(Kind::Unknown, *collection, detail);
        }
    }
    Ok(all)
}

/// Looks at one document by itself.
fn look(
    collection: &str,
    required: &[&str],
    id: &str,
    document: &Document,
    counts: &mut Documents,
    batch: &mut Batch,
    findings: &mut Findings,
) {
    counts.count += 1;
    if document.contains(PENDING) {
        counts.waiting += 1;
        return;
    }
    if document.contains(DELETED) {
        counts.deleted += 1;
        return;
    }
    counts.live += 1;
    let lacks = |name: &&&str| document.get(name).is_none_or(|value| *value == Value::Null);
    let lacking: Vec<_> = required.iter().filter(lacks).copied().collect();
    if !lacking.is_empty() {
        let detail = format!("lacks {}", lacking.join(", "));
        findings.differences.add_absence(Kind::Incomplete, collection, id, detail);
    }
    match source(document) {
        Some(event) => batch.made.push((event.to_owned(), id.to_owned(), made_at(document))),
        None => {
            let detail = "does not say which event made it: lacks metadata.source_event_id";
            findings.differences.add(Kind::Unknown, format!("{collection}/{id}"), detail);
        }
    }
    if collection == ACTIVITIES {
        counts.participants += participants(document).len() as u64;
        look_at_people(id, document, batch, findings);
    }
}

/// Who takes part in the activity.
pub(super) fn participants(document: &Document) -> &[Value] {
    let participants = document.get("participants").and_then(Value::as_document);
    participants
        .and_then(|participants| participants.get("list"))
        .and_then(Value::as_list)
        .unwrap_or_default()
}

fn made_at(document: &Document) -> Option<Moment> {
    match document.get("metadata")?.as_document()?.get("created_at")? {
        Value::Date(moment) => Some(*moment),
        _ => None,
    }
}

/// Who made the activity, and who takes part in it.
fn look_at_people(id: &str, document: &Document, batch: &mut Batch, findings: &mut Findings) {
    let subject = || format!("{ACTIVITIES}/{id}");
    let creator = document.get("creator_id").and_then(Value::as_text);
    batch.references.extend(creator.map(|user| (user.to_owned(), subject())));
    let list = participants(document);
    let participants = document.get("participants").and_then(Value::as_document);
    let count =
        participants.and_then(|participants| participants.get("current_count")).and_then(Value::as_int);
    if count != i64::try_from(list.len()).ok() {
        let counted = count.map_or("nothing".to_owned(), |count| count.to_string());
        let detail = format!("participants.current_count says {counted}, and {} are listed", list.len());
        findings.differences.add(Kind::Miscounted, subject(), detail);
    }
    let mut seen = HashSet::new();
    for participant in list {
        // The payload of a creation may list people by their bare ids.
        let user = participant.as_document().and_then(|who| who.get("user_id")).unwrap_or(participant);
        let Some(user) = user.as_text() else { continue };
        match seen.insert(user) {
            true => batch.references.push((user.to_owned(), subject())),
            false => {
                findings.differences.add(
                    Kind::Duplicate,
                    subject(),
                    format!("lists the participant {user} twice"),
                );
            }
        }
    }
}

async fn compare_batch(
    batch: &mut Batch,
    collection: &str,
    lookup: &mut Lookup,
    models: &Models<'_>,
    window: &Window,
    counts: &mut Documents,
    findings: &mut Findings,
) -> Result<(), Error> {
    let Batch { made, references } = std::mem::take(batch);
    compare_makers(made, collection, lookup, models, window, counts, findings).await?;
    compare_references(references, models, counts, findings).await
}

async fn compare_makers(
    made: Vec<(String, String, Option<Moment>)>,
    collection: &str,
    lookup: &mut Lookup,
    models: &Models<'_>,
    window: &Window,
    counts: &mut Documents,
    findings: &mut Findings,
) -> Result<(), Error> {
    if made.is_empty() {
        return Ok(());
    }
    let events: Vec<String> = made.iter().map(|(event, ..)| event.clone()).collect();
    let aggregates = lookup.aggregates(&events).await?;
    // Those that their row confirms are the only ones of their event, since it is about one document.
    let doubtful = made.iter().filter(|(event, id, _)| aggregates.get(event) != Some(id));
    let doubtful: Vec<String> = doubtful.map(|(event, ..)| event.clone()).collect();
    let mut makers: HashMap<String, u32> = HashMap::new();
    for (event, _) in models.made_by(collection, &doubtful).await? {
        *makers.entry(event).or_default() += 1;
    }
    for (event, id, made_at) in made {
        let subject = || format!("{collection}/{id}");
        if makers.get(&event).is_some_and(|documents| *documents > 1) {
            let detail = format!("the event {event} that made it made another too");
            findings.differences.add(Kind::Duplicate, subject(), detail);
        }
        match aggregates.get(&event) {
            Some(aggregate) if *aggregate == id => {}
            Some(aggregate) => {
                let detail = format!("the event {event} that made it is about {aggregate}");
                findings.differences.add(Kind::Unknown, subject(), detail);
            }
            // MongoDB keeps milliseconds.
            None if !window.is_everything
                && made_at.map(Moment::as_millis)
                    < window.since.map(Moment::as_millis).or(Some(i64::MAX)) =>
            {
                counts.older += 1;
            }
            None => {
                let detail = format!("the event {event} that made it is not in the outbox");
                findings.differences.add(Kind::Unknown, subject(), detail);
            }
        }
    }
    Ok(())
}

async fn compare_references(
    references: Vec<(String, String)>,
    models: &Models<'_>,
    counts: &mut Documents,
    findings: &mut Findings,
) -> Result<(), Error> {
    for part in references.chunks(1000) {
        let users: Vec<String> = part.iter().map(|(user, _)| user.clone()).collect();
        let existing = models.existing(USERS, &users).await?;
        let missing: Vec<&(String, String)> =
            part.iter().filter(|(user, _)| !existing.contains(user)).collect();
        if missing.is_empty() {
            continue;
        }
        let users: Vec<String> = missing.iter().map(|(user, _)| user.clone()).collect();
        let refused = models.refused(USERS, &users).await?;
        for (user, subject) in missing {
            if refused.contains(user) {
                counts.excused_references += 1;
            } else {
                let detail = format!("refers to the user {user}, who is not there");
                findings.differences.add(Kind::BrokenReference, subject.clone(), detail);
            }
        }
    }
    Ok(())
}
