//! Requests over HTTP.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::{Value, json};
use streamer_engine::store::{RequestKey, Requests as _};
use streamer_protocol::{RequestId, TenantId, UserId};

use crate::harness::{Contract, Http, Raw, SECRET, Server, Setup, Token, until};

async fn status(server: &Server, id: &str) -> Value {
    let answer = Http::get(server.addr, format!("/v1/requests/{id}")).bearer(&Token::ada()).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn ended(server: &Server, id: &str, how: &str) -> Value {
    until(how, async || status(server, id).await["status"] == how).await;
    status(server, id).await
}

async fn runs(server: &Server, count: usize) {
    until("so many run", async || server.waiting.load(Ordering::Relaxed) == count).await;
}

#[tokio::test]
async fn short_work_is_answered_at_once() {
    let server = Server::start().await;
    let contract = Contract::of(&server).await;
    let answer = Http::submit(server.addr, "a", "typed", json!({ "count": 7 })).send().await;
    contract.holds("post", "/v1/requests", &answer);
    let body = answer.json();
    assert_eq!((answer.status, &body["type"], &body["data"]), (200, &json!("response"), &json!(7)));
    assert_eq!((&body["request_id"], answer.header("location")), (&json!("a"), None), "it is not stored");
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    // Without an id, the server makes one.
    let unnamed = json!({ "action": "echo", "payload": SECRET });
    let answer = Http::post(server.addr, "/v1/requests").bearer(&Token::ada()).json(unnamed).send().await;
    let body = answer.json();
    assert_eq!(body["data"]["echo"], SECRET);
    assert!(body["request_id"].as_str().is_some_and(|id| id.len() == 36), "{body}");
    server.finish().await;
}

#[tokio::test]
async fn long_work_is_acknowledged_and_found_where_the_answer_says() {
    let server = Server::start().await;
    let contract = Contract::of(&server).await;
    let answer = Http::submit(server.addr, "a b/c", "work", json!(SECRET)).send().await;
    contract.holds("post", "/v1/requests", &answer);
    assert_eq!((answer.status, &answer.json()["type"]), (202, &json!("acknowledgment")));
    assert_eq!(answer.header("location"), Some("/v1/requests/a%20b%2fc"));
    runs(&server, 1).await;
    assert_eq!(status(&server, "a%20b%2Fc").await["status"], "PROCESSING");
    server.gate.add_permits(1);
    let view = ended(&server, "a%20b%2Fc", "COMPLETED").await;
    assert_eq!((&view["result"], &view["request_id"]), (&json!(SECRET), &json!("a b/c")));
    let shown = Http::get(server.addr, "/v1/requests/a%20b%2Fc").bearer(&Token::ada()).send().await;
    contract.holds("get", "/v1/requests/{id}", &shown);
    let id = RequestId::parse("a b/c").expect("valid");
    let key = RequestKey::new(TenantId::new("acme"), UserId::new("ada"), id);
    let stored = server.store.inner().request(&key).await.expect("works").expect("there");
    assert_eq!(stored.summary.connection, None);
    server.finish().await;
}

#[tokio::test]
async fn who_prefers_to_wait_is_answered_with_the_outcome() {
    let server = Server::start().await;
    let contract = Contract::of(&server).await;
    let wait = |id: &str, wait: &str| {
        Http::submit(server.addr, id, "work", json!(SECRET)).header("prefer", wait).send()
    };
    let (answer, ()) = tokio::join!(wait("a", "wait=10"), async {
        runs(&server, 1).await;
        server.gate.add_permits(1);
    });
    contract.holds("post", "/v1/requests", &answer);
    let body = answer.json();
    assert_eq!((answer.status, &body["type"], &body["result"]), (200, &json!("complete"), &json!(SECRET)));
    assert_eq!(answer.header("preference-applied"), Some("wait=10"));
    assert_eq!(answer.header("location"), Some("/v1/requests/a"));

    // In vain: acknowledged, and not run again by asking again.
    let answer = wait("b", "respond-async, wait=1").await;
    assert_eq!((answer.status, answer.header("preference-applied")), (202, Some("wait=1")));
    let (again, ()) = tokio::join!(wait("b", "wait=99"), async {
        server.gate.add_permits(1);
    });
    assert_eq!((again.status, &again.json()["result"]), (200, &json!(SECRET)));
    assert_eq!(again.header("preference-applied"), Some("wait=25"), "there is a bound");
    assert_eq!(status(&server, "b").await["attempt"], 1);
    // What has ended needs no waiting.
    let known = Http::submit(server.addr, "b", "work", json!(SECRET)).send().await;
    assert_eq!((known.status, &known.json()["type"]), (200, &json!("complete")));
    server.finish().await;
}

#[tokio::test]
async fn a_failed_outcome_is_a_problem_that_stays() {
    let server = Server::start().await;
    let contract = Contract::of(&server).await;
    for _ in 0..2 {
        let fail = Http::submit(server.addr, "a", "fail", json!({})).header("prefer", "wait=10");
        let answer = fail.send().await;
        contract.holds("post", "/v1/requests", &answer);
        assert_eq!(answer.error(), (400, "VALIDATION_ERROR".to_owned()));
        let problem = answer.problem();
        assert_eq!(problem["detail"], "it never works");
        assert_eq!(problem["request_id"], "a");
        assert!(problem["seq"].is_u64(), "of a stored request: {problem}");
        assert_eq!((answer.header("location"), answer.header("retry-after")), (Some("/v1/requests/a"), None));
    }
    let view = status(&server, "a").await;
    assert_eq!((&view["status"], &view["error"]["message"]), (&json!("FAILED"), &json!("it never works")));
    server.finish().await;
}

#[tokio::test]
async fn short_work_that_takes_longer_after_all_is_taken() {
    let mut setup = Setup::default();
    setup.engine.short_limit = Duration::from_millis(50);
    let server = setup.start().await;
    let answer = Http::submit(server.addr, "a", "wait", json!(SECRET)).send().await;
    assert_eq!((answer.status, &answer.json()["type"]), (202, &json!("acknowledgment")));
    assert_eq!(answer.header("location"), Some("/v1/requests/a"));
    let again = Http::submit(server.addr, "a", "work", json!(SECRET)).send().await;
    assert_eq!(again.error(), (409, "CONFLICT".to_owned()));
    server.gate.add_permits(1);
    assert_eq!(ended(&server, "a", "COMPLETED").await["result"], SECRET);
    server.finish().await;
}

#[tokio::test]
async fn an_idempotency_key_is_the_id() {
    let server = Server::start().await;
    let keyed = |key: &str, request: Value| {
        Http::post(server.addr, "/v1/requests")
            .bearer(&Token::ada())
            .header("idempotency-key", key)
            .json(request)
    };
    let work = |payload: &str| json!({ "action": "work", "payload": payload });
    let answer = keyed("\"k 1\"", work("x")).send().await;
    assert_eq!((answer.status, answer.header("location")), (202, Some("/v1/requests/k%201")));
    assert_eq!(keyed("k 1", work("x")).send().await.status, 202, "the same again");
    let other = keyed("k 1", work("y")).send().await;
    assert_eq!(other.error(), (409, "CONFLICT".to_owned()));
    runs(&server, 1).await;

    let named = |id: &str| json!({ "id": id, "action": "typed", "payload": { "count": 1 } });
    assert_eq!(keyed("b", named("b")).send().await.status, 200);
    let two = keyed("b", named("c")).send().await;
    assert_eq!((two.error().0, two.wrong_field()), (400, "id".to_owned()));
    for key in ["\"open", "", &"x".repeat(129)] {
        let answer = keyed(key, named("b")).send().await;
        assert_eq!((answer.error().0, answer.wrong_field()), (400, "Idempotency-Key".to_owned()), "{key}");
    }
    server.gate.add_permits(1);
    server.finish().await;
}

#[tokio::test]
async fn a_client_that_hangs_up_changes_nothing() {
    let mut setup = Setup::default();
    setup.engine.short_limit = Duration::from_millis(300);
    let server = setup.start().await;
    for (n, (id, action)) in [("queued", "work"), ("promoted", "wait")].into_iter().enumerate() {
        let body = json!({ "id": id, "action": action, "payload": SECRET }).to_string();
        let mut raw = Raw::connect(server.addr).await;
        let head = format!(
            "POST /v1/requests HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\nprefer: wait=20\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            Token::ada(),
            body.len()
        );
        raw.send(head.as_bytes()).await;
        runs(&server, n + 1).await;
        drop(raw);
    }
    until("the short one is stored", async || {
        let path = "/v1/requests/promoted";
        Http::get(server.addr, path).bearer(&Token::ada()).send().await.status == 200
    })
    .await;
    server.gate.add_permits(2);
    for id in ["queued", "promoted"] {
        let view = ended(&server, id, "COMPLETED").await;
        assert_eq!((&view["result"], &view["attempt"]), (&json!(SECRET), &json!(1)));
    }
    server.finish().await;
}

#[tokio::test]
async fn ones_own_requests_are_listed_in_pages() {
    let server = Server::start().await;
    let contract = Contract::of(&server).await;
    for n in 0..5 {
        let action = if n == 2 { "fail" } else { "burst" };
        let payload = if n == 2 { json!({}) } else { json!(1) };
        let call = Http::submit(server.addr, &format!("r{n}"), action, payload).header("prefer", "wait=10");
        assert!([200, 400].contains(&call.send().await.status));
    }
    let list = async |query: &str| {
        let path = format!("/v1/requests{query}");
        let answer = Http::get(server.addr, path).bearer(&Token::ada()).send().await;
        contract.holds("get", "/v1/requests", &answer);
        answer
    };
    let ids = |page: &Value| {
        let requests = page["requests"].as_array().expect("a page");
        requests.iter().map(|view| view["request_id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&list("").await.json()), ["r4", "r3", "r2", "r1", "r0"]);
    assert_eq!(ids(&list("?status=FAILED").await.json()), ["r2"]);
    let first = list("?limit=2").await.json();
    assert_eq!(ids(&first), ["r4", "r3"]);
    let cursor = first["cursor"].as_str().expect("there is more");
    assert_eq!(ids(&list(&format!("?limit=2&cursor={cursor}")).await.json()), ["r2", "r1"]);
    let others = Http::get(server.addr, "/v1/requests").bearer(&Token::of("ada", "globex")).send().await;
    assert_eq!(others.json(), json!({ "requests": [] }));

    for (query, field) in [
        ("?limit=0", "limit"),
        ("?limit=101", "limit"),
        ("?limit=many", "limit"),
        ("?status=DONE", "status"),
        ("?cursor=no", "cursor"),
    ] {
        let answer = list(query).await;
        assert_eq!((answer.error().0, answer.wrong_field()), (400, field.to_owned()), "{query}");
    }
    assert_eq!(list("?limit=1&limit=2").await.error(), (400, "VALIDATION_ERROR".to_owned()));
    server.finish().await;
}

#[tokio::test]
async fn deleting_cancels() {
    let server = Server::start().await;
    let contract = Contract::of(&server).await;
    let delete = async |id: &str, token: &str| {
        let path = format!("/v1/requests/{id}");
        let answer = Http::new("DELETE", server.addr, path).bearer(token).send().await;
        contract.holds("delete", "/v1/requests/{id}", &answer);
        answer
    };
    let later = json!({ "id": "later", "action": "work", "metadata": { "delay_ms": 60_000 } });
    let queued = Http::post(server.addr, "/v1/requests").bearer(&Token::ada()).json(later).send().await;
    assert_eq!(queued.status, 202);
    for stranger in [Token::of("bob", "acme"), Token::of("ada", "globex")] {
        assert_eq!(delete("later", &stranger).await.error(), (404, "NOT_FOUND".to_owned()));
        for path in ["/v1/requests/later", "/v1/requests/later/events"] {
            let answer = Http::get(server.addr, path).bearer(&stranger).send().await;
            assert_eq!(answer.error(), (404, "NOT_FOUND".to_owned()), "{path}");
        }
    }
    for _ in 0..2 {
        let cancelled = delete("later", &Token::ada()).await;
        assert_eq!((cancelled.status, &cancelled.json()["status"]), (200, &json!("CANCELLED")));
    }
    let asked = Http::submit(server.addr, "now", "work", json!({})).send().await;
    assert_eq!(asked.status, 202);
    runs(&server, 1).await;
    let running = delete("now", &Token::ada()).await;
    assert_eq!((running.status, &running.json()["status"]), (202, &json!("PROCESSING")));
    assert_eq!(status(&server, "now").await["cancel_requested"], true);
    assert_eq!(delete("nothing", &Token::ada()).await.error(), (404, "NOT_FOUND".to_owned()));
    server.gate.add_permits(1);
    ended(&server, "now", "COMPLETED").await;
    server.finish().await;
}

#[tokio::test]
async fn a_tenant_is_shown_its_own_figures() {
    let server = Server::start().await;
    let contract = Contract::of(&server).await;
    assert_eq!(Http::submit(server.addr, "a", "work", json!(SECRET)).send().await.status, 202);
    runs(&server, 1).await;
    let usage = async |tenant: &str| {
        let answer = Http::get(server.addr, "/v1/usage").bearer(&Token::of("bob", tenant)).send().await;
        contract.holds("get", "/v1/usage", &answer);
        answer.json()
    };
    let acme = usage("acme").await;
    assert_eq!((&acme["tenant_id"], &acme["open"], &acme["running"]), (&json!("acme"), &json!(1), &json!(1)));
    assert_eq!(acme["open_max"], 10_000);
    assert!(acme["stored_bytes"].as_u64() >= Some(SECRET.len() as u64), "{acme}");
    let globex = usage("globex").await;
    assert_eq!(
        (&globex["open"], &globex["running"], &globex["stored_bytes"]),
        (&json!(0), &json!(0), &json!(0))
    );
    server.gate.add_permits(1);
    server.finish().await;
}

#[tokio::test]
async fn the_doors_are_found_under_a_prefix_too() {
    let server = Server::start().await;
    let request = json!({ "id": "a", "action": "work", "payload": SECRET });
    let posted =
        Http::post(server.addr, "/prod/v1/requests").bearer(&Token::ada()).json(request).send().await;
    assert_eq!((posted.status, posted.header("location")), (202, Some("/prod/v1/requests/a")));
    let shown = Http::get(server.addr, "/prod/v1/requests/a").bearer(&Token::ada()).send().await;
    assert_eq!(shown.status, 200);
    server.gate.add_permits(1);
    server.finish().await;
}
