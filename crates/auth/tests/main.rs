//! The crate as its users see it, with `jsonwebtoken` as the other side: an issuer and a checker that share no
//! code with this one.

mod jwks;
mod key_server;
mod rotation;
mod sigv4;

use std::{sync::OnceLock, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use proptest::prelude::*;
use serde_json::{Value, json};
use streamer_auth::{
    Algorithm, Grant, Identity, KeyPair, Keys, PublicKey, Rejected, Settings, Signer, TOKEN_BYTES_MAX,
    Verifier,
};
use streamer_protocol::{TenantId, Timestamp, UserId};

/// 2026-11-21T09:41:43Z, a whole second.
const NOW: Timestamp = Timestamp::from_millis(1_795_254_103_000);
const NOW_SECONDS: i64 = NOW.as_millis() / 1000;

/// One pair per algorithm, made once: RSA takes a moment.
fn pair(algorithm: Algorithm) -> &'static KeyPair {
    static PAIRS: [OnceLock<KeyPair>; 3] = [const { OnceLock::new() }; 3];
    PAIRS[algorithm as usize].get_or_init(|| KeyPair::generate(algorithm).expect("a pair"))
}

fn key(pair: &KeyPair) -> PublicKey {
    PublicKey::from_pem(pair.algorithm(), pair.public_pem()).expect("a key")
}

fn signer(pair: &KeyPair) -> Signer {
    Signer::from_pem(pair.algorithm(), pair.private_pem()).expect("a signer")
}

fn settings(algorithm: Algorithm) -> Settings {
    Settings::new(Keys::new([key(pair(algorithm))]).expect("keys"))
}

fn verifier() -> Verifier {
    Verifier::new(settings(Algorithm::EdDsa))
}

fn grant() -> Grant {
    let mut grant = Grant::new(UserId::new("ada"), TenantId::new("acme"));
    grant.permissions = vec!["write".to_owned(), "read".to_owned()];
    grant.topics = vec!["news".to_owned()];
    grant
}

fn claims() -> Value {
    json!({"sub": "ada", "tenant_id": "acme", "exp": NOW_SECONDS + 60})
}

/// Signed with the pair for EdDSA, by the other implementation.
fn signed(claims: &Value) -> String {
    signed_under(&Header::new(jsonwebtoken::Algorithm::EdDSA), claims)
}

fn signed_under(header: &Header, claims: &Value) -> String {
    let pem = pair(Algorithm::EdDsa).private_pem();
    jsonwebtoken::encode(header, claims, &EncodingKey::from_ed_pem(pem.as_bytes()).expect("a key"))
        .expect("a token")
}

fn with(claim: &str, value: Value) -> String {
    let mut claims = claims();
    claims[claim] = value;
    signed(&claims)
}

fn encoded(part: &str) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

fn peer(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    algorithm.as_str().parse().expect("known to both")
}

#[test]
fn what_the_signer_issues_is_the_identity_it_was_told() {
    for algorithm in Algorithm::ALL {
        let token = signer(pair(algorithm)).issue(&grant(), NOW).expect("a token");
        let identity = Verifier::new(settings(algorithm)).verify(token.as_str(), NOW);
        let expected = Identity {
            user: UserId::new("ada"),
            tenant: TenantId::new("acme"),
            permissions: ["read", "write"].into_iter().collect(),
            topics: vec!["news".to_owned()],
            expires_at: NOW + Duration::from_secs(3600),
        };
        assert_eq!(identity, Ok(expected), "{algorithm}");
    }
}

#[test]
fn the_other_implementation_takes_what_is_issued_here() {
    for algorithm in Algorithm::ALL {
        let mut grant = grant();
        (grant.issuer, grant.audience) = (Some("https://issuer".to_owned()), Some("streamer".to_owned()));
        let token = signer(pair(algorithm)).with_id("k1").issue(&grant, NOW).expect("a token");

        let pem = pair(algorithm).public_pem().as_bytes();
        let key = match algorithm {
            Algorithm::Rs256 => DecodingKey::from_rsa_pem(pem),
            Algorithm::Es256 => DecodingKey::from_ec_pem(pem),
            Algorithm::EdDsa => DecodingKey::from_ed_pem(pem),
        }
        .expect("a key");
        let mut rules = Validation::new(peer(algorithm));
        (rules.validate_exp, rules.leeway) = (false, 0);
        rules.set_issuer(&["https://issuer"]);
        rules.set_audience(&["streamer"]);
        let read = jsonwebtoken::decode::<Value>(token.as_str(), &key, &rules).expect("a good token");
        assert_eq!(read.header.kid.as_deref(), Some("k1"), "{algorithm}");
        assert_eq!(read.claims["exp"], NOW_SECONDS + 3600, "{algorithm}");
    }
}

#[test]
fn what_the_other_implementation_issues_is_taken_here() {
    for algorithm in Algorithm::ALL {
        let pem = pair(algorithm).private_pem().as_bytes();
        let key = match algorithm {
            Algorithm::Rs256 => EncodingKey::from_rsa_pem(pem),
            Algorithm::Es256 => EncodingKey::from_ec_pem(pem),
            Algorithm::EdDsa => EncodingKey::from_ed_pem(pem),
        }
        .expect("a key");
        let token = jsonwebtoken::encode(&Header::new(peer(algorithm)), &claims(), &key).expect("a token");
        assert!(Verifier::new(settings(algorithm)).verify(&token, NOW).is_ok(), "{algorithm}");
    }
}

#[test]
fn forged_and_expired_tokens_can_be_issued_and_are_refused() {
    for algorithm in Algorithm::ALL {
        let (signer, verifier) = (signer(pair(algorithm)), Verifier::new(settings(algorithm)));
        let forged = signer.issue_forged(&grant(), NOW).expect("a token");
        assert_eq!(verifier.verify(forged.as_str(), NOW), Err(Rejected::BadSignature), "{algorithm}");
        let expired = signer.issue_expired(&grant(), NOW).expect("a token");
        assert_eq!(verifier.verify(expired.as_str(), NOW), Err(Rejected::Expired), "{algorithm}");
    }
}

#[test]
fn a_changed_payload_or_signature_is_refused() {
    let token = signed(&claims());
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let other = encoded(&claims().to_string().replace("acme", "globex"));
    let refused = |token: String| verifier().verify(&token, NOW).expect_err("refused");
    assert_eq!(refused(format!("{header}.{other}.{signature}")), Rejected::BadSignature);
    assert_eq!(refused(format!("{header}.{payload}.")), Rejected::BadSignature);
    assert_eq!(refused(format!("{header}.{payload}.{}", &signature[..40])), Rejected::BadSignature);
    // The same bytes under another header are another message.
    let spaced = encoded(r#"{"alg": "EdDSA"}"#);
    assert_eq!(refused(format!("{spaced}.{payload}.{signature}")), Rejected::BadSignature);
}

#[test]
fn the_algorithm_is_the_keys_and_not_the_tokens() {
    let payload = encoded(&claims().to_string());
    for alg in ["none", "None", "NONE", "", "HS256", "RS512", "PS256", "eddsa"] {
        let header = encoded(&json!({"alg": alg, "typ": "JWT"}).to_string());
        for signature in ["", "AAAA"] {
            let token = format!("{header}.{payload}.{signature}");
            for algorithm in Algorithm::ALL {
                let verifier = Verifier::new(settings(algorithm));
                assert_eq!(
                    verifier.verify(&token, NOW),
                    Err(Rejected::WrongAlgorithm),
                    "{alg:?} {algorithm}"
                );
            }
        }
    }
}

#[test]
fn the_public_key_is_no_hmac_secret() {
    for algorithm in Algorithm::ALL {
        let verifier = Verifier::new(settings(algorithm));
        let secret = EncodingKey::from_secret(pair(algorithm).public_pem().as_bytes());
        let header = Header::new(jsonwebtoken::Algorithm::HS256);
        let token = jsonwebtoken::encode(&header, &claims(), &secret).expect("a token");
        assert_eq!(verifier.verify(&token, NOW), Err(Rejected::WrongAlgorithm), "{algorithm}");

        // The same trick under a header that names the right algorithm.
        let header = encoded(&json!({"alg": algorithm}).to_string());
        let message = format!("{header}.{}", encoded(&claims().to_string()));
        let mac = jsonwebtoken::crypto::sign(message.as_bytes(), &secret, jsonwebtoken::Algorithm::HS256);
        let token = format!("{message}.{}", mac.expect("a mac"));
        assert_eq!(verifier.verify(&token, NOW), Err(Rejected::BadSignature), "{algorithm}");
    }
}

#[test]
fn a_token_for_another_configured_algorithm_needs_its_own_key() {
    let keys =
        Keys::new([key(pair(Algorithm::Es256)).with_id("ec"), key(pair(Algorithm::EdDsa)).with_id("ed")]);
    let verifier = Verifier::new(Settings::new(keys.expect("keys")));
    let issue = |algorithm, kid| signer(pair(algorithm)).with_id(kid).issue(&grant(), NOW).expect("a token");
    assert!(verifier.verify(issue(Algorithm::EdDsa, "ed").as_str(), NOW).is_ok());
    assert!(verifier.verify(issue(Algorithm::Es256, "ec").as_str(), NOW).is_ok());
    let crossed = issue(Algorithm::EdDsa, "ec");
    assert_eq!(verifier.verify(crossed.as_str(), NOW), Err(Rejected::WrongAlgorithm));
}

#[test]
fn keys_rotate_by_their_id() {
    let (old, new) = (pair(Algorithm::EdDsa), KeyPair::generate(Algorithm::EdDsa).expect("a pair"));
    let by_old = signer(old).with_id("old").issue(&grant(), NOW).expect("a token");
    let by_new = signer(&new).with_id("new").issue(&grant(), NOW).expect("a token");
    let unnamed = signer(&new).issue(&grant(), NOW).expect("a token");
    let misnamed = signer(&new).with_id("old").issue(&grant(), NOW).expect("a token");

    let before = Verifier::new(Settings::new(Keys::new([key(old).with_id("old")]).expect("keys")));
    assert!(before.verify(by_old.as_str(), NOW).is_ok());
    assert_eq!(before.verify(by_new.as_str(), NOW), Err(Rejected::UnknownKey));
    assert_eq!(before.verify(unnamed.as_str(), NOW), Err(Rejected::BadSignature));

    let both = Keys::new([key(old).with_id("old"), key(&new).with_id("new")]).expect("keys");
    let during = before.with_keys(both);
    for token in [&by_old, &by_new, &unnamed] {
        assert!(during.verify(token.as_str(), NOW).is_ok());
    }
    assert_eq!(during.verify(misnamed.as_str(), NOW), Err(Rejected::BadSignature));

    let after = during.with_keys(Keys::new([key(&new).with_id("new")]).expect("keys"));
    assert_eq!(after.verify(by_old.as_str(), NOW), Err(Rejected::UnknownKey));
    assert!(after.verify(by_new.as_str(), NOW).is_ok());

    // One key from a PEM text has no id, and serves whatever id the issuer gives it.
    assert!(verifier().verify(by_old.as_str(), NOW).is_ok());
}

#[test]
fn expiry_is_exact_to_the_millisecond_of_the_leeway() {
    let token = with("exp", json!(NOW_SECONDS));
    let at = |millis: i64| verifier().verify(&token, Timestamp::from_millis(NOW.as_millis() + millis));
    assert!(at(-1).is_ok());
    assert!(at(0).is_ok());
    assert!(at(29_999).is_ok());
    assert_eq!(at(30_000), Err(Rejected::Expired));

    let strict = Verifier::new(Settings { leeway: Duration::ZERO, ..settings(Algorithm::EdDsa) });
    assert_eq!(strict.verify(&token, NOW), Err(Rejected::Expired));
    assert!(strict.verify(&token, Timestamp::from_millis(NOW.as_millis() - 1)).is_ok());
}

#[test]
fn not_before_is_exact_to_the_millisecond_of_the_leeway() {
    let token = with("nbf", json!(NOW_SECONDS));
    let at = |millis: i64| verifier().verify(&token, Timestamp::from_millis(NOW.as_millis() + millis));
    assert_eq!(at(-30_001), Err(Rejected::NotYetValid));
    assert!(at(-30_000).is_ok());
    assert!(at(0).is_ok());
    assert_eq!(verifier().verify(&with("nbf", json!("soon")), NOW), Err(Rejected::InvalidClaim("nbf")));
}

#[test]
fn the_issuer_is_checked_when_configured() {
    let rules = Settings { issuer: Some("https://issuer".to_owned()), ..settings(Algorithm::EdDsa) };
    let strict = Verifier::new(rules);
    let verify = |iss: Value| strict.verify(&with("iss", iss), NOW).map(|_| ());
    assert_eq!(verify(json!("https://issuer")), Ok(()));
    assert_eq!(verify(json!("https://issuer/")), Err(Rejected::WrongIssuer));
    assert_eq!(verify(json!(["https://issuer"])), Err(Rejected::InvalidClaim("iss")));
    assert_eq!(verify(Value::Null), Err(Rejected::MissingClaim("iss")));
    assert!(verifier().verify(&with("iss", json!("anyone")), NOW).is_ok());
}

#[test]
fn the_audience_is_a_text_or_a_list_and_checked_when_configured() {
    let rules = Settings { audience: Some("streamer".to_owned()), ..settings(Algorithm::EdDsa) };
    let strict = Verifier::new(rules);
    let verify = |aud: Value| strict.verify(&with("aud", aud), NOW).map(|_| ());
    assert_eq!(verify(json!("streamer")), Ok(()));
    assert_eq!(verify(json!(["other", "streamer"])), Ok(()));
    assert_eq!(verify(json!("streamers")), Err(Rejected::WrongAudience));
    assert_eq!(verify(json!(["other"])), Err(Rejected::WrongAudience));
    assert_eq!(verify(json!([])), Err(Rejected::WrongAudience));
    assert_eq!(verify(json!(["streamer", 7])), Err(Rejected::InvalidClaim("aud")));
    assert_eq!(verify(json!({"streamer": true})), Err(Rejected::InvalidClaim("aud")));
    assert_eq!(strict.verify(&signed(&claims()), NOW), Err(Rejected::MissingClaim("aud")));
    assert!(verifier().verify(&with("aud", json!("anyone")), NOW).is_ok());
}

#[test]
fn claims_that_are_missing_or_of_the_wrong_type_are_named() {
    for claim in ["sub", "tenant_id", "exp"] {
        let mut claims = claims();
        claims.as_object_mut().expect("an object").remove(claim);
        assert_eq!(verifier().verify(&signed(&claims), NOW), Err(Rejected::MissingClaim(claim)));
        assert_eq!(verifier().verify(&with(claim, json!({})), NOW), Err(Rejected::InvalidClaim(claim)));
    }
    assert_eq!(
        verifier().verify(&with("permissions", json!("read")), NOW),
        Err(Rejected::InvalidClaim("permissions"))
    );
    assert_eq!(verifier().verify(&with("topics", json!([7])), NOW), Err(Rejected::InvalidClaim("topics")));
    assert_eq!(verifier().verify(&signed(&json!(["ada", "acme"])), NOW), Err(Rejected::Malformed));
}

#[test]
fn what_is_no_signed_jwt_is_malformed() {
    let good = signed(&claims());
    let payload = encoded(&claims().to_string());
    let header = |text: &str| format!("{}.{payload}.AAAA", encoded(text));
    for bad in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "a.b".to_owned(),
        "a.b.c".to_owned(),
        format!("{good}."),
        format!("{good}.AAAA"),
        format!("{good}="),
        format!(" {good}"),
        format!("{good}\n"),
        header(""),
        header("EdDSA"),
        header("{}"),
        header("[\"EdDSA\"]"),
        header(r#"{"alg":7}"#),
        header(r#"{"alg":"EdDSA","kid":7}"#),
        header(r#"{"alg":"EdDSA","alg":"none"}"#),
        header(r#"{"alg":"EdDSA","crit":["exp"]}"#),
        format!("{}.{payload}.AAAA", encoded(&"[".repeat(4000))),
    ] {
        assert_eq!(verifier().verify(&bad, NOW), Err(Rejected::Malformed), "{bad}");
    }

    // A good signature does not save an extension that is not understood.
    let critical =
        Header { crit: Some(vec!["b64".to_owned()]), ..Header::new(jsonwebtoken::Algorithm::EdDSA) };
    assert_eq!(verifier().verify(&signed_under(&critical, &claims()), NOW), Err(Rejected::Malformed));
}

#[test]
fn the_length_is_bounded() {
    let padded = |length: usize| with("padding", json!("x".repeat(length)));
    assert!(verifier().verify(&padded(5500), NOW).is_ok());
    let long = padded(6500);
    assert!(long.len() > TOKEN_BYTES_MAX);
    assert_eq!(verifier().verify(&long, NOW), Err(Rejected::TooLong));
    assert_eq!(verifier().verify(&"x".repeat(TOKEN_BYTES_MAX + 1), NOW), Err(Rejected::TooLong));
    assert_eq!(verifier().verify(&"x".repeat(TOKEN_BYTES_MAX), NOW), Err(Rejected::Malformed));
}

#[test]
fn reasons_are_a_fixed_set_of_labels_and_texts_hold_nothing_of_the_token() {
    let all = [
        Rejected::Missing,
        Rejected::TooLong,
        Rejected::Malformed,
        Rejected::WrongAlgorithm,
        Rejected::UnknownKey,
        Rejected::BadSignature,
        Rejected::Expired,
        Rejected::NotYetValid,
        Rejected::WrongIssuer,
        Rejected::WrongAudience,
        Rejected::MissingClaim("sub"),
        Rejected::InvalidClaim("sub"),
    ];
    let mut reasons: Vec<_> = all.iter().map(|rejected| rejected.reason()).collect();
    assert!(reasons.iter().all(|reason| reason.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons.len(), all.len());
    assert_eq!(Rejected::MissingClaim("sub").reason(), Rejected::MissingClaim("exp").reason());
    assert!(!all.iter().any(|rejected| rejected.to_string().contains('.')));
}

#[test]
fn a_verifier_is_shared_between_threads() {
    fn shared<T: Send + Sync + Clone + 'static>(_: &T) {}
    let verifier = verifier();
    shared(&verifier);
    let token = signed(&claims());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50).for_each(|_| assert!(verifier.verify(&token, NOW).is_ok())));
        }
    });
}

/// The DER inside a PEM text from byte `offset` on, under another label.
fn relabelled(pem: &str, offset: usize, label: &str) -> String {
    let block = pem::parse(pem).expect("PEM");
    pem::encode(&pem::Pem::new(label, &block.contents()[offset..]))
}

#[test]
fn keys_in_the_older_forms_are_read() {
    // PKCS#8 and SPKI wrap the older forms at the end of a header, whose length is fixed for these sizes.
    let (rsa, ec) = (pair(Algorithm::Rs256), pair(Algorithm::Es256));
    let pkcs1 = relabelled(rsa.private_pem(), 26, "RSA PRIVATE KEY");
    let pkcs1_public = relabelled(rsa.public_pem(), 24, "RSA PUBLIC KEY");
    let curve = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let sec1 = curve.to_owned() + &relabelled(ec.private_pem(), 29, "EC PRIVATE KEY");

    for (algorithm, private, public) in
        [(Algorithm::Rs256, &*pkcs1, &*pkcs1_public), (Algorithm::Es256, &*sec1, ec.public_pem())]
    {
        let signer = Signer::from_pem(algorithm, private).expect("a signer");
        let token = signer.issue(&grant(), NOW).expect("a token");
        let key = PublicKey::from_pem(algorithm, public).expect("a key");
        let verifier = Verifier::new(Settings::new(Keys::new([key]).expect("keys")));
        assert!(verifier.verify(token.as_str(), NOW).is_ok(), "{algorithm}");
    }
}

proptest! {
    #[test]
    fn garbage_is_refused(token in "\\PC{0,200}") {
        prop_assert!(verifier().verify(&token, NOW).is_err());
    }

    #[test]
    fn garbage_in_the_form_of_a_token_is_refused(parts in prop::collection::vec("[A-Za-z0-9_-]{0,60}", 0..5)) {
        prop_assert!(verifier().verify(&parts.join("."), NOW).is_err());
    }

    #[test]
    fn garbage_under_a_good_header_is_a_bad_signature(payload in ".*", signature: Vec<u8>) {
        let header = encoded(r#"{"alg":"EdDSA"}"#);
        let token = format!("{header}.{}.{}", encoded(&payload), URL_SAFE_NO_PAD.encode(signature));
        prop_assume!(token.len() <= TOKEN_BYTES_MAX);
        prop_assert_eq!(verifier().verify(&token, NOW), Err(Rejected::BadSignature));
    }

    #[test]
    fn a_good_token_with_one_character_changed_is_refused(at in 0.0..1.0_f64, to in "[A-Za-z0-9_.-]") {
        let token = signed(&claims());
        let index = (at * token.len() as f64) as usize;
        prop_assume!(token[index..=index] != to);
        let changed = format!("{}{to}{}", &token[..index], &token[index + 1..]);
        prop_assert!(verifier().verify(&changed, NOW).is_err());
    }

    #[test]
    fn any_names_within_the_bounds_go_through_unchanged(user in "[^\\p{Cc}]{1,256}", tenant in "[^\\p{Cc}]{1,256}") {
        let grant = Grant::new(UserId::new(user.clone()), TenantId::new(tenant.clone()));
        let token = signer(pair(Algorithm::EdDsa)).issue(&grant, NOW).expect("a token");
        let identity = verifier().verify(token.as_str(), NOW).expect("an identity");
        prop_assert_eq!((identity.user.as_str(), identity.tenant.as_str()), (user.as_str(), tenant.as_str()));
    }
}
