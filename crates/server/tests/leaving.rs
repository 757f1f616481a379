//! How connections end, and what is said of it.

use serde_json::{Value, json};
use streamer_protocol::{CloseCode, Timestamp};

use crate::harness::{Client, Raw, SECRET, Server, TEXT, Token, frame};

#[tokio::test]
async fn a_connection_that_ends_leaves_one_log_line() {
    let server = Server::start().await;
    let mut client = Client::ada(&server).await;
    let record = server.only_stored().await;
    for id in ["a", "b", "c"] {
        client.echo(id).await;
    }
    client.leave().await;
    assert_eq!(server.ending().await, "client_closed");
    let line = server.endings(1).await.remove(0);
    assert_eq!(line["event_type"], "connection_disconnected");
    assert_eq!(line["connection_id"], record.id.as_str());
    assert_eq!((&line["user_id"], &line["tenant_id"]), (&json!("ada"), &json!("acme")));
    assert_eq!((&line["messages_sent"], &line["messages_received"]), (&json!(3), &json!(3)));
    assert!(line["duration_seconds"].as_f64().expect("a number") >= 0.0);
    assert!(Timestamp::parse(line["disconnect_time"].as_str().expect("text")).is_ok());
    assert!(server.counts("streamer_connections_ended_total{reason=\"client_closed\"}", 1));
    assert!(server.counts("streamer_connection_duration_seconds_count", 1));
    assert!(server.counts("streamer_connections_active", 0));
    server.finish().await;
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_forgotten() {
    let server = Server::start().await;
    drop(Client::ada(&server).await);
    assert_eq!(server.ending().await, "connection_lost");
    server.finish().await;
}

#[tokio::test]
async fn a_connection_that_is_reset_amid_a_message_is_forgotten() {
    let server = Server::start().await;
    let mut raw = Raw::websocket(server.addr, &Token::ada()).await;
    raw.send(&frame(TEXT, SECRET.as_bytes())[..9]).await;
    raw.stream.set_zero_linger().expect("set");
    drop(raw);
    assert_eq!(server.ending().await, "connection_lost");
    server.finish().await;
}

#[tokio::test]
async fn whoever_is_disconnected_reads_why() {
    let server = Server::start().await;
    let (client, other) =
        (Client::ada(&server).await, Client::connect(&server, &Token::of("bob", "acme")).await);
    let stored = server.stored().await;
    let ada = stored.iter().find(|record| record.user.as_str() == "ada").expect("there");
    server.engine.sender().disconnect(&ada.id, CloseCode::Disconnected).await.expect("there");
    assert_eq!(client.closed().await, 4403);
    let line = server.endings(1).await.remove(0);
    assert_eq!(line["disconnect_reason"], "disconnected_by_server");
    assert_eq!(server.only_stored().await.user.as_str(), "bob");
    other.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn leaving_does_not_cancel_running_work() {
    let server = Server::start().await;
    let mut client = Client::ada(&server).await;
    client.ask("job", "work", json!(SECRET)).await;
    assert_eq!(client.frame().await["type"], "acknowledgment");
    drop(client);
    server.empty().await;
    server.gate.add_permits(1);
    let mut client = Client::ada(&server).await;
    client.ask("r", "resume", json!({ "request_id": "job" })).await;
    let mut last = Value::Null;
    while last["type"] != "complete" {
        last = client.frame().await;
    }
    assert_eq!((&last["request_id"], &last["result"]), (&json!("job"), &json!(SECRET)));
    client.leave().await;
    server.finish().await;
}
