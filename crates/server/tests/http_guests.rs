//! Calls over HTTP by those whom the application knows: no token, but a cookie or a header.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::http::HeaderName;
use parking_lot::Mutex;
use serde_json::json;
use streamer_auth::Identity;
use streamer_engine::store::ConnectionRecord;
use streamer_protocol::Timestamp;
use streamer_server::{Entry, Gate, Gatekeeper, Knock, Turned};

use crate::harness::{Answer, Contract, Events, Http, Server, Setup, Token};

/// An application with sessions, and one key for programs. Remembers what it was asked.
#[derive(Default)]
struct Application {
    asked: Mutex<Vec<Knock>>,
}

#[async_trait]
impl Gatekeeper for Application {
    async fn admit(&self, knock: Knock) -> Result<Identity, Turned> {
        let of = |name: &str| knock.headers.get(name).map(String::as_str);
        let user = match (of("cookie"), of("x-api-key")) {
            (Some("session=ada"), _) => Ok("ada"),
            (Some("session=banned"), _) => Err(Turned::Forbidden),
            (Some("session=broken"), _) => Err(Turned::Unavailable),
            (None, Some("key-of-bob")) => Ok("bob"),
            _ => Err(Turned::Unauthorized),
        };
        self.asked.lock().push(knock);
        let expires_at = Timestamp::from_millis(i64::MAX / 2);
        let write = vec!["write".to_owned()];
        user.map(|user| Identity::of(user, "acme", write, Vec::new(), expires_at).expect("names"))
    }

    async fn left(&self, _: &ConnectionRecord, _: &'static str, _: Timestamp) {}
}

impl Application {
    fn asked(&self) -> usize {
        self.asked.lock().len()
    }
}

const APP: &str = "https://app.example";

async fn start(change: impl FnOnce(&mut Setup, &mut Gate)) -> (Server, Arc<Application>) {
    let application = Arc::new(Application::default());
    let mut gate = Gate {
        keeper: Arc::clone(&application) as _,
        admits: true,
        instead_of_tokens: false,
        headers: vec![HeaderName::from_static("x-api-key")],
        allowed_origins: vec![APP.to_owned()],
        calls_remembered_for: Duration::ZERO,
        calls_remembered_max: 100,
    };
    let mut setup = Setup::default();
    change(&mut setup, &mut gate);
    setup.gate = Some(gate);
    (setup.start().await, application)
}

fn with(mut call: Http, headers: &[(&str, &str)]) -> Http {
    for (name, value) in headers {
        call = call.header(name, value);
    }
    call
}

async fn submit(server: &Server, headers: &[(&str, &str)]) -> Answer {
    let request = json!({ "action": "echo", "payload": 1 });
    with(Http::post(server.addr, "/v1/requests").json(request), headers).send().await
}

async fn list(server: &Server, headers: &[(&str, &str)]) -> Answer {
    with(Http::get(server.addr, "/v1/requests?limit=3&Authorization="), headers).send().await
}

const ADA: (&str, &str) = ("cookie", "session=ada");
const ALLOWED: (&str, &str) = ("origin", APP);
const OWN: (&str, &str) = ("sec-fetch-site", "same-origin");

#[tokio::test]
async fn whom_the_application_knows_may_call_and_pages_only_if_they_are_allowed() {
    let (server, application) = start(|_, _| ()).await;
    let contract = Contract::of(&server).await;
    for (headers, status, code) in [
        (vec![ADA, ALLOWED], 200, ""),
        (vec![("x-api-key", "key-of-bob")], 200, ""),
        (vec![("x-api-key", "key-of-bob"), ("origin", "https://evil.example")], 200, ""),
        // Forged across sites, as a browser would send it: nobody looks at the cookie.
        (vec![ADA, ("origin", "https://evil.example")], 401, "UNAUTHORIZED"),
        (vec![ADA, ("origin", "null")], 401, "UNAUTHORIZED"),
        (vec![ADA, OWN], 401, "UNAUTHORIZED"),
        (vec![ADA], 401, "UNAUTHORIZED"),
        (vec![], 401, "UNAUTHORIZED"),
        (vec![("cookie", "session=eve"), ALLOWED], 401, "UNAUTHORIZED"),
        (vec![("cookie", "session=banned"), ALLOWED], 403, "FORBIDDEN"),
        (vec![("cookie", "session=broken"), ALLOWED], 503, "OVERLOADED"),
        // A bad token is not replaced by a cookie.
        (vec![ADA, ALLOWED, ("authorization", "Bearer bad")], 401, "UNAUTHORIZED"),
    ] {
        let answer = submit(&server, &headers).await;
        contract.holds("post", "/v1/requests", &answer);
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text());
        if status != 200 {
            assert_eq!(answer.error(), (status, code.to_owned()), "{headers:?}");
        }
        assert_eq!(answer.header("retry-after").is_some(), status == 503);
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "{headers:?}");
    }
    // What only reads, a page of this very origin may do by cookie.
    assert_eq!(list(&server, &[ADA, OWN]).await.status, 200);
    assert_eq!(list(&server, &[ADA, ("sec-fetch-site", "cross-site")]).await.status, 401);
    let knock = application.asked.lock().last().expect("it was asked").clone();
    assert_eq!((knock.entry, knock.path.as_str()), (Entry::Call(axum::http::Method::GET), "/v1/requests"));
    assert_eq!(knock.query.into_iter().collect::<Vec<_>>(), [("limit".to_owned(), "3".to_owned())]);

    let before = application.asked();
    let by_token = Http::submit(server.addr, "t", "echo", json!(1)).send().await;
    assert_eq!((by_token.status, application.asked()), (200, before), "a token still is one");
    server.finish().await;
}

#[tokio::test]
async fn every_path_is_open_to_those_who_are_known() {
    let (server, _) = start(|_, _| ()).await;
    let message = Http::post(server.addr, "/v1/topics/news").json(json!({ "data": 1 }));
    assert_eq!(with(message, &[ADA, ALLOWED]).send().await.status, 200);
    let request = json!({ "id": "kept", "action": "burst", "payload": 1 });
    let taken = with(Http::post(server.addr, "/v1/requests").json(request), &[ADA, ALLOWED]).send().await;
    assert_eq!(taken.status, 202);
    let own = "cookie: session=ada\r\nsec-fetch-site: same-origin\r\n";
    let events = Events::listen(server.addr, "/v1/requests/kept/events", own).await.rest().await;
    assert!(events.last().expect("an outcome").is_outcome());
    for (path, status) in [("/v1/requests/kept", 200), ("/v1/usage", 200), ("/v1/artifacts/none", 404)] {
        assert_eq!(with(Http::get(server.addr, path), &[ADA, OWN]).send().await.status, status, "{path}");
    }
    let ended = Http::new("DELETE", server.addr, "/v1/requests/kept");
    assert_eq!(with(ended, &[ADA, OWN]).send().await.status, 401, "it changes something");
    let ended = Http::new("DELETE", server.addr, "/v1/requests/kept");
    assert_eq!(with(ended, &[ADA, ALLOWED]).send().await.status, 200);
    // Bob's are others.
    let others = Http::get(server.addr, "/v1/requests/kept").header("x-api-key", "key-of-bob");
    assert_eq!(others.send().await.status, 404);
    server.finish().await;
}

#[tokio::test]
async fn tokens_can_be_left_to_the_application() {
    let (server, application) = start(|_, gate| gate.instead_of_tokens = true).await;
    let answer = Http::submit(server.addr, "t", "echo", json!(1)).send().await;
    assert_eq!((answer.status, application.asked()), (401, 1));
    assert_eq!(submit(&server, &[ADA, ALLOWED]).await.status, 200);
    server.finish().await;
}

#[tokio::test]
async fn its_word_is_remembered_for_a_while_if_it_is_to_be() {
    let (server, application) = start(|_, _| ()).await;
    for asked in 1..=3 {
        assert_eq!(list(&server, &[ADA, OWN]).await.status, 200);
        assert_eq!(application.asked(), asked, "each call is asked about");
    }
    server.finish().await;

    let span = Duration::from_secs(3600);
    let (server, application) = start(|_, gate| gate.calls_remembered_for = span).await;
    for _ in 0..3 {
        assert_eq!(list(&server, &[ADA, OWN]).await.status, 200);
        assert_eq!(list(&server, &[("x-api-key", "key-of-bob")]).await.status, 200);
    }
    assert_eq!(application.asked(), 2);
    // Of whatever is another call, and of whoever was not known, nothing is.
    assert_eq!(submit(&server, &[ADA, ALLOWED]).await.status, 200);
    for _ in 0..2 {
        assert_eq!(list(&server, &[("x-api-key", "no key")]).await.status, 401);
    }
    assert_eq!(list(&server, &[ADA, ("origin", "https://evil.example")]).await.status, 401);
    assert_eq!(application.asked(), 6);
    assert!(
        server.metrics().contains("streamer_authentication_failures_total{reason=\"hook_unauthorized\"} 3")
    );
    server.finish().await;
}

#[tokio::test]
async fn who_is_known_has_the_limits_of_everybody() {
    let (server, _) = start(|setup, _| setup.settings.messages_per_minute = 2).await;
    for status in [200, 200, 429] {
        assert_eq!(submit(&server, &[ADA, ALLOWED]).await.status, status);
    }
    assert_eq!(submit(&server, &[("x-api-key", "key-of-bob")]).await.status, 200);
    server.finish().await;
}

#[tokio::test]
async fn an_address_that_nobody_knows_is_not_asked_about_without_end() {
    let change = |setup: &mut Setup, gate: &mut Gate| {
        setup.settings.address_connections_per_minute = 3;
        gate.calls_remembered_for = Duration::from_secs(3600);
    };
    let (server, application) = start(change).await;
    assert_eq!(list(&server, &[ADA, OWN]).await.status, 200);
    // The application's own trouble is nobody's fault.
    assert_eq!(list(&server, &[("cookie", "session=broken"), OWN]).await.status, 503);
    for _ in 0..3 {
        assert_eq!(list(&server, &[("x-api-key", "guess")]).await.status, 401);
    }
    let asked = application.asked();
    let refused = list(&server, &[("x-api-key", "guess")]).await;
    assert_eq!(refused.error(), (429, "RATE_LIMITED".to_owned()));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(application.asked(), asked);
    // Who is remembered, or has a token, goes on.
    assert_eq!(list(&server, &[ADA, OWN]).await.status, 200);
    assert_eq!(Http::get(server.addr, "/v1/usage").bearer(&Token::ada()).send().await.status, 200);
    // It is the same allowance as that for connections.
    assert_eq!(Http::get(server.addr, "/ws").send().await.status, 429);
    server.finish().await;
}

#[tokio::test]
async fn a_page_of_another_origin_is_let_send_the_headers_that_are_looked_at() {
    let (server, _) = start(|setup, _| {
        setup.settings.http.allowed_origins = vec![APP.to_owned()];
        setup.settings.http.allow_credentials = true;
    })
    .await;
    let preflight = Http::new("OPTIONS", server.addr, "/v1/requests")
        .header("origin", APP)
        .header("access-control-request-method", "POST")
        .send()
        .await;
    let headers = preflight.header("access-control-allow-headers").expect("some");
    assert!(headers.ends_with(", x-api-key"), "{headers}");
    let answer = submit(&server, &[ADA, ALLOWED]).await;
    assert_eq!((answer.status, answer.header("access-control-allow-credentials")), (200, Some("true")));
    server.finish().await;
}
