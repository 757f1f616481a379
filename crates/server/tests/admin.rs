//! The operators' address.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::{Value, json};

use crate::harness::{Client, Http, SECRET, Server, Setup, Token, until};

async fn list(server: &Server, query: &str) -> Value {
    let answer = Http::get(server.admin, format!("/v1/requests{query}")).operator().send().await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json()
}

fn ids(list: &Value) -> Vec<&str> {
    let requests = list["requests"].as_array().expect("a list").iter();
    requests.map(|request| request["request_id"].as_str().expect("an id")).collect()
}

async fn act(server: &Server, request: &str, verb: &str) -> (u16, Value) {
    let target = format!("/v1/requests/{request}/{verb}");
    let answer = Http::new("POST", server.admin, target).operator().send().await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn only_operators_get_in() {
    let server = Server::start().await;
    let get = |path: &str| Http::get(server.admin, path);
    for path in ["/v1/requests", "/v1/connections", "/v1/breakers", "/v1/configuration", "/v1/requests/a/b/c"]
    {
        assert_eq!(get(path).send().await.error(), (401, "UNAUTHORIZED".to_owned()), "{path}");
        let answer = get(path).bearer("operators-know-thi").send().await;
        assert_eq!(answer.status, 401, "{path}");
        assert_eq!(get(path).bearer(&Token::ada()).send().await.status, 401, "{path}");
        assert_eq!(get(path).header("authorization", "Bearer ").send().await.status, 401, "{path}");
    }
    assert_eq!(get("/v1/configuration").operator().send().await.json(), json!({ "answer": 42 }));
    let lower = get("/v1/configuration").header("authorization", "bearer operators-know-this");
    assert_eq!(lower.send().await.status, 200);
    assert_eq!(get("/v1/nowhere").operator().send().await.error(), (404, "NOT_FOUND".to_owned()));
    let deleted = Http::new("DELETE", server.admin, "/v1/requests").operator().send().await;
    assert_eq!(deleted.error(), (405, "VALIDATION_ERROR".to_owned()));
    assert!(server.metrics().contains("streamer_authentication_failures_total{reason=\"admin_token\"} 20"));
    server.finish().await;
}

#[tokio::test]
async fn letters_are_operators_business_and_only_where_events_are_published() {
    let server = Server::start().await;
    let letter = || Http::new("POST", server.admin, "/v1/events/letters");
    assert_eq!(letter().send().await.error(), (401, "UNAUTHORIZED".to_owned()));
    assert_eq!(letter().operator().send().await.error(), (404, "NOT_FOUND".to_owned()));
    server.finish().await;
}

#[tokio::test]
async fn without_a_token_nobody_is_an_operator() {
    for token in [None, Some(String::new())] {
        let server = Setup { admin_token: token, ..Setup::default() }.start().await;
        for request in [
            Http::get(server.admin, "/v1/requests"),
            Http::get(server.admin, "/v1/requests").header("authorization", "Bearer "),
            Http::get(server.admin, "/v1/requests").operator(),
        ] {
            assert_eq!(request.send().await.error(), (403, "FORBIDDEN".to_owned()));
        }
        assert_eq!(Http::get(server.admin, "/healthz").send().await.status, 200);
        assert_eq!(Http::get(server.admin, "/metrics").send().await.status, 200);
        server.finish().await;
    }
}

#[tokio::test]
async fn health_and_metrics_are_open_to_all() {
    let server = Server::start().await;
    let client = Client::ada(&server).await;
    let get = |path: &str| Http::get(server.admin, path);
    assert_eq!(get("/healthz").send().await.json(), json!({ "status": "ok" }));
    assert_eq!(get("/readyz").send().await.json(), json!({ "status": "ready", "connections": 1 }));
    let metrics = get("/metrics").send().await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(metrics.text().contains("streamer_connections_active 1\n"), "{}", metrics.text());
    client.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_not_ready() {
    use streamer_engine::testing::Fault;
    let plan = |call| (call == "open_requests").then_some(Fault::Refuse);
    let server = Setup { plan: Box::new(plan), ..Setup::default() }.start().await;
    assert_eq!(Http::get(server.admin, "/readyz").send().await.status, 503);
    assert_eq!(Http::get(server.admin, "/healthz").send().await.status, 200);
    server.finish().await;
}

#[tokio::test]
async fn a_store_that_hangs_is_not_ready_either() {
    use streamer_engine::testing::Fault;
    let plan = |call| (call == "open_requests").then_some(Fault::Delay(Duration::from_secs(600)));
    let server = Setup { plan: Box::new(plan), ..Setup::default() }.start().await;
    let answer = Http::get(server.admin, "/readyz").send().await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (503, Some("the store does not answer")));
    assert_eq!(Http::get(server.admin, "/healthz").send().await.status, 200);
    drop(server);
}

#[tokio::test]
async fn a_page_of_another_site_cannot_reach_it() {
    let server = Server::start().await;
    let get = |host: &str| Http::get(server.admin, "/v1/breakers").operator().host(host);
    for host in
        ["localhost", "LOCALHOST:9090", "127.0.0.1:1", "[::1]:80", "streamer.internal", "Streamer.Internal:1"]
    {
        assert_eq!(get(host).send().await.status, 200, "{host}");
    }
    for host in ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example", ""] {
        assert_eq!(get(host).send().await.error(), (403, "FORBIDDEN".to_owned()), "{host}");
    }
    let metrics = Http::get(server.admin, "/metrics").host("evil.example").send().await;
    assert_eq!(metrics.status, 403);
    server.finish().await;
}

#[tokio::test]
async fn requests_are_listed_by_what_is_asked_for() {
    let server = Server::start().await;
    let mut ada = Client::ada(&server).await;
    let mut bob = Client::connect(&server, &Token::of("bob", "globex")).await;
    for id in ["one", "two"] {
        ada.ask(id, "work", json!(SECRET)).await;
        ada.frame().await;
    }
    ada.ask("bad", "fail", json!(SECRET)).await;
    while ada.frame().await["type"] != "error" {}
    bob.ask("three", "work", json!(SECRET)).await;
    bob.frame().await;
    until("three run", async || server.waiting.load(Ordering::Relaxed) == 3).await;

    assert_eq!(ids(&list(&server, "").await).len(), 4);
    assert_eq!(ids(&list(&server, "?tenant=globex").await), ["three"]);
    assert_eq!(ids(&list(&server, "?tenant=acme&user=ada&status=FAILED").await), ["bad"]);
    assert_eq!(ids(&list(&server, "?action=fail").await), ["bad"]);
    assert!(ids(&list(&server, "?user=nobody").await).is_empty());
    let all = list(&server, "?tenant=globex").await;
    assert_eq!(all["requests"][0]["tenant_id"], "globex");
    assert_eq!(all["requests"][0]["user_id"], "bob");

    let first = list(&server, "?limit=3").await;
    let cursor = first["cursor"].as_str().expect("more");
    let rest = list(&server, &format!("?limit=3&cursor={}", cursor.replace('|', "%7C"))).await;
    let mut seen = [ids(&first), ids(&rest)].concat();
    seen.sort_unstable();
    assert_eq!(seen, ["bad", "one", "three", "two"]);
    assert!(rest.get("cursor").is_none(), "{rest}");

    for bad in ["limit=0", "limit=501", "limit=x", "status=ODD", "action=no%20such", "cursor=odd"] {
        let answer = Http::get(server.admin, format!("/v1/requests?{bad}")).operator().send().await;
        assert_eq!(answer.error(), (400, "VALIDATION_ERROR".to_owned()), "{bad}");
        let field = &answer.json()["error"]["details"]["fields"][0];
        assert_eq!(field["path"].as_str(), bad.split('=').next(), "{bad}: {field}");
    }
    server.gate.add_permits(3);
    ada.leave().await;
    bob.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn a_request_is_shown_cancelled_and_replayed() {
    let mut setup = Setup::default();
    setup.engine.cancel_grace = Duration::from_millis(100);
    let server = setup.start().await;
    let mut ada = Client::ada(&server).await;
    ada.ask("run", "work", json!(SECRET)).await;
    assert_eq!(ada.frame().await["type"], "acknowledgment");
    until("it runs", async || server.waiting.load(Ordering::Relaxed) == 1).await;

    let show = async |request: &str| {
        Http::get(server.admin, format!("/v1/requests/{request}")).operator().send().await
    };
    let shown = show("acme/ada/run").await.json();
    assert_eq!((&shown["status"], &shown["tenant_id"]), (&json!("PROCESSING"), &json!("acme")));
    assert_eq!(show("globex/ada/run").await.error(), (404, "NOT_FOUND".to_owned()));
    let long = format!("acme/ada/{}", "i".repeat(129));
    for bad in [&*long, "acme/ada/%00", "acme/%ff/run"] {
        assert_eq!(show(bad).await.error(), (400, "VALIDATION_ERROR".to_owned()), "{bad}");
    }

    let (status, body) = act(&server, "acme/ada/run", "replay").await;
    assert_eq!((status, &body["error"]["code"]), (409, &json!("CONFLICT")));
    assert_eq!(act(&server, "acme/ada/run", "cancel").await.0, 200);
    let end = ada.frame().await;
    assert_eq!((&end["type"], &end["error"]["code"]), (&json!("error"), &json!("CANCELLED")));
    assert_eq!(act(&server, "acme/bob/run", "cancel").await.0, 404);
    assert_eq!(act(&server, "acme/bob/run", "replay").await.0, 404);

    ada.ask("bad", "fail", json!(SECRET)).await;
    while ada.frame().await["type"] != "error" {}
    assert_eq!(act(&server, "acme/ada/bad", "replay").await.0, 200);
    until("it failed again", async || show("acme/ada/bad").await.json()["status"] == "FAILED").await;

    // Ids may hold what a path must not.
    ada.ask("a/b c%", "fail", json!(SECRET)).await;
    while ada.frame().await["type"] != "error" {}
    assert_eq!(show("acme/ada/a%2Fb%20c%25").await.json()["status"], "FAILED");

    let audited: Vec<_> = server.log().into_iter().filter(|line| line["audit"] == true).collect();
    assert_eq!(audited.len(), 5, "{audited:?}");
    assert_eq!(audited[1]["path"], "/v1/requests/acme/ada/run/cancel");
    ada.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn connections_are_listed_and_closed() {
    let server = Server::start().await;
    let ada = Client::ada(&server).await;
    let bob = Client::connect(&server, &Token::of("bob", "globex")).await;
    let list = async |query: &str| {
        Http::get(server.admin, format!("/v1/connections{query}")).operator().send().await
    };
    assert_eq!(list("").await.json()["connections"].as_array().expect("a list").len(), 2);
    let of_ada = list("?tenant=acme&user=ada").await.json();
    assert_eq!(of_ada["connections"].as_array().expect("a list").len(), 1);
    let shown = &of_ada["connections"][0];
    assert_eq!((&shown["endpoint"], &shown["ip_address"]), (&json!("node-1:8080"), &json!("127.0.0.1")));
    let page = list("?limit=1").await.json();
    assert!(page["cursor"].is_string());
    for bad in ["limit=0", "limit=x", "limit=501", "cursor=odd"] {
        let answer = list(&format!("?{bad}")).await;
        assert_eq!(answer.error(), (400, "VALIDATION_ERROR".to_owned()), "{bad}");
        let field = &answer.json()["error"]["details"]["fields"][0];
        assert_eq!(field["path"].as_str(), bad.split('=').next(), "{bad}: {field}");
    }

    let close = async |id: &str| {
        Http::new("DELETE", server.admin, format!("/v1/connections/{id}")).operator().send().await.status
    };
    let id = shown["connection_id"].as_str().expect("an id");
    assert_eq!(close(id).await, 204);
    assert_eq!(ada.closed().await, 4403);
    server.endings(1).await;
    assert_eq!(close(id).await, 404);
    assert_eq!(close("nobody").await, 404);
    bob.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn operators_send_and_broadcast() {
    let server = Server::start().await;
    let (mut ada, mut bob) =
        (Client::ada(&server).await, Client::connect(&server, &Token::of("bob", "acme")).await);
    let ids: Vec<_> = server.stored().await.into_iter().map(|record| record.id.to_string()).collect();
    let post = async |path: String, body: &str| {
        Http::new("POST", server.admin, path).operator().json(body).send().await
    };
    let message = json!({ "note": SECRET });
    for id in &ids {
        let sent = post(format!("/v1/connections/{id}/messages"), &message.to_string()).await;
        assert_eq!(sent.status, 204);
    }
    assert_eq!(ada.frame().await, message);
    assert_eq!(bob.frame().await, message);

    let order = json!({ "connections": [ids[0], "nobody", ids[1]], "message": message });
    let answer = post("/v1/broadcast".to_owned(), &order.to_string()).await.json();
    let failed = json!([{ "connection_id": "nobody", "error": "not_found" }]);
    assert_eq!(answer, json!({ "delivered": 2, "failed": failed }));
    assert_eq!(ada.frame().await, message);
    assert_eq!(bob.frame().await, message);

    let missing = post("/v1/connections/nobody/messages".to_owned(), "1").await;
    assert_eq!(missing.error(), (404, "NOT_FOUND".to_owned()));
    for (path, body) in
        [("connections/x/messages", "{"), ("broadcast", "{}"), ("broadcast", "[1"), ("broadcast", "")]
    {
        let answer = post(format!("/v1/{path}"), body).await;
        assert_eq!(answer.error(), (400, "VALIDATION_ERROR".to_owned()), "{path} {body}");
    }
    let large = json!("x".repeat(3 * 1024 * 1024)).to_string();
    let answer = post(format!("/v1/connections/{}/messages", ids[0]), &large).await;
    assert_eq!(answer.error(), (413, "PAYLOAD_TOO_LARGE".to_owned()));
    ada.leave().await;
    bob.leave().await;
    server.finish().await;
}
