//! Keys behind an address, from a real server.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, jwk::Jwk};
use serde_json::{Value, json};
use streamer_auth::{
    ASK_INTERVAL, Algorithm, Fetched, KEYS_MAX, KeyPair, KeySource as _, LiveVerifier, Rejected, Rotation,
    Settings, SourceError, Verifier, jwks::Source,
};
use tokio::{task::JoinSet, time};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{NOW, grant, key_server::KeyServer, pair, peer, signer};

/// The public half as the other implementation publishes it.
fn jwk(pair: &KeyPair, kid: &str) -> Value {
    let pem = pair.private_pem().as_bytes();
    let key = match pair.algorithm() {
        Algorithm::Rs256 => EncodingKey::from_rsa_pem(pem),
        Algorithm::Es256 => EncodingKey::from_ec_pem(pem),
        Algorithm::EdDsa => EncodingKey::from_ed_pem(pem),
    };
    let jwk = Jwk::from_encoding_key(&key.expect("a key"), peer(pair.algorithm())).expect("a public key");
    let mut jwk = serde_json::to_value(jwk).expect("prints");
    jwk["kid"] = kid.into();
    jwk
}

fn fresh() -> KeyPair {
    KeyPair::generate(Algorithm::EdDsa).expect("a pair")
}

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn token(pair: &KeyPair, kid: &str) -> String {
    signer(pair).with_id(kid).issue(&grant(), NOW).expect("a token").as_str().to_owned()
}

fn source(server: &KeyServer, algorithm: Algorithm) -> Source {
    Source::new(server.address(), algorithm)
}

/// A running rotation, which ends with the handle.
async fn live(source: Source) -> (LiveVerifier, AbortOnDropHandle<()>) {
    let (live, rotation) = Rotation::start(Box::new(source), Settings::new).await.expect("keys");
    (live, AbortOnDropHandle::new(tokio::spawn(rotation.run(CancellationToken::new()))))
}

async fn failure(source: &Source) -> SourceError {
    source.fetch().await.expect_err("no keys")
}

/// Another moment by the runtime's clock, which then goes on as before.
async fn later(span: Duration) {
    time::pause();
    time::advance(span).await;
    time::resume();
}

#[tokio::test]
async fn sets_of_every_kind_are_read_as_the_other_implementation_writes_them() {
    for algorithm in Algorithm::ALL {
        let server = KeyServer::publishing(&set(&[jwk(pair(algorithm), "a")])).await;
        let Fetched { keys, max_age } = source(&server, algorithm).fetch().await.expect("keys");
        let verifier = Verifier::new(Settings::new(keys));
        assert!(verifier.verify(&token(pair(algorithm), "a"), NOW).is_ok(), "{algorithm}");
        assert_eq!(
            verifier.verify(&token(pair(algorithm), "b"), NOW),
            Err(Rejected::UnknownKey),
            "{algorithm}"
        );
        let forged = signer(pair(algorithm)).with_id("a").issue_forged(&grant(), NOW).expect("a token");
        assert_eq!(verifier.verify(forged.as_str(), NOW), Err(Rejected::BadSignature), "{algorithm}");
        assert_eq!(max_age, None);
    }
}

#[tokio::test]
async fn a_new_key_is_taken_up_when_a_token_names_it() {
    let (old, new) = (fresh(), fresh());
    let server = KeyServer::publishing(&set(&[jwk(&old, "old")])).await;
    let (live, _running) = live(source(&server, Algorithm::EdDsa)).await;
    assert!(live.verify(&token(&old, "old"), NOW).await.is_ok());
    assert_eq!(server.asked(), 1);

    server.publish(&set(&[jwk(&old, "old"), jwk(&new, "new")]));
    assert!(live.verify(&token(&new, "new"), NOW).await.is_ok());
    assert!(live.verify(&token(&old, "old"), NOW).await.is_ok());
    assert_eq!(server.asked(), 2);

    server.publish(&set(&[jwk(&new, "new")]));
    later(ASK_INTERVAL).await;
    assert_eq!(live.verify(&token(&old, "unheard-of"), NOW).await, Err(Rejected::UnknownKey));
    assert_eq!(live.verify(&token(&old, "old"), NOW).await, Err(Rejected::UnknownKey), "it was taken out");
    assert!(live.verify(&token(&new, "new"), NOW).await.is_ok());
    assert_eq!(server.asked(), 3);
}

#[tokio::test]
async fn a_storm_of_unknown_keys_asks_once_in_thirty_seconds() {
    async fn storm(live: &LiveVerifier, signing: &KeyPair) {
        let mut storm = JoinSet::new();
        for n in 0..1000 {
            let (live, token) = (live.clone(), token(signing, &format!("unheard-of-{n}")));
            storm.spawn(async move { live.verify(&token, NOW).await });
        }
        while let Some(verified) = storm.join_next().await {
            assert_eq!(verified.expect("ends"), Err(Rejected::UnknownKey));
        }
    }

    let known = fresh();
    let server = KeyServer::publishing(&set(&[jwk(&known, "a")])).await;
    let (live, _running) = live(source(&server, Algorithm::EdDsa)).await;
    assert_eq!(server.asked(), 1, "at the start");
    for asked in [2, 3] {
        storm(&live, &known).await;
        assert_eq!(server.asked(), asked);
        later(ASK_INTERVAL - Duration::from_secs(5)).await;
        storm(&live, &known).await;
        assert_eq!(server.asked(), asked, "not within the interval");
        later(Duration::from_secs(5)).await;
    }
    assert!(live.verify(&token(&known, "a"), NOW).await.is_ok());
}

#[tokio::test]
async fn keys_that_are_not_for_this_are_passed_over() {
    let [rsa, ec, ed] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa].map(pair);
    let but = |pair: &KeyPair, member: &str, value: Value| {
        let mut key = jwk(pair, &format!("{member}-{}", pair.algorithm()));
        key[member] = value;
        key
    };
    let mut unusable = vec![
        json!("not a key"),
        json!(["RSA", "an-array-is-no-object"]),
        json!({ "kid": "no-type" }),
        json!({ "kty": "oct", "kid": "shared-secret", "k": "c2VjcmV0" }),
        json!({ "kty": "AKP", "kid": "of-tomorrow", "alg": "ML-DSA-44", "pub": "AAAA" }),
        // Bounds: 1024 bits and far over 8192.
        but(rsa, "n", odd_number(128)),
        but(rsa, "n", odd_number(2000)),
        but(rsa, "e", json!("AA")),
        but(ec, "crv", json!("P-384")),
        // Not on the curve, and too long.
        but(ec, "y", json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
        but(ec, "x", json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
        but(ed, "crv", json!("X25519")),
        but(ed, "x", json!("AAAA")),
    ];
    for pair in [rsa, ec, ed] {
        unusable.extend([
            but(pair, "use", json!("enc")),
            but(pair, "use", json!(7)),
            but(pair, "alg", json!("RS512")),
            but(pair, "key_ops", json!(["sign", "encrypt"])),
            but(pair, "kid", json!("k".repeat(257))),
            // The private half, for all the world to sign with.
            but(pair, "d", json!("AAAA")),
            but(pair, if pair.algorithm() == Algorithm::Rs256 { "n" } else { "x" }, json!("not base64!")),
        ]);
    }
    for pair in [rsa, ec, ed] {
        let algorithm = pair.algorithm();
        let server = KeyServer::publishing(&set(&unusable)).await;
        let error = failure(&source(&server, algorithm)).await;
        assert!(matches!(error, SourceError::NoKeys(found) if found == algorithm), "{error}");

        // With one that can be used in their midst, and two of other kinds.
        let mut mixed = unusable.clone();
        let mut good = jwk(pair, "good");
        (good["use"], good["key_ops"]) = (json!("sig"), json!(["verify"]));
        mixed.insert(3, good);
        mixed.extend(
            [rsa, ec, ed]
                .into_iter()
                .filter(|other| other.algorithm() != algorithm)
                .map(|other| jwk(other, "other")),
        );
        server.publish(&set(&mixed));
        let keys = source(&server, algorithm).fetch().await.expect("one key").keys;
        assert_eq!(keys.len(), 1, "{algorithm}");
        assert!(Verifier::new(Settings::new(keys)).verify(&token(pair, "good"), NOW).is_ok(), "{algorithm}");
    }
}

/// An odd number of so many bytes.
fn odd_number(bytes: usize) -> Value {
    URL_SAFE_NO_PAD.encode(vec![0xff; bytes]).into()
}

#[tokio::test]
async fn an_rsa_modulus_with_a_leading_zero_is_read() {
    let rsa = pair(Algorithm::Rs256);
    let mut key = jwk(rsa, "a");
    let n = URL_SAFE_NO_PAD.decode(key["n"].as_str().expect("a number")).expect("base64");
    key["n"] = URL_SAFE_NO_PAD.encode([&[0], &*n].concat()).into();
    let server = KeyServer::publishing(&set(&[key])).await;
    let keys = source(&server, Algorithm::Rs256).fetch().await.expect("keys").keys;
    assert!(Verifier::new(Settings::new(keys)).verify(&token(rsa, "a"), NOW).is_ok());
}

#[tokio::test]
async fn a_name_stands_for_one_key() {
    let (one, other) = (fresh(), fresh());
    let server = KeyServer::publishing(&set(&[jwk(&one, "a"), jwk(&one, "a")])).await;
    let source = source(&server, Algorithm::EdDsa);
    assert_eq!(source.fetch().await.expect("keys").keys.len(), 1, "the same key twice is one");

    server.publish(&set(&[jwk(&one, "a"), jwk(&other, "a")]));
    assert_eq!(failure(&source).await.reason(), "duplicate_id");

    server.publish(&set(&[jwk(&one, "a"), jwk(pair(Algorithm::Es256), "a")]));
    assert_eq!(
        source.fetch().await.expect("keys").keys.len(),
        1,
        "names of other kinds of keys do not count"
    );
}

#[tokio::test]
async fn keys_are_few() {
    let keys: Vec<_> = (0..=KEYS_MAX).map(|n| jwk(&fresh(), &n.to_string())).collect();
    let server = KeyServer::publishing(&set(&keys[..KEYS_MAX])).await;
    let source = source(&server, Algorithm::EdDsa);
    assert_eq!(source.fetch().await.expect("keys").keys.len(), KEYS_MAX);
    server.publish(&set(&keys));
    assert_eq!(failure(&source).await.reason(), "too_many_keys");
}

#[tokio::test]
async fn whatever_else_is_answered_is_no_key() {
    let good = set(&[jwk(&fresh(), "a")]);
    let server = KeyServer::publishing(&good).await;
    let source = source(&server, Algorithm::EdDsa);
    let long = "x".repeat(256 * 1024 + 1);
    for (expected, answer) in [
        ("not_keys", "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<html>Sign in</html>".to_owned()),
        ("not_keys", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()),
        ("not_keys", "HTTP/1.1 200 OK\r\n\r\n{\"keys\": 7}".to_owned()),
        ("not_keys", "HTTP/1.1 200 OK\r\n\r\n[[]]".to_owned()),
        ("not_keys", format!("HTTP/1.1 200 OK\r\n\r\n{}", "[".repeat(100_000))),
        ("not_keys", format!("HTTP/1.1 200 OK\r\n\r\n{}", &good[..good.len() - 1])),
        ("no_keys", "HTTP/1.1 200 OK\r\n\r\n{\"keys\": []}".to_owned()),
        ("too_large", format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{long}", long.len())),
        ("too_large", format!("HTTP/1.1 200 OK\r\n\r\n{long}")),
        ("broken", format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{good}", good.len() + 1)),
        ("broken", format!("HTTP/1.1 200 OK\r\nx: {long}\r\n\r\n{good}")),
        ("broken", "SSH-2.0-OpenSSH_9.9\r\n".to_owned()),
        ("broken", String::new()),
        ("status", "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned()),
        ("status", format!("HTTP/1.1 500 Oops\r\n\r\n{good}")),
        ("status", "HTTP/1.1 204 No Content\r\n\r\n".to_owned()),
    ] {
        server.answer(answer.clone());
        let error = failure(&source).await;
        assert_eq!(error.reason(), expected, "{error} after {:.80}", answer);
    }
    server.publish(&good);
    assert!(source.fetch().await.is_ok());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = KeyServer::publishing(&set(&[jwk(&fresh(), "a")])).await;
    let server = KeyServer::publishing("").await;
    for status in [301, 302, 307, 308] {
        let location = elsewhere.address();
        server.answer(format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\n\r\n"));
        assert_eq!(failure(&source(&server, Algorithm::EdDsa)).await.reason(), "redirect");
    }
    assert_eq!((server.asked(), elsewhere.asked()), (4, 0));
}

#[tokio::test]
async fn a_server_that_never_ends_is_left() {
    let good = set(&[jwk(&fresh(), "a")]);
    let server = KeyServer::publishing(&good).await;
    let source = source(&server, Algorithm::EdDsa).timeout(Duration::from_millis(200));
    for answer in [
        String::new(),
        "HTTP/1.1 200".to_owned(),
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{good}", good.len() + 1),
    ] {
        server.answer_and_hang(answer);
        assert_eq!(failure(&source).await.reason(), "timeout");
    }
    // All that was announced is there: that the connection stays open does not matter.
    server.answer_and_hang(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{good}", good.len()));
    assert!(source.fetch().await.is_ok());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told() {
    let server = KeyServer::publishing("").await;
    let gone = source(&server, Algorithm::EdDsa);
    drop(server);
    // The task that listened is gone once the runtime had a turn.
    tokio::task::yield_now().await;
    let error = failure(&gone).await;
    assert_eq!(error.reason(), "unreachable");
    assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
}

#[tokio::test]
async fn the_request_is_a_plain_get_and_the_answers_age_counts() {
    let good = set(&[jwk(&fresh(), "a")]);
    let server = KeyServer::publishing(&good).await;
    server.answer(format!("HTTP/1.1 200 OK\r\ncache-control: public, max-age=300\r\nage: 60\r\n\r\n{good}"));
    let source = source(&server, Algorithm::EdDsa);
    assert_eq!(source.fetch().await.expect("keys").max_age, Some(Duration::from_secs(240)));

    let request = server.last_request().to_lowercase();
    assert!(request.starts_with("get /keys?code=hush http/1.1\r\n"), "{request}");
    let host = source.place().trim_start_matches("http://").trim_end_matches("/keys");
    assert!(request.contains(&format!("\r\nhost: {host}\r\n")), "{request}");
    assert!(!source.place().contains("hush"), "{}", source.place());
}

#[tokio::test]
async fn tls_trusts_whom_it_is_told_to_and_no_stranger() {
    let good = set(&[jwk(&fresh(), "a")]);
    let (server, trusting) = KeyServer::publishing_by_tls(&good).await;
    assert!(source(&server, Algorithm::EdDsa).tls(trusting.clone()).fetch().await.is_ok());
    assert_eq!(server.asked(), 1);

    // By default the platform's authorities count, and this one is nobody's there.
    assert_eq!(failure(&source(&server, Algorithm::EdDsa)).await.reason(), "tls");
    // The certificate is for localhost.
    let by_address =
        server.address().to_string().replace("localhost", "127.0.0.1").parse().expect("an address");
    let source = Source::new(by_address, Algorithm::EdDsa).tls(trusting);
    assert_eq!(failure(&source).await.reason(), "tls");
    assert_eq!(server.asked(), 1, "nothing was asked of a stranger");
}
