//! What the HTTP door refuses, and how.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use streamer_engine::testing::Fault;

use crate::harness::{Client, Contract, Http, Raw, SECRET, Server, Setup, Token, in_time, until};

fn post(server: &Server) -> Http {
    Http::post(server.addr, "/v1/requests").bearer(&Token::ada())
}

/// The status of an answer that is read from a socket.
async fn answered(raw: &mut Raw) -> (u16, String) {
    let head = raw.head().await;
    (head.split(' ').nth(1).expect("a status").parse().expect("a number"), head.to_ascii_lowercase())
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong() {
    let server = Server::start().await;
    let contract = Contract::of(&server).await;
    let named = |id: Value, action: &str| json!({ "id": id, "action": action }).to_string();
    for (body, status, code, field) in [
        (SECRET.to_owned(), 400, "VALIDATION_ERROR", ""),
        (String::new(), 400, "VALIDATION_ERROR", ""),
        ("[]".to_owned(), 400, "VALIDATION_ERROR", ""),
        (format!("{}{}", "[".repeat(30_000), "]".repeat(30_000)), 400, "VALIDATION_ERROR", ""),
        (json!({ "id": "a" }).to_string(), 400, "VALIDATION_ERROR", "action"),
        (named(json!(7), "echo"), 400, "VALIDATION_ERROR", "id"),
        (named(json!("i".repeat(129)), "echo"), 400, "VALIDATION_ERROR", "id"),
        (named(json!("a"), "no such"), 400, "VALIDATION_ERROR", "action"),
        (named(json!("a"), "unknown"), 404, "NOT_FOUND", "action"),
        (named(json!("a"), "refresh"), 400, "VALIDATION_ERROR", "action"),
        (named(json!("a"), "resume"), 400, "VALIDATION_ERROR", "action"),
        (
            json!({ "action": "typed", "payload": { "count": SECRET } }).to_string(),
            400,
            "VALIDATION_ERROR",
            "payload.count",
        ),
        (
            json!({ "action": "work", "metadata": { "priority": 11 } }).to_string(),
            400,
            "VALIDATION_ERROR",
            "metadata.priority",
        ),
    ] {
        let answer = post(&server).json(&body).send().await;
        contract.holds("post", "/v1/requests", &answer);
        assert_eq!(answer.error(), (status, code.to_owned()), "{body:.80}");
        assert_eq!(answer.wrong_field(), field, "{body:.80}");
    }
    let mut raw = Raw::connect(server.addr).await;
    let head = format!(
        "POST /v1/requests HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 2\r\n\r\n",
        Token::ada()
    );
    raw.send(&[head.as_bytes(), b"\xff\xfe"].concat()).await;
    assert_eq!(answered(&mut raw).await.0, 400);
    server.finish().await;
}

#[tokio::test]
async fn only_json_is_taken() {
    let server = Server::start().await;
    let echo = json!({ "action": "echo" }).to_string();
    for (kind, status) in [
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("application/vnd.acme+json", 200),
        ("application/x-www-form-urlencoded", 415),
        ("text/plain", 415),
        ("application/jsonp", 415),
    ] {
        let answer = post(&server).header("content-type", kind).body(&echo).send().await;
        assert_eq!(answer.status, status, "{kind}");
        if status == 415 {
            assert_eq!(answer.error().1, "VALIDATION_ERROR");
            assert_eq!(answer.header("accept"), Some("application/json"));
        }
    }
    assert_eq!(post(&server).body(&echo).send().await.status, 415, "no type at all");
    let packed = post(&server).header("content-encoding", "gzip").json(&echo).send().await;
    assert_eq!(packed.status, 415);
    server.finish().await;
}

#[tokio::test]
async fn a_body_is_bounded_however_it_comes() {
    let mut setup = Setup::default();
    setup.settings.message_bytes_max = 1000;
    let server = setup.start().await;
    let fits = |size: usize| {
        let frame = json!({ "action": "echo", "payload": "" }).to_string();
        json!({ "action": "echo", "payload": "x".repeat(size - frame.len()) })
    };
    assert_eq!(post(&server).json(fits(1000)).send().await.status, 200);
    assert_eq!(post(&server).json(fits(1001)).send().await.error(), (413, "PAYLOAD_TOO_LARGE".to_owned()));
    // Larger than the system holds for a peer that does not read.
    let huge = post(&server).json(fits(700_000)).send().await;
    assert_eq!(huge.error(), (413, "PAYLOAD_TOO_LARGE".to_owned()));

    let head = |more: &str| {
        format!(
            "POST /v1/requests HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\n{more}\r\n",
            Token::ada()
        )
    };
    let mut chunked = Raw::connect(server.addr).await;
    chunked.send(head("transfer-encoding: chunked\r\n").as_bytes()).await;
    let piece = format!("{:x}\r\n{}\r\n", 700, "x".repeat(700));
    chunked.send(format!("{piece}{piece}0\r\n\r\n").as_bytes()).await;
    assert_eq!(answered(&mut chunked).await.0, 413);

    // Who asks first is not told to go on.
    let mut polite = Raw::connect(server.addr).await;
    polite.send(head("content-length: 5000\r\nexpect: 100-continue\r\n").as_bytes()).await;
    assert_eq!(answered(&mut polite).await.0, 413);
    let body = fits(500).to_string();
    let mut polite = Raw::connect(server.addr).await;
    polite
        .send(head(&format!("content-length: {}\r\nexpect: 100-continue\r\n", body.len())).as_bytes())
        .await;
    assert_eq!(answered(&mut polite).await.0, 100);
    polite.send(body.as_bytes()).await;
    assert_eq!(answered(&mut polite).await.0, 200);
    server.finish().await;
}

#[tokio::test]
async fn who_never_ends_a_body_is_told_and_closed() {
    let mut setup = Setup::default();
    setup.settings.http.body_timeout = Duration::from_millis(300);
    let server = setup.start().await;
    let mut loris = Raw::connect(server.addr).await;
    let head = format!(
        "POST /v1/requests HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        Token::ada()
    );
    loris.send(head.as_bytes()).await;
    let dripping = async {
        use tokio::io::AsyncWriteExt as _;
        let (mut read, mut write) = loris.stream.split();
        let drip = async {
            loop {
                if write.write_all(b" ").await.is_err() {
                    return std::future::pending().await;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let mut answer = Vec::new();
        let reading = async {
            use tokio::io::AsyncReadExt as _;
            // A reset is an end too.
            let _ = read.read_to_end(&mut answer).await;
        };
        tokio::select! {
            () = drip => {}
            () = reading => {}
        }
        String::from_utf8(answer).expect("text")
    };
    let answer = in_time("it is closed", dripping).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("TIMEOUT"), "{answer}");
    let mut other = Client::ada(&server).await;
    other.echo("not held up").await;
    other.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let mut setup = Setup::default();
    setup.engine.quota.tenant_open_max = 1;
    let server = setup.start().await;
    let contract = Contract::of(&server).await;
    let ask = |id: &str| Http::submit(server.addr, id, "work", json!(SECRET)).send();
    assert_eq!(ask("a").await.status, 202);
    let full = ask("b").await;
    contract.holds("post", "/v1/requests", &full);
    assert_eq!((full.error(), full.header("retry-after")), ((503, "OVERLOADED".to_owned()), Some("2")));
    assert_eq!(full.problem()["retry"], json!({ "retryable": true, "after": 2000 }));
    assert_eq!(ask("a").await.status, 202, "what is known is answered even then");
    let other = json!({ "action": "work", "payload": 1 });
    let other = Http::post(server.addr, "/v1/requests").bearer(&Token::of("ada", "globex")).json(other);
    assert_eq!(other.send().await.status, 202, "another tenant's queue is its own");
    assert!(
        server.counts("streamer_requests_accepted_total{kind=\"queued\"}", 2),
        "what is refused is not counted"
    );
    server.gate.add_permits(2);
    server.finish().await;
}

#[tokio::test]
async fn so_many_calls_of_one_user_are_worked_on_at_once() {
    let mut setup = Setup::default();
    setup.settings.http.user_calls_max = 1;
    let server = setup.start().await;
    let wait = |id: &str| Http::submit(server.addr, id, "wait", json!(SECRET)).send();
    let (first, ()) = tokio::join!(wait("a"), async {
        until("it runs", async || server.waiting.load(Ordering::Relaxed) == 1).await;
        let over = wait("b").await;
        assert_eq!((over.error(), over.header("retry-after")), ((429, "RATE_LIMITED".to_owned()), Some("1")));
        let bob = Http::post(server.addr, "/v1/requests").bearer(&Token::of("bob", "acme"));
        assert_eq!(bob.json(json!({ "action": "echo" })).send().await.status, 200);
        server.gate.add_permits(1);
    });
    assert_eq!(first.status, 200);
    // What is stored waits in the queue, and not here.
    for id in ["c", "d", "e"] {
        assert_eq!(Http::submit(server.addr, id, "work", json!(1)).send().await.status, 202);
    }
    server.gate.add_permits(3);
    server.finish().await;
}

#[tokio::test]
async fn one_user_calls_as_often_as_a_connection_may_send() {
    let mut setup = Setup::default();
    setup.settings.messages_per_minute = 3;
    let server = setup.start().await;
    let call = |path: &str| Http::get(server.addr, path).bearer(&Token::ada());
    for path in ["/v1/usage", "/v1/requests", "/v1/requests/a"] {
        assert_ne!(call(path).send().await.status, 429);
    }
    for over in
        [call("/v1/usage"), call("/v1/requests/a/events"), post(&server).json(json!({ "action": "ping" }))]
    {
        let over = over.send().await;
        assert_eq!(over.error(), (429, "RATE_LIMITED".to_owned()));
        let wait: u64 = over.header("retry-after").and_then(|wait| wait.parse().ok()).expect("when");
        assert!((1..=20).contains(&wait), "{wait}");
    }
    assert!(server.counts("streamer_rate_limited_total{what=\"calls\"}", 3), "{}", server.metrics());
    let other = Http::get(server.addr, "/v1/usage").bearer(&Token::of("bob", "acme")).send().await;
    assert_eq!(other.status, 200);
    server.finish().await;
}

#[tokio::test]
async fn only_who_presents_a_token_is_served() {
    let server = Server::start().await;
    let contract = Contract::of(&server).await;
    for (method, path, described) in [
        ("POST", "/v1/requests", "/v1/requests"),
        ("GET", "/v1/requests", "/v1/requests"),
        ("GET", "/v1/requests/a", "/v1/requests/{id}"),
        ("DELETE", "/v1/requests/a", "/v1/requests/{id}"),
        ("GET", "/v1/requests/a/events", "/v1/requests/{id}/events"),
        ("GET", "/v1/usage", "/v1/usage"),
        ("GET", "/v1/artifacts/a", "/v1/artifacts/{id}"),
    ] {
        let call = || Http::new(method, server.addr, path);
        for call in [call(), call().bearer(&Token::expired()), call().bearer(&Token::forged())] {
            let answer = call.json(json!({ "action": "echo" })).send().await;
            contract.holds(&method.to_lowercase(), described, &answer);
            assert_eq!(answer.error(), (401, "UNAUTHORIZED".to_owned()), "{method} {path}");
            assert_eq!(answer.header("www-authenticate"), Some("bearer"));
        }
        // In the query only where a page could do no other.
        let in_query = format!("{path}?Authorization={}", Token::ada());
        let answer = Http::new(method, server.addr, in_query).json(json!({ "action": "echo" })).send().await;
        let expected = if path.ends_with("/events") || path.contains("artifacts") { 404 } else { 401 };
        assert_eq!(answer.status, expected, "{method} {path}");
    }
    for open in ["/v1/openapi.json", "/v1/asyncapi.json"] {
        assert_eq!(Http::get(server.addr, open).send().await.status, 200);
    }
    server.finish().await;
}

#[tokio::test]
async fn methods_and_paths_that_are_not_there_are_told_so() {
    let server = Server::start().await;
    for (method, path, allowed) in [
        ("PUT", "/v1/requests", "get,head,post"),
        ("OPTIONS", "/v1/requests", "get,head,post"),
        ("POST", "/v1/requests/a", "get,head,delete"),
        ("DELETE", "/v1/requests/a/events", "get,head"),
        ("POST", "/v1/usage", "get,head"),
    ] {
        let answer = Http::new(method, server.addr, path).bearer(&Token::ada()).send().await;
        assert_eq!(answer.error(), (405, "VALIDATION_ERROR".to_owned()), "{method} {path}");
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
    }
    for path in ["/v1", "/v1/", "/v1/nothing", "/v1/requests/", "/v1/requests/a/b", "/v2/requests"] {
        let answer = Http::get(server.addr, path).bearer(&Token::ada()).send().await;
        assert_eq!(answer.error(), (404, "NOT_FOUND".to_owned()), "{path}");
    }
    for id in ["%ff", "%00", &"x".repeat(129)] {
        let answer = Http::get(server.addr, format!("/v1/requests/{id}")).bearer(&Token::ada()).send().await;
        assert_eq!(answer.error(), (404, "NOT_FOUND".to_owned()), "{id}");
    }
    for (path, status) in [("/v1/requests", 200), ("/v1/requests/a", 404), ("/v1/requests/a/events", 404)] {
        let answer = Http::new("HEAD", server.addr, path).bearer(&Token::ada()).send().await;
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{path}");
    }
    server.finish().await;
}

#[tokio::test]
async fn a_store_that_fails_is_500_under_a_correlation_id() {
    let failing = Arc::new(AtomicBool::new(false));
    let plan = {
        let failing = Arc::clone(&failing);
        move |call| (call == "request" && failing.load(Ordering::Relaxed)).then_some(Fault::Refuse)
    };
    let server = Setup { plan: Box::new(plan), ..Setup::default() }.start().await;
    let contract = Contract::of(&server).await;
    failing.store(true, Ordering::Relaxed);
    let answer = Http::get(server.addr, "/v1/requests/a").bearer(&Token::ada()).send().await;
    contract.holds("get", "/v1/requests/{id}", &answer);
    assert_eq!(answer.error(), (500, "INTERNAL_ERROR".to_owned()));
    let problem = answer.problem();
    assert!(server.log().iter().any(|line| line["correlation_id"] == problem["correlation_id"]));
    assert!(!answer.text().contains("plan"), "nothing of the inside is told");
    failing.store(false, Ordering::Relaxed);
    server.finish().await;
}

#[tokio::test]
async fn while_draining_nothing_new_is_taken_and_who_waits_is_answered() {
    let setup = Setup { linger: Duration::from_secs(1), ..Setup::default() };
    let server = setup.start().await;
    let wait = Http::submit(server.addr, "a", "work", json!(SECRET)).header("prefer", "wait=20").send();
    let (waited, ()) = tokio::join!(wait, async {
        until("it runs", async || server.waiting.load(Ordering::Relaxed) == 1).await;
        server.stop();
        let refused = async || {
            let answer = Http::submit(server.addr, "b", "work", json!(SECRET)).send().await;
            (answer.status == 503).then_some(answer)
        };
        until("503", async || refused().await.is_some()).await;
        let answer = refused().await.expect("refused");
        assert_eq!((answer.error().1, answer.header("retry-after")), ("OVERLOADED".to_owned(), Some("1")));
        let events = Http::get(server.addr, "/v1/requests/a/events").bearer(&Token::ada()).send().await;
        assert_eq!(events.error(), (503, "OVERLOADED".to_owned()));
    });
    assert_eq!(waited.status, 202, "it is stored, and that is what can be said");
    server.gate.add_permits(1);
    server.finish().await;
}
