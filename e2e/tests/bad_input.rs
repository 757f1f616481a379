//! What no client should send, through the real door: each mistake gets its own clear answer, and nobody else notices.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use streamer_e2e::{
    issuer::Issuer,
    peer::{Peer, Refused, Said},
    scenario::Place as _,
    server::Server,
};
use tokio_tungstenite::tungstenite::Message;

use crate::server;

/// The default bound of a message.
const MESSAGE_BYTES_MAX: usize = 128 * 1024;

/// A client that minds its own business.
struct Bystander {
    peer: Peer,
    echoes: u32,
}

impl Bystander {
    async fn of(server: &Server) -> Self {
        Self { peer: server.peer("bystander", "quiet").await, echoes: 0 }
    }

    async fn is_served(&mut self) {
        self.echoes += 1;
        let id = format!("still-{}", self.echoes);
        let echo = self.peer.ask(&id, "echo", json!(self.echoes)).await;
        assert_eq!(echo["data"]["echo"], json!(self.echoes), "{echo}");
    }
}

fn is_refused(answer: &Value, code: &str, path: &str) {
    assert_eq!((&answer["type"], &answer["error"]["code"]), (&json!("error"), &json!(code)), "{answer}");
    let fields = answer["error"]["details"]["fields"].as_array().cloned().unwrap_or_default();
    let named = fields.iter().any(|field| {
        field["path"] == path && field["message"].as_str().is_some_and(|message| !message.is_empty())
    });
    assert!(named || path.is_empty(), "{path:?} is not named: {answer}");
    assert!(answer["timestamp"].is_string(), "{answer}");
}

#[tokio::test]
async fn a_message_that_is_no_request_is_answered_by_what_is_wrong_with_it() {
    let server = server().start().await;
    let mut bystander = Bystander::of(&server).await;
    let mut peer = server.peer("rude", "loud").await;
    let long = "x".repeat(129);
    for (message, path) in [
        (r#"{"action":"#.to_owned(), ""),
        (String::new(), ""),
        ("null".to_owned(), ""),
        ("[]".to_owned(), ""),
        (r#"{"id":"a"}"#.to_owned(), "action"),
        (r#"{"id":"a","action":""}"#.to_owned(), "action"),
        (r#"{"id":"a","action":"a b"}"#.to_owned(), "action"),
        (format!(r#"{{"id":"a","action":"{}"}}"#, "a".repeat(65)), "action"),
        (r#"{"id":7,"action":"echo"}"#.to_owned(), "id"),
        (format!(r#"{{"id":"{long}","action":"echo"}}"#), "id"),
        (r#"{"id":"a","action":"echo","metadata":[]}"#.to_owned(), "metadata"),
        (format!("{}1{}", "[".repeat(60_000), "]".repeat(60_000)), ""),
    ] {
        peer.send_message(Message::text(message.as_str())).await;
        let answer = peer.frame().await;
        is_refused(&answer, "VALIDATION_ERROR", path);
        assert!(answer.get("seq").is_none(), "{answer}");
        bystander.is_served().await;
    }
    let echo = peer.ask("fine", "echo", json!(1)).await;
    assert_eq!(echo["data"]["echo"], 1, "the connection stays: {echo}");
}

#[tokio::test]
async fn a_request_that_cannot_be_served_is_answered_by_what_is_wrong_with_it() {
    let server = server().start().await;
    let mut bystander = Bystander::of(&server).await;
    let mut peer = server.peer("rude", "loud").await;
    for (n, (action, payload, code, path)) in [
        ("no_such_action", json!({}), "NOT_FOUND", "action"),
        ("delay", json!("soon"), "VALIDATION_ERROR", ""),
        ("delay", json!({}), "VALIDATION_ERROR", ""),
        ("delay", json!({ "seconds": "soon" }), "VALIDATION_ERROR", "payload.seconds"),
        ("delay", json!({ "seconds": 1e9 }), "VALIDATION_ERROR", "payload.seconds"),
        ("generate_report", json!({ "start_date": "2024-01-01" }), "VALIDATION_ERROR", ""),
        ("bulk_operation", json!({ "operations": "all" }), "VALIDATION_ERROR", "payload.operations"),
        ("process_data", json!({ "pipeline": "alchemy" }), "VALIDATION_ERROR", "payload.pipeline"),
        ("status", json!({ "request_id": 1 }), "VALIDATION_ERROR", "payload.request_id"),
        ("resume", json!({ "request_id": "nobody's" }), "NOT_FOUND", ""),
        ("cancel", json!({ "request_id": "nobody's" }), "NOT_FOUND", ""),
        ("requests", json!({ "limit": 0 }), "VALIDATION_ERROR", "payload.limit"),
        ("refresh", json!({ "token": "a.b.c" }), "UNAUTHORIZED", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("bad-{n}");
        let answer = peer.ask(&id, action, payload).await;
        is_refused(&answer, code, path);
        bystander.is_served().await;
    }
}

#[tokio::test]
async fn a_message_over_the_bound_or_in_binary_closes_its_connection_only() {
    let server = server().start().await;
    let mut bystander = Bystander::of(&server).await;

    let around = json!({ "id": "big", "action": "echo", "payload": "" }).to_string().len();
    let mut peer = server.peer("rude", "loud").await;
    let fits = "x".repeat(MESSAGE_BYTES_MAX - around);
    let echo = peer.ask("big", "echo", json!(fits)).await;
    assert_eq!(echo["data"]["echo"], json!(fits), "the bound itself is allowed");
    peer.send("big", "echo", json!(format!("{fits}x"))).await;
    assert_eq!(peer.close_code().await, 1009);
    bystander.is_served().await;

    let mut peer = server.peer("rude", "loud").await;
    peer.send_message(Message::text("x".repeat(32 * MESSAGE_BYTES_MAX))).await;
    assert_eq!(peer.close_code().await, 1009);
    bystander.is_served().await;

    let mut peer = server.peer("rude", "loud").await;
    let request = json!({ "id": "b", "action": "echo" }).to_string();
    peer.send_message(Message::binary(request.into_bytes())).await;
    assert_eq!(peer.hear().await, Said::Closed(1003), "and it is not answered before");
    bystander.is_served().await;
    assert!(bystander.peer.ask("h", "health", json!({})).await["success"] == true);
}

#[derive(serde::Serialize)]
struct Claims {
    sub: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
}

#[tokio::test]
async fn a_token_that_proves_nothing_opens_nothing() {
    let server = server().start().await;
    let mut bystander = Bystander::of(&server).await;
    let issuer = Issuer::shared();
    // Far ahead, whatever the clock says.
    const EXP: u64 = 4_000_000_000;
    let whole = Claims { sub: "eve", tenant_id: Some("acme"), exp: Some(EXP) };
    let rsa = EncodingKey::from_rsa_pem(issuer.private_pem().as_bytes()).expect("a key");
    let signed = |claims: &Claims| encode(&Header::new(Algorithm::RS256), claims, &rsa).expect("signed");
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let payload = part(&json!({ "sub": "eve", "tenant_id": "acme", "exp": EXP }));
    let unsigned = |alg: &str| format!("{}.{payload}.", part(&json!({ "alg": alg, "typ": "JWT" })));

    // What is right about all of them but one thing.
    Peer::connect(&server.ws_url(), &signed(&whole)).await.leave().await;

    // The public key is known to all: as an HMAC's secret it proves nothing.
    let secret = EncodingKey::from_secret(issuer.public_pem().as_bytes());
    let confused = encode(&Header::new(Algorithm::HS256), &whole, &secret).expect("signed");
    let good = signed(&whole);
    let (rest, signature) = good.rsplit_once('.').expect("three parts");
    let (header, _) = rest.split_once('.').expect("three parts");
    let altered = part(&json!({ "sub": "admin", "tenant_id": "acme", "exp": EXP }));
    for (what, token, reason) in [
        ("alg none", unsigned("none"), "wrong_algorithm"),
        ("alg NonE", unsigned("NonE"), "wrong_algorithm"),
        ("HS256 with the public key", confused, "wrong_algorithm"),
        ("no tenant", signed(&Claims { tenant_id: None, ..whole }), "missing_claim"),
        ("no exp", signed(&Claims { exp: None, tenant_id: Some("acme"), sub: "eve" }), "missing_claim"),
        (
            "an empty tenant",
            signed(&Claims { tenant_id: Some(""), exp: Some(EXP), sub: "eve" }),
            "invalid_claim",
        ),
        ("altered claims", format!("{header}.{altered}.{signature}"), "bad_signature"),
        ("no signature", format!("{rest}."), "bad_signature"),
        ("another key", encode_with(&Issuer::fresh()), "bad_signature"),
        ("words", "let me in".to_owned(), "malformed"),
    ] {
        let label = format!("\"{reason}\"");
        let before = server.metric("streamer_authentication_failures_total", &[&label]).await;
        let Err(Refused::Answered { status, body }) = Peer::try_connect(&server.ws_url(), Some(&token)).await
        else {
            panic!("{what}: it was taken");
        };
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!((status, &body["error"]["code"]), (401, &json!("UNAUTHORIZED")), "{what}: {body}");
        let after = server.metric("streamer_authentication_failures_total", &[&label]).await;
        assert_eq!(after - before, 1.0, "{what} is counted as {reason}");
        bystander.is_served().await;
    }
}

fn encode_with(issuer: &Issuer) -> String {
    issuer.token("eve", "acme")
}

#[cfg(unix)]
#[tokio::test]
async fn no_path_climbs_out_of_the_data_folder() {
    let server = server().start().await;
    let mut bystander = Bystander::of(&server).await;
    std::fs::write(server.folder().join("outside.csv"), "secret_column\n4711\n").expect("written");
    let data = server.folder().join("data");
    std::os::unix::fs::symlink("../outside.csv", data.join("link.csv")).expect("linked");
    std::os::unix::fs::symlink("..", data.join("up")).expect("linked");
    let absolute = server.folder().join("outside.csv").display().to_string();
    let mut peer = server.peer("rude", "loud").await;
    for (n, path) in [
        "../outside.csv",
        "../../../../../../etc/passwd",
        "/etc/passwd",
        &absolute,
        "a/../../outside.csv",
        "./../outside.csv",
        "link.csv",
        "up/outside.csv",
        "..",
        "",
        "outside.csv\0.csv",
        "nothing.csv",
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("climb-{n}");
        let source = json!({ "type": "file", "path": path });
        peer.send(&id, "process_data", json!({ "pipeline": "anomaly", "data_source": source })).await;
        let end = loop {
            let frame = peer.frame_of(&id).await;
            assert!(!frame.to_string().contains("secret_column"), "{path:?}: {frame}");
            assert_ne!(frame["type"], "complete", "{path:?}: {frame}");
            if frame["type"] == "error" {
                break frame;
            }
        };
        is_refused(&end, "VALIDATION_ERROR", "payload.data_source.path");
        bystander.is_served().await;
    }
}
