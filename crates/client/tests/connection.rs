//! Making the connection, losing it, and making it again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use streamer_client::{
    Backoff, CallError, Client, Closed, ConnectError, ConnectionState, ErrorCode, SendError, Settings,
    TokenPlacement, Update,
};
use streamer_protocol::{ServerFrame, Timestamp, split};
use tokio_tungstenite::tungstenite::Message;

use crate::fake::{Fake, soon, until};

fn is_closed(state: &ConnectionState) -> bool {
    matches!(state, ConnectionState::Closed(_))
}

async fn closed(client: &Client) -> Closed {
    match until(client, is_closed).await {
        ConnectionState::Closed(why) => why,
        other => panic!("{other:?}"),
    }
}

/// With a provider that gives `t1`, `t2`, …
fn counting(settings: Settings) -> Settings {
    let given = Arc::new(AtomicU32::new(0));
    settings.token_from(move || {
        let n = given.fetch_add(1, Ordering::Relaxed) + 1;
        async move { Ok::<_, std::io::Error>(format!("t{n}")) }
    })
}

#[tokio::test]
async fn a_refused_upgrade_tells_status_body_and_patience() {
    let fake = Fake::start().await;
    let body = r#"{"error":{"code":"UNAUTHORIZED","message":"the token has expired"}}"#;
    let (refused, ()) = tokio::join!(Client::connect(fake.settings()), fake.refuse(401, "", body));
    let Err(ConnectError::Refused(refusal)) = refused else { panic!("not refused") };
    assert_eq!(refusal.status, 401);
    assert_eq!(refusal.error.expect("read").code, ErrorCode::Unauthorized);

    let busy = fake.refuse(429, "Retry-After: 6\r\n", "slow down");
    let (refused, ()) = tokio::join!(Client::connect(fake.settings()), busy);
    let Err(ConnectError::Refused(refusal)) = refused else { panic!("not refused") };
    assert_eq!((refusal.status, refusal.retry_after), (429, Some(Duration::from_secs(6))));
    assert_eq!(refusal.error, None);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let fake = Fake::start().await;
    let settings = fake.settings().connect_timeout(Duration::from_millis(20));
    assert!(matches!(Client::connect(settings).await, Err(ConnectError::Timeout(_))));
    let nobody = Settings::new("ws://127.0.0.1:1/ws");
    assert!(matches!(Client::connect(nobody).await, Err(ConnectError::Network(_))));
    assert!(matches!(Client::connect(Settings::new("ftp://127.0.0.1/")).await, Err(ConnectError::Url(_))));
}

#[tokio::test]
async fn the_token_is_presented_as_set() {
    let fake = Fake::start().await;
    let (_client, peer) = fake.client().await;
    assert_eq!(peer.headers["authorization"], "Bearer t0");
    assert_eq!(peer.path, "/ws");
    let (_client, peer) = fake.meet(fake.settings().token_placement(TokenPlacement::Query)).await;
    assert_eq!(peer.path, "/ws?Authorization=t0");
    assert!(!peer.headers.contains_key("authorization"));
    let (_client, peer) = fake.meet(fake.settings().token_placement(TokenPlacement::Subprotocol)).await;
    assert_eq!(peer.headers["sec-websocket-protocol"], "streamer.v1, bearer.t0");
}

#[tokio::test]
async fn after_a_loss_open_calls_go_on_where_they_stood() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let mut stored = client.request("delay").id("stored").send().await.unwrap();
    let unanswered =
        client.request("echo").id("unanswered").payload(&json!({ "n": 1 })).send().await.unwrap();
    peer.hear().await;
    let first = peer.hear().await;
    peer.acknowledge("stored").await;
    peer.chunk("stored", 1, 0, "a").await;
    assert!(matches!(stored.next().await, Some(Update::Acknowledged(_))));
    assert!(matches!(stored.next().await, Some(Update::Chunk(_))));
    drop(peer);

    let mut peer = fake.accept().await;
    peer.resumed("stored", 1).await;
    assert_eq!(peer.hear().await, first, "sent again as it was");
    peer.chunk("stored", 2, 1, "b").await;
    peer.complete("stored", 3, json!("all")).await;
    peer.respond("unanswered", json!("once")).await;
    let collected = soon("the end", stored.collect()).await.unwrap();
    assert_eq!(collected.chunks, [json!("b").into()]);
    assert_eq!(soon("the answer", unanswered.outcome()).await.unwrap().as_str(), "\"once\"");
}

#[tokio::test]
async fn requests_made_while_disconnected_wait() {
    let fake = Fake::start().await;
    let (client, peer) = fake.client().await;
    drop(peer);
    until(&client, |state| matches!(state, ConnectionState::Reconnecting { .. })).await;
    let call = client.request("echo").id("later").send().await.unwrap();
    let mut peer = fake.accept().await;
    assert_eq!(peer.hear().await["id"], "later");
    peer.respond("later", json!(1)).await;
    soon("the answer", call.outcome()).await.unwrap();
    until(&client, |state| matches!(state, ConnectionState::Connected)).await;
}

#[tokio::test]
async fn refusals_that_pass_are_outwaited() {
    let fake = Fake::start().await;
    let (client, peer) = fake.client().await;
    drop(peer);
    fake.refuse(503, "", "").await;
    fake.refuse(500, "", "").await;
    fake.refuse(429, "Retry-After: 0\r\n", "").await;
    let _peer = fake.accept().await;
    until(&client, |state| matches!(state, ConnectionState::Connected)).await;
}

#[tokio::test]
async fn a_named_wait_is_kept() {
    let fake = Fake::start().await;
    let (_client, peer) = fake.client().await;
    drop(peer);
    let body = r#"{"error":{"code":"RATE_LIMITED","message":"m","retry":{"retryable":true,"after":150}}}"#;
    fake.refuse(429, "", body).await;
    let since = Instant::now();
    let _peer = fake.accept().await;
    assert!(since.elapsed() >= Duration::from_millis(140), "{:?}", since.elapsed());
}

#[tokio::test]
async fn attempts_end_where_told() {
    let fake = Fake::start().await;
    let backoff =
        Backoff { first: Duration::from_millis(1), max: Duration::from_millis(2), attempts_max: Some(2) };
    let (client, peer) = fake.meet(fake.settings().backoff(backoff)).await;
    let call = client.request("delay").send().await.unwrap();
    drop(peer);
    fake.refuse(503, "", "").await;
    fake.refuse(503, "", "").await;
    assert!(matches!(closed(&client).await, Closed::Unreachable(_)));
    assert!(matches!(call.outcome().await, Err(CallError::Closed(Closed::Unreachable(_)))));
    assert!(matches!(client.request("echo").send().await, Err(SendError::Closed(Closed::Unreachable(_)))));
}

#[tokio::test]
async fn a_refused_token_is_not_tried_for_ever() {
    let fake = Fake::start().await;
    let (client, peer) = fake.client().await;
    drop(peer);
    fake.refuse(401, "", "").await;
    assert!(matches!(closed(&client).await, Closed::Unreachable(e) if e.status() == Some(401)));

    let (client, peer) = fake.meet(counting(fake.settings())).await;
    drop(peer);
    fake.refuse(401, "", "").await;
    fake.refuse(401, "", "").await;
    assert!(matches!(closed(&client).await, Closed::Unreachable(_)));
}

#[tokio::test]
async fn close_codes_say_whether_to_come_back() {
    let fake = Fake::start().await;
    for code in [1001, 1011, 4408, 4410] {
        let (_client, peer) = fake.client().await;
        peer.close(code).await;
        fake.accept().await;
    }
    for code in [1000, 1003, 1009, 4403, 4401] {
        let (client, peer) = fake.client().await;
        let call = client.request("delay").send().await.unwrap();
        peer.close(code).await;
        let why = closed(&client).await;
        assert!(matches!(why, Closed::ByServer { code: c, ref reason } if c == code && reason == "because"));
        assert!(matches!(call.outcome().await, Err(CallError::Closed(_))));
    }
    let (_client, peer) = fake.meet(counting(fake.settings())).await;
    assert_eq!(peer.headers["authorization"], "Bearer t1");
    peer.close(4401).await;
    assert_eq!(fake.accept().await.headers["authorization"], "Bearer t2");
}

#[tokio::test]
async fn a_refreshed_token_is_used_from_then_on() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let serving = async {
        let heard = peer.hear().await;
        assert_eq!((&heard["action"], &heard["payload"]["token"]), (&json!("refresh"), &json!("t9")));
        peer.respond(heard["id"].as_str().unwrap(), json!({})).await;
    };
    let (refreshed, ()) = tokio::join!(client.refresh("t9"), serving);
    refreshed.unwrap();
    drop(peer);
    assert_eq!(fake.accept().await.headers["authorization"], "Bearer t9");
}

#[tokio::test]
async fn a_draining_server_is_left_when_it_says() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let mut running = client.request("delay").id("running").send().await.unwrap();
    peer.hear().await;
    peer.acknowledge("running").await;
    let since = Instant::now();
    peer.say(json!({ "type": "draining", "retry_after_ms": 150 })).await;
    // What still comes on the old connection counts, and what is new waits for the next.
    peer.chunk("running", 1, 0, "old").await;
    assert!(matches!(running.next().await, Some(Update::Acknowledged(_))));
    assert!(matches!(running.next().await, Some(Update::Chunk(_))));
    let fresh = client.request("echo").id("fresh").send().await.unwrap();
    assert!(matches!(peer.hear_raw().await, Some(Message::Close(_))));
    // The answer to the goodbye goes out with the next read.
    assert!(peer.hear_raw().await.is_none());
    let mut peer = fake.accept().await;
    assert!(since.elapsed() >= Duration::from_millis(150), "{:?}", since.elapsed());
    peer.resumed("running", 1).await;
    assert_eq!(peer.hear().await["id"], "fresh");
    peer.respond("fresh", json!(1)).await;
    soon("the answer", fresh.outcome()).await.unwrap();
}

#[tokio::test]
async fn a_draining_server_that_goes_first_is_given_its_time() {
    let fake = Fake::start().await;
    let (_client, mut peer) = fake.client().await;
    let since = Instant::now();
    peer.say(json!({ "type": "draining", "retry_after_ms": 150 })).await;
    peer.close(1001).await;
    let _peer = fake.accept().await;
    assert!(since.elapsed() >= Duration::from_millis(150), "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_resume_that_is_turned_away_is_tried_again() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let call = client.request("delay").id("r").send().await.unwrap();
    let other = client.request("echo").id("o").send().await.unwrap();
    peer.hear().await;
    peer.hear().await;
    peer.acknowledge("r").await;
    peer.chunk("r", 1, 0, "a").await;
    peer.ping().await;
    assert!(matches!(peer.hear_raw().await, Some(Message::Pong(_))), "all was read");
    drop(peer);

    let mut peer = fake.accept().await;
    let retry = json!({ "retryable": true, "after": 5 });
    let busy = json!({ "code": "RATE_LIMITED", "message": "m", "retry": retry });
    let (message_id, ..) = peer.hear_resume().await;
    assert_eq!(peer.hear().await["id"], "o");
    peer.fail(&message_id, None, busy.clone()).await;
    peer.resumed("r", 1).await;
    // So is a request that was sent again: the caller knows of one only.
    peer.fail("o", None, busy).await;
    assert_eq!(peer.hear().await["id"], "o");
    peer.respond("o", json!(1)).await;
    soon("the answer", other.outcome()).await.unwrap();
    peer.complete("r", 2, json!(2)).await;
    soon("the end", call.outcome()).await.unwrap();
}

#[tokio::test]
async fn parts_are_joined() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let call = client.request("echo").id("r").send().await.unwrap();
    peer.hear().await;
    let data = "é\"\n".repeat(2000);
    let whole = json!({ "type": "response", "request_id": "r", "success": true, "data": data, "timestamp": "2026-01-31T12:00:00Z" });
    let mut parts = split(&whole.to_string(), "m1", 1024, Timestamp::from_millis(0));
    assert!(parts.len() > 5);
    parts.reverse();
    for part in parts.iter().map(ServerFrame::encode) {
        peer.say_text(&part).await;
    }
    assert_eq!(soon("the answer", call.outcome()).await.unwrap().get::<String>().unwrap(), data);
}

#[tokio::test]
async fn parts_that_contradict_themselves_cost_the_connection() {
    let fake = Fake::start().await;
    let (_client, mut peer) = fake.client().await;
    peer.say(json!({ "type": "part", "message_id": "m", "index": 3, "count": 2, "data": "x" })).await;
    let _peer = fake.accept().await;
}

#[tokio::test]
async fn a_message_over_the_bound_closes_for_good() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.meet(fake.settings().message_bytes_max(1000)).await;
    peer.say_text(&"x".repeat(2000)).await;
    assert!(matches!(closed(&client).await, Closed::MessageTooLarge { bytes_max: 1000 }));
}

#[tokio::test]
async fn pings_are_answered() {
    let fake = Fake::start().await;
    let (_client, mut peer) = fake.client().await;
    peer.ping().await;
    assert_eq!(peer.hear_raw().await, Some(Message::Pong("beat".into())));
}

#[tokio::test]
async fn silence_is_asked_about_and_then_taken_for_a_loss() {
    let fake = Fake::start().await;
    let (_client, mut peer) = fake.meet(fake.settings().heartbeat(Duration::from_millis(50))).await;
    assert!(matches!(peer.hear_raw().await, Some(Message::Ping(_))));
    // The answer to it would be written with the next read, which never comes.
    let _next = fake.accept().await;
}

#[tokio::test]
async fn closing_says_goodbye_and_ends_calls() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let call = client.request("delay").send().await.unwrap();
    peer.hear().await;
    let serving = async {
        let Some(Message::Close(Some(frame))) = peer.hear_raw().await else { panic!("no goodbye") };
        assert_eq!(u16::from(frame.code), 1000);
        assert!(peer.hear_raw().await.is_none());
    };
    tokio::join!(client.close(), serving);
    assert!(matches!(call.outcome().await, Err(CallError::Closed(Closed::ByUs))));
    assert!(matches!(client.request("echo").send().await, Err(SendError::Closed(Closed::ByUs))));
    client.close().await;
}

#[tokio::test]
async fn a_client_can_be_closed_while_it_reconnects() {
    let fake = Fake::start().await;
    let backoff =
        Backoff { first: Duration::from_secs(60), max: Duration::from_secs(60), attempts_max: None };
    let (client, peer) = fake.meet(fake.settings().backoff(backoff)).await;
    drop(peer);
    until(&client, |state| matches!(state, ConnectionState::Reconnecting { attempt: 1, .. })).await;
    soon("the close", client.close()).await;
}

#[tokio::test]
async fn the_connection_lives_as_long_as_its_last_handle() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    let call = client.request("delay").id("r").send().await.unwrap();
    drop(client);
    peer.hear().await;
    peer.complete("r", 1, json!(1)).await;
    soon("the end", call.outcome()).await.unwrap();
    assert!(peer.hear_raw().await.is_none(), "gone with the last handle");
}
