//! What becomes of one request on one connection.

use serde_json::json;
use streamer_client::{CallError, Chunks, ErrorCode, RequestStatus, SendError, Update};

use crate::fake::{Fake, soon};

/// An update in a word.
fn word(update: &Update) -> String {
    match update {
        Update::Acknowledged(_) => "ack".into(),
        Update::Progress(progress) => format!("{}%", progress.percentage),
        Update::Chunk(chunk) => format!("chunk {}", chunk.index),
        Update::Restart(restart) => format!("restart {}", restart.from_index),
        Update::AttemptFailed(error) => format!("failed {}", error.code),
        other => format!("{other:?}"),
    }
}

async fn words(call: &mut streamer_client::Call) -> Vec<String> {
    let mut words = Vec::new();
    while let Some(update) = soon("an update", call.next()).await {
        words.push(word(&update));
    }
    words
}

#[tokio::test]
async fn a_short_request_is_answered() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let asking =
        client.request("echo").payload(&json!({ "a": 1 })).metadata(&json!({ "delay_ms": 5 })).outcome();
    let serving = async {
        let heard = peer.hear().await;
        assert_eq!(heard["action"], "echo");
        assert_eq!(heard["payload"], json!({ "a": 1 }));
        assert_eq!(heard["metadata"], json!({ "delay_ms": 5 }));
        let id = heard["id"].as_str().expect("always an id");
        peer.respond(id, json!({ "echo": { "a": 1 } })).await;
    };
    let (outcome, ()) = tokio::join!(asking, serving);
    assert_eq!(outcome.unwrap().get::<serde_json::Value>().unwrap(), json!({ "echo": { "a": 1 } }));
}

#[tokio::test]
async fn answers_are_told_apart_by_id() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let a = client.request("echo").id("a").send().await.unwrap();
    let b = client.request("echo").id("b").send().await.unwrap();
    assert_eq!((peer.hear().await["id"].clone(), peer.hear().await["id"].clone()), (json!("a"), json!("b")));
    peer.respond("b", json!("for b")).await;
    peer.respond("a", json!("for a")).await;
    assert_eq!(soon("a", a.outcome()).await.unwrap().as_str(), "\"for a\"");
    assert_eq!(soon("b", b.outcome()).await.unwrap().as_str(), "\"for b\"");
}

#[tokio::test]
async fn a_long_request_is_followed_in_order_and_once() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let mut call = client.request("delay").id("r").send().await.unwrap();
    peer.hear().await;
    peer.acknowledge("r").await;
    peer.acknowledge("r").await;
    peer.progress("r", 1, 30.0).await;
    peer.chunk("r", 2, 0, "x").await;
    peer.chunk("r", 2, 0, "x").await;
    peer.progress("r", 1, 30.0).await;
    peer.progress("r", 5, 20.0).await;
    peer.chunk("r", 6, 1, "y").await;
    peer.complete("r", 7, json!({ "done": true })).await;
    assert_eq!(words(&mut call).await, ["ack", "30%", "chunk 0", "30%", "chunk 1"]);
    assert_eq!(call.last_seq(), 6);
    assert_eq!(call.outcome().await.unwrap().as_str(), r#"{"done":true}"#);
}

#[tokio::test]
async fn a_missing_chunk_is_fetched_before_anything_else_is_told() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let mut call = client.request("delay").id("r").send().await.unwrap();
    peer.hear().await;
    peer.chunk("r", 1, 0, "a").await;
    peer.chunk("r", 3, 2, "c").await;
    peer.progress("r", 4, 60.0).await;
    let (message_id, request_id, after) = peer.hear_resume().await;
    assert_eq!((request_id.as_str(), after), ("r", 1));
    peer.chunk("r", 5, 3, "d").await;
    peer.respond(&message_id, json!({ "request_id": "r", "status": "PROCESSING", "last_seq": 5 })).await;
    peer.chunk("r", 2, 1, "b").await;
    peer.chunk("r", 3, 2, "c").await;
    peer.progress("r", 4, 60.0).await;
    peer.chunk("r", 5, 3, "d").await;
    peer.complete("r", 6, json!(null)).await;
    assert_eq!(words(&mut call).await, ["chunk 0", "chunk 1", "chunk 2", "60%", "chunk 3"]);
}

#[tokio::test]
async fn a_log_that_stays_incomplete_ends_the_call() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let call = client.request("delay").id("r").send().await.unwrap();
    peer.hear().await;
    peer.chunk("r", 3, 2, "c").await;
    for _ in 0..3 {
        peer.resumed("r", 0).await;
        peer.chunk("r", 3, 2, "c").await;
    }
    let end = soon("the end", call.outcome()).await;
    assert!(matches!(end, Err(CallError::Incomplete { expected: 0, found: 2 })), "{end:?}");
}

#[tokio::test]
async fn a_restart_voids_what_came_after_its_index() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let mut call = client.request("delay").id("r").send().await.unwrap();
    peer.hear().await;
    for index in 0..3 {
        peer.chunk("r", index + 1, index, &format!("first {index}")).await;
    }
    let retry = json!({ "retryable": true, "after": 10, "attempt": 1, "max_tries": 4 });
    peer.fail("r", None, json!({ "code": "INTERNAL_ERROR", "message": "m", "retry": retry })).await;
    peer.restart("r", 4, 1).await;
    peer.chunk("r", 3, 2, "straggler").await;
    peer.chunk("r", 5, 1, "second 1").await;
    peer.complete("r", 6, json!("end")).await;

    let mut chunks = Chunks::default();
    let mut told = Vec::new();
    while let Some(update) = soon("an update", call.next()).await {
        chunks.apply(&update);
        told.push(word(&update));
    }
    let expected = ["chunk 0", "chunk 1", "chunk 2", "failed INTERNAL_ERROR", "restart 1", "chunk 1"];
    assert_eq!(told, expected);
    let data: Vec<String> = chunks.data().iter().map(|data| data.get().unwrap()).collect();
    assert_eq!(data, ["first 0", "second 1"]);
}

#[tokio::test]
async fn a_call_is_collected_whole() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let call = client.request("delay").id("r").send().await.unwrap();
    peer.hear().await;
    peer.acknowledge("r").await;
    peer.chunk("r", 1, 0, "void").await;
    peer.restart("r", 2, 0).await;
    peer.chunk("r", 3, 0, "kept").await;
    peer.complete("r", 4, json!(7)).await;
    let collected = soon("the end", call.collect()).await.unwrap();
    assert_eq!(collected.chunks, [json!("kept").into()]);
    assert_eq!(collected.outcome.as_str(), "7");
}

#[tokio::test]
async fn an_error_that_answers_ends_the_call_with_all_it_says() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let call = client.request("delay").id("r").send().await.unwrap();
    peer.hear().await;
    let details = json!({ "fields": [{ "path": "payload.seconds", "message": "missing" }] });
    peer.fail("r", None, json!({ "code": "VALIDATION_ERROR", "message": "m", "details": details })).await;
    let Err(CallError::Failed(error)) = soon("the end", call.outcome()).await else { panic!("no error") };
    assert_eq!(error.code, ErrorCode::ValidationError);
    assert_eq!(error.details.unwrap().fields[0].path, "payload.seconds");

    // Turned away at the door is an end as well, although it may be tried again.
    let call = client.request("delay").id("s").send().await.unwrap();
    peer.hear().await;
    let retry = json!({ "retryable": true, "after": 500 });
    peer.fail("s", None, json!({ "code": "OVERLOADED", "message": "m", "retry": retry })).await;
    let Err(CallError::Failed(error)) = soon("the end", call.outcome()).await else { panic!("no error") };
    assert_eq!(error.retry.unwrap().after, Some(500));
}

#[tokio::test]
async fn a_cancelled_call_ends_with_its_code() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let call = client.request("delay").id("r").send().await.unwrap();
    peer.hear().await;
    peer.acknowledge("r").await;
    let serving = async {
        let heard = peer.hear().await;
        assert_eq!(heard["action"], "cancel");
        assert_eq!(heard["payload"], json!({ "request_id": "r" }));
        let id = heard["id"].as_str().unwrap();
        peer.respond(id, json!({ "request_id": "r", "status": "CANCELLED" })).await;
        peer.fail("r", Some(2), json!({ "code": "CANCELLED", "message": "m" })).await;
    };
    let (standing, ()) = tokio::join!(call.cancel(), serving);
    assert_eq!(standing.unwrap().status, RequestStatus::Cancelled);
    assert_eq!(soon("the end", call.outcome()).await.unwrap_err().code(), Some(ErrorCode::Cancelled));
}

#[tokio::test]
async fn a_dropped_call_is_forgotten_and_its_id_may_be_asked_again() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let call = client.request("delay").id("r").send().await.unwrap();
    peer.hear().await;
    assert!(matches!(client.request("delay").id("r").send().await, Err(SendError::AlreadyOpen)));
    drop(call);
    peer.acknowledge("r").await;
    let again = client.request("delay").id("r").send().await.unwrap();
    assert_eq!(peer.hear().await["id"], "r");
    peer.complete("r", 1, json!(1)).await;
    assert_eq!(soon("the end", again.outcome()).await.unwrap().as_str(), "1");
}

#[tokio::test]
async fn another_process_resumes_where_it_was_told_to() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let mut call = client.resume("r", 7).await.unwrap();
    assert_eq!(call.last_seq(), 7);
    peer.resumed("r", 7).await;
    peer.chunk("r", 7, 3, "known").await;
    peer.chunk("r", 8, 4, "new").await;
    peer.complete("r", 9, json!(1)).await;
    assert_eq!(words(&mut call).await, ["chunk 4"]);

    let unknown = client.resume("nobody's", 0).await.unwrap();
    let (message_id, ..) = peer.hear_resume().await;
    peer.fail(&message_id, None, json!({ "code": "NOT_FOUND", "message": "m" })).await;
    assert_eq!(soon("the end", unknown.outcome()).await.unwrap_err().code(), Some(ErrorCode::NotFound));
}

#[tokio::test]
async fn the_end_is_had_again_by_who_has_seen_all() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let call = client.resume("r", 5).await.unwrap();
    let ended = json!({ "request_id": "r", "status": "COMPLETED", "last_seq": 5 });
    let (message_id, _, after) = peer.hear_resume().await;
    assert_eq!(after, 5);
    peer.respond(&message_id, ended.clone()).await;
    let (message_id, _, after) = peer.hear_resume().await;
    assert_eq!(after, 4);
    peer.respond(&message_id, ended).await;
    peer.complete("r", 5, json!("again")).await;
    assert_eq!(soon("the end", call.outcome()).await.unwrap().as_str(), "\"again\"");
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_at_once() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.meet(fake.settings().calls_max(1).request_bytes_max(200)).await;
    assert!(matches!(client.request("no spaces").send().await, Err(SendError::Action(_))));
    assert!(matches!(client.request("echo").id("").send().await, Err(SendError::Id(_))));
    assert!(matches!(client.request("echo").metadata(&[1]).send().await, Err(SendError::Metadata)));
    let large = client.request("echo").payload(&"x".repeat(200)).send().await;
    assert!(matches!(large, Err(SendError::TooLarge { bytes_max: 200, .. })));
    let open = client.request("echo").send().await.unwrap();
    assert!(matches!(client.request("echo").send().await, Err(SendError::TooManyCalls)));
    let id = peer.hear().await["id"].as_str().unwrap().to_owned();
    peer.respond(&id, json!(1)).await;
    soon("the answer", open.outcome()).await.unwrap();
    assert!(client.request("echo").send().await.is_ok(), "an ended call makes room");
}

#[tokio::test]
async fn builtin_actions_say_what_they_mean() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let serving = async {
        for (action, payload, data) in [
            ("health", json!(null), json!({ "status": "ok" })),
            (
                "status",
                json!({ "request_id": "r" }),
                json!({ "request_id": "r", "status": "RETRYING", "more": 1 }),
            ),
            ("requests", json!({ "status": "FAILED", "limit": 2 }), json!({ "requests": [] })),
        ] {
            let heard = peer.hear().await;
            assert_eq!(heard["action"], action);
            assert_eq!(heard.get("payload").unwrap_or(&json!(null)), &payload);
            peer.respond(heard["id"].as_str().unwrap(), data).await;
        }
    };
    let asking = async {
        assert_eq!(client.health().await.unwrap().as_str(), r#"{"status":"ok"}"#);
        let standing = client.status("r").await.unwrap();
        assert_eq!(standing.status, RequestStatus::Retrying);
        assert!(standing.data.as_str().contains("more"));
        let page =
            streamer_client::Page { status: Some(RequestStatus::Failed), limit: Some(2), cursor: None };
        client.requests(&page).await.unwrap();
    };
    tokio::join!(asking, serving);
}
