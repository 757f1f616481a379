//! `streamer token`.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use streamer_e2e::{
    command::Shell,
    issuer::Issuer,
    peer::{Peer, Refused},
    scenario::Place as _,
};

use crate::{folder, server, shell};

fn claims(token: &str) -> Value {
    let payload = token.trim().split('.').nth(1).expect("a payload");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

async fn issue(shell: &Shell, more: &[&str]) -> String {
    let issue = ["token", "issue", "--user", "ada", "--tenant", "acme"];
    let token = shell.run(issue.iter().chain(more)).await.succeeded();
    assert_eq!(token.lines().count(), 1, "{token}");
    token.trim().to_owned()
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_reads_a_private_key_and_none_is_overwritten() {
    let folder = folder();
    let shell = shell(folder.path());
    let (private, public) = (folder.path().join("private.pem"), folder.path().join("public.pem"));
    let said = shell.run(["token", "keys"]).await.succeeded();
    let key = fs::read_to_string(&private).expect("written");
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"), "{key}");
    assert!(!said.contains(key.lines().nth(1).expect("a line")), "{said}");
    assert_eq!((mode(&private), mode(&public)), (0o600, 0o644));

    let refused = shell.run(["token", "keys"]).await.failed(1);
    assert!(refused.contains("private.pem") && refused.contains("--force"), "{refused}");
    assert_eq!(fs::read_to_string(&private).expect("still there"), key);

    let _ = shell.run(["token", "keys", "--force", "--algorithm", "ES256"]).await.succeeded();
    assert_ne!(fs::read_to_string(&private).expect("written anew"), key);
    assert_eq!(mode(&private), 0o600);

    let missing = shell.run(["token", "keys", "--out", "no/such/folder"]).await.failed(1);
    assert!(missing.contains("no/such/folder"), "{missing}");
}

#[tokio::test]
async fn a_token_says_what_was_asked_for() {
    let folder = folder();
    Issuer::shared().write(folder.path());
    let shell = shell(folder.path());
    let said = claims(&issue(&shell, &["--ttl", "60", "--permissions", "read", "--topics", "a,b"]).await);
    assert_eq!((&said["sub"], &said["tenant_id"]), (&json!("ada"), &json!("acme")));
    assert_eq!((&said["permissions"], &said["topics"]), (&json!(["read"]), &json!(["a", "b"])));
    let (iat, exp) = (said["iat"].as_i64().expect("iat"), said["exp"].as_i64().expect("exp"));
    assert_eq!(exp - iat, 60);
    let none = claims(&issue(&shell, &["--permissions", "", "--topics", ""]).await);
    assert_eq!(none["permissions"], json!([]), "not one with an empty name");
    let named = issue(&shell, &["--issuer", "me", "--audience", "you", "--kid", "k1"]).await;
    assert_eq!((&claims(&named)["iss"], &claims(&named)["aud"]), (&json!("me"), &json!("you")));
    let header = named.split('.').next().expect("a header");
    let header: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).expect("base64url")).expect("JSON");
    assert_eq!((&header["alg"], &header["kid"]), (&json!("RS256"), &json!("k1")));
}

#[tokio::test]
async fn a_server_takes_the_valid_and_refuses_the_expired_and_the_forged() {
    let server = server().start().await;
    let shell = server.shell();
    let valid = issue(&shell, &[]).await;
    Peer::connect(&server.ws_url(), &valid).await.leave().await;
    for (kind, reason) in [("expired", "expired"), ("forged", "bad_signature")] {
        let token = issue(&shell, &["--kind", kind]).await;
        let Err(Refused::Answered { status, body }) = Peer::try_connect(&server.ws_url(), Some(&token)).await
        else {
            panic!("the {kind} token was taken");
        };
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!((status, &body["error"]["code"]), (401, &json!("UNAUTHORIZED")), "{kind}: {body}");
        let label = format!("\"{reason}\"");
        let counted = server.metric("streamer_authentication_failures_total", &[&label]).await;
        assert_eq!(counted, 1.0, "{kind}");
    }
}

#[tokio::test]
async fn a_public_key_signs_nothing() {
    let folder = folder();
    Issuer::shared().write(folder.path());
    let issue = ["token", "issue", "--user", "a", "--tenant", "b", "--private-key"];
    let shell = shell(folder.path());
    let refused = shell.run(issue.iter().chain(&["public.pem"])).await.failed(1);
    assert!(refused.contains("this is a public key"), "{refused}");
    let missing = shell.run(issue.iter().chain(&["nowhere.pem"])).await.failed(1);
    assert!(missing.contains("nowhere.pem"), "{missing}");
}
