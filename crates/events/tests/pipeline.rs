//! The pipeline when all goes well, and when an event does not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::json;
use streamer_events::{
    Batch, Event, Position, Registry, Rejection, Settings, Value, Write,
    change::{Field, Op},
    sink::{DeadLetters as _, RefusedWrite, Sink},
    source::{self, Limit, Opened, Read, Source},
    testing::{Fault, FaultySink, MemoryLog, MemorySink, MemorySource, given},
};
use tokio_util::sync::CancellationToken;

use crate::bed::{pipeline, pipeline_of, run_until, settings, told, user};

fn counts(sink: &MemorySink, field: &str) -> Option<i64> {
    sink.document("statistics", "global")?.get(field)?.as_int()
}

#[tokio::test(start_paused = true)]
async fn events_become_documents_and_are_confirmed() {
    let log = MemoryLog::new(given::epoch());
    (1..=25).for_each(|n| log.append(0, user(n)));
    let sink = Arc::new(MemorySink::new());
    let pipeline = pipeline(log.source(&[0]), sink.clone());
    run_until(&pipeline, || log.is_confirmed()).await.expect("ends well");
    assert_eq!(counts(&sink, "total_users"), Some(25));
    assert_eq!(sink.documents().len(), 26);
    assert_eq!((pipeline.tally().events(), pipeline.tally().writes()), (25, 50));
    assert_eq!(pipeline.tally().recent()[0].aggregate_id, "u25");
    let report = pipeline.latency().report();
    assert_eq!(report.by_type["UserCreated"].stages["total"].count, 25);
    assert!(report.stages["total"].min_ms >= 1000.0, "since the commit, a second ago");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_event_passes_and_is_confirmed() {
    let log = MemoryLog::new(given::epoch());
    for op in [Op::Update, Op::Delete, Op::Truncate] {
        log.append(0, streamer_events::Change { op, ..user(1) });
    }
    let sink = Arc::new(MemorySink::new());
    let pipeline = pipeline(log.source(&[0]), sink.clone());
    run_until(&pipeline, || log.is_confirmed()).await.expect("ends well");
    assert_eq!((pipeline.tally().passed_over(), sink.documents().len()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn one_poison_event_among_many_goes_to_the_dead_letters() {
    let log = MemoryLog::new(given::epoch());
    for n in 1..=40 {
        match n {
            17 => log.append(0, told("e17", "UserCreated", "u17", json!({ "email": 17 }))),
            _ => log.append(0, user(n)),
        }
    }
    let sink = Arc::new(MemorySink::new());
    let pipeline = pipeline(log.source(&[0]), sink.clone());
    run_until(&pipeline, || log.is_confirmed()).await.expect("ends well");
    let letters = sink.letters(None, 10).await.expect("answers");
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!((letter.event_id.as_str(), letter.handler.as_str()), ("e17", "users"));
    assert_eq!((letter.path.as_deref(), letter.error.as_str()), (Some("email"), "expected text"));
    assert_eq!(letter.payload, r#"{"email":17}"#);
    // The sibling took it: it counts users whatever their address.
    assert_eq!(counts(&sink, "total_users"), Some(40));
    assert_eq!(sink.document("users", "u17"), None);
}

#[tokio::test(start_paused = true)]
async fn a_panic_goes_to_the_dead_letters_and_the_stream_goes_on() {
    fn panics(event: &Event) -> Result<Vec<Write>, Rejection> {
        assert_ne!(&*event.aggregate_id, "u2", "planted");
        Ok(vec![Write::on("seen", &*event.aggregate_id).set("seen", true).creating()])
    }
    let log = MemoryLog::new(given::epoch());
    (1..=3).for_each(|n| log.append(0, user(n)));
    let sink = Arc::new(MemorySink::new());
    let registry = Registry::new().on("UserCreated", "panics", panics);
    let pipeline = pipeline_of(log.source(&[0]), sink.clone(), registry, settings());
    run_until(&pipeline, || log.is_confirmed()).await.expect("ends well");
    assert_eq!(sink.documents().len(), 2);
    let letters = sink.letters(None, 10).await.expect("answers");
    assert!(letters[0].error.starts_with("the handler panicked: "), "{}", letters[0].error);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_no_event_goes_to_the_dead_letters_with_its_place() {
    let log = MemoryLog::new(given::epoch());
    let mut broken = user(1);
    broken.after =
        Some([("event_id", Field::Value(json!("e1"))), ("payload", Field::Unchanged)].into_iter().collect());
    log.append(0, broken);
    log.append(0, user(2));
    let sink = Arc::new(MemorySink::new());
    let pipeline = pipeline(log.source(&[0]), sink.clone());
    run_until(&pipeline, || log.is_confirmed()).await.expect("ends well");
    let letters = sink.letters(None, 10).await.expect("answers");
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].handler.as_str(), letters[0].path.as_deref()), ("outbox", Some("event_type")));
    assert!(letters[0].id.contains("@0000000000000001-00000000"), "{}", letters[0].id);
    assert!(letters[0].payload.contains("e1"));
    assert_eq!(counts(&sink, "total_users"), Some(1));
}

#[tokio::test(start_paused = true)]
async fn what_a_document_refuses_goes_to_the_dead_letters_and_the_rest_is_applied() {
    let log = MemoryLog::new(given::epoch());
    log.append(0, user(1));
    // Another event that makes the same user.
    log.append(0, told("twin", "UserCreated", "u1", json!({ "email": "twin@example.com" })));
    log.append(0, told("e3", "UserUpdated", "u1", json!({ "bio": "after" })));
    let sink = Arc::new(MemorySink::new());
    let pipeline = pipeline(log.source(&[0]), sink.clone());
    run_until(&pipeline, || log.is_confirmed()).await.expect("ends well");
    let letters = sink.letters(None, 10).await.expect("answers");
    assert_eq!(letters.iter().map(|letter| letter.id.as_str()).collect::<Vec<_>>(), ["twin/users/users/u1"]);
    assert_eq!(letters[0].error, "the document exists");
    let user = sink.document("users", "u1").expect("is there");
    assert_eq!(user.get("email").and_then(Value::as_text), Some("u1@example.com"));
    assert_eq!(
        user.get("profile").and_then(Value::as_document).and_then(|p| p.get("bio")?.as_text()),
        Some("after")
    );
}

#[tokio::test(start_paused = true)]
async fn an_oversized_payload_is_cut_in_its_letter() {
    let log = MemoryLog::new(given::epoch());
    log.append(0, told("large", "UserCreated", "u1", json!({ "email": 1, "bio": "x".repeat(5000) })));
    let sink = Arc::new(MemorySink::new());
    let settings = Settings { letter_payload_bytes_max: 100, ..settings() };
    let registry = streamer_events::projections::registry();
    let pipeline = pipeline_of(log.source(&[0]), sink.clone(), registry, settings);
    run_until(&pipeline, || log.is_confirmed()).await.expect("ends well");
    let letter = sink.letters(None, 10).await.expect("answers").remove(0);
    assert_eq!((letter.payload.len(), letter.truncated), (100, true));
    assert!(letter.payload_bytes > 5000);
}

/// Counts the events that it is given, and refuses those of one user.
#[derive(Default)]
struct Counting {
    events: AtomicUsize,
}

#[async_trait]
impl Sink for Counting {
    async fn apply(&self, batch: &Batch) -> streamer_events::sink::Result<Vec<RefusedWrite>> {
        let author = |event: &Event| streamer_events::batch::Author {
            event: event.id.clone(),
            handler: "topics".into(),
        };
        let events = batch.events.iter().map(|arrival| &arrival.event);
        let (bad, good): (Vec<_>, Vec<_>) = events.partition(|event| &*event.aggregate_id == "u2");
        let bad = bad.into_iter().map(|event| author(event)).filter(|author| !batch.void.contains(author));
        let refused: Vec<_> = bad
            .map(|author| RefusedWrite {
                author,
                collection: "".into(),
                id: "".into(),
                refusal: streamer_events::apply::Refusal::Invalid("no tenant".into()),
            })
            .collect();
        if refused.is_empty() {
            self.events.fetch_add(good.len(), Ordering::Relaxed);
        }
        Ok(refused)
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_sink_has_every_event_before_it_is_confirmed() {
    let log = MemoryLog::new(given::epoch());
    (1..=30).for_each(|n| log.append(0, user(n)));
    let (sink, counting) = (Arc::new(MemorySink::new()), Arc::new(Counting::default()));
    let parts = streamer_events::Parts {
        source: Arc::new(log.source(&[0])),
        models: sink.clone(),
        sinks: vec![counting.clone()],
        registry: streamer_events::projections::registry(),
        outbox: streamer_events::Outbox::default(),
        clock: Arc::new(streamer_events::testing::ManualClock::at(given::moment(1))),
        random: Arc::new(streamer_events::testing::SeededRandom::new(1)),
    };
    let pipeline = streamer_events::Pipeline::new(parts, settings());
    run_until(&pipeline, || log.is_confirmed()).await.expect("ends well");
    assert_eq!((counting.events.load(Ordering::Relaxed), counts(&sink, "total_users")), (29, Some(30)));
    let letters = sink.letters(None, 10).await.expect("answers");
    assert_eq!(letters.iter().map(|letter| letter.id.as_str()).collect::<Vec<_>>(), ["e2/topics"]);
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_comes_back_brings_nothing_twice_in_one_batch() {
    let log = MemoryLog::new(given::epoch());
    (1..=8).for_each(|n| log.append(0, user(n)));
    let plan = |call| (call == "apply").then_some(Fault::Delay(Duration::from_millis(50)));
    let sink = Arc::new(FaultySink::new(MemorySink::new(), plan));
    let source = Arc::new(log.source(&[0]));
    let pipeline = pipeline(Shared(Arc::clone(&source)), sink.clone());
    let rebalancing = async {
        // Taken away and given back while its first events are on their way; then they come again with new ones.
        tokio::time::sleep(Duration::from_millis(10)).await;
        source.assign(&[]);
        (9..=12).for_each(|n| log.append(0, user(n)));
        source.assign(&[0]);
    };
    let (ended, ()) = tokio::join!(run_until(&pipeline, || log.is_confirmed()), rebalancing);
    ended.expect("ends well");
    assert_eq!((pipeline.tally().events(), counts(sink.inner(), "total_users")), (12, Some(12)));
}

/// A source that a test holds too.
struct Shared(Arc<MemorySource>);

#[async_trait]
impl Source for Shared {
    async fn open(&self) -> source::Result<Opened> {
        self.0.open().await
    }

    async fn start(&self, snapshot: Option<u32>) -> source::Result<()> {
        self.0.start(snapshot).await
    }

    async fn read(&self, limit: Limit) -> source::Result<Vec<Read>> {
        self.0.read(limit).await
    }

    async fn confirm(&self, position: &Position) {
        self.0.confirm(position).await;
    }

    async fn close(&self) -> source::Result<()> {
        self.0.close().await
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_pipeline_stops_when_it_is_told() {
    let log = MemoryLog::new(given::epoch());
    let pipeline = pipeline(log.source(&[0]), Arc::new(MemorySink::new()));
    let stop = CancellationToken::new();
    stop.cancel();
    pipeline.run(stop).await.expect("ends well");
    run_until(&self::pipeline(log.source(&[0]), Arc::new(MemorySink::new())), || true)
        .await
        .expect("ends well");
}
