//! Upgrades that go well, and what is stored of them.

use serde_json::json;
use tokio::net::TcpStream;

use crate::harness::{Client, Raw, SECRET, Server, Setup, TEXT, Token, frame, try_connect};

/// Connects and echoes; gives the subprotocol of the answer.
async fn subprotocol(server: &Server, path: &str, headers: &[(&'static str, &str)]) -> Option<String> {
    let stream = TcpStream::connect(server.addr).await.expect("connected");
    let (socket, answer) = try_connect(stream, server.addr, path, headers).await.expect("upgraded");
    assert_eq!(answer.status(), 101);
    let mut client = Client { socket };
    client.echo("a").await;
    client.leave().await;
    let chosen = answer.headers().get("sec-websocket-protocol");
    chosen.map(|value| value.to_str().expect("text").to_owned())
}

#[tokio::test]
async fn the_token_comes_in_the_query_the_header_or_a_subprotocol() {
    let server = Server::start().await;
    let token = Token::ada();
    let query = format!("/ws?Authorization={token}");
    assert_eq!(subprotocol(&server, &query, &[]).await, None);
    let bearer = format!("Bearer {token}");
    assert_eq!(subprotocol(&server, "/ws", &[("authorization", &bearer)]).await, None);
    let pair = format!("streamer.v1, bearer.{token}");
    let chosen = subprotocol(&server, "/ws", &[("sec-websocket-protocol", &pair)]).await;
    assert_eq!(chosen.as_deref(), Some("streamer.v1"));
    let two = [("sec-websocket-protocol", "streamer.v1"), ("sec-websocket-protocol", &pair[13..])];
    assert_eq!(subprotocol(&server, "/ws", &two).await.as_deref(), Some("streamer.v1"));
    assert!(server.counts("streamer_connections_established_total", 4));
    server.finish().await;
}

#[tokio::test]
async fn the_door_is_at_the_root_at_ws_and_under_every_prefix() {
    let mut setup = Setup::default();
    setup.settings.path_prefixes = ["/", "/prod", "/prod/", "/v2/live"].map(str::to_owned).into();
    let server = setup.start().await;
    let token = Token::ada();
    for path in ["/", "/ws", "/prod", "/prod/", "/prod/ws", "/v2/live", "/v2/live/ws"] {
        subprotocol(&server, &format!("{path}?Authorization={token}"), &[]).await;
    }
    server.finish().await;
}

#[tokio::test]
async fn a_connection_is_stored_and_forgotten() {
    let server = Server::start().await;
    let stream = TcpStream::connect(server.addr).await.expect("connected");
    let bearer = format!("Bearer {}", Token::ada());
    let headers = [
        ("authorization", &*bearer),
        ("user-agent", "tests/1.0"),
        // Nobody is trusted to say this.
        ("x-forwarded-for", "198.51.100.7"),
    ];
    let (socket, _) = try_connect(stream, server.addr, "/", &headers).await.expect("upgraded");
    let record = server.only_stored().await;
    assert_eq!((record.user.as_str(), record.tenant.as_str()), ("ada", "acme"));
    assert_eq!(record.endpoint, "node-1:8080");
    assert_eq!(record.user_agent.as_deref(), Some("tests/1.0"));
    assert_eq!(record.ip_address.as_deref(), Some("127.0.0.1"));
    assert_eq!(record.connected_at, record.last_ping);
    assert_eq!(record.expires_at.since(record.connected_at).as_secs(), 24 * 3600);
    assert_eq!(record.id.as_str().len(), 32);
    assert_eq!(server.hub.len(), 1);
    Client { socket }.leave().await;
    server.empty().await;
    server.finish().await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_forwarded_address_counts() {
    let mut setup = Setup::default();
    setup.settings.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a net")];
    let server = setup.start().await;
    let stream = TcpStream::connect(server.addr).await.expect("connected");
    let bearer = format!("Bearer {}", Token::ada());
    let headers =
        [("authorization", &*bearer), ("x-forwarded-for", "1.2.3.4, 198.51.100.7"), ("user-agent", "")];
    let (socket, _) = try_connect(stream, server.addr, "/", &headers).await.expect("upgraded");
    assert_eq!(server.only_stored().await.ip_address.as_deref(), Some("198.51.100.7"));
    Client { socket }.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn messages_may_come_along_with_the_upgrade() {
    let server = Server::start().await;
    let mut raw = Raw::connect(server.addr).await;
    let mut bytes = Raw::upgrade(&Token::ada()).into_bytes();
    for id in ["a", "b"] {
        let message = json!({ "id": id, "action": "echo", "payload": SECRET }).to_string();
        bytes.extend(frame(TEXT, message.as_bytes()));
    }
    raw.send(&bytes).await;
    assert!(raw.head().await.starts_with("HTTP/1.1 101 "));
    for id in ["a", "b"] {
        let (first, payload) = raw.frame().await;
        assert_eq!(first, TEXT);
        let answer: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
        assert_eq!(answer["request_id"], id);
    }
    drop(raw);
    server.empty().await;
    server.finish().await;
}
