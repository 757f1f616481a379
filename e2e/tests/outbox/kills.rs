//! The processor killed at random moments under load: afterwards MongoDB holds what PostgreSQL does, each event once.

use std::time::Duration;

use serde_json::{Value, json};
use streamer_e2e::patience::until;

use super::bed::{Place, Told, id};

const ROUNDS: u64 = 20;
/// Transactions in a round, and users who come to be in each.
const TRANSACTIONS: u64 = 6;
const USERS: u64 = 25;
/// How many of them join its activity.
const JOINED: u64 = 10;
/// Where the numbers of activities begin.
const ACTIVITIES: u64 = 1_000_000;

/// Users, and an activity that some of them join, some twice.
async fn transaction(place: &Place, number: u64) {
    let first = number * USERS + 1;
    place.commit_users(first, USERS).await;
    let activity = ACTIVITIES + number;
    let mut events =
        vec![Told("ActivityCreated", activity, json!({ "title": "Chess", "creator_id": id(first) }))];
    for n in (first..first + JOINED).chain(first..first + 3) {
        events.push(Told("ParticipantJoined", activity, json!({ "user_id": id(n) })));
    }
    place.commit(&events).await;
}

/// What PostgreSQL says there should be.
async fn expected(place: &Place, event_type: &str) -> u64 {
    let sql = format!("SELECT count(*) FROM activity.event_outbox WHERE event_type = '{event_type}'");
    place.sql(sql).await.parse().expect("a number")
}

async fn compare(place: &Place, round: u64) {
    let (users, activities) =
        (expected(place, "UserCreated").await, expected(place, "ActivityCreated").await);
    place.await_users(users).await;
    // Documents of one batch are written side by side: one's being there says nothing of the others.
    let joined = async || {
        let list = |activity: &Value| activity["participants"]["list"].as_array().map_or(0, Vec::len) as u64;
        let is_right = |activity: &Value| {
            let count = &activity["participants"]["current_count"];
            list(activity) == JOINED && *count == JOINED && activity.get("_pending").is_none()
        };
        let all = place.documents("activities").await;
        let is_whole = all.len() as u64 == activities;
        (is_whole && all.iter().all(is_right)).then_some(())
    };
    until(&format!("the activities of round {round}"), joined).await;
    let counted = async || {
        let statistics = place.document("statistics", "global").await?;
        (statistics["total_activities"] == activities).then_some(())
    };
    until(&format!("the statistics of round {round}"), counted).await;
    assert_eq!(place.count("_streamer_dead_letters").await, 0, "round {round}");
}

#[tokio::test]
async fn killed_at_random_moments_it_counts_every_event_once() {
    let Some(place) = Place::open().await else { return };
    let mut processor = place.streaming().await;
    for round in 0..ROUNDS {
        let wait = Duration::from_millis(rand::random_range(0..800));
        let loading = async {
            for number in round * TRANSACTIONS..(round + 1) * TRANSACTIONS {
                transaction(&place, number).await;
            }
        };
        let killing = async {
            tokio::time::sleep(wait).await;
            processor.kill().await;
        };
        tokio::join!(loading, killing);
        processor = place.processor("first", &[]).await;
        compare(&place, round).await;
    }
    place.verify().await;
    let log = processor.stop().await;
    assert!(!log.contains("panicked"), "{log}");
}
