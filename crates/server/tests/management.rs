//! The connection management API, as AWS clients speak it.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use streamer_engine::{
    clock::{Clock as _, SystemClock},
    store::{ConnectionRecord, Connections as _},
    testing::Fault,
};
use streamer_protocol::{ConnectionId, TenantId, Timestamp, UserId};

use crate::harness::{Answer, Client, Http, SECRET, Server, Setup, Signer, Token, until};

async fn start() -> Server {
    signed().start().await
}

fn signed() -> Setup {
    Setup { keys: Some(Signer::keys()), ..Setup::default() }
}

fn request(server: &Server, method: &'static str, id: &str) -> Http {
    Http::new(method, server.addr, format!("/prod/@connections/{id}"))
}

async fn call(server: &Server, key: &str, method: &'static str, id: &str, body: &str) -> Answer {
    Signer::new(key).sign(request(server, method, id).body(body)).send().await
}

/// Status and type of an error, in the form that the SDKs read.
fn exception(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.header("x-amzn-requestid").map(str::len), Some(36), "{}", answer.head);
    let body = answer.json();
    assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    let name = body["__type"].as_str().expect("a type").to_owned();
    // The harness reads heads in lower case.
    assert_eq!(answer.header("x-amzn-errortype"), Some(name.to_ascii_lowercase().as_str()));
    (answer.status, name)
}

fn gone() -> (u16, String) {
    (410, "GoneException".to_owned())
}

fn forbidden() -> (u16, String) {
    (403, "ForbiddenException".to_owned())
}

#[tokio::test]
async fn a_connection_is_sent_to_shown_and_closed() {
    let server = start().await;
    let mut ada = Client::ada(&server).await;
    let record = server.only_stored().await;
    let id = record.id.as_str();
    for path in ["/@connections/", "/%40connections/", "/prod/@connections/", "/prod/%40connections/"] {
        // As it is: it need not be JSON.
        let text = format!("{path} {{\"note\":  \"{SECRET} ☃\"");
        let post = Http::new("POST", server.addr, format!("{path}{id}")).body(&text);
        let sent = Signer::new("AKACME").sign(post).send().await;
        assert_eq!((sent.status, sent.text()), (200, ""), "{path}");
        assert_eq!(sent.header("x-amzn-requestid").map(str::len), Some(36));
        assert_eq!(ada.text().await.as_str(), text);
    }
    let shown = call(&server, "AKALL", "GET", id, "").await;
    assert_eq!(shown.status, 200);
    let expected = json!({
        "connectedAt": record.connected_at,
        "identity": { "sourceIp": "127.0.0.1" },
        "lastActiveAt": record.last_ping,
    });
    assert_eq!(shown.json(), expected);

    let closed = call(&server, "AKACME", "DELETE", id, "").await;
    assert_eq!((closed.status, closed.text()), (204, ""));
    assert_eq!(ada.closed().await, 4403);
    for method in ["POST", "GET", "DELETE"] {
        assert_eq!(exception(&call(&server, "AKACME", method, id, "x").await), gone(), "{method}");
    }
    assert_eq!(server.ending().await, "disconnected_by_server");
    let audited: Vec<Value> = server.log().into_iter().filter(|line| line["audit"] == true).collect();
    assert_eq!(audited.len(), 2, "{audited:?}");
    assert_eq!((&audited[0]["access_key_id"], &audited[0]["status"]), (&json!("AKACME"), &json!(204)));
    let sent = r#"streamer_management_requests_total{operation="send",status="200"}"#;
    assert!(server.counts(sent, 4), "{}", server.metrics());
    server.finish().await;
}

#[tokio::test]
async fn a_user_agent_is_shown_if_there_was_one_and_odd_ids_are_gone() {
    let server = start().await;
    let tokio_client = tokio::net::TcpStream::connect(server.addr).await.expect("connected");
    let bearer = format!("Bearer {}", Token::ada());
    let headers = [("authorization", bearer.as_str()), ("user-agent", "a browser")];
    let upgraded = crate::harness::try_connect(tokio_client, server.addr, "/ws", &headers).await;
    let ada = Client { socket: upgraded.expect("upgraded").0 };
    let id = server.only_stored().await.id;
    let shown = call(&server, "AKACME", "GET", id.as_str(), "").await.json();
    assert_eq!(shown["identity"]["userAgent"], "a browser");
    for odd in ["L0SM9cOFvHcCIhw%3D", "L0SM9cOFvHcCIhw=", "a%2Fb", "%00", "%ff", &"x".repeat(5000)] {
        assert_eq!(exception(&call(&server, "AKALL", "POST", odd, "x").await), gone(), "{odd}");
    }
    ada.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn an_id_may_hold_an_equals_sign() {
    let server = start().await;
    // As API Gateway names connections; a stale record is the one thing that shows that the id was understood.
    let stale = record("L0SM9cOFvHcCIhw=", "acme");
    for id in ["L0SM9cOFvHcCIhw%3D", "L0SM9cOFvHcCIhw="] {
        server.store.inner().connect(&stale).await.expect("stored");
        assert_eq!(exception(&call(&server, "AKACME", "POST", id, "x").await), gone());
        assert!(server.stored().await.is_empty(), "{id}: a record whose connection is gone is removed");
    }
    // To ask about it changes nothing.
    server.store.inner().connect(&stale).await.expect("stored");
    assert_eq!(exception(&call(&server, "AKACME", "GET", "L0SM9cOFvHcCIhw%3D", "").await), gone());
    assert_eq!(server.stored().await.len(), 1);
    assert_eq!(exception(&call(&server, "AKACME", "DELETE", "L0SM9cOFvHcCIhw%3D", "").await), gone());
    assert!(server.stored().await.is_empty());
    server.finish().await;
}

fn record(id: &str, tenant: &str) -> ConnectionRecord {
    ConnectionRecord {
        id: ConnectionId::new(id),
        user: UserId::new("u"),
        tenant: TenantId::new(tenant),
        endpoint: "node-1:8080".to_owned(),
        connected_at: Timestamp::from_millis(0),
        last_ping: Timestamp::from_millis(0),
        user_agent: None,
        ip_address: None,
        expires_at: SystemClock.now() + Duration::from_secs(3600),
    }
}

#[tokio::test]
async fn another_tenants_connection_is_as_gone_as_one_that_never_was() {
    let server = start().await;
    let mut ada = Client::ada(&server).await;
    let id = server.only_stored().await.id.to_string();
    for method in ["POST", "GET", "DELETE"] {
        let (theirs, nobodys) = (
            call(&server, "AKGLOBEX", method, &id, SECRET).await,
            call(&server, "AKGLOBEX", method, "nobody", SECRET).await,
        );
        assert_eq!(exception(&theirs), gone(), "{method}");
        assert_eq!(theirs.body, nobodys.body);
        let shape = |answer: &Answer| {
            let lines = answer.head.lines().filter(|line| !line.starts_with("x-amzn-requestid"));
            lines.filter(|line| !line.starts_with("date")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(shape(&theirs), shape(&nobodys));
    }
    // Nothing reached it, it is open, and it stays stored.
    ada.echo("still-here").await;
    assert_eq!(server.only_stored().await.id.as_str(), id);
    ada.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn a_message_has_the_bound_of_the_doors_and_is_text() {
    let mut setup = signed();
    setup.settings.message_bytes_max = 1000;
    let server = setup.start().await;
    let mut ada = Client::ada(&server).await;
    let id = server.only_stored().await.id.to_string();
    for (bytes, status) in [(0, 200), (1000, 200), (1001, 413), (300_000, 413), (3_000_000, 413)] {
        let sent = call(&server, "AKACME", "POST", &id, &"x".repeat(bytes)).await;
        assert_eq!(sent.status, status, "{bytes}");
        if status == 200 {
            assert_eq!(ada.text().await.len(), bytes);
        } else {
            assert_eq!(exception(&sent).1, "PayloadTooLargeException");
        }
    }
    let binary = request(&server, "POST", &id).body([b'a', 0xff]);
    let sent = Signer::new("AKACME").sign(binary).send().await;
    assert_eq!(exception(&sent), (400, "BadRequestException".to_owned()));
    ada.echo("still-here").await;
    ada.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_a_limit_exceeded() {
    let mut setup = signed();
    setup.settings.outbound_bytes_max = 64 * 1024;
    let server = setup.start().await;
    let slow = Client::narrow(&server, &Token::ada()).await;
    let id = server.only_stored().await.id.to_string();
    let large = "x".repeat(32 * 1024);
    let mut last = None;
    until("it has no room", async || {
        let answer = call(&server, "AKACME", "POST", &id, &large).await;
        let over = answer.status != 200;
        last = over.then_some(answer);
        over
    })
    .await;
    let refused = last.expect("refused");
    assert_eq!(exception(&refused), (429, "LimitExceededException".to_owned()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(call(&server, "AKACME", "GET", &id, "").await.status, 200);
    drop(slow);
    server.empty().await;
    server.finish().await;
}

#[tokio::test]
async fn who_does_not_sign_well_is_forbidden_and_sends_nothing() {
    let server = start().await;
    let mut ada = Client::ada(&server).await;
    let id = server.only_stored().await.id.to_string();
    let post = || request(&server, "POST", &id).body(SECRET);
    let now = SystemClock.now();
    let signer = Signer::new("AKACME");
    let at = |millis: i64| signer.clone().at(Timestamp::from_millis(now.as_millis() + millis));
    let says = |payload| signer.clone().payload(payload);
    let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let wrong = signer.clone().with_secret("the-secret-access-key-of-acme-0000000002");
    let cases = [
        ("signature_missing", post()),
        ("signature_missing", post().bearer(&Token::ada())),
        // Not at the public address.
        ("signature_missing", post().operator()),
        ("signature_mismatch", wrong.sign(post())),
        ("signature_mismatch", signer.sign(post()).body("another body")),
        ("signature_mismatch", says(of_nothing).sign(post())),
        ("signature_clock_skew", at(-6 * 60_000).sign(post())),
        ("signature_clock_skew", at(6 * 60_000).sign(post())),
        ("signature_payload_unsigned", says("UNSIGNED-PAYLOAD").sign(post())),
        ("signature_payload_unsigned", says("STREAMING-AWS4-HMAC-SHA256-PAYLOAD").sign(post())),
        ("signature_header_unsigned", signer.sign(post()).header("x-amz-security-token", "t")),
        (
            "signature_in_query",
            Http::new("POST", server.addr, format!("/@connections/{id}?X-Amz-Signature=0")),
        ),
    ];
    let mut counts = std::collections::BTreeMap::new();
    for (n, (reason, request)) in cases.into_iter().enumerate() {
        assert_eq!(exception(&request.send().await), forbidden(), "{n}: {reason}");
        *counts.entry(reason).or_insert(0) += 1;
    }
    for (reason, count) in counts {
        let series = format!("streamer_authentication_failures_total{{reason=\"{reason}\"}}");
        assert!(server.counts(&series, count), "{series} {count}: {}", server.metrics());
    }
    // Within the five minutes it is taken.
    for millis in [-4 * 60_000, 4 * 60_000] {
        assert_eq!(at(millis).sign(post()).send().await.status, 200);
        assert_eq!(ada.text().await.as_str(), SECRET);
    }
    ada.echo("nothing-else-came").await;
    ada.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn without_keys_it_is_for_operators_alone_at_their_address() {
    let server = Server::start().await;
    let mut ada = Client::ada(&server).await;
    let id = server.only_stored().await.id.to_string();
    let path = format!("/prod/@connections/{id}");
    let public = Http::new("POST", server.addr, path.clone()).operator().send().await;
    assert_eq!(public.error(), (404, "NOT_FOUND".to_owned()));
    let post = || Http::new("POST", server.admin, path.clone()).body("as it is");
    assert_eq!(exception(&post().send().await), forbidden());
    assert_eq!(exception(&post().bearer("operators-know-thi").send().await), forbidden());
    assert_eq!(exception(&post().bearer(&Token::ada()).send().await), forbidden());
    assert_eq!(exception(&Signer::new("AKALL").sign(post()).send().await), forbidden());
    let foreign = post().operator().host("evil.example").send().await;
    assert_eq!(foreign.error(), (403, "FORBIDDEN".to_owned()));

    assert_eq!(post().operator().send().await.status, 200);
    assert_eq!(ada.text().await.as_str(), "as it is");
    let get = Http::get(server.admin, path.clone()).operator().send().await;
    assert_eq!(get.status, 200);
    let delete = Http::new("DELETE", server.admin, path.clone()).operator().send().await;
    assert_eq!(delete.status, 204);
    assert_eq!(ada.closed().await, 4403);
    let audited: Vec<Value> = server.log().into_iter().filter(|line| line["audit"] == true).collect();
    let methods: Vec<&Value> = audited.iter().map(|line| &line["method"]).collect();
    assert_eq!(methods, ["POST", "DELETE"]);
    assert!(server.counts("streamer_authentication_failures_total{reason=\"admin_token\"}", 2));
    server.finish().await;
}

#[tokio::test]
async fn an_address_without_an_admin_token_still_takes_signatures() {
    for token in [None, Some(String::new())] {
        let server = Setup { admin_token: token, ..signed() }.start().await;
        let ada = Client::ada(&server).await;
        let path = format!("/@connections/{}", server.only_stored().await.id);
        let get = || Http::get(server.admin, path.clone());
        assert_eq!(exception(&get().header("authorization", "Bearer ").send().await), forbidden());
        assert_eq!(exception(&get().operator().send().await), forbidden());
        assert_eq!(Signer::new("AKACME").sign(get()).send().await.status, 200);
        ada.leave().await;
        server.finish().await;
    }
}

#[tokio::test]
async fn other_methods_are_not_for_it_and_a_failing_store_says_so() {
    let plan = |call| (call == "connection").then_some(Fault::Refuse);
    let server = Setup { plan: Box::new(plan), ..signed() }.start().await;
    let put = request(&server, "PUT", "x").send().await;
    assert_eq!(put.error(), (405, "VALIDATION_ERROR".to_owned()));
    assert!(put.header("x-amzn-requestid").is_some_and(|id| !id.is_empty()), "{}", put.head);
    assert!(
        put.header("allow").is_some_and(|methods| methods.to_lowercase().contains("delete")),
        "{}",
        put.head
    );
    let failed = call(&server, "AKALL", "POST", "x", SECRET).await;
    assert_eq!(exception(&failed), (500, "InternalServerErrorException".to_owned()));
    assert!(!failed.text().contains("refuse"), "inner text: {}", failed.text());
    server.finish().await;
}

#[tokio::test]
async fn the_time_is_the_engines() {
    let clock = Arc::new(streamer_engine::testing::ManualClock::at(Timestamp::from_millis(0)));
    let server = Setup { clock: Arc::clone(&clock) as _, ..signed() }.start().await;
    let signed = || Signer::new("AKALL").at(Timestamp::from_millis(0));
    let post = || signed().sign(request(&server, "POST", "nobody")).send();
    assert_eq!(exception(&post().await), gone());
    clock.advance(Duration::from_secs(300));
    assert_eq!(exception(&post().await), gone());
    clock.advance(Duration::from_millis(1));
    assert_eq!(exception(&post().await), forbidden());
    server.finish().await;
}
