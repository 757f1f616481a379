//! What goes where, and what survives a process.

use std::sync::Arc;

use serde_json::json;
use streamer_engine::{protocol::History, store::SharedStore, testing::MemoryStore};
use streamer_events::{
    Batch, DeadLetter, Event, Payload, Why,
    replay::{Replayed, hand_on},
    sink::{DeadLetters as _, Sink as _},
    testing::{MemorySink, given},
};
use streamer_sink_topics::HANDLER;

use crate::bed::Bed;

fn event(offset: u64, id: &str, payload: &str) -> Event {
    Event { aggregate_id: id.into(), payload: Payload::new(payload), ..given::event(0, offset, "Told", "") }
}

fn batch(events: impl IntoIterator<Item = Event>) -> Batch {
    let mut batch = Batch::default();
    events.into_iter().for_each(|event| batch.add(event.into(), Vec::new()));
    batch
}

#[tokio::test]
async fn an_event_goes_to_its_topic_in_its_tenant_as_it_is() {
    let bed = Bed::new(Arc::new(MemoryStore::new()), History::Memory);
    let ours = bed.subscribe("a", "acme", "Aggregate.x", None).await;
    let theirs = bed.subscribe("b", "globex", "Aggregate.x", None).await;
    let other = bed.subscribe("c", "acme", "Aggregate.y", None).await;
    let payload = r#"{"tenant":"acme","n":1.50}"#;
    assert_eq!(bed.sink.apply(&batch([event(1, "x", payload)])).await.expect("answers"), []);
    let heard = ours.heard();
    let created_at = given::moment(0).to_string();
    let expected = json!({
        "event_id": "e0-1", "event_type": "Told", "aggregate_id": "x", "aggregate_type": "Aggregate",
        "created_at": created_at, "payload": { "tenant": "acme", "n": 1.5 },
    });
    assert_eq!(heard.len(), 1);
    assert_eq!((&heard[0]["offset"], &heard[0]["data"]), (&json!(1), &expected));
    assert!(theirs.heard().is_empty() && other.heard().is_empty());
}

#[tokio::test]
async fn what_cannot_be_published_says_why_and_quotes_nothing() {
    let bed = Bed::new(Arc::new(MemoryStore::new()), History::None);
    let long = format!(r#"{{"tenant":"acme","x":"{}"}}"#, "x".repeat(1000));
    for (id, payload, why) in [
        ("x", "{}", "tenant: names no tenant"),
        ("x", r#"{"tenant":null}"#, "tenant: names no tenant"),
        ("x", r#"{"tenant":""}"#, "tenant: is no tenant"),
        ("x", r#"{"tenant":["hush"]}"#, "tenant: is no tenant"),
        ("x", "hush", "not JSON"),
        ("x y", r#"{"tenant":"acme"}"#, "names no topic"),
        ("x", &long, "a topic takes 1000"),
    ] {
        let refused = bed.sink.apply(&batch([event(1, id, payload)])).await.expect("answers");
        let told = refused.first().expect("is refused").refusal.to_string();
        assert!(told.contains(why) && !told.contains("hush"), "{payload}: {told}");
    }
}

#[tokio::test]
async fn a_durable_topic_knows_after_a_restart_what_it_has() {
    let store: SharedStore = Arc::new(MemoryStore::new());
    let events = |range: std::ops::RangeInclusive<u64>| {
        batch(range.map(|offset| event(offset, "x", r#"{"tenant":"acme"}"#)))
    };
    let former = Bed::new(Arc::clone(&store), History::Durable);
    assert_eq!(former.sink.apply(&events(1..=3)).await.expect("answers"), []);
    // Published and not confirmed: it comes again, to another process.
    let bed = Bed::new(store, History::Durable);
    let epoch = bed.subscribe("a", "acme", "Aggregate.x", None).await.subscribed["epoch"].clone();
    assert_eq!(bed.sink.apply(&events(2..=4)).await.expect("answers"), []);
    let since = json!({ "epoch": epoch, "offset": 1 });
    let resumed = bed.subscribe("b", "acme", "Aggregate.x", Some(since)).await;
    assert_eq!((&resumed.subscribed["resumed"], &resumed.subscribed["offset"]), (&json!(true), &json!(4)));
}

#[tokio::test]
async fn a_letter_is_published_behind_what_came_after_it_and_once() {
    let store: SharedStore = Arc::new(MemoryStore::new());
    let bed = Bed::new(Arc::clone(&store), History::Durable);
    let refused = event(1, "x", "{}");
    let why = Why { handler: HANDLER.into(), document: None, error: "no".into(), path: None };
    let mut letter = DeadLetter::about(&refused, why, given::moment(1), 1000);
    let models = MemorySink::new();
    models.bury(std::slice::from_ref(&letter)).await.expect("buries");
    assert_eq!(bed.sink.apply(&batch([event(2, "x", r#"{"tenant":"acme"}"#)])).await.expect("answers"), []);
    let replayed = hand_on(&models, &bed.sink, &letter).await.expect("answers");
    assert!(matches!(replayed, Replayed::Refused(_)), "{replayed:?}");
    assert_eq!(models.count_letters().await.expect("counts"), 1);
    letter.payload = r#"{"tenant":"acme","late":true}"#.to_owned();
    let ear = bed.subscribe("a", "acme", "Aggregate.x", None).await;
    // The second time as after a crash before it was discarded, by another process.
    let other = Bed::new(store, History::Durable);
    for bed in [&bed, &bed, &other] {
        let replayed = hand_on(&models, &bed.sink, &letter).await.expect("answers");
        assert_eq!(replayed, Replayed::Applied);
    }
    let heard = ear.heard();
    assert_eq!(
        (heard.len(), &heard[0]["offset"], &heard[0]["data"]["payload"]["late"]),
        (1, &json!(2), &json!(true))
    );
    let at_last = other.subscribe("b", "acme", "Aggregate.x", None).await.subscribed["offset"].clone();
    assert_eq!(at_last, 2);
    assert_eq!(models.count_letters().await.expect("counts"), 0);
    let cut = DeadLetter { truncated: true, ..letter };
    let replayed = hand_on(&models, &bed.sink, &cut).await.expect("answers");
    assert!(matches!(replayed, Replayed::Impossible(_)), "{replayed:?}");
}
