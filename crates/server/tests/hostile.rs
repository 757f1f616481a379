//! Peers that mean no good, over HTTP: each is answered or closed, the others are served meanwhile, and nothing is
//! left of any of them.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use serde_json::json;
use tokio::{io::AsyncReadExt, time::Instant};

use crate::harness::{
    ADMIN_TOKEN, Client, Http, Raw, SECRET, Server, Setup, TEXT, Token, frame, in_time, until,
};

/// Sends the bytes and reads all that is answered until the server closes.
async fn answers(server: &Server, bytes: &[u8]) -> String {
    answers_of(server.addr, bytes).await
}

async fn answers_of(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut raw = Raw::connect(addr).await;
    raw.send(bytes).await;
    let mut answers = Vec::new();
    let _ = in_time("the end of the answers", raw.stream.read_to_end(&mut answers)).await;
    String::from_utf8_lossy(&answers).into_owned()
}

fn statuses(answers: &str) -> Vec<&str> {
    answers.match_indices("HTTP/1.1 ").map(|(at, _)| &answers[at + 9..at + 12]).collect()
}

#[tokio::test]
async fn no_request_is_smuggled_behind_another() {
    let mut setup = Setup::default();
    setup.settings.head_timeout = Duration::from_millis(500);
    let server = setup.start().await;
    let smuggled = "GET /v1/artifacts/smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let post = |headers: &str, body: &str| {
        format!("POST /nowhere HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n\r\n{body}{smuggled}")
    };
    let both = "content-length: 4\r\ntransfer-encoding: chunked";
    let reversed = "transfer-encoding: chunked\r\ncontent-length: 5";
    // Both lengths (RFC 9112, section 6.1): the library takes it as chunked, and reads nothing after it.
    for headers in [both, reversed] {
        assert_eq!(
            statuses(&answers(&server, post(headers, "0\r\n\r\n").as_bytes()).await),
            ["404"],
            "{headers}"
        );
    }
    // Where the body is read to its end too.
    for headers in [both, reversed] {
        let post = format!(
            "POST /v1/broadcast HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nauthorization: Bearer {ADMIN_TOKEN}\r\n{headers}\r\n\r\n"
        );
        let bytes = format!("{post}2\r\n{{}}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
        assert_eq!(statuses(&answers_of(server.admin, bytes.as_bytes()).await), ["400"], "{headers}");
    }
    // A length that is none, or of which there are two.
    for headers in [
        "content-length: 4\r\ncontent-length: 5",
        "content-length: 4, 5",
        "content-length: +4",
        "content-length: -1",
        "content-length: 0x4",
        "content-length: 99999999999999999999999",
        "content-length : 4",
        "content-length: 4\r\n transfer-encoding: chunked",
        "transfer-encoding: identity",
        "transfer-encoding: xchunked",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: chunked\r\ntransfer-encoding: gzip",
        "transfer-encoding\0: chunked",
        "x: a\rtransfer-encoding: chunked",
    ] {
        assert_eq!(
            statuses(&answers(&server, post(headers, "0\r\n\r\n").as_bytes()).await),
            ["400"],
            "{headers}"
        );
    }
    // Chunks that are none.
    for body in ["4;\nx\r\n", "-1\r\n", "fffffffffffffffff\r\n", "4\r\nabcdefgh\r\n0\r\n\r\n"] {
        let answered = answers(&server, post("transfer-encoding: chunked", body).as_bytes()).await;
        assert!(["404", "400"].contains(&statuses(&answered)[0]), "{answered}");
        assert_eq!(statuses(&answered).len(), 1, "{body}: {answered}");
    }
    // An upgrade has no body: it would be taken for frames.
    for headers in ["content-length: 4", "transfer-encoding: chunked"] {
        let upgrade = Raw::upgrade(&Token::ada()).replacen("\r\n\r\n", &format!("\r\n{headers}\r\n\r\n"), 1);
        let answered = answers(&server, format!("{upgrade}0\r\n\r\n").as_bytes()).await;
        assert_eq!(statuses(&answered)[0], "400", "{answered}");
    }
    assert!(server.stored().await.is_empty());
    Client::ada(&server).await.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn absurd_heads_are_refused() {
    let mut setup = Setup::default();
    setup.settings.head_timeout = Duration::from_millis(500);
    let server = setup.start().await;
    let mut bystander = Client::ada(&server).await;
    let head = |line: &str, headers: &str| format!("{line}\r\nhost: localhost\r\n{headers}\r\n");
    let many = |count: usize| (0..count).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    let cases = [
        (head("GET /ws HTTP/1.1", &many(1000)), "431"),
        (head("GET /ws HTTP/1.1", &format!("x: {}\r\n", "y".repeat(100_000))), "431"),
        (head("GET /ws HTTP/1.1", &format!("{}: y\r\n", "x".repeat(100_000))), "431"),
        (head(&format!("GET /{} HTTP/1.1", "x".repeat(30_000)), ""), "404"),
        (head(&format!("GET /{} HTTP/1.1", "x".repeat(100_000)), ""), "431"),
        (head("BREW /ws HTTP/1.1", "connection: close\r\n"), "405"),
        (head("get /ws HTTP/1.1", "connection: close\r\n"), "405"),
        (head(&format!("{} /ws HTTP/1.1", "X".repeat(10_000)), "connection: close\r\n"), "405"),
        (head("G\u{0}T /ws HTTP/1.1", ""), "400"),
        (head("G(T /ws HTTP/1.1", ""), "400"),
        (head("GET /ws HTTP/9.9", ""), "400"),
        (head("GET /ws", ""), "400"),
        (head("GET  HTTP/1.1", ""), "400"),
        (head("GET /\u{7f}\u{0} HTTP/1.1", ""), "400"),
        (head("CONNECT evil.example:443 HTTP/1.1", "connection: close\r\n"), "404"),
        (head("OPTIONS * HTTP/1.1", "connection: close\r\n"), "404"),
        (head("GET http://evil.example/ws HTTP/1.1", "connection: close\r\n"), "401"),
        (head("GET /ws HTTP/1.1", "x: \u{0}\r\n"), "400"),
        (head("GET /ws HTTP/1.1", "no colon\r\n"), "400"),
    ];
    for (bytes, status) in &cases {
        let answered = answers(&server, bytes.as_bytes()).await;
        assert_eq!(statuses(&answered).first(), Some(status), "{bytes:.100}: {answered}");
        bystander.echo("not concerned").await;
    }
    assert_eq!(answers(&server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await, "", "HTTP/2 is not spoken");
    bystander.leave().await;
    server.empty().await;
    server.finish().await;
}

#[tokio::test]
async fn what_comes_behind_an_upgrade_is_frames_or_the_end() {
    let mut setup = Setup::default();
    setup.settings.head_timeout = Duration::from_millis(500);
    let server = setup.start().await;
    let upgrade = Raw::upgrade(&Token::ada());
    let echo = json!({ "id": "a", "action": "echo", "payload": SECRET }).to_string();
    // Garbage; another request; a message and then garbage.
    let behind = [
        vec![0xff; 5000],
        upgrade.clone().into_bytes(),
        [frame(TEXT, echo.as_bytes()), vec![0x00; 100]].concat(),
    ];
    for (n, behind) in behind.into_iter().enumerate() {
        let mut raw = Raw::connect(server.addr).await;
        raw.send(&[upgrade.as_bytes(), &behind].concat()).await;
        assert!(raw.head().await.starts_with("HTTP/1.1 101 "));
        assert_eq!(raw.closed().await, 1002, "{n}");
    }
    assert!(server.endings(3).await.iter().all(|line| line["disconnect_reason"] == "protocol_error"));
    // Behind one that is refused it is another request, and no good one.
    let refused = Raw::upgrade("nonsense");
    let answered = answers(&server, &[refused.as_bytes(), &[0xff; 5000]].concat()).await;
    assert_eq!(statuses(&answered), ["401", "400"], "{answered}");
    assert_eq!(statuses(&answers(&server, refused.repeat(3).as_bytes()).await), ["401"; 3]);
    server.empty().await;
    server.finish().await;
}

#[tokio::test]
async fn a_crowd_that_never_says_a_word_is_closed_and_holds_up_nobody() {
    const CROWD: usize = 1000;
    let mut setup = Setup::default();
    setup.settings.head_timeout = Duration::from_secs(2);
    let server = setup.start().await;
    let upgrade = Raw::upgrade("nobody's");
    let crowd = join_all((0..CROWD).map(async |n| {
        let mut raw = Raw::connect(server.addr).await;
        // Some say nothing at all, some begin.
        raw.send(&upgrade.as_bytes()[..n % 3 * 20]).await;
        raw
    }));
    let crowd = in_time("the crowd is there", crowd).await;
    let mut client = Client::ada(&server).await;
    client.echo("not held up").await;
    in_time("all are closed", join_all(crowd.into_iter().map(async |mut raw| raw.ended().await))).await;
    client.echo("not concerned").await;
    assert_eq!(server.stored().await.len(), 1);
    client.leave().await;
    server.empty().await;
    server.finish().await;
}

#[tokio::test]
async fn a_crowd_of_silent_connections_costs_nobody_anything() {
    const CROWD: u64 = 2000;
    let server = Server::start().await;
    let token = Token::ada();
    let mut crowd = Vec::new();
    for _ in 0..CROWD / 100 {
        let hundred = join_all((0..100).map(|_| Raw::websocket(server.addr, &token)));
        crowd.extend(in_time("a hundred more", hundred).await);
    }
    assert!(server.counts("streamer_connections_active", CROWD));
    let started = Instant::now();
    let mut client = Client::connect(&server, &Token::of("bob", "globex")).await;
    for n in 0..10 {
        client.echo(&n.to_string()).await;
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    // Nothing waits for any of them, nor is anything worked on.
    let metrics = Http::get(server.admin, "/metrics").send().await;
    for line in [
        "streamer_connections_behind 0",
        "streamer_outbound_waiting_bytes 0",
        "streamer_outbound_waiting_messages 0",
        "streamer_engine_tasks 0",
    ] {
        assert!(metrics.text().lines().any(|there| there == line), "{line} not in\n{}", metrics.text());
    }
    client.leave().await;
    drop(crowd);
    until("all are gone", async || server.hub.is_empty()).await;
    assert!(server.counts("streamer_connections_active", 0));
    server.empty().await;
    server.finish().await;
}
