//! How often one may come, and how much one may say.

use std::time::Duration;

use serde_json::{Value, json};
use streamer_protocol::TenantId;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{
    Answer, Client, Contract, Http, PING, Raw, SECRET, Server, Setup, TEXT, Token, frame, head, in_time,
    try_connect, until,
};

/// An upgrade, as far as it matters to whoever refuses it.
fn upgrade(server: &Server, token: &str) -> Http {
    Http::get(server.addr, "/ws")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .bearer(token)
}

#[tokio::test]
async fn an_address_that_comes_too_often_waits_whatever_its_token() {
    let mut setup = Setup::default();
    setup.settings.address_connections_per_minute = 3;
    let server = setup.start().await;
    let mut first = Client::ada(&server).await;
    // A token that is refused was an attempt too.
    assert_eq!(upgrade(&server, &Token::forged()).send().await.status, 401);
    let mut third = Client::ada(&server).await;
    for token in [Token::ada(), Token::of("bob", "globex"), Token::forged(), "nonsense".to_owned()] {
        let answer = upgrade(&server, &token).send().await;
        assert_eq!(answer.error(), (429, "RATE_LIMITED".to_owned()));
        let seconds = answer.header("retry-after").and_then(|text| text.parse::<u64>().ok());
        assert!(seconds.is_some_and(|seconds| (1..=20).contains(&seconds)), "{}", answer.head);
        let retry = &answer.json()["error"]["retry"];
        assert_eq!(retry["retryable"], true);
        assert!(retry["after"].as_u64().is_some_and(|after| (1..=20_000).contains(&after)), "{retry}");
    }
    assert!(server.counts("streamer_rate_limited_total{what=\"address\"}", 4), "{}", server.metrics());
    // Refused before the token is looked at.
    assert!(server.counts("streamer_authentication_failures_total{reason=\"bad_signature\"}", 1));
    // Who is in stays in, and files are fetched at any rate.
    first.echo("not concerned").await;
    third.echo("not concerned").await;
    let file = Http::get(server.addr, format!("/v1/artifacts/{}", "0".repeat(32))).bearer(&Token::ada());
    assert_eq!(file.send().await.status, 404);
    first.leave().await;
    third.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn a_refusal_ends_the_socket() {
    let mut setup = Setup::default();
    setup.settings.address_connections_per_minute = 1;
    let server = setup.start().await;
    let client = Client::ada(&server).await;
    let mut raw = Raw::connect(server.addr).await;
    raw.send(Raw::upgrade(&Token::ada()).repeat(100).as_bytes()).await;
    assert!(raw.head().await.starts_with("HTTP/1.1 429 "));
    raw.ended().await;
    assert!(server.counts("streamer_rate_limited_total{what=\"address\"}", 1), "{}", server.metrics());
    client.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_rate() {
    let mut setup = Setup::default();
    setup.settings.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a net")];
    setup.settings.address_connections_per_minute = 1;
    let server = setup.start().await;
    let bearer = format!("Bearer {}", Token::ada());
    let from = async |address: &str| {
        let stream = TcpStream::connect(server.addr).await.expect("connected");
        let headers = [("authorization", &*bearer), ("x-forwarded-for", address)];
        let upgraded = try_connect(stream, server.addr, "/ws", &headers).await;
        upgraded.map(|(socket, _)| Client { socket })
    };
    let one = from("198.51.100.1").await.expect("the first");
    let another = from("198.51.100.2").await.expect("another address");
    assert!(from("203.0.113.9, 198.51.100.1").await.is_err(), "what stands before is the client's own word");
    let network = from("2001:db8::1").await.expect("another network");
    assert!(from("2001:db8::2").await.is_err(), "the same network");
    for client in [one, another, network] {
        client.leave().await;
    }
    server.finish().await;
}

#[tokio::test]
async fn connections_are_bounded_per_tenant_and_in_all() {
    let mut setup = Setup::default();
    setup.settings.tenant_connections_max = 2;
    setup.settings.connections_max = 3;
    let server = setup.start().await;
    let acme = [Client::ada(&server).await, Client::ada(&server).await];
    let answer = upgrade(&server, &Token::of("bob", "acme")).send().await;
    assert_eq!(answer.error(), (429, "RATE_LIMITED".to_owned()));
    assert!(answer.text().contains("your tenant"), "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    assert_eq!(server.hub.connections_of(&TenantId::new("acme")), 2);

    let mut globex = Client::connect(&server, &Token::of("bob", "globex")).await;
    let answer = upgrade(&server, &Token::of("eve", "initech")).send().await;
    assert_eq!(answer.error(), (429, "RATE_LIMITED".to_owned()));
    assert!(answer.text().contains("the server"), "{}", answer.text());
    assert_eq!(server.hub.connections_of(&TenantId::new("initech")), 0);
    globex.echo("not concerned").await;

    for client in acme {
        client.leave().await;
    }
    until("places are free", async || server.hub.connections_of(&TenantId::new("acme")) == 0).await;
    Client::connect(&server, &Token::of("eve", "initech")).await.leave().await;
    globex.leave().await;
    server.empty().await;
    server.finish().await;
}

#[tokio::test]
async fn what_is_refused_takes_no_place() {
    let mut setup = Setup::default();
    setup.settings.connections_max = 1;
    let server = setup.start().await;
    for _ in 0..3 {
        assert_eq!(upgrade(&server, &Token::forged()).send().await.status, 401);
        // No WebSocket key.
        let halfway = Http::get(server.addr, "/ws").bearer(&Token::ada());
        assert_eq!(halfway.send().await.status, 426);
    }
    // Its client leaves as soon as it has asked.
    let mut raw = Raw::connect(server.addr).await;
    raw.send(Raw::upgrade(&Token::ada()).as_bytes()).await;
    drop(raw);
    server.endings(1).await;
    until("the place is free", async || server.hub.connections_of(&TenantId::new("acme")) == 0).await;
    Client::ada(&server).await.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn a_message_over_the_rate_is_refused_by_its_id() {
    let mut setup = Setup::default();
    setup.settings.messages_per_minute = 5;
    let server = setup.start().await;
    let mut client = Client::ada(&server).await;
    for n in 0..5 {
        client.echo(&n.to_string()).await;
    }
    let refused = async |client: &mut Client, id: Value| {
        let answer = client.frame().await;
        assert_eq!((&answer["type"], &answer["error"]["code"]), (&json!("error"), &json!("RATE_LIMITED")));
        assert_eq!(answer["request_id"], id, "{answer}");
        assert_eq!(answer["error"]["retry"]["retryable"], true);
        let after = answer["error"]["retry"]["after"].as_u64().expect("a number");
        assert!((1..=12_001).contains(&after), "{after}");
    };
    client.ask("late", "echo", json!(SECRET)).await;
    refused(&mut client, json!("late")).await;
    // What is no request at all is counted too; and a large one is not searched for its id.
    client.send(SECRET).await;
    refused(&mut client, Value::Null).await;
    client.send(format!(r#"{{"action":"echo","payload":"{}","id":"far"}}"#, "x".repeat(100_000))).await;
    refused(&mut client, Value::Null).await;
    assert!(server.counts("streamer_rate_limited_total{what=\"messages\"}", 3), "{}", server.metrics());
    // Another connection has its own rate, and this one stays.
    let mut other = Client::ada(&server).await;
    other.echo("not concerned").await;
    other.leave().await;
    client.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn the_rate_comes_back() {
    let mut setup = Setup::default();
    setup.settings.messages_per_minute = 600;
    let server = setup.start().await;
    let mut client = Client::ada(&server).await;
    for n in 0..700 {
        client.ask(&n.to_string(), "echo", json!(SECRET)).await;
    }
    let mut refused = 0;
    for _ in 0..700 {
        let answer = client.frame().await;
        if answer["type"] == "error" {
            refused += 1;
            let after = answer["error"]["retry"]["after"].as_u64().expect("a number");
            assert!((1..=101).contains(&after), "{answer}");
        }
    }
    assert!((1..=100).contains(&refused), "{refused}");
    let accepted = async || {
        client.ask("again", "echo", json!(SECRET)).await;
        client.frame().await["type"] == "response"
    };
    until("a message is taken again", accepted).await;
    client.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn who_floods_on_is_closed_with_4429() {
    let mut setup = Setup::default();
    setup.settings.messages_per_minute = 5;
    let server = setup.start().await;
    let mut raw = Raw::websocket(server.addr, &Token::ada()).await;
    let mut bystander = Client::connect(&server, &Token::of("bob", "globex")).await;
    let message = json!({ "id": "a", "action": "echo", "payload": SECRET }).to_string();
    raw.send(&frame(TEXT, message.as_bytes()).repeat(1000)).await;
    let (mut taken, mut refused) = (0, 0);
    let code = loop {
        match raw.frame().await {
            (TEXT, answer) if String::from_utf8_lossy(&answer).contains("RATE_LIMITED") => refused += 1,
            (TEXT, _) => taken += 1,
            (0x88, payload) => break u16::from_be_bytes([payload[0], payload[1]]),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((taken, refused, code), (5, 50, 4429));
    drop(raw);
    assert_eq!(server.endings(1).await[0]["disconnect_reason"], "rate_limited");
    bystander.echo("not concerned").await;
    bystander.leave().await;
    server.empty().await;
    server.finish().await;
}

/// Pings between messages are few; a flood of them is answered only so long.
#[tokio::test]
async fn a_flood_of_pings_is_closed_with_4429_even_if_its_answers_are_read() {
    let server = Server::start().await;
    let mut raw = Raw::websocket(server.addr, &Token::ada()).await;
    raw.send(&frame(PING, b"").repeat(5000)).await;
    let mut pongs = 0;
    let code = loop {
        match raw.frame().await {
            (0x8a, _) => pongs += 1,
            (0x88, payload) => break u16::from_be_bytes([payload[0], payload[1]]),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code, 4429);
    drop(raw);
    assert!(pongs <= 1000, "{pongs}");
    assert_eq!(server.ending().await, "rate_limited");
    assert!(server.counts("streamer_rate_limited_total{what=\"frames\"}", 1));
    server.finish().await;
}

/// Crumbs without end never become a message, so that no bound on messages meets them.
#[tokio::test]
async fn a_flood_of_crumbs_is_closed_with_4429() {
    let server = Server::start().await;
    for crumb in [&b""[..], b"x"] {
        let mut raw = Raw::websocket(server.addr, &Token::ada()).await;
        raw.send(&frame(0x01, crumb)).await;
        raw.send(&frame(0x00, crumb).repeat(2000)).await;
        assert_eq!(raw.closed().await, 4429);
    }
    let mut bystander = Client::ada(&server).await;
    bystander.echo("not concerned").await;
    bystander.leave().await;
    server.empty().await;
    server.finish().await;
}

/// A message that is never finished, though its client answers every ping.
#[tokio::test]
async fn a_frame_whose_payload_never_comes_is_closed_with_4411() {
    let mut setup = Setup::default();
    setup.settings.message_timeout = Duration::from_millis(400);
    setup.settings.heartbeat = Duration::from_secs(60);
    let server = setup.start().await;
    let started = tokio::time::Instant::now();
    let mut beginnings = vec![
        // The head of a frame, a frame without the end of its payload, a fragment without the next one.
        vec![TEXT],
        frame(TEXT, &[b' '; 1000])[..500].to_vec(),
        frame(0x01, &[b' '; 200]),
        frame(PING, b"hello")[..8].to_vec(),
    ];
    // Other frames between do not begin the time anew.
    beginnings.push([frame(0x01, &[b' '; 200]), frame(PING, b"")].concat());
    for beginning in &beginnings {
        let mut raw = Raw::websocket(server.addr, &Token::ada()).await;
        raw.send(beginning).await;
        assert_eq!(raw.closed().await, 4411, "{beginning:x?}");
    }
    assert!(started.elapsed() >= Duration::from_millis(400) * 5);
    let endings = server.endings(beginnings.len()).await;
    assert!(endings.iter().all(|line| line["disconnect_reason"] == "message_unfinished"), "{endings:?}");
    server.empty().await;
    server.finish().await;
}

#[tokio::test]
async fn a_frame_that_drips_is_closed_with_4411_and_one_that_waits_for_nothing_is_not() {
    let mut setup = Setup::default();
    setup.settings.message_timeout = Duration::from_millis(400);
    let server = setup.start().await;
    let mut idle = Client::ada(&server).await;
    let mut raw = Raw::websocket(server.addr, &Token::ada()).await;
    raw.send(&head(TEXT, 1000)).await;
    // A byte now and then is no silence, and no message either.
    let (mut reading, mut writing) = raw.stream.split();
    let dripping = async {
        loop {
            writing.write_all(b" ").await.expect("open");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let mut close = [0; 4];
    let closed = async {
        tokio::select! { read = reading.read_exact(&mut close) => read, () = dripping => unreachable!() }
    };
    in_time("the close comes", closed).await.expect("a close");
    assert_eq!((close[0], u16::from_be_bytes([close[2], close[3]])), (0x88, 4411));
    drop(raw);
    idle.echo("nothing was begun").await;
    idle.leave().await;
    server.empty().await;
    server.finish().await;
}

/// A call over HTTP with this token, as if from this address.
async fn call(server: &Server, token: &str, address: &str) -> Answer {
    Http::get(server.addr, "/v1/usage").bearer(token).header("x-forwarded-for", address).send().await
}

#[tokio::test]
async fn an_address_whose_tokens_are_refused_too_often_waits_and_good_ones_do_not() {
    let mut setup = Setup::default();
    setup.settings.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a net")];
    setup.settings.address_refusals_per_minute = 3;
    let server = setup.start().await;
    let contract = Contract::of(&server).await;
    let (one, another) = ("198.51.100.1", "198.51.100.2");
    for token in [Token::forged(), Token::expired(), "nonsense".to_owned()] {
        assert_eq!(call(&server, &token, one).await.error(), (401, "UNAUTHORIZED".to_owned()));
    }
    for token in [Token::forged(), "nonsense".to_owned()] {
        // What stands before the last is the client's own word.
        let answer = call(&server, &token, &format!("{another}, {one}")).await;
        contract.holds("get", "/v1/usage", &answer);
        assert_eq!(answer.error(), (429, "RATE_LIMITED".to_owned()));
        let seconds = answer.header("retry-after").and_then(|text| text.parse::<u64>().ok());
        assert!(seconds.is_some_and(|seconds| (1..=20).contains(&seconds)), "{}", answer.head);
        assert_eq!(answer.header("connection"), Some("close"));
    }
    assert!(server.counts("streamer_rate_limited_total{what=\"refused_tokens\"}", 2), "{}", server.metrics());
    let expired = call(&server, &Token::expired(), one).await;
    assert_eq!(expired.error(), (401, "UNAUTHORIZED".to_owned()), "its owner is to get a new one");
    assert!(server.counts("streamer_authentication_failures_total{reason=\"expired\"}", 2));
    assert_eq!(call(&server, &Token::ada(), one).await.status, 200, "a good token is let in");
    assert_eq!(call(&server, &Token::forged(), another).await.status, 401, "another address");
    // Each address has one line, and its connections are counted by themselves.
    let lines = || server.log().into_iter().filter(|line| line["operation"] == "authenticate");
    let addresses: Vec<_> = lines().map(|line| line["ip_address"].clone()).collect();
    assert_eq!(addresses, [one, another]);
    assert!(lines().all(|line| line["count"] == 1));
    server.finish().await;
}
