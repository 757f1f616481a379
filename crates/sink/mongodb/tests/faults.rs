//! A server that is away, hangs, or comes back.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use streamer_events::{
    Backoff, Outbox, Parts, Pipeline, Settings as PipelineSettings,
    clock::SystemClock,
    random::SystemRandom,
    sink::{DeadLetters as _, ErrorKind, Sink as _},
    testing::{Fault, FaultySink, MemoryLog, given},
};
use streamer_servers::{mongodb::Mongodb, or_skip};
use streamer_sink_mongodb::{MongoSink, Settings};
use tokio_util::sync::CancellationToken;

use crate::bed::{Looked, batch, open, settings};

const USERS: u64 = 300;

/// Runs a pipeline of users into the sink until all are confirmed.
async fn run(sink: Arc<FaultySink<Looked>>) -> Arc<FaultySink<Looked>> {
    let log = MemoryLog::new(given::epoch());
    for n in 1..=USERS {
        let payload = json!({ "email": format!("u{n}@example.com"), "first_name": "Ada" });
        log.append(0, given::told(&format!("e{n}"), "UserCreated", &format!("u{n}"), &payload.to_string()));
    }
    let parts = Parts {
        source: Arc::new(log.source(&[0])),
        models: sink.clone(),
        sinks: Vec::new(),
        registry: streamer_events::projections::registry(),
        outbox: Outbox::default(),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
    };
    let settings = PipelineSettings {
        batch_events_max: 20,
        backoff: Backoff { base: Duration::from_millis(5), max: Duration::from_millis(50) },
        ..PipelineSettings::default()
    };
    let (pipeline, stop) = (Pipeline::new(parts, settings), CancellationToken::new());
    let watching = async {
        while !log.is_confirmed() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
    };
    let (ended, ()) = tokio::time::timeout(Duration::from_secs(60), async {
        tokio::join!(pipeline.run(stop.clone()), watching)
    })
    .await
    .expect("in time");
    ended.expect("ends well");
    sink
}

#[tokio::test]
async fn a_pipeline_loses_and_doubles_nothing_whatever_fails() {
    let Some(looked) = open().await else { return };
    let calls = std::sync::atomic::AtomicU32::new(0);
    let plan = move |_| match calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 5 {
        1 => Some(Fault::Refuse),
        2 => Some(Fault::LoseReply),
        3 => Some(Fault::DoPart),
        _ => None,
    };
    let sink = run(Arc::new(FaultySink::new(looked, plan))).await;
    let statistics = sink.inner().bson("statistics", "global").await.expect("is there");
    assert_eq!(statistics.get_i32("total_users").ok(), Some(USERS as i32));
    let users = sink.inner().0.database().collection::<mongodb::bson::Document>("users");
    assert_eq!(users.count_documents(mongodb::bson::doc! {}).await.expect("answers"), USERS);
    assert_eq!(sink.inner().count_letters().await.expect("answers"), 0);
}

#[tokio::test]
async fn a_server_that_hangs_is_unavailable_and_goes_on_when_it_answers() {
    let Some(server) = or_skip(Mongodb::start(128)) else { return };
    let settings = settings(&server);
    // The first connection warms the server up, which takes it longer than it may hang.
    MongoSink::open(&settings).await.expect("opens");
    let settings = Settings { command_timeout: Duration::from_secs(2), ..settings };
    let sink = MongoSink::open(&settings).await.expect("opens");
    let batch = batch(vec![(1, vec![streamer_events::Write::on("c", "a").increment("n", 1).creating()])]);
    server.pause().expect("stops");
    let error = sink.apply(&batch).await.expect_err("hangs");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    server.unpause().expect("goes on");
    // Whether it was done or not: again, and it is done once.
    let mut applied = sink.apply(&batch).await;
    for _ in 0..50 {
        if applied.is_ok() {
            break;
        }
        applied = sink.apply(&batch).await;
    }
    assert_eq!(applied.expect("answers again"), []);
    let stored = Looked(sink).bson("c", "a").await.expect("is there");
    assert_eq!(stored.get_i32("n").ok(), Some(1));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let settings = Settings {
        server_selection_timeout: Duration::from_millis(200),
        // Port 1 of the own machine: nobody listens there.
        ..Settings::of("mongodb://127.0.0.1:1", "db")
    };
    let error = MongoSink::open(&settings).await.err().expect("is not there");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}
