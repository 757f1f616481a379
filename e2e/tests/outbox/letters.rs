//! Dead letters: kept, listed, tried again.

use serde_json::{Value, json};
use streamer_e2e::patience::until;

use super::bed::{Place, Told, id};

fn mapping(with_id: bool) -> String {
    let id = if with_id { "id = \"number\"\n" } else { "" };
    format!("[events.mappings.orders]\nevent_type = \"OrderPlaced\"\ncollection = \"orders\"\n{id}")
}

#[tokio::test]
async fn a_letter_is_listed_stays_while_it_is_refused_and_goes_once_it_is_mended() {
    let Some(place) = Place::open().await else { return };
    let file = place.folder.path().join("streamer.toml");
    std::fs::write(&file, mapping(true)).expect("written");
    let processor = place.streaming().await;
    place
        .commit(&[
            Told("OrderPlaced", 1, json!({ "total": 9 })),
            Told("OrderPlaced", 2, json!({ "total": 3, "number": "n2" })),
            Told("UserCreated", 3, json!("no object")),
        ])
        .await;
    // The other events are not held up.
    until("the other order", async || place.document("orders", "n2").await).await;
    until("the letters", async || (place.count("_streamer_dead_letters").await == 2).then_some(())).await;
    let metrics = processor.get("/metrics").await.text();
    assert!(metrics.contains("streamer_events_dead_letters_total 2"), "{metrics}");

    let listed = place.shell.run(["events", "replay", "--list", "--handler", "orders"]).await.succeeded();
    assert!(listed.lines().count() == 1 && listed.contains("number: is missing"), "{listed}");
    let letter_id = listed.split('\t').next().expect("an id").to_owned();
    let whole = place.shell.run(["events", "replay", "--list", "--json", &letter_id]).await.succeeded();
    let whole: Value = serde_json::from_str(whole.trim()).expect("is JSON");
    assert_eq!((&whole["handler"], &whole["aggregate_id"]), (&json!("orders"), &json!(id(1))));

    let refused = place.shell.run(["events", "replay", &letter_id]).await;
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stdout.contains("refused again: number: is missing"), "{refused}");
    std::fs::write(&file, mapping(false)).expect("written");
    let replayed = place.shell.run(["events", "replay", &letter_id]).await.succeeded();
    assert!(replayed.contains("1 applied, 0 stay"), "{replayed}");
    assert_eq!(place.document("orders", &id(1)).await.expect("is there")["total"], 9);

    let told = place.shell.run(["events", "replay", "--discard"]).await.failed(1);
    assert!(told.contains("say which"), "{told}");
    let _ =
        place.shell.run(["events", "replay", "--discard", "--event-type", "UserCreated"]).await.succeeded();
    assert_eq!(place.count("_streamer_dead_letters").await, 0);
    let _ = processor.stop().await;
}

/// What `verify --json` says: no difference, so many events in the dead letters, and all others applied.
async fn hold_applied_but(place: &Place, dead_lettered: u64, rows: u64) {
    let _ =
        place.shell.run(["events", "verify", "--wait", "25", "--json", "verified.json"]).await.succeeded();
    let verified = std::fs::read(place.folder.path().join("verified.json")).expect("was written");
    let total = &serde_json::from_slice::<Value>(&verified).expect("is whole")["total"];
    let [postgres, applied, dead] = ["postgres", "applied", "dead_lettered"].map(|name| total[name].as_u64());
    assert_eq!((postgres, applied, dead), (Some(rows), Some(rows - dead_lettered), Some(dead_lettered)));
}

#[tokio::test]
async fn one_poison_event_among_ten_thousand_is_one_dead_letter() {
    const EVENTS: u64 = 10_000;
    let Some(place) = Place::open().await else { return };
    let processor = place.streaming().await;
    // In one transaction: what follows the poison comes right behind it.
    place
        .sql(format!(
            "INSERT INTO activity.event_outbox (aggregate_id, aggregate_type, event_type, payload) \
             SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'User', 'UserCreated', \
             CASE WHEN n = 4711 THEN '\"poison\"' \
             ELSE jsonb_build_object('email', 'u' || n || '@example.com', 'username', 'u' || n) END \
             FROM generate_series(1, {EVENTS}) AS n ORDER BY n"
        ))
        .await;
    // Looking at all of them again and again would only hold them up.
    let done = async || (processor.metric("streamer_events_total").await >= EVENTS as f64).then_some(());
    until("the events to be done", done).await;
    hold_applied_but(&place, 1, EVENTS).await;
    assert_eq!(place.count("users").await, EVENTS - 1);
    let listed = place.shell.run(["events", "replay", "--list", "--json"]).await.succeeded();
    let letter: Value = serde_json::from_str(listed.trim()).expect("is one");
    assert_eq!((&letter["handler"], &letter["aggregate_id"]), (&json!("users"), &json!(id(4711))));
    assert_eq!(letter["payload"], "\"poison\"");
    let report = ["events", "report", "--json", "report.json", "--from", &processor.admin_url()];
    let _ = place.shell.run(report).await.succeeded();
    let report = std::fs::read(place.folder.path().join("report.json")).expect("was written");
    let figures = &serde_json::from_slice::<Value>(&report).expect("is whole")["figures"];
    assert_eq!((&figures["events"], &figures["dead_letters"]), (&json!(EVENTS), &json!(1)));
    let _ = processor.stop().await;
}

#[tokio::test]
async fn a_handler_that_panics_stops_neither_its_siblings_nor_the_stream() {
    let Some(mut place) = Place::open().await else { return };
    place.shell = place.shell.running(crate::BAD_HANDLERS);
    let processor = place.streaming().await;
    let told = |n: u64, panics: bool| Told("Counted", n, json!({ "panics": panics }));
    place.commit(&[told(1, false), told(2, true), told(3, false), told(4, true), told(5, false)]).await;
    hold_applied_but(&place, 2, 5).await;
    assert_eq!(place.document("counts", "all").await.expect("is there")["n"], 5, "the sibling's");
    assert_eq!(place.count("told").await, 3);
    let listed = place.shell.run(["events", "replay", "--list"]).await.succeeded();
    assert!(listed.lines().count() == 2 && listed.matches("panicked").count() == 2, "{listed}");
    assert!(listed.lines().all(|letter| letter.contains("\tpanics\t")), "{listed}");
    let _ = processor.stop().await;
}

#[tokio::test]
async fn a_document_beyond_mongodbs_limit_is_a_dead_letter_and_a_batch_beyond_it_is_not() {
    const MIB: u64 = 1024 * 1024;
    let Some(place) = Place::open().await else { return };
    let large = |first: u64, count: u64, bytes: u64| {
        format!(
            "INSERT INTO activity.event_outbox (aggregate_id, aggregate_type, event_type, payload) \
             SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'User', 'UserCreated', \
             jsonb_build_object('email', n || '@example.com', 'username', n::text, 'bio', repeat('x', {bytes})) \
             FROM generate_series({first}, {}) AS n",
            first + count - 1
        )
    };
    let batches = ["--set", "events.batch_bytes_max=67108864"];
    place.sql(format!("{}; {}", large(1, 40, MIB / 2), large(41, 1, 17 * MIB))).await;
    let processor = place.processor("first", &batches).await;
    place.commit_users(42, 1).await;
    hold_applied_but(&place, 1, 42).await;
    let listed = place.shell.run(["events", "replay", "--list", "--json"]).await.succeeded();
    let letter: Value = serde_json::from_str(listed.trim()).expect("is one");
    assert_eq!((&letter["aggregate_id"], &letter["truncated"]), (&json!(id(41)), &json!(true)));
    assert_eq!(letter["document"], json!(["users", id(41)]));
    let _ = processor.stop().await;
}
