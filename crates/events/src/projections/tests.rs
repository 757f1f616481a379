use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::*;
use crate::{
    apply::{Applied, apply},
    event::Event,
    testing::given,
    value::Document,
};

/// The documents that the events leave, each event as (type, aggregate, payload).
fn documents(events: &[(&str, &str, Json)]) -> BTreeMap<(String, String), Json> {
    let registry = registry();
    let mut stored: BTreeMap<(String, String), Document> = BTreeMap::new();
    for (at, (event_type, aggregate, payload)) in (1..).zip(events) {
        let event = Event {
            aggregate_id: (*aggregate).into(),
            ..given::event(0, at, event_type, &payload.to_string())
        };
        let projected = registry.project(&event);
        assert!(projected.rejected.is_empty(), "{:?}", projected.rejected);
        for (_, write) in projected.writes {
            let key = (write.collection.to_string(), write.id.to_string());
            let group = given::group(0, &key.1, [(at, write)]);
            match apply(stored.remove(&key), &group) {
                Applied::Document(document) => drop(stored.insert(key, document)),
                other => panic!("not applied: {other:?}"),
            }
        }
    }
    let json = |mut document: Document| {
        document.remove("pos");
        serde_json::to_value(document).expect("prints")
    };
    stored.into_iter().map(|(key, document)| (key, json(document))).collect()
}

fn document(events: &[(&str, &str, Json)], collection: &str, id: &str) -> Json {
    documents(events).remove(&(collection.to_owned(), id.to_owned())).expect("is there")
}

fn rejected(event_type: &str, payload: Json) -> String {
    let event = given::event(0, 1, event_type, &payload.to_string());
    let rejected = registry().project(&event).rejected;
    rejected.first().expect("is rejected").1.to_string()
}

fn metadata(event: &str) -> Json {
    let now = given::moment(0).to_string();
    json!({ "created_at": now, "updated_at": now, "source_event_id": event })
}

#[test]
fn a_flat_user() {
    let payload = json!({
        "email": "ada@example.com", "username": "ada", "first_name": "Ada", "last_name": "Lovelace", "bio": "counts",
    });
    let expected = json!({
        "_id": "u1", "user_id": "u1", "email": "ada@example.com", "username": "ada", "name": "Ada Lovelace",
        "first_name": "Ada", "last_name": "Lovelace", "profile": { "bio": "counts", "avatar_url": null },
        "metadata": metadata("e0-1"), "allowed_users": ["u1"], "created_at": given::moment(0).to_string(),
    });
    let events = [("UserCreated", "u1", payload)];
    assert_eq!(document(&events, USERS, "u1"), expected);
    assert_eq!(document(&events, STATISTICS, STATISTICS_ID)["total_users"], 1);
}

#[test]
fn a_nested_user() {
    let payload = json!({
        "email": "ada@example.com", "name": "Countess", "allowed_users": ["x"],
        "profile": { "avatar_url": "https://example.com/a.png", "city": "London" },
    });
    let user = document(&[("UserCreated", "u1", payload)], USERS, "u1");
    assert_eq!(
        user["profile"],
        json!({ "bio": null, "avatar_url": "https://example.com/a.png", "city": "London" })
    );
    assert_eq!((&user["name"], &user["allowed_users"]), (&json!("Countess"), &json!(["x"])));
}

#[test]
fn a_user_is_updated_flat_or_by_paths() {
    let created = ("UserCreated", "u1", json!({ "email": "a@example.com" }));
    let flat = ("UserUpdated", "u1", json!({ "bio": "flat", "email": "b@example.com", "noise": 1 }));
    let paths = ("UserUpdated", "u1", json!({ "updates": { "profile.avatar_url": "x", "username": null } }));
    let user = document(&[created, flat, paths], USERS, "u1");
    assert_eq!(user["profile"], json!({ "bio": "flat", "avatar_url": "x" }));
    assert_eq!((&user["email"], user.get("noise")), (&json!("b@example.com"), None));
}

#[test]
fn activities_in_both_shapes_are_the_same() {
    let flat = json!({
        "title": "Hike", "description": "Up", "creator_user_id": "u1", "activity_type": "outdoor",
        "location_name": "Hill", "start_time": "2026-12-01T09:00:00Z", "max_participants": 9,
    });
    let nested = json!({
        "title": "Hike", "description": "Up", "creator_id": "u1", "type": "outdoor", "location": { "name": "Hill" },
        "schedule": { "start_time": "2026-12-01T09:00:00Z" }, "participants": { "max_count": 9, "list": [] },
    });
    let expected = json!({
        "_id": "a1", "activity_id": "a1", "title": "Hike", "description": "Up", "creator_id": "u1", "type": "outdoor",
        "location": { "name": "Hill" }, "schedule": { "start_time": "2026-12-01T09:00:00Z" },
        "participants": { "current_count": 0, "max_count": 9, "list": [] }, "status": "active",
        "metadata": metadata("e0-1"), "allowed_users": ["u1"], "created_at": given::moment(0).to_string(),
    });
    for payload in [flat, nested] {
        let events = [("ActivityCreated", "a1", payload)];
        assert_eq!(document(&events, ACTIVITIES, "a1"), expected);
        assert_eq!(document(&events, STATISTICS, STATISTICS_ID)["total_activities"], 1);
    }
}

#[test]
fn an_activity_is_updated_flat_or_by_paths() {
    let created = ("ActivityCreated", "a1", json!({ "title": "Hike", "creator_id": "u1" }));
    let flat = ("ActivityUpdated", "a1", json!({ "location_name": "Hill", "max_participants": 3 }));
    let paths =
        ("ActivityUpdated", "a1", json!({ "updates": { "schedule.end_time": "late", "status": "done" } }));
    let activity = document(&[created, flat, paths], ACTIVITIES, "a1");
    assert_eq!(activity["location"], json!({ "name": "Hill" }));
    assert_eq!(activity["schedule"], json!({ "end_time": "late" }));
    assert_eq!((&activity["participants"]["max_count"], &activity["status"]), (&json!(3), &json!("done")));
}

#[test]
fn a_participant_joins_once_even_before_the_activity() {
    let created = ("ActivityCreated", "a1", json!({ "title": "Hike", "creator_id": "u1" }));
    let joined = || ("ParticipantJoined", "a1", json!({ "user_id": "u2", "user_name": "Bob" }));
    let nested =
        ("ParticipantJoined", "x", json!({ "activity_id": "a1", "participant": { "user_id": "u3" } }));
    let activity = document(&[joined(), nested, created, joined()], ACTIVITIES, "a1");
    assert_eq!(activity["participants"]["current_count"], 2);
    let users: Vec<_> = activity["participants"]["list"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| &entry["user_id"])
        .collect();
    assert_eq!(users, ["u2", "u3"]);
}

#[test]
fn what_does_not_fit_is_rejected_with_its_place() {
    for (event_type, payload, expected) in [
        ("UserCreated", json!([]), "expected an object"),
        ("UserCreated", json!({}), "email: is missing"),
        ("UserCreated", json!({ "email": 7 }), "email: expected text"),
        ("UserCreated", json!({ "email": "a", "profile": "x" }), "profile: expected an object"),
        ("UserUpdated", json!({}), "holds no field that changes anything"),
        ("UserUpdated", json!({ "updates": { "a..b": 1 } }), "updates.a..b: is no path"),
        (
            "UserUpdated",
            json!({ "updates": { "metadata.source_event_id": 1 } }),
            "updates.metadata.source_event_id: does not change",
        ),
        ("ActivityCreated", json!({ "title": "x" }), "creator_id: is missing"),
        (
            "ActivityCreated",
            json!({ "title": "x", "creator_id": "u", "max_participants": "9" }),
            "max_participants: expected a whole number",
        ),
        (
            "ActivityUpdated",
            json!({ "updates": { "participants.list": [] } }),
            "updates.participants.list: changes by who joins",
        ),
        ("ParticipantJoined", json!({}), "user_id: is missing"),
        (
            "ParticipantJoined",
            json!({ "user_id": "u", "joined_at": "soon" }),
            "joined_at: not an RFC 3339 time, such as 2026-01-31T12:00:00.000000Z",
        ),
    ] {
        assert_eq!(rejected(event_type, payload), expected);
    }
}

#[test]
fn an_update_cannot_reach_what_the_pipeline_keeps() {
    let event = given::event(0, 1, "UserUpdated", r#"{"updates":{"pos.x":1}}"#);
    let (_, write) = registry().project(&event).writes.remove(0);
    assert!(matches!(apply(None, &given::group(0, "a", [(1, write)])), Applied::Refused(_)));
}
