//! Messages and their answers.

use std::time::Duration;

use serde_json::{Value, json};
use streamer_engine::{Context, Failure, Router, Settings, protocol::CloseCode, store::Quota};

use crate::support::{BEGIN, Node, World, code, key, pass, types};

async fn idle(_: Context, _: Value) -> Result<Value, Failure> {
    Ok(json!("done"))
}

fn routes() -> Router {
    Router::new().action("short", idle).action("long", idle).takes(Duration::from_secs(60))
}

#[tokio::test(start_paused = true)]
async fn what_is_always_there_answers() {
    let client = Node::alone(routes()).connect("c", "ada").await;
    let echo = client.answer("1", "echo", json!({ "a": [1, "é"] })).await;
    assert_eq!(echo["type"], "response");
    assert_eq!(echo["success"], true);
    assert_eq!(echo["data"]["echo"], json!({ "a": [1, "é"] }));
    assert_eq!(echo["data"]["timestamp"], BEGIN.to_string());
    assert_eq!(echo["timestamp"], BEGIN.to_string());
    assert_eq!(client.answer("2", "health", json!({})).await["data"]["status"], "ok");
    assert_eq!(client.answer("3", "ping", json!({})).await["data"]["pong"], true);
    let refreshed = client.answer("4", "refresh", json!({ "token": "fresh" })).await;
    assert_eq!(refreshed["data"]["expires_at"], (BEGIN + Duration::from_secs(60)).to_string());
    assert_eq!(code(&client.answer("5", "refresh", json!({ "token": "old" })).await), "UNAUTHORIZED");
    client.send(json!({ "action": "echo" })).await;
    assert_eq!(client.take()[0]["data"]["echo"], json!({}), "a missing payload is an empty object");
}

#[tokio::test(start_paused = true)]
async fn built_in_actions_name_the_field_that_is_wrong() {
    let client = Node::alone(routes()).connect("c", "ada").await;
    for (action, payload, path) in [
        ("refresh", json!({}), "payload"),
        ("status", json!({ "request_id": 7 }), "payload.request_id"),
        ("status", json!({ "request_id": "" }), "payload.request_id"),
        ("cancel", json!([]), "payload"),
        ("resume", json!({ "request_id": "a", "after_seq": -1 }), "payload.after_seq"),
        ("requests", json!({ "limit": 0 }), "payload.limit"),
        ("requests", json!({ "limit": 101 }), "payload.limit"),
        ("requests", json!({ "status": "LOST" }), "payload.status"),
        ("requests", json!({ "cursor": "made up" }), "payload.cursor"),
    ] {
        let answer = client.answer("1", action, payload.clone()).await;
        assert_eq!(code(&answer), "VALIDATION_ERROR", "{action} {payload}: {answer}");
        assert_eq!(answer["error"]["details"]["fields"][0]["path"], path, "{action} {payload}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_no_request_is_answered_and_the_next_one_is_heard() {
    let client = Node::alone(routes()).connect("c", "ada").await;
    for (text, id, path) in [
        ("{", Value::Null, ""),
        ("[1]", Value::Null, ""),
        (r#"{"id":"a"}"#, json!("a"), "action"),
        (r#"{"id":"a","action":"no spaces"}"#, json!("a"), "action"),
        (r#"{"id":7,"action":"echo"}"#, Value::Null, "id"),
        (r#"{"id":"a","action":"echo","metadata":3}"#, json!("a"), "metadata"),
        (r#"{"id":"a","action":"nowhere"}"#, json!("a"), "action"),
    ] {
        client.send_text(text).await;
        let answer = client.take().pop().expect("answered at once");
        let expected = if text.contains("nowhere") { "NOT_FOUND" } else { "VALIDATION_ERROR" };
        assert_eq!(code(&answer), expected, "{text}");
        assert_eq!((&answer["request_id"], &answer["seq"]), (&id, &Value::Null), "{text}");
        assert_eq!(answer["error"]["details"]["fields"][0]["path"], path, "{text}");
    }
    assert_eq!(client.answer("b", "echo", json!(1)).await["data"]["echo"], 1);
}

#[tokio::test(start_paused = true)]
async fn an_id_is_made_when_it_is_missing_and_names_the_request() {
    let client = Node::alone(routes()).connect("c", "ada").await;
    client.send(json!({ "action": "long" })).await;
    client.send(json!({ "action": "long" })).await;
    let frames = client.until(|frame| frame["type"] == "acknowledgment").await;
    let id = frames[0]["request_id"].as_str().expect("made").to_owned();
    let status = client.answer("s", "status", json!({ "request_id": id })).await;
    assert_eq!(status["data"]["request_id"], json!(id));
    let listed = client.answer("l", "requests", json!({})).await;
    let requests = listed["data"]["requests"].as_array().expect("a list");
    assert_eq!(requests.len(), 2);
    assert_ne!(requests[0]["request_id"], requests[1]["request_id"]);
}

#[tokio::test(start_paused = true)]
async fn status_and_lists_show_only_ones_own() {
    let node = Node::alone(routes());
    let (ada, bob) = (node.connect("a", "ada").await, node.connect("b", "bob").await);
    for id in ["1", "2", "3"] {
        ada.ask(id, "long", json!({})).await;
        ada.until_outcome(id).await;
    }
    let status = ada.answer("s", "status", json!({ "request_id": "2" })).await;
    assert_eq!(status["data"]["status"], "COMPLETED");
    assert_eq!(status["data"]["result"], "done");
    let page = ada.answer("p", "requests", json!({ "limit": 2 })).await;
    let ids = |page: &Value| -> Vec<Value> {
        let requests = page["data"]["requests"].as_array().expect("a list");
        requests.iter().map(|request| request["request_id"].clone()).collect()
    };
    assert_eq!(ids(&page), ["3", "2"], "newest first");
    let rest = ada.answer("r", "requests", json!({ "limit": 2, "cursor": page["data"]["cursor"] })).await;
    assert_eq!((ids(&rest), &rest["data"]["cursor"]), (vec![json!("1")], &Value::Null));
    assert_eq!(ids(&ada.answer("f", "requests", json!({ "status": "FAILED" })).await), [Value::Null; 0]);

    assert_eq!(ids(&bob.answer("p", "requests", json!({})).await), [Value::Null; 0]);
    for action in ["status", "resume", "cancel"] {
        let answer = bob.answer("s", action, json!({ "request_id": "2" })).await;
        assert_eq!(code(&answer), "NOT_FOUND", "{action}");
    }
}

#[tokio::test(start_paused = true)]
async fn work_can_be_delayed_by_a_moment_or_a_span() {
    let client = Node::alone(routes()).connect("c", "ada").await;
    let in_an_hour = (BEGIN + Duration::from_secs(3600)).to_string();
    client.send(json!({ "id": "at", "action": "long", "metadata": { "run_at": in_an_hour } })).await;
    client.send(json!({ "id": "in", "action": "short", "metadata": { "delay_ms": 1_800_000 } })).await;
    let past = (BEGIN + Duration::ZERO).to_string();
    client.send(json!({ "id": "past", "action": "long", "metadata": { "run_at": past, "extra": 1 } })).await;

    let done = client.until(|frame| frame["type"] == "complete").await;
    assert_eq!(done.last().expect("some")["request_id"], "past");
    let done = client.until(|frame| frame["type"] == "complete").await;
    assert_eq!(done.last().expect("some")["request_id"], "in", "a delayed short request is queued");
    assert_eq!(done.last().expect("some")["timestamp"], (BEGIN + Duration::from_secs(1800)).to_string());
    let done = client.until(|frame| frame["type"] == "complete").await;
    assert_eq!(done.last().expect("some")["timestamp"], in_an_hour.as_str());
}

#[tokio::test(start_paused = true)]
async fn a_delay_that_makes_no_sense_is_named() {
    let client = Node::alone(routes()).connect("c", "ada").await;
    let later = (BEGIN + Duration::from_secs(8 * 24 * 3600)).to_string();
    for (metadata, path) in [
        (json!({ "run_at": "tomorrow" }), "metadata.run_at"),
        (json!({ "delay_ms": -5 }), "metadata.delay_ms"),
        (json!({ "delay_ms": u64::MAX }), "metadata.delay_ms"),
        (json!({ "run_at": later }), "metadata.run_at"),
        (json!({ "run_at": later, "delay_ms": 1 }), "metadata"),
        (json!({ "priority": 11 }), "metadata.priority"),
        (json!({ "priority": "high" }), "metadata.priority"),
    ] {
        client.send(json!({ "id": "a", "action": "long", "metadata": metadata })).await;
        let answer = client.take().pop().expect("answered at once");
        assert_eq!(code(&answer), "VALIDATION_ERROR", "{metadata}");
        let field = &answer["error"]["details"]["fields"][0];
        assert_eq!(field["path"], path, "{metadata}");
        assert!(!field["message"].as_str().expect("text").contains(" at line "), "{metadata}: {field}");
    }
    assert_eq!(code(&client.answer("s", "status", json!({ "request_id": "a" })).await), "NOT_FOUND");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_says_when_to_come_back_and_still_knows_what_it_has() {
    let world = World::new();
    let quota = Quota { open_max: 2, tenant_open_max: 2, ..Settings::default().quota };
    let node = world.node("n", routes(), Settings { quota, ..Settings::default() });
    let client = node.connect("c", "ada").await;
    assert_eq!(client.answer("1", "long", json!({})).await["type"], "acknowledgment");
    assert_eq!(client.answer("2", "long", json!({})).await["type"], "acknowledgment");
    let refused = client.answer("3", "long", json!({})).await;
    assert_eq!(code(&refused), "OVERLOADED");
    assert_eq!(refused["error"]["retry"], json!({ "retryable": true, "after": 2000 }));
    assert_eq!(client.answer("1", "long", json!({})).await["type"], "acknowledgment", "it is stored already");
    assert_eq!(client.answer("4", "short", json!({})).await["type"], "response");
}

#[tokio::test(start_paused = true)]
async fn one_connection_follows_so_many_requests_and_no_more() {
    let settings = Settings { connection_listeners_max: 2, ..Settings::default() };
    let mut node = World::new().node("n", routes(), settings);
    let client = node.connect("c", "ada").await;
    for id in ["1", "2"] {
        assert_eq!(client.answer(id, "long", json!({})).await["type"], "acknowledgment");
    }
    assert_eq!(code(&client.answer("3", "long", json!({})).await), "OVERLOADED");
    assert!(node.engine.status(&key("3")).await.is_err(), "nobody would have heard of it");
    node.work();
    client.until_outcome("2").await;
    for id in ["4", "5", "6"] {
        client.ask(id, "long", json!({})).await;
        assert_eq!(types(&client.until_outcome(id).await).last(), Some(&"complete"), "what ended makes room");
    }
}

#[tokio::test(start_paused = true)]
async fn messages_of_one_connection_start_in_their_order_and_wait_for_room() {
    let (started, starts) = std::sync::mpsc::sync_channel(100);
    let slow = move |_: Context, n: u32| {
        started.send(n).expect("the test listens");
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok::<_, Failure>(n)
        }
    };
    let settings = Settings { connection_in_flight_max: 3, ..Settings::default() };
    let node = World::new().working("n", Router::new().action("slow", slow), settings);
    let client = node.connect("c", "ada").await;
    for n in 0..3_u32 {
        client.ask(&n.to_string(), "slow", json!(n)).await;
    }
    assert_eq!(starts.try_iter().collect::<Vec<_>>(), [0, 1, 2], "begun before the next is taken");
    assert!(client.session.try_room().is_none());
    client.ask("3", "slow", json!(3)).await;
    assert_eq!(starts.try_iter().collect::<Vec<_>>(), [3]);
    assert_eq!(client.until_type("response", "3").await.len(), 4);
    assert!(client.session.try_room().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_disconnected_client_is_forgotten_and_its_work_goes_on() {
    let world = World::new();
    let node = world.working("n", routes(), Settings::default());
    let client = node.connect("c", "ada").await;
    client.send(json!({ "id": "1", "action": "long", "metadata": { "delay_ms": 5000 } })).await;
    client.until_type("acknowledgment", "1").await;
    client.disconnect().await;
    assert!(world.store.connection(client.id()).await.expect("works").is_none());
    pass(Duration::from_secs(10)).await;
    assert_eq!(node.engine.status(&key("1")).await.expect("stored").status.as_str(), "COMPLETED");
    assert_eq!(client.take(), [Value::Null; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_sender_closes_connections() {
    let node = Node::alone(routes());
    let client = node.connect("c", "ada").await;
    assert!(node.engine.sender().is_active(client.id()).await);
    node.engine.sender().disconnect(client.id(), CloseCode::Disconnected).await.expect("is there");
    assert_eq!(client.fake.closed(client.id()), Some(CloseCode::Disconnected));
    assert!(!node.engine.sender().is_active(client.id()).await);
}
