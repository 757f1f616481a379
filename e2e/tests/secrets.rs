//! No token, key or payload in anything that a whole run writes: logs of every level, metrics, answers to operators,
//! the configuration in force, errors of commands.

use std::path::Path;

use serde_json::json;
use streamer_e2e::{
    http,
    issuer::Issuer,
    patience::until,
    peer::{Peer, Refused},
    promises::Heard,
    scenario::{self, Place as _, TokenKind, Wanted},
    server::{ADMIN_TOKEN, Server},
};
use tokio_tungstenite::tungstenite::Message;

use crate::{aws_clients, server, tls::Authority};

/// Stands in every payload, and nowhere else.
const PAYLOAD: &str = "for-the-client-alone-4711";

/// How every token begins that is issued here: the header of an RS256 token.
const ANY_TOKEN: &str = "eyJ0eXAiOiJKV1Qi";

/// A key of the management API, and the session token that goes with it.
const ACCESS_KEY: [&str; 2] =
    ["a-secret-access-key-that-nobody-may-see", "a-session-token-that-nobody-may-see"];

/// What stands in every signed request: for five minutes it is as good as a token.
const ANY_SIGNATURE: &str = "Signature=";

/// What was written, and what it is.
#[derive(Default)]
struct Written(Vec<(String, String)>);

impl Written {
    fn add(&mut self, what: impl Into<String>, text: impl Into<String>) {
        self.0.push((what.into(), text.into()));
    }

    async fn command(&mut self, server: &Server, arguments: &[&str]) {
        let ran = server.shell().run(arguments).await;
        self.add(arguments.join(" "), format!("{}{}", ran.stdout, ran.stderr));
    }

    /// Fails if anything holds one of these, a payload, or any token.
    fn holds_none_of(&self, secrets: &[String]) {
        let mut found = Vec::new();
        for (what, text) in &self.0 {
            assert!(!text.is_empty(), "{what} wrote nothing");
            let telltales = secrets.iter().flat_map(|secret| telltales(secret));
            for telltale in telltales.chain([PAYLOAD, ANY_TOKEN, ANY_SIGNATURE].map(str::to_owned)) {
                let lines = text.lines().filter(|line| line.contains(&telltale));
                found.extend(lines.map(|line| format!("{what}: {line:.400}")));
            }
        }
        found.dedup();
        assert!(found.is_empty(), "{} secrets were written:\n{}", found.len(), found.join("\n"));
    }

    async fn inspect(&mut self, server: &Server, path: &str, status: u16) {
        let answer = server.inspect(path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        self.add(path, format!("{}\n{}", answer.head, answer.text()));
    }
}

/// A secret and its parts that would give it away.
fn telltales(secret: &str) -> Vec<String> {
    let lines = secret.lines().filter(|line| !line.starts_with('-'));
    lines.flat_map(|line| line.split('.')).filter(|part| part.len() >= 12).map(str::to_owned).collect()
}

/// Everything that clients do right and wrong, with the payload wherever one fits. Gives the tokens.
async fn use_it(server: &Server) -> Vec<String> {
    let of = |kind| {
        let permissions = vec!["read".to_owned()];
        server.token(&Wanted {
            user: "ada".into(),
            tenant: "acme".into(),
            permissions,
            topics: Vec::new(),
            kind,
        })
    };
    let (valid, expired, forged) = (of(TokenKind::Valid), of(TokenKind::Expired), of(TokenKind::Forged));
    let by_query = |token: &str| format!("{}?Authorization={token}", server.ws_url());
    for token in [&expired, &forged] {
        let by_header = Peer::try_connect(&server.ws_url(), Some(token)).await;
        assert!(matches!(by_header, Err(Refused::Answered { status: 401, .. })));
        let by_query = Peer::try_connect(&by_query(token), None).await;
        assert!(matches!(by_query, Err(Refused::Answered { status: 401, .. })));
    }
    let mut peer = Peer::try_connect(&by_query(&valid), None).await.expect("a good token");
    let _ = peer.ask("echo", "echo", json!(PAYLOAD)).await;
    let connections = server.inspect("/v1/connections").await.json();
    let id = connections["connections"][0]["connection_id"].as_str().expect("one connection");
    let path = format!("/v1/connections/{id}/messages");
    let sent = http::post(server.admin(), &path, Some(ADMIN_TOKEN), &json!({ "note": PAYLOAD })).await;
    assert!((200..300).contains(&sent.status), "{}", sent.text());
    assert_eq!(peer.frame().await["note"], PAYLOAD);
    for token in [&valid, &expired, &forged] {
        let _ = peer.ask("refresh", "refresh", json!({ "token": token })).await;
    }
    for text in
        [format!("{{\"action\": {PAYLOAD}"), json!({ "action": "delay", "payload": PAYLOAD }).to_string()]
    {
        peer.send_message(Message::text(text)).await;
        assert_eq!(peer.frame().await["type"], "error");
    }
    let mut work = [
        ("delay", json!({ "seconds": 0.2, "chunks": 2, "note": PAYLOAD })),
        ("echo_async", json!({ "note": PAYLOAD })),
        ("bulk_operation", json!({ "operations": [{ "op": PAYLOAD }, { "op": "count" }] })),
        ("process_data", json!({
            "pipeline": "anomaly", "data_source": { "type": "stream", "rows": [{ "x": 1, "note": PAYLOAD }] },
        })),
        ("process_data", json!({ "pipeline": "anomaly", "data_source": { "type": "file", "path": PAYLOAD } })),
    ]
    .into_iter()
    .enumerate();
    for (n, (action, payload)) in &mut work {
        let mut heard = Heard::nothing_of(format!("work-{n}"));
        peer.send(&heard.id, action, payload).await;
        while heard.end.is_none() {
            heard.take(&peer.frame().await);
        }
    }
    // Breaks the protocol with a payload, and is closed for it.
    let mut rude = Peer::connect(&server.ws_url(), &valid).await;
    rude.send_message(Message::binary(PAYLOAD.as_bytes().to_vec())).await;
    assert_eq!(rude.close_code().await, 1003);
    peer.leave().await;
    // Tokens at every place where one can stand.
    let auth = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/auth.json");
    let played = scenario::run(&auth, server).await.expect("well formed");
    assert!(played.is_ok(), "{played}");
    vec![valid, expired, forged]
}

/// Sends to a connection as clients of AWS do, signed well and badly; without such a client, not at all.
async fn manage_connections(server: &Server) {
    let Some(clients) = aws_clients(server.folder()) else { return };
    let mut peer = server.peer("eve", "managed").await;
    let listed = server.inspect("/v1/connections?tenant=managed").await.json();
    let endpoint = server.http_url().expect("it has one");
    let [secret, session_token] = ACCESS_KEY;
    let call = |key_id: &str, secret: &str| {
        json!({
            "call": "post_to_connection", "endpoint": endpoint, "id": listed["connections"][0]["connection_id"],
            "key_id": key_id, "secret": secret, "session_token": session_token,
            "data": json!({ "note": PAYLOAD }).to_string(),
        })
    };
    // The last ones mix up the id and the secret.
    let calls = [call("AKMANAGED", secret), call("AKMANAGED", PAYLOAD), call(secret, "AKMANAGED")];
    let called = clients.boto3(&calls).await;
    assert_eq!(called.iter().map(|called| called.status).collect::<Vec<_>>(), [200, 403, 403]);
    assert_eq!(peer.frame().await["note"], PAYLOAD);
    peer.leave().await;
}

#[tokio::test]
async fn no_secret_is_written_anywhere() {
    let key = |setting: &str| format!("management.credentials.managed.{setting}");
    let mut server = server()
        .set("logs.filter", "trace")
        .set(&key("access_key_id"), "AKMANAGED")
        .set(&key("secret_access_key"), ACCESS_KEY[0])
        .set(&key("session_token"), ACCESS_KEY[1])
        .set(&key("tenant"), "managed")
        .start()
        .await;
    let mut secrets = use_it(&server).await;
    manage_connections(&server).await;
    secrets.extend(ACCESS_KEY.map(str::to_owned));
    secrets.push(ADMIN_TOKEN.to_owned());
    secrets.push("a-wrong-admin-token".to_owned());
    secrets.push(Issuer::shared().private_pem().to_owned());

    let mut written = Written::default();
    // What echo_async came to is its payload, and an operator may see it: the others are shown.
    for path in [
        "/metrics",
        "/healthz",
        "/readyz",
        "/v1/requests",
        "/v1/requests/acme/ada/work-0",
        "/v1/requests/acme/ada/work-4",
        "/v1/connections",
        "/v1/breakers",
        "/v1/configuration",
    ] {
        written.inspect(&server, path, 200).await;
    }
    let wrong = http::get(server.admin(), "/v1/requests", Some("a-wrong-admin-token")).await;
    assert_eq!(wrong.status, 401);
    written.add("a wrong admin token", wrong.text());
    let with_key = ["--set", "auth.public_key_file=public.pem"];
    written.command(&server, &[&["config", "check", "--show"], with_key.as_slice()].concat()).await;
    written.command(&server, &["config", "check", "--set", "auth.public_key_file=private.pem"]).await;
    written.command(&server, &["config", "check", "--set", "admin.token=wrong\u{7}", "--show"]).await;
    let broken = format!("management.credentials.managed={{secret_access_key={}", ACCESS_KEY[0]);
    written.command(&server, &["config", "check", "--set", &broken]).await;
    written.command(&server, &["requests", "list"]).await;
    written.command(&server, &["requests", "show", "--tenant", "a", "--user", "b", "c"]).await;
    written.command(&server, &["request", "ping", "--token", &secrets[1]]).await;
    written.command(&server, &["requests", "--help"]).await;
    written.command(&server, &["request", "--help"]).await;
    written.command(&server, &["store", "check"]).await;

    server.terminate().await;
    assert!(server.ended().await.success());
    let log = server.log();
    assert!(log.contains("\"DEBUG\""), "the log shows what it usually does not: {log:.500}");
    written.add("the log", log);

    assert!(secrets[0].starts_with(ANY_TOKEN), "{}", secrets[0]);
    written.holds_none_of(&secrets);
}

/// Of a server with TLS: its key, and those whom it refuses for coming too often.
#[tokio::test]
async fn no_secret_of_tls_or_of_who_is_refused_is_written() {
    let authority = Authority::new();
    let key = || std::fs::read_to_string(authority.file("key.pem")).expect("there");
    let mut server = authority
        .server()
        .set("logs.filter", "trace")
        .set("listen.tls_reload_interval_s", 1)
        .set("listen.address_connections_per_minute", 2)
        .set("connections.messages_per_minute", 1)
        .start()
        .await;
    let token = Issuer::shared().token("ada", "acme");
    let mut secrets = vec![ADMIN_TOKEN.to_owned(), token.clone(), key()];
    let mut written = Written::default();
    let shell = authority.shell(&server).variable("STREAMER_TOKEN", &token);
    let payload = json!({ "note": PAYLOAD }).to_string();
    let _ = shell.run(["request", "echo_async", "--payload", &payload]).await.succeeded();
    // Its second message, which follows the request, is one too many.
    let ran = shell.run(["request", "delay", "--payload", &payload]).await;
    written.add("a request that was refused a message", format!("{}{}-", ran.stdout, ran.stderr));
    for _ in 0..2 {
        let refused = shell.run(["request", "echo", "--payload", &payload]).await.failed(1);
        written.add("a refused connection", refused);
    }
    assert!(server.metric("streamer_rate_limited_total", &["address"]).await >= 2.0);

    // One that does not trust the certificate: told at a level that is usually off.
    let stranger = Authority::new().shell(&server).run(["request", "echo", "--payload", &payload]).await;
    written.add("a request to whom it does not trust", stranger.failed(1));

    // A key that does not fit, one that is broken, and a good one again.
    let kept = key();
    authority.issue();
    secrets.push(key());
    for (text, outcome) in [(kept, "failed"), (key()[..80].to_owned(), "failed"), (key(), "done")] {
        let before = server.metric("streamer_tls_reloads_total", &[outcome]).await;
        std::fs::write(authority.file("key.pem"), text).expect("written");
        until("the files are looked at", async || {
            (server.metric("streamer_tls_reloads_total", &[outcome]).await > before).then_some(())
        })
        .await;
    }
    for path in ["/metrics", "/v1/configuration", "/v1/connections"] {
        written.inspect(&server, path, 200).await;
    }
    let (certificate, key_file) = (authority.file("cert.pem"), authority.file("key.pem"));
    let swapped = [
        format!("listen.tls_certificate_file={}", key_file.display()),
        format!("listen.tls_key_file={}", certificate.display()),
    ];
    let check = ["config", "check", "--show", "--set", "auth.public_key_file=public.pem"];
    let swap = ["--set", &*swapped[0], "--set", &*swapped[1]];
    written.command(&server, &[&check[..], &swap[..]].concat()).await;
    server.stop().await;
    let log = server.log();
    assert!(log.contains("\"DEBUG\""), "{log:.500}");
    written.add("the log", log);
    written.holds_none_of(&secrets);
}
