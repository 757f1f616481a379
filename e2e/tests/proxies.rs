//! nginx, HAProxy and Caddy in front of a server, by the files in `deploy/proxies`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use streamer_e2e::{
    aws::Key,
    http,
    issuer::Issuer,
    patience::{until, within},
    peer::{Peer, Refused, Said},
    promises::Heard,
    proxy::{CLIENT, Kind, Proxy, Stream},
    scenario::{Place as _, TokenKind, Wanted},
    server::{Server, Setup},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{ChildStdout, Command},
    time::timeout,
};
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};

use crate::{aws_clients, server, skipped, tools};

/// Tests that each proxy passes.
macro_rules! suite {
    ($($name:ident: $kind:expr;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn a_token_is_taken_from_everywhere_and_written_nowhere() {
                let Some(program) = installed($kind) else { return };
                super::a_token_is_taken_from_everywhere_and_written_nowhere($kind, &program).await;
            }

            #[tokio::test]
            async fn large_messages_and_long_requests_pass_as_they_come() {
                let Some(program) = installed($kind) else { return };
                super::large_messages_and_long_requests_pass_as_they_come($kind, &program).await;
            }

            #[tokio::test]
            async fn a_signed_call_arrives_as_it_was_signed() {
                let Some(program) = installed($kind) else { return };
                super::a_signed_call_arrives_as_it_was_signed($kind, &program).await;
            }

            #[tokio::test]
            async fn an_event_source_goes_on_where_it_was_cut_off() {
                let Some(program) = installed($kind) else { return };
                super::an_event_source_goes_on_where_it_was_cut_off($kind, &program).await;
            }

            #[tokio::test]
            async fn a_server_that_drains_takes_nobody_and_says_goodbye() {
                let Some(program) = installed($kind) else { return };
                super::a_server_that_drains_takes_nobody_and_says_goodbye($kind, &program).await;
            }
        }
    )*};
}

suite! {
    nginx: Kind::Nginx;
    haproxy: Kind::Haproxy;
    caddy: Kind::Caddy;
}

/// The proxy's program. Without it a test is skipped, but for CI.
fn installed(kind: Kind) -> Option<PathBuf> {
    let found = kind.find(&tools());
    if found.is_none() {
        skipped(&format!("{} is missing: `cargo xtask setup proxies`", kind.program()));
    }
    found
}

/// A server that believes the proxy, which comes from 127.0.0.1.
fn behind_a_proxy() -> Setup {
    server().set("listen.trusted_proxies", "127.0.0.1").set("listen.path_prefixes", "/prod")
}

fn token() -> String {
    Issuer::shared().token("ada", "acme")
}

fn bearer(token: &str) -> (HeaderName, HeaderValue) {
    let value = HeaderValue::try_from(format!("Bearer {token}")).expect("a token fits into a header");
    (HeaderName::from_static("authorization"), value)
}

async fn peer(proxy: &Proxy) -> Peer<Stream> {
    let mut request = proxy.upgrade("/ws");
    request.headers_mut().extend([bearer(&token())]);
    proxy.try_peer(request).await.expect("a good token").0
}

async fn answers(peer: &mut Peer<Stream>) {
    let answer = peer.ask("ping", "ping", json!({})).await;
    assert_eq!(answer["success"], true, "{answer}");
}

async fn a_token_is_taken_from_everywhere_and_written_nowhere(kind: Kind, program: &Path) {
    let mut server = behind_a_proxy().start().await;
    let proxy = Proxy::start(kind, program, &server, 90).await;
    let good = token();
    let expired = server.token(&Wanted {
        user: "ada".into(),
        tenant: "acme".into(),
        permissions: Vec::new(),
        topics: Vec::new(),
        kind: TokenKind::Expired,
    });

    for path in ["/ws", "/", "/prod", "/prod/ws"] {
        let by_query = proxy.upgrade(&format!("{path}?Authorization={good}"));
        let (mut peer, _) = proxy.try_peer(by_query).await.expect("a good token");
        answers(&mut peer).await;
        peer.leave().await;
    }
    let mut by_header = proxy.upgrade("/ws");
    by_header.headers_mut().extend([
        bearer(&good),
        (HeaderName::from_static("x-forwarded-for"), HeaderValue::from_static("198.51.100.7")),
        (HeaderName::from_static("user-agent"), HeaderValue::from_static("the-tests/1")),
    ]);
    let (mut by_header, _) = proxy.try_peer(by_header).await.expect("a good token");
    answers(&mut by_header).await;
    let connections = server.inspect("/v1/connections").await.json();
    let connections = connections["connections"].as_array().expect("a list");
    // Those that have left may still be there.
    let recorded = connections.iter().find(|connection| connection["user_agent"] == "the-tests/1");
    let recorded = recorded.unwrap_or_else(|| panic!("what it says of itself is gone: {connections:?}"));
    assert_eq!(
        recorded["ip_address"],
        CLIENT.to_string(),
        "not the proxy's, nor what was made up: {recorded}"
    );
    let mut by_subprotocol = proxy.upgrade("/ws");
    let pair = HeaderValue::try_from(format!("streamer.v1, bearer.{good}")).expect("it fits");
    by_subprotocol.headers_mut().insert("sec-websocket-protocol", pair);
    let (mut by_subprotocol, upgraded) = proxy.try_peer(by_subprotocol).await.expect("a good token");
    assert_eq!(upgraded.headers()["sec-websocket-protocol"], "streamer.v1");
    answers(&mut by_subprotocol).await;

    let by_query = format!("/ws?Authorization={expired}");
    let refused = proxy.try_peer(proxy.upgrade(&by_query)).await.map(drop);
    assert!(matches!(refused, Err(Refused::Answered { status: 401, .. })), "{refused:?}");
    let refused = proxy.get(&by_query, None).await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (401, &json!("UNAUTHORIZED")),
        "as it was said"
    );

    // What goes wrong is written too.
    server.kill().await;
    assert_eq!(by_header.hear().await, Said::Broken);
    assert_eq!(by_subprotocol.hear().await, Said::Broken);
    for path in ["/ws", "/prod/ws"] {
        let refused = proxy.try_peer(proxy.upgrade(&format!("{path}?Authorization={good}"))).await.map(drop);
        assert!(matches!(refused, Err(Refused::Answered { status: 502 | 503, .. })), "{refused:?}");
    }

    until("the last request to be logged", async || {
        let logged = proxy.logs().iter().map(|(_, text)| text.matches("/prod/ws").count()).sum::<usize>();
        (logged >= 2).then_some(())
    })
    .await;
    let written = proxy.ended().await;
    for (file, text) in &written {
        for part in good.split('.').chain(expired.split('.')) {
            let line = text.lines().find(|line| line.contains(part));
            assert!(line.is_none(), "{file} has a token: {line:?}");
        }
    }
}

async fn large_messages_and_long_requests_pass_as_they_come(kind: Kind, program: &Path) {
    let server = behind_a_proxy().set("engine.short_limit_ms", 1000).start().await;
    let proxy = Proxy::start(kind, program, &server, 90).await;
    let mut peer = peer(&proxy).await;
    // Nearly as large as a message may be, both ways.
    let large = json!("x".repeat(120 * 1024));
    let echoed = peer.ask("large", "echo", large.clone()).await;
    assert!(echoed["data"]["echo"] == large, "{}", echoed["type"]);

    let mut long = Heard::nothing_of("long");
    peer.send("long", "delay", json!({ "seconds": 2, "chunks": 40 })).await;
    while long.chunks.is_empty() {
        long.take(&peer.frame().await);
    }
    peer.send("standing", "status", json!({ "request_id": "long" })).await;
    let standing = loop {
        let frame = peer.frame().await;
        if frame["request_id"] == "standing" {
            break frame;
        }
        long.take(&frame);
    };
    assert_eq!(standing["data"]["status"], "PROCESSING", "its chunks come while it runs: {standing}");
    while long.end.is_none() {
        long.take(&peer.frame().await);
    }
    assert_eq!((long.chunks.len(), &long.result()["chunks"]), (40, &json!(40)));

    let period = json!({ "start_date": "2024-01-01", "end_date": "2024-12-31", "format": "csv" });
    peer.send("report", "generate_report", period).await;
    let report = loop {
        let frame = peer.frame_of("report").await;
        if frame["type"] == "complete" {
            break frame["result"].clone();
        }
    };
    let file = proxy.get(report["url"].as_str().expect("a file"), Some(&token())).await;
    assert_eq!((file.status, &json!(file.body.len())), (200, &report["size"]), "{}", file.head);
    peer.leave().await;
}

/// What an `EventSource` heard.
type Lines = tokio::io::Lines<BufReader<ChildStdout>>;

async fn line(lines: &mut Lines) -> Value {
    let line = within("an event", lines.next_line()).await.expect("it can be read").expect("it goes on");
    serde_json::from_str(&line).expect("JSON")
}

/// By npm's `eventsource`, which comes back as a browser does, and says how far it was.
async fn an_event_source_goes_on_where_it_was_cut_off(kind: Kind, program: &Path) {
    const CHUNKS: usize = 80;
    let packages = tools().join("event-source");
    if !packages.exists() {
        return skipped("npm's eventsource is missing: `cargo xtask setup event-source`");
    }
    let server = behind_a_proxy().set("engine.short_limit_ms", 500).start().await;
    let mut proxy = Proxy::start(kind, program, &server, 90).await;
    let asked = json!({ "id": "long", "action": "delay", "payload": { "seconds": 8, "chunks": CHUNKS } });
    let taken = http::post(server.listen(), "/v1/requests", Some(&token()), &asked).await;
    assert_eq!(taken.status, 202);

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("event_source/listen.mjs");
    let address = proxy.url(&format!("/prod/v1/requests/long/events?Authorization={}", token()));
    let mut page = Command::new("node")
        .arg(script)
        .args([&address, proxy.name()])
        .env("NODE_PATH", packages.join("node_modules"))
        .env("NODE_EXTRA_CA_CERTS", proxy.certificate())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("Node.js can be run");
    let mut lines = BufReader::new(page.stdout.take().expect("piped")).lines();
    let mut heard = Heard::nothing_of("long");
    let (mut opened, mut lost) = (0, 0);
    while heard.end.is_none() {
        let said = line(&mut lines).await;
        match said["type"].as_str() {
            Some("open") => opened += 1,
            // Where the proxy is not back yet, it is refused once more.
            Some("lost") => {
                assert_eq!(said["closed"], false, "it comes back: {said}");
                lost += 1;
            }
            _ => {
                assert_eq!(said["id"], said["frame"]["seq"]);
                heard.take(&said["frame"]);
                if opened == 1 && lost == 0 && heard.chunks.len() == 10 {
                    proxy.cut().await;
                }
            }
        }
    }
    assert!(opened >= 2 && lost >= 1, "it was not cut off: the test proves nothing");
    assert_eq!((heard.chunks.len(), heard.restarts, &heard.result()["chunks"]), (CHUNKS, 0, &json!(CHUNKS)));
    assert!(within("it to end", page.wait()).await.expect("it is our child").success());
}

/// At a port of its own, which is a part of the `Host` that is signed.
async fn a_signed_call_arrives_as_it_was_signed(kind: Kind, program: &Path) {
    const KEY: Key = Key { id: "AKACME", secret: "the-secret-access-key-of-acme-0000000001" };
    let server = behind_a_proxy()
        .set("management.credentials.acme.access_key_id", KEY.id)
        .set("management.credentials.acme.secret_access_key", KEY.secret)
        .set("management.credentials.acme.tenant", "acme")
        .start()
        .await;
    let Some(clients) = aws_clients(server.folder()) else { return };
    let proxy = Proxy::start(kind, program, &server, 90).await;
    let mut peer = peer(&proxy).await;
    let listed = server.inspect("/v1/connections?tenant=acme").await.json();
    let id = listed["connections"][0]["connection_id"].clone();
    let call = |name: &str, endpoint: &str| {
        let endpoint = proxy.url(endpoint);
        json!({
            "call": name, "endpoint": endpoint, "id": id, "key_id": KEY.id, "secret": KEY.secret,
            "data": "{\"pushed\": 1}", "trusted": proxy.certificate(),
        })
    };
    let calls = [
        call("post_to_connection", "/prod"),
        call("post_to_connection", ""),
        call("get_connection", "/prod"),
        call("delete_connection", "/prod"),
    ];
    for (call, called) in calls.iter().zip(clients.boto3(&calls).await) {
        assert_eq!(called.raised, None, "{call}: {called:?}");
    }
    for _ in 0..2 {
        assert_eq!(peer.frame().await, json!({ "pushed": 1 }));
    }
    assert!(matches!(peer.hear().await, Said::Closed(_)), "it was deleted");
}

async fn a_server_that_drains_takes_nobody_and_says_goodbye(kind: Kind, program: &Path) {
    let mut server = behind_a_proxy().set("drain.linger_ms", 2000).start().await;
    let proxy = Proxy::start(kind, program, &server, 90).await;
    let mut peer = peer(&proxy).await;
    server.terminate().await;
    let refused = async || {
        let mut request = proxy.upgrade("/ws");
        request.headers_mut().extend([bearer(&token())]);
        match proxy.try_peer(request).await.map(drop) {
            Err(Refused::Answered { status, .. }) => Some(status),
            Err(Refused::Broken) => panic!("the proxy broke off"),
            Ok(()) => None,
        }
    };
    assert_eq!(until("an upgrade to be refused", refused).await, 503);
    is_open(&server).await;
    loop {
        match peer.hear().await {
            Said::Frame(frame) => assert_eq!(frame["type"], "draining", "{frame}"),
            Said::Closed(code) => break assert_eq!(code, 1001),
            Said::Broken => panic!("it broke off without a close"),
        }
    }
    assert!(server.ended().await.success());
}

/// What was refused was refused by a server that listens still, not by a proxy that found none.
async fn is_open(server: &Server) {
    let ready = server.inspect("/readyz").await;
    assert_eq!((ready.status, ready.json()), (503, json!({ "status": "draining" })));
}

/// All at once, as it takes its time.
#[tokio::test]
async fn a_silent_connection_is_kept_by_its_heartbeat() {
    const SILENCE_S: u64 = 3;
    // Long enough that a proxy would have ended it twice.
    const WAIT: Duration = Duration::from_secs(2 * SILENCE_S + 1);
    let kept = async |kind, program: &Path| {
        let server = behind_a_proxy().set("connections.heartbeat_s", 1).start().await;
        let proxy = Proxy::start(kind, program, &server, SILENCE_S).await;
        let mut peer = peer(&proxy).await;
        let heard = timeout(WAIT, peer.listen()).await;
        assert!(heard.is_err(), "{kind:?}: {heard:?}");
        answers(&mut peer).await;
    };
    // It is the heartbeat that keeps it: with a slower one it is ended, by a proxy that ends what is silent.
    let ended = async |kind, program: &Path| {
        let server = behind_a_proxy().start().await;
        let proxy = Proxy::start(kind, program, &server, SILENCE_S).await;
        assert_eq!(peer(&proxy).await.hear().await, Said::Broken, "{kind:?}");
    };
    let each = [Kind::Nginx, Kind::Haproxy, Kind::Caddy].map(async |kind| {
        let Some(program) = installed(kind) else { return };
        match kind {
            Kind::Caddy => kept(kind, &program).await,
            Kind::Nginx | Kind::Haproxy => {
                tokio::join!(kept(kind, &program), ended(kind, &program));
            }
        }
    });
    join_all(each).await;
}
