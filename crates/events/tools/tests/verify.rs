//! Verification: read models that are whole, and every kind of difference, planted.

use std::collections::BTreeSet;

use mongodb::bson::{Bson, Document, doc};
use streamer_events::{Registry, projections};
use streamer_events_tools::verify::{Kind, Settings, Verified, verify};
use streamer_sink_mongodb::{DEAD_LETTERS, LEDGER};
use streamer_source_postgres::Client;

use crate::bed::Bed;

async fn verified(bed: &Bed) -> Verified {
    verified_by(bed, &Settings::of(bed.place.server().clone())).await
}

async fn verified_by(bed: &Bed, settings: &Settings) -> Verified {
    verify(settings, &bed.sink, &projections::registry()).await.expect("can be verified")
}

fn kinds(verified: &Verified) -> Vec<Kind> {
    verified.differences.by_kind.keys().copied().collect()
}

#[tokio::test]
async fn what_a_pipeline_has_done_is_whole() {
    let Some(bed) = Bed::open().await else { return };
    let loaded = bed.load(1500, 11).await;
    bed.run(1500, projections::registry()).await;
    // Batches of any size compare the same.
    for batch_max in [7, 500] {
        let settings = Settings { batch_max, ..Settings::of(bed.place.server().clone()) };
        let verified = verified_by(&bed, &settings).await;
        assert!(verified.is_whole, "{:#?}", verified.differences);
        assert!(verified.window.is_everything);
        assert_eq!((verified.total.postgres, verified.total.applied), (1500, 1500));
        for (event_type, counts) in &verified.by_type {
            assert_eq!((counts.postgres, counts.mongodb), (loaded.by_type[&**event_type], counts.postgres));
        }
        assert_eq!(verified.documents["users"].live, loaded.by_type["UserCreated"]);
        assert_eq!(verified.documents["activities"].live, loaded.by_type["ActivityCreated"]);
        assert_eq!(verified.documents["activities"].participants, loaded.by_type["ParticipantJoined"]);
        let stored: Vec<_> = verified.statistics.iter().map(|s| (s.stored, s.recounted)).collect();
        let counts = ["ActivityCreated", "UserCreated"].map(|name| loaded.by_type[name] as i64);
        assert_eq!(stored, counts.map(|count| (Some(count), count)));
    }
}

#[tokio::test]
async fn every_kind_of_difference_is_found_by_its_name() {
    let Some(bed) = Bed::open().await else { return };
    bed.load(400, 12).await;
    bed.run(400, projections::registry()).await;
    assert!(verified(&bed).await.is_whole);
    let users = bed.documents("users");
    let activities = bed.documents("activities");
    let user = untouched(&bed).await;
    let user_id = user.get_str("_id").expect("has one").to_owned();
    let joined = activities
        .find_one(doc! { "participants.current_count": { "$gte": 2 } })
        .await
        .expect("answers")
        .expect("somebody joined");
    let global = bed.documents("statistics").find_one(doc! {}).await.expect("answers").expect("is there");

    // A document that is gone: its event is not applied, and whoever refers to it is broken.
    let creator = joined.get_str("creator_id").expect("has one").to_owned();
    let creator = users.find_one(doc! { "_id": &creator }).await.expect("answers").expect("is there");
    remove(&bed, "users", &creator).await;
    let found = verified(&bed).await;
    assert_eq!(kinds(&found), [Kind::NotApplied, Kind::BrokenReference], "{:#?}", found.differences);
    assert!(found.total.missing >= 1 && found.total.mongodb == 400 - found.total.missing);
    put(&bed, "users", &creator).await;

    let planted: Vec<(&str, &str, Document, Document, Kind)> = vec![
        (
            "a field that is gone",
            "users",
            user.clone(),
            doc! { "$unset": { "profile": 1 } },
            Kind::Incomplete,
        ),
        (
            "a value that is another",
            "users",
            user.clone(),
            doc! { "$set": { "email": "somebody@else.example" } },
            Kind::Altered,
        ),
        ("a null", "users", user.clone(), doc! { "$set": { "allowed_users": Bson::Null } }, Kind::Incomplete),
        (
            "no source",
            "users",
            user.clone(),
            doc! { "$unset": { "metadata.source_event_id": 1 } },
            Kind::Unknown,
        ),
        (
            "another's source",
            "users",
            user.clone(),
            doc! { "$set": { "metadata.source_event_id": "no id at all" } },
            Kind::Unknown,
        ),
        (
            "a stranger who takes part",
            "activities",
            joined.clone(),
            doc! { "$push": { "participants.list": { "user_id": "nobody" } }, "$inc": { "participants.current_count": 1 } },
            Kind::BrokenReference,
        ),
        (
            "a participant who is there and never joined",
            "activities",
            joined.clone(),
            doc! { "$push": { "participants.list": { "user_id": &user_id } }, "$inc": { "participants.current_count": 1 } },
            Kind::Unknown,
        ),
        (
            "a creator who is not there",
            "activities",
            joined.clone(),
            doc! { "$set": { "creator_id": "nobody" } },
            Kind::BrokenReference,
        ),
        (
            "a count that is wrong",
            "activities",
            joined.clone(),
            doc! { "$inc": { "participants.current_count": 1 } },
            Kind::Miscounted,
        ),
        (
            "somebody twice",
            "activities",
            joined.clone(),
            doc! {
                "$push": { "participants.list": joined.get_document("participants").expect("are there")
                    .get_array("list").expect("is there")[0].clone() },
                "$inc": { "participants.current_count": 1 },
            },
            Kind::Duplicate,
        ),
        (
            "an entry that is gone",
            "activities",
            joined.clone(),
            doc! { "$pop": { "participants.list": 1 }, "$inc": { "participants.current_count": -1 } },
            Kind::EntryMissing,
        ),
        (
            "statistics that are off by one",
            "statistics",
            global.clone(),
            doc! { "$inc": { "total_users": -1 } },
            Kind::Miscounted,
        ),
    ];
    for (what, collection, before, change, kind) in planted {
        let id = before.get("_id").cloned().expect("has one");
        let documents = bed.documents(collection);
        let changed = documents.update_one(doc! { "_id": &id }, change).await.expect("is planted");
        assert_eq!(changed.modified_count, 1, "{what}");
        let found = verified(&bed).await;
        assert!(kinds(&found).contains(&kind) && !found.is_whole, "{what}: {:#?}", found.differences);
        put(&bed, collection, &before).await;
        let whole = verified(&bed).await;
        assert!(whole.is_whole, "after {what}: {:#?}", whole.differences);
    }

    // A second document of one event.
    let mut twin = user.clone();
    twin.insert("_id", "twin");
    users.insert_one(&twin).await.expect("is planted");
    let found = verified(&bed).await;
    assert_eq!(kinds(&found), [Kind::Unknown, Kind::Duplicate], "{:#?}", found.differences);
    users.delete_one(doc! { "_id": "twin" }).await.expect("is removed");

    // A document whose positions are behind: its last event is not in it.
    let mut behind = joined.clone();
    let positions = behind.get_document_mut("pos").expect("are there");
    let partition = positions.keys().next().expect("is one").clone();
    positions.insert(partition, "0000000000000001-00000000");
    put(&bed, "activities", &behind).await;
    let found = verified(&bed).await;
    assert!(kinds(&found).contains(&Kind::NotApplied), "{:#?}", found.differences);
    put(&bed, "activities", &joined).await;

    // Events that nobody has taken: two in PostgreSQL, none in MongoDB.
    bed.load(402, 12).await;
    let found = verified(&bed).await;
    assert_eq!(kinds(&found), [Kind::NotTaken], "{:#?}", found.differences);
    assert_eq!((found.total.postgres, found.total.mongodb, found.total.missing), (402, 400, 2));
    bed.run(2, projections::registry()).await;

    // A document of an event that PostgreSQL does not have.
    let row = "DELETE FROM activity.event_outbox WHERE sequence_id = \
               (SELECT max(sequence_id) FROM activity.event_outbox WHERE event_type = 'UserCreated')";
    bed.place.sql(row).await;
    let found = verified(&bed).await;
    assert_eq!(kinds(&found), [Kind::Unknown, Kind::Miscounted], "{:#?}", found.differences);

    // The ledger without its memory of them: as if no pipeline had ever taken them.
    bed.documents(LEDGER).delete_many(doc! {}).await.expect("is planted");
    let found = verified(&bed).await;
    assert_eq!(found.differences.by_kind[&Kind::NotTaken], 401);
    assert!(found.differences.examples.len() < 40, "examples are bounded");
}

/// A user whom only their own event has touched, and to whom no activity refers.
async fn untouched(bed: &Bed) -> Document {
    let updated = "SELECT aggregate_id FROM activity.event_outbox WHERE event_type = 'UserUpdated'";
    let updated = bed.place.sql(updated).await;
    let updated: BTreeSet<&str> = updated.lines().collect();
    let activities = bed.documents("activities");
    let all = "SELECT aggregate_id FROM activity.event_outbox WHERE event_type = 'UserCreated'";
    for id in bed.place.sql(all).await.lines().filter(|id| !updated.contains(id)) {
        let refers = doc! { "$or": [{ "creator_id": id }, { "participants.list.user_id": id }] };
        if activities.find_one(refers).await.expect("answers").is_none() {
            return bed
                .documents("users")
                .find_one(doc! { "_id": id })
                .await
                .expect("answers")
                .expect("is there");
        }
    }
    panic!("everybody is busy");
}

async fn remove(bed: &Bed, collection: &str, document: &Document) {
    let id = document.get("_id").cloned().expect("has one");
    bed.documents(collection).delete_one(doc! { "_id": id }).await.expect("is removed");
}

async fn put(bed: &Bed, collection: &str, document: &Document) {
    let id = document.get("_id").cloned().expect("has one");
    let documents = bed.documents(collection);
    documents.replace_one(doc! { "_id": id }, document).upsert(true).await.expect("is put");
}

const INSERT: &str =
    "INSERT INTO activity.event_outbox (event_id, aggregate_id, aggregate_type, event_type, payload) VALUES";

fn id(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

fn row(n: u32, aggregate: u32, event_type: &str, payload: &str) -> String {
    format!("{INSERT} ('{}', '{}', 'Thing', '{event_type}', '{payload}');", id(n), id(aggregate))
}

#[tokio::test]
async fn what_waits_and_what_is_buried_is_accounted_for() {
    let Some(bed) = Bed::open().await else { return };
    let rows = [
        row(1, 101, "UserCreated", r#"{"email": "a@example.com"}"#),
        // An update before its creation, which never comes.
        row(2, 102, "UserUpdated", r#"{"bio": "early"}"#),
        // A creation without an email is refused; the statistics count it all the same.
        row(3, 103, "UserCreated", "{}"),
        // An activity of the user who was refused.
        row(4, 104, "ActivityCreated", &format!(r#"{{"title": "t", "creator_id": "{}"}}"#, id(103))),
        // A second creation of one user.
        row(5, 101, "UserCreated", r#"{"email": "again@example.com"}"#),
        // Nobody handles these.
        row(6, 105, "Unheard", "{}"),
    ];
    bed.place.sql(rows.concat()).await;
    bed.run(6, projections::registry()).await;
    let found = verified(&bed).await;
    assert!(found.is_whole, "{:#?}", found.differences);
    let total = found.total;
    assert_eq!((total.applied, total.waiting, total.dead_lettered, total.missing), (3, 1, 2, 0), "{total:?}");
    assert_eq!(found.documents["users"].waiting, 1);
    assert_eq!(found.documents["activities"].excused_references, 1);

    // The letters thrown away: the events are nowhere.
    bed.documents(DEAD_LETTERS).delete_many(doc! {}).await.expect("is planted");
    let found = verified(&bed).await;
    assert!(kinds(&found).contains(&Kind::NoLetter), "{:#?}", found.differences);
    assert!(kinds(&found).contains(&Kind::BrokenReference));
    assert!(found.total.missing >= 1);
}

#[tokio::test]
async fn pruned_rows_are_not_missed_and_the_rest_is_verified() {
    let Some(bed) = Bed::open().await else { return };
    // Two transactions: the first is the older.
    bed.load(150, 13).await;
    bed.load(300, 13).await;
    bed.run(300, projections::registry()).await;
    bed.place.sql("DELETE FROM activity.event_outbox WHERE sequence_id <= 150").await;
    let found = verified(&bed).await;
    assert!(found.is_whole, "{:#?}", found.differences);
    assert!(!found.window.is_everything && found.window.rows == 150);
    assert!(found.documents["users"].older > 10, "{:?}", found.documents);
    assert_eq!(found.statistics.len(), 2, "they are recounted from the documents");

    bed.documents("statistics")
        .update_many(doc! {}, doc! { "$inc": { "total_users": 1 } })
        .await
        .expect("is planted");
    assert_eq!(kinds(&verified(&bed).await), [Kind::Miscounted]);

    // All pruned: there are documents, and nothing to compare them with.
    bed.documents("statistics")
        .update_many(doc! {}, doc! { "$inc": { "total_users": -1 } })
        .await
        .expect("is mended");
    bed.place.sql("DELETE FROM activity.event_outbox").await;
    let found = verified(&bed).await;
    assert!(found.is_whole && found.window.rows == 0, "{found:#?}");
}

#[tokio::test]
async fn a_handler_that_takes_things_away_leaves_nothing_to_miss() {
    let Some(bed) = Bed::open().await else { return };
    let leaves = |event: &streamer_events::Event| {
        let who: serde_json::Value = event.payload()?;
        let entry =
            streamer_events::Document::new().with("user_id", who["user_id"].as_str().unwrap_or_default());
        let write = streamer_events::Write::on("activities", event.aggregate_id.clone());
        Ok(vec![write.remove("participants.list", "user_id", entry).counting("participants.current_count")])
    };
    let registry = || -> Registry { projections::registry().on("ParticipantLeft", "activities", leaves) };
    let user = id(101);
    let rows = [
        row(1, 101, "UserCreated", r#"{"email": "a@example.com"}"#),
        row(2, 104, "ActivityCreated", &format!(r#"{{"title": "t", "creator_id": "{user}"}}"#)),
        row(3, 104, "ParticipantJoined", &format!(r#"{{"user_id": "{user}"}}"#)),
        row(4, 104, "ParticipantLeft", &format!(r#"{{"user_id": "{user}"}}"#)),
    ];
    bed.place.sql(rows.concat()).await;
    bed.run(4, registry()).await;
    let settings = Settings::of(bed.place.server().clone());
    let found = verify(&settings, &bed.sink, &registry()).await.expect("can be verified");
    assert!(found.is_whole, "{:#?}", found.differences);
    assert_eq!(found.documents["activities"].participants, 0);
}

/// The bed's rows, applied; what is verified is whole.
async fn applied(bed: &Bed, rows: &str, count: u64) {
    bed.place.sql(rows).await;
    bed.run(count, projections::registry()).await;
    let found = verified(bed).await;
    assert!(found.is_whole, "{:#?}", found.differences);
}

async fn set(bed: &Bed, user: u32, change: Document) {
    let filter = doc! { "_id": id(user) };
    let changed =
        bed.documents("users").update_one(filter, doc! { "$set": change }).await.expect("is planted");
    assert_eq!(changed.modified_count, 1);
}

/// Of the one difference: its kind, its subject, and what it says.
fn only(found: &Verified) -> (Kind, &str, &str) {
    assert_eq!(found.differences.count, 1, "{:#?}", found.differences);
    let difference = &found.differences.examples[0];
    (difference.kind, &difference.subject, &difference.detail)
}

#[tokio::test]
async fn an_update_before_its_creation_in_one_transaction_alters_nothing() {
    let Some(bed) = Bed::open().await else { return };
    let rows = [
        "BEGIN;".to_owned(),
        row(1, 101, "UserUpdated", r#"{"bio": "early"}"#),
        row(2, 101, "UserCreated", r#"{"email": "a@example.com", "bio": "first"}"#),
        "COMMIT;".to_owned(),
    ];
    applied(&bed, &rows.concat(), 2).await;
    // What was updated, and what was not.
    set(&bed, 101, doc! { "profile.bio": "first" }).await;
    let subject = format!("users/{}", id(101));
    let found = verified(&bed).await;
    let (kind, of, detail) = only(&found);
    assert_eq!((kind, of), (Kind::Altered, &*subject));
    assert!(detail.contains(&format!("UserUpdated {}", id(1))) && detail.contains("profile.bio"), "{detail}");
    set(&bed, 101, doc! { "profile.bio": "early", "email": "b@example.com" }).await;
    let found = verified(&bed).await;
    assert!(only(&found).2.contains(&format!("UserCreated {} has written to email", id(2))));
}

#[tokio::test]
async fn a_set_that_was_lost_is_found_below_the_documents_position() {
    let Some(bed) = Bed::open().await else { return };
    let rows = [
        row(1, 101, "UserCreated", r#"{"email": "a@example.com", "bio": "first"}"#),
        row(2, 101, "UserUpdated", r#"{"bio": "second"}"#),
    ];
    // Two that a snapshot reads, and two that the stream brings.
    applied(&bed, &rows.concat(), 2).await;
    let rows = [
        row(3, 101, "UserUpdated", r#"{"bio": "third"}"#),
        row(4, 101, "UserUpdated", r#"{"email": "b@example.com"}"#),
    ];
    applied(&bed, &rows.concat(), 2).await;
    set(&bed, 101, doc! { "profile.bio": "second" }).await;
    for batch_max in [1, 500] {
        let found =
            verified_by(&bed, &Settings { batch_max, ..Settings::of(bed.place.server().clone()) }).await;
        let (kind, subject, detail) = only(&found);
        assert_eq!((kind, subject), (Kind::Altered, &*format!("users/{}", id(101))));
        assert!(detail.contains(&format!("UserUpdated {} has written to profile.bio", id(3))), "{detail}");
    }
}

#[tokio::test]
async fn rows_out_of_the_order_of_their_commits_are_judged_by_their_commits() {
    let Some(bed) = Bed::open().await else { return };
    let created = row(1, 101, "UserCreated", r#"{"email": "a@example.com", "bio": "first"}"#);
    applied(&bed, &created, 1).await;
    let settings = Settings::of(bed.place.server().clone());
    let (row_bytes, timeout) = (settings.row_bytes_max, settings.timeout);
    let mut slow = Client::connect(&settings.server, row_bytes, timeout).await.expect("connects");
    slow.query("BEGIN").await.expect("begins");
    slow.query(&row(2, 101, "UserUpdated", r#"{"bio": "last to commit"}"#)).await.expect("inserts");
    bed.place.sql(row(3, 101, "UserUpdated", r#"{"bio": "last row"}"#)).await;
    slow.query("COMMIT").await.expect("commits");
    applied(&bed, "", 2).await;
    set(&bed, 101, doc! { "profile.bio": "last row" }).await;
    let found = verified(&bed).await;
    assert!(only(&found).2.contains(&format!("UserUpdated {}", id(2))));
}
