//! AWS Signature Version 4, held to what AWS publishes and to what its SDKs send.

use streamer_auth::sigv4::{Credential, DuplicateKeyId, Refused, Request, Scope, Tenants, Verifier};
use streamer_protocol::{TenantId, Timestamp};

const KEY_ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const FORM: &str = "application/x-www-form-urlencoded";
const FORM_HASH: &str = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e";
const SHORT_TOKEN: &str = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
const LONG_TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

fn verifier(service: &str, session_token: Option<&str>) -> Verifier {
    let credential = Credential::new(KEY_ID, SECRET, Tenants::Only(TenantId::new("acme")));
    let credential = match session_token {
        Some(token) => credential.with_session_token(token),
        None => credential,
    };
    let scope = Scope { region: "us-east-1".to_owned(), service: service.to_owned() };
    Verifier::new(scope, [credential]).expect("one key")
}

/// A signed request with its body.
#[derive(Clone)]
struct Signed {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Signed {
    /// `line` is the method and the target; the headers named are signed, in this order.
    fn new(line: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let (method, target) = line.split_once(' ').expect("a request line");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With another value of a header.
    fn with(mut self, name: &str, change: impl Fn(&str) -> String) -> Self {
        let (_, value) =
            self.headers.iter_mut().find(|(other, _)| other == name).expect("the header is there");
        *value = change(value);
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    fn verify(&self, verifier: &Verifier, now: &str) -> Result<String, Refused> {
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let request = Request { method: &self.method, path: &self.path, query: &self.query, headers };
        let claim = verifier.read(&request, Timestamp::parse(now).expect("a time"))?;
        claim.verify(&self.body).map(|credential| credential.access_key_id().to_owned())
    }
}

/// The requests of AWS's published suite ("aws-sig-v4-test-suite", in its form of the SDKs' common runtime) that an
/// HTTP server can see and whose paths are resolved, as those of all services but S3 are.
#[test]
fn the_published_suite_is_accepted() {
    const VANILLA: &str = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    const UNRESERVED: &str = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, &'a str);
    let long_path = format!("GET /{UNRESERVED}");
    let long_query = format!("GET /?{UNRESERVED}={UNRESERVED}");
    let parameters = format!("{FORM}; charset=utf-8");
    let cases: &[Case<'_>] = &[
        ("GET /", &[], "", VANILLA),
        ("GET /example/..", &[], "", VANILLA),
        ("GET /example1/example2/../..", &[], "", VANILLA),
        ("GET /./", &[], "", VANILLA),
        ("GET //", &[], "", VANILLA),
        ("GET /./example", &[], "", "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"),
        ("GET //example//", &[], "", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
        ("GET /example space/", &[], "", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
        ("GET /ሴ", &[], "", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
        (&long_path, &[], "", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
        ("GET /?Param1=value1", &[], "", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
        (
            "GET /?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
            &[],
            "",
            "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
        ),
        (
            "GET /?Param2=value2&Param1=value1",
            &[],
            "",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (&long_query, &[], "", "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"),
        ("GET /?ሴ=bar", &[], "", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
        (
            "GET /",
            &[("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")],
            "",
            "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
        ),
        (
            "GET /",
            &[
                ("my-header1", "value4"),
                ("my-header1", "value1"),
                ("my-header1", "value3"),
                ("my-header1", "value2"),
            ],
            "",
            "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
        ),
        (
            "GET /",
            &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
            "",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
        (
            "GET /",
            &[("my-header1", "value1  value2     value3")],
            "",
            "cfd34249e4b1c8d6b91ef74165d41a32e5fab3306300901bb65a51a73575eefd",
        ),
        ("POST /", &[], "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            "POST /",
            &[("my-header1", "value1")],
            "",
            "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
        ),
        (
            "POST /",
            &[("my-header1", "VALUE1")],
            "",
            "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        ),
        ("POST /?Param1=value1", &[], "", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"),
        (
            "POST /",
            &[("content-type", FORM), ("content-length", "13"), ("x-amz-content-sha256", FORM_HASH)],
            "Param1=value1",
            "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
        ),
        (
            "POST /",
            &[("content-type", &parameters), ("content-length", "13"), ("x-amz-content-sha256", FORM_HASH)],
            "Param1=value1",
            "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422",
        ),
        (
            "GET /",
            &[("x-amz-security-token", SHORT_TOKEN)],
            "",
            "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
        ),
        (
            "POST /",
            &[("x-amz-security-token", LONG_TOKEN)],
            "",
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
        ),
    ];
    for (line, extra, body, signature) in cases {
        let headers =
            [&[("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")], *extra].concat();
        let names: std::collections::BTreeSet<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(";");
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={KEY_ID}/20150830/us-east-1/service/aws4_request, \
             SignedHeaders={names}, Signature={signature}"
        );
        let request = Signed::new(line, &headers, body).header("authorization", &authorization);
        let session_token =
            extra.iter().find(|(name, _)| *name == "x-amz-security-token").map(|(_, token)| *token);
        let verifier = verifier("service", session_token);
        let verified = request.verify(&verifier, "2015-08-30T12:36:00Z");
        assert_eq!(verified.as_deref(), Ok(KEY_ID), "{line} {extra:?}");
        let other = Signed { body: b"other".to_vec(), ..request };
        let refused = other.verify(&verifier, "2015-08-30T12:36:00Z");
        assert_eq!(refused, Err(Refused::BadSignature), "{line} {extra:?}");
    }
}

const SIGNED_AT: &str = "2026-11-26T16:11:02Z";

/// What boto3 1.44.8 sends, as it came: `post_to_connection` of the id `L0SM9cOFvHcCIhw=`.
fn by_boto3(method: &str) -> Signed {
    let (signature, body) = match method {
        "POST" => ("45bd14248b8e6b040e88bf3980d534dc058bebc383696aef0c6d36d4f4b44c13", "{\"a\":1}"),
        "GET" => ("f3a3ebffd4f24358efe260236e336c4eb9dc4b93e71d1bf8faf2f55ee144bf00", ""),
        _ => ("961fd8c2dd550180c1806ab6898c2e04803429f49f65a72d2bf5c6b96682f20e", ""),
    };
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={KEY_ID}/20261126/us-east-1/execute-api/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature={signature}"
    );
    let headers = [
        ("host", "127.0.0.1:18999"),
        ("accept-encoding", "identity"),
        ("user-agent", "Boto3/1.44.8 md/Botocore#1.44.8"),
        ("x-amz-date", "20261126T161102Z"),
        ("authorization", &authorization),
        ("amz-sdk-invocation-id", "5976e913-2979-45bc-82d0-de10c61e9648"),
        ("amz-sdk-request", "attempt=1; max=3"),
    ];
    Signed::new(&format!("{method} /prod/@connections/L0SM9cOFvHcCIhw%3D"), &headers, body)
}

/// What the crate aws-sigv4 1 makes of the headers that aws-sdk-apigatewaymanagement sends: it signs them all but the
/// user agent, and writes the `@` as `%40`.
fn by_the_rust_sdk() -> Signed {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={KEY_ID}/20261126/us-east-1/execute-api/aws4_request, \
         SignedHeaders=amz-sdk-invocation-id;amz-sdk-request;content-length;content-type;host;x-amz-date;\
         x-amz-user-agent, Signature=396d31c0f5a7dae35a1c6441f6f7170a3380f7593f80442dcef2cfb5bc1a02f2"
    );
    let headers = [
        ("content-type", "application/octet-stream"),
        ("content-length", "7"),
        ("user-agent", "aws-sdk-rust/1.3.9"),
        ("x-amz-user-agent", "aws-sdk-rust/1.3.9 api/apigatewaymanagement/1.90.0  os/linux lang/rust/1.95.0"),
        ("amz-sdk-invocation-id", "5976e913-2979-45bc-82d0-de10c61e9648"),
        ("amz-sdk-request", "attempt=1; max=3"),
        ("x-amz-date", "20261126T161102Z"),
        ("authorization", &authorization),
        ("host", "127.0.0.1:18999"),
    ];
    Signed::new("POST /prod/%40connections/L0SM9cOFvHcCIhw%3D", &headers, "{\"a\":1}")
}

fn refusal(request: &Signed) -> Refused {
    request.verify(&verifier("execute-api", None), SIGNED_AT).expect_err("refused")
}

#[test]
fn what_the_sdks_send_is_accepted() {
    for request in [by_boto3("POST"), by_boto3("GET"), by_boto3("DELETE"), by_the_rust_sdk()] {
        let verified = request.verify(&verifier("execute-api", None), SIGNED_AT);
        assert_eq!(verified.as_deref(), Ok(KEY_ID), "{} {}", request.method, request.path);
    }
}

#[test]
fn nothing_that_is_signed_can_be_changed() {
    let signed = by_the_rust_sdk();
    let mut changed = Vec::from([
        Signed { method: "DELETE".to_owned(), ..signed.clone() },
        Signed { path: signed.path.replace("L0", "L1"), ..signed.clone() },
        // The same path, written otherwise.
        Signed { path: signed.path.replace("%40", "@"), ..signed.clone() },
        Signed { path: signed.path.replace("%3D", "%3d"), ..signed.clone() },
        Signed { query: "a=1".to_owned(), ..signed.clone() },
        Signed { body: Vec::new(), ..signed.clone() },
        Signed { body: b"{\"a\":2}".to_vec(), ..signed.clone() },
        signed.clone().with("x-amz-date", |date| date.replace("02Z", "03Z")),
    ]);
    for name in ["content-type", "content-length", "x-amz-user-agent", "amz-sdk-request", "host"] {
        changed.push(signed.clone().with(name, |value| format!("{value}0")));
        changed.push(signed.clone().header(name, "more"));
    }
    let flip = |header: &str| header.replace("Signature=396d", "Signature=496d");
    changed.push(signed.clone().with("authorization", flip));
    for (n, request) in changed.iter().enumerate() {
        assert_eq!(refusal(request), Refused::BadSignature, "{n}");
    }
    let without = signed.clone().without("amz-sdk-request");
    assert_eq!(refusal(&without), Refused::Malformed("list of signed headers"));
    // What is not signed may be added or changed on the way.
    let more = signed.with("user-agent", |_| "a proxy".to_owned()).header("x-amz-cf-id", "1");
    assert!(more.verify(&verifier("execute-api", None), SIGNED_AT).is_ok());
}

#[test]
fn the_clocks_may_differ_by_five_minutes() {
    let signed = by_boto3("POST");
    let verifier = verifier("execute-api", None);
    for (now, verified) in [
        ("2026-11-26T16:06:02Z", Ok(KEY_ID.to_owned())),
        ("2026-11-26T16:06:01.999Z", Err(Refused::ClockSkew)),
        ("2026-11-26T16:16:02Z", Ok(KEY_ID.to_owned())),
        ("2026-11-26T16:16:02.001Z", Err(Refused::ClockSkew)),
        ("2027-11-26T16:11:02Z", Err(Refused::ClockSkew)),
    ] {
        assert_eq!(signed.verify(&verifier, now), verified, "{now}");
    }
}

#[test]
fn a_signature_counts_for_its_scope_only() {
    let signed = by_boto3("POST");
    let scoped = |from: &'static str, to: &'static str| {
        refusal(&signed.clone().with("authorization", |header| header.replace(from, to)))
    };
    assert_eq!(scoped("us-east-1", "eu-central-1"), Refused::WrongRegion);
    assert_eq!(scoped("execute-api", "s3"), Refused::WrongService);
    assert_eq!(scoped("aws4_request", "aws5_request"), Refused::WrongService);
    assert_eq!(scoped("/20261126", "/20261125"), Refused::Malformed("credential"));
    assert_eq!(scoped("/20261126", "/2026112"), Refused::Malformed("credential"));
    assert_eq!(scoped(KEY_ID, "AKIDNOBODY"), Refused::UnknownKey);
    assert_eq!(Refused::UnknownKey.to_string(), Refused::BadSignature.to_string());
}

#[test]
fn what_the_scheme_would_let_pass_and_we_do_not() {
    let signed = by_boto3("POST");
    let sign_also = |request: Signed, names: &'static str| {
        request.with("authorization", |header| header.replace("host;x-amz-date", names))
    };
    assert_eq!(refusal(&sign_also(signed.clone(), "x-amz-date")), Refused::Unsigned("host"));
    assert_eq!(refusal(&sign_also(signed.clone(), "host")), Refused::Unsigned("x-amz-date"));
    assert_eq!(refusal(&signed.clone().without("x-amz-date")), Refused::Unsigned("x-amz-date"));
    let hashed = signed.clone().header("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    assert_eq!(refusal(&hashed), Refused::Unsigned("x-amz-content-sha256"));
    for form in
        ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"]
    {
        let request = signed.clone().header("x-amz-content-sha256", form);
        let request = sign_also(request, "host;x-amz-content-sha256;x-amz-date");
        assert_eq!(refusal(&request), Refused::UnsignedPayload, "{form}");
    }
    // A hash of another body does not make this one signed.
    let other = signed.clone().header("x-amz-content-sha256", &"0".repeat(64));
    assert_eq!(refusal(&sign_also(other, "host;x-amz-content-sha256;x-amz-date")), Refused::BadSignature);

    for query in ["X-Amz-Algorithm=AWS4-HMAC-SHA256", "a=1&x-amz-signature=00"] {
        let presigned = Signed { query: query.to_owned(), ..signed.clone() };
        assert_eq!(refusal(&presigned), Refused::InQuery, "{query}");
    }
    assert_eq!(refusal(&signed.clone().without("authorization")), Refused::Missing);
    assert_eq!(
        refusal(&signed.clone().with("authorization", |_| "Bearer a.b.c".to_owned())),
        Refused::Missing
    );
    let authorization = signed.headers[4].1.clone();
    let twice = signed.clone().header("authorization", &authorization);
    assert_eq!(refusal(&twice), Refused::Malformed("Authorization header"));
    let twice = signed.header("x-amz-date", "20261126T161102Z");
    assert_eq!(refusal(&twice), Refused::Malformed("x-amz-date header"));
}

#[test]
fn a_session_token_is_refused_unless_the_credential_has_it() {
    let signed = by_boto3("POST");
    assert_eq!(
        signed.verify(&verifier("execute-api", Some("token")), SIGNED_AT),
        Err(Refused::SessionToken),
        "the credential has one"
    );
    let with_token = signed.header("x-amz-security-token", "token");
    assert_eq!(refusal(&with_token), Refused::Unsigned("x-amz-security-token"));
    let names = "host;x-amz-date;x-amz-security-token";
    let covered = with_token.with("authorization", |header| header.replace("host;x-amz-date", names));
    assert_eq!(refusal(&covered), Refused::SessionToken, "the credential has none");
    let other = covered.clone().with("x-amz-security-token", |_| "other".to_owned());
    let temporary = verifier("execute-api", Some("token"));
    assert_eq!(other.verify(&temporary, SIGNED_AT), Err(Refused::SessionToken));
    let twice = covered.header("x-amz-security-token", "token");
    assert_eq!(twice.verify(&temporary, SIGNED_AT), Err(Refused::SessionToken));
}

#[test]
fn a_key_id_names_one_credential() {
    let credential = || Credential::new(KEY_ID, SECRET, Tenants::All);
    let scope = Scope { region: "r".to_owned(), service: "s".to_owned() };
    let twice = Verifier::new(scope, [credential(), credential()]).expect_err("twice");
    assert_eq!(twice, DuplicateKeyId(KEY_ID.to_owned()));
}

#[test]
fn no_refusal_shows_what_was_sent() {
    let verifier = verifier("execute-api", Some(LONG_TOKEN));
    let shown = format!("{verifier:?}");
    assert!(!shown.contains(SECRET) && !shown.contains("AQoD"), "{shown}");
    let request = by_boto3("POST").with("authorization", |header| header.replace(KEY_ID, SECRET));
    let refused = request.verify(&verifier, SIGNED_AT).expect_err("no such key");
    assert!(!format!("{refused} {refused:?} {}", refused.reason()).contains("wJal"));
}

/// Whatever comes, it is refused and nothing breaks.
mod anything {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn is_refused(
            authorization in r"(AWS4-HMAC-SHA256 )?[ -~é]{0,80}",
            credential in r"[A-Z0-9/a-z_-]{0,60}",
            names in r"[a-z;-]{0,30}",
            date in r"[0-9TZé]{0,17}",
            path in r"/[ -~é]{0,30}",
            query in r"[ -~é]{0,30}",
            body in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let formed = format!(
                "AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={}",
                "0".repeat(64)
            );
            for authorization in [authorization, formed] {
                let request = Signed {
                    method: "POST".to_owned(),
                    path: path.clone(),
                    query: query.clone(),
                    headers: vec![
                        ("authorization".to_owned(), authorization),
                        ("host".to_owned(), "h".to_owned()),
                        ("x-amz-date".to_owned(), date.clone()),
                    ],
                    body: body.clone(),
                };
                refusal(&request);
            }
            let readable = Signed {
                path,
                query,
                body,
                ..by_boto3("POST")
            };
            refusal(&readable);
        }
    }
}
