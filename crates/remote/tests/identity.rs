//! Who is asking, and that it is us.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use streamer_engine::Router;
use streamer_remote::{HandlerSettings, SigningKey, UrlHandler};

use crate::harness::{Asked, Node, Script, handler, ok, remote_with, secret};

/// Checks a signature as a receiver does: it rebuilds what was signed out of what came.
fn verifies(asked: &Asked, key_id: &str, secret: &str) -> bool {
    let field = |name: &str| {
        let parts = asked.header(name).split(", ");
        let own = format!("{key_id}=");
        parts.filter_map(|part| part.strip_prefix(&own)).map(str::to_owned).next()
    };
    let (Some(input), Some(signature)) = (field("signature-input"), field("signature")) else { return false };
    let (names, _) = input.trim_start_matches('(').split_once(')').expect("a list");
    let (method, rest) = asked.line.split_once(' ').expect("a request line");
    let target = rest.split(' ').next().expect("a target");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut base = String::new();
    for name in names.split(' ') {
        let value = match name.trim_matches('"') {
            "@method" => method.to_owned(),
            "@path" => path.to_owned(),
            "@query" => format!("?{query}"),
            header => asked.header(header).to_owned(),
        };
        base.push_str(&format!("{name}: {value}\n"));
    }
    base.push_str(&format!("\"@signature-params\": {input}"));
    let signature = STANDARD.decode(signature.trim_matches(':')).expect("base64");
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &asked.body);
    let digest = format!("sha-256=:{}:", STANDARD.encode(hash));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    digest == asked.header("content-digest") && hmac::verify(&key, base.as_bytes(), &signature).is_ok()
}

#[tokio::test]
async fn a_request_says_whose_it_is_and_is_signed() {
    let script = Script::always(vec![ok("1")]).await;
    let node =
        Node::start(Router::new().action("report.build", handler(script.address("/work?v=1"), |_| {}))).await;
    node.ask("r 1%", "report.build", json!({ "year": 2026 })).await;
    node.stop().await;
    let asked = script.asked().await.remove(0);
    assert_eq!(asked.line, "POST /work?v=1 HTTP/1.1");
    assert_eq!(asked.body, br#"{"year":2026}"#, "the payload as it came");
    for (name, value) in [
        ("streamer-request-id", "r%201%25"),
        ("streamer-tenant", "acme"),
        ("streamer-user", "ada%20%C3%A9"),
        ("streamer-action", "report.build"),
        ("streamer-permissions", "a%2C%20b,report.build"),
        ("streamer-attempt", "1"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(asked.header(name), value, "{name}");
    }
    assert_eq!(asked.header("idempotency-key").len(), 32);
    for covered in [
        "@method",
        "@path",
        "@query",
        "content-digest",
        "idempotency-key",
        "streamer-tenant",
        "streamer-user",
        "streamer-permissions",
    ] {
        assert!(asked.header("signature-input").contains(&format!("\"{covered}\"")), "{covered}");
    }
    assert!(
        asked.headers.iter().all(|(name, _)| name != "accept-encoding"),
        "nothing compressed is asked for"
    );
    assert!(verifies(&asked, "k1", secret()));
    assert!(!verifies(&asked, "k1", "another secret, of the same length"));
    for (name, value) in [
        ("streamer-user", "eve"),
        ("streamer-permissions", "admin"),
        ("streamer-tenant", "other"),
        ("idempotency-key", "0"),
    ] {
        let mut forged = asked.clone();
        let header = forged.headers.iter_mut().find(|(given, _)| given == name).expect("is there");
        value.clone_into(&mut header.1);
        assert!(!verifies(&forged, "k1", secret()), "{name}");
    }
    let elsewhere = Asked { line: asked.line.replace("/work", "/admin"), ..asked.clone() };
    assert!(!verifies(&elsewhere, "k1", secret()));
    let other = Asked { body: b"{}".to_vec(), ..asked };
    assert!(!verifies(&other, "k1", secret()));
}

#[tokio::test]
async fn while_keys_change_either_of_two_verifies() {
    let script = Script::always(vec![ok("1")]).await;
    let next = "fedcba9876543210fedcba9876543210";
    let remote = remote_with(|settings| settings.keys.push(SigningKey::new("k2", next).expect("a key")));
    let work = UrlHandler::new(remote.target(script.address("/")), HandlerSettings::default());
    let node = Node::start(Router::new().action("work", work)).await;
    node.ask("r", "work", json!({})).await;
    node.stop().await;
    let asked = script.asked().await.remove(0);
    assert!(verifies(&asked, "k1", secret()) && verifies(&asked, "k2", next));
    assert!(!verifies(&asked, "k2", secret()) && !verifies(&asked, "k3", secret()));
}
