//! Handlers, webhooks and hooks behind URLs.

use serde_json::json;
use streamer_e2e::{
    http,
    origin::{Asked, Origin, Reply},
    patience::until,
    peer::{Peer, Refused},
    promises::Heard,
    scenario::Place as _,
    server::Setup,
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Error, client::IntoClientRequest as _, http::HeaderValue},
};

use crate::server;

const KEY: &str = "a-key-of-the-tests-with-32-characters";

fn calling() -> Setup {
    server().set("remote.signing_keys.k1", KEY)
}

async fn end(peer: &mut Peer, id: &str) -> Heard {
    let mut heard = Heard::nothing_of(id);
    while heard.end.is_none() {
        heard.take(&peer.frame().await);
    }
    heard
}

#[tokio::test]
async fn a_handler_goes_on_from_its_checkpoint_after_the_server_was_killed() {
    let origin = Origin::answering(|asked: &Asked| match asked.body["checkpoint"].as_u64() {
        None => Reply::Unfinished(vec![
            json!({ "chunk": 0, "checkpoint": 0 }),
            json!({ "chunk": 1, "checkpoint": 1 }),
            json!({ "chunk": "void" }),
        ]),
        Some(last) => Reply::Lines(vec![json!({ "chunk": last + 1 }), json!({ "result": { "from": last } })]),
    })
    .await;
    let mut server = calling()
        .set("actions.count.url", origin.url("/count"))
        .set("actions.count.body", "envelope")
        .set("actions.count.takes_ms", 60_000)
        .start()
        .await;
    let mut peer = server.peer("ada", "acme").await;
    peer.send("r", "count", json!({ "to": 3 })).await;
    let mut heard = Heard::nothing_of("r");
    while heard.chunks.len() < 3 {
        heard.take(&peer.frame().await);
    }
    server.kill().await;
    server.restart().await;
    let mut peer = server.peer("ada", "acme").await;
    peer.send("again", "resume", json!({ "request_id": "r" })).await;
    let heard = end(&mut peer, "r").await;
    assert_eq!(heard.result(), &json!({ "from": 1 }));
    let chunks = heard.chunks.clone();
    assert_eq!(
        chunks,
        [json!(0), json!(1), json!(2)],
        "none is missing, none is there twice, the void one is gone"
    );
    let asked = origin.asked(2).await;
    assert_eq!(asked[1].body["attempt"], 2);
    // Out of the store: who asked is not there.
    assert_eq!(asked[1].body["permissions"], json!(["read", "write"]));
    assert_eq!(asked[1].header("streamer-permissions"), Some("read,write"));
    assert_eq!(asked[0].header("idempotency-key"), asked[1].header("idempotency-key"));
    server.stop().await;
}

#[tokio::test]
async fn an_outcome_is_told_though_the_server_was_killed_before_it_was_heard() {
    let origin = Origin::answering(|asked: &Asked| match (asked.path(), asked.number) {
        ("/work", _) => Reply::Json(200, json!({ "done": true })),
        // Nobody hears it in the first life.
        (_, 1) => Reply::Json(500, json!({})),
        _ => Reply::Json(200, json!({})),
    })
    .await;
    let mut server = calling()
        .set("actions.work.url", origin.url("/work"))
        .set("actions.work.webhook_url", origin.url("/told"))
        .set("remote.webhook_timeout_ms", 1000)
        .set("remote.webhook_retry_base_ms", 1500)
        .start()
        .await;
    let mut peer = server.peer("ada", "acme").await;
    peer.send("r", "work", json!({})).await;
    end(&mut peer, "r").await;
    origin.asked(2).await;
    server.kill().await;
    server.restart().await;
    let told = origin.asked(3).await.remove(2);
    assert_eq!((told.path(), &told.body["status"]), ("/told", &json!("COMPLETED")));
    assert_eq!((&told.body["request_id"], &told.body["result"]), (&json!("r"), &json!({ "done": true })));
    let waiting = until("the outbox to be empty", async || {
        let waiting = server.metric("streamer_webhooks_waiting", &[]).await;
        (waiting == 0.0).then_some(waiting)
    });
    waiting.await;
    assert_eq!(server.inspect("/v1/webhooks").await.json(), json!({ "webhooks": [] }));
    server.stop().await;
}

#[tokio::test]
async fn a_rust_action_may_have_a_webhook_and_what_nobody_hears_is_listed() {
    let origin = Origin::answering(|asked: &Asked| match asked.number {
        0 => Reply::Json(410, json!({})),
        _ => Reply::Json(200, json!({})),
    })
    .await;
    let mut server = calling().set("actions.echo_async.webhook_url", origin.url("/told")).start().await;
    let mut peer = server.peer("ada", "acme").await;
    peer.send("r", "echo_async", json!({ "text": "x" })).await;
    end(&mut peer, "r").await;
    let listed = until("it to be given up", async || {
        let listed = server.inspect("/v1/webhooks").await.json();
        (listed["webhooks"].as_array().is_some_and(|all| !all.is_empty())).then_some(listed)
    })
    .await;
    let given_up = &listed["webhooks"][0];
    assert_eq!(
        (&given_up["request_id"], &given_up["action"]),
        (&json!("r"), &json!("echo_async")),
        "{listed}"
    );
    let again = "/v1/webhooks/acme/ada/r/retry";
    let token = Some(streamer_e2e::server::ADMIN_TOKEN);
    assert_eq!(streamer_e2e::http::post(server.admin(), again, token, &json!({})).await.status, 202);
    origin.asked(2).await;
    assert_eq!(
        streamer_e2e::http::post(server.admin(), "/v1/webhooks/acme/ada/no/retry", token, &json!({}))
            .await
            .status,
        404
    );
    server.stop().await;
}

/// Upgrades with these headers; the status, and the connection if it is one.
async fn upgrade(url: &str, headers: &[(&'static str, &str)]) -> Result<Peer, u16> {
    let mut request = url.into_client_request().expect("an address");
    for (name, value) in headers {
        request.headers_mut().insert(*name, HeaderValue::from_str(value).expect("a value"));
    }
    match connect_async(request).await {
        Ok((socket, _)) => Ok(Peer::over(socket)),
        Err(Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(e) => panic!("{e}"),
    }
}

#[tokio::test]
async fn an_application_lets_in_whom_it_knows_by_cookie_and_no_strange_page() {
    let origin = Origin::answering(|asked: &Asked| match asked.path() {
        "/left" => Reply::Json(200, json!({})),
        _ => match asked.body["headers"]["cookie"].as_str() {
            Some("session=ada") => Reply::Json(200, json!({ "user_id": "ada", "tenant_id": "acme" })),
            Some("session=banned") => Reply::Json(403, json!({})),
            Some("session=broken") => Reply::Json(500, json!({})),
            _ => Reply::Json(401, json!({})),
        },
    })
    .await;
    let mut server = calling()
        .set("hooks.connect_url", origin.url("/connect"))
        .set("hooks.disconnect_url", origin.url("/left"))
        .set("hooks.allowed_origins", "[\"https://app.example\"]")
        .start()
        .await;
    let url = format!("{}?room=7&token=hush", server.ws_url());
    let app = ("origin", "https://app.example");
    let mut peer = upgrade(&url, &[app, ("cookie", "session=ada")]).await.expect("is known");
    assert_eq!(peer.ask("e", "echo", json!(1)).await["data"]["echo"], 1);
    let question = origin.asked(1).await.remove(0);
    assert_eq!(question.body["query"], json!({ "room": "7" }), "tokens are nobody's to see");
    peer.leave().await;
    let left = origin.asked(2).await.remove(1);
    assert_eq!(
        (left.path(), &left.body["user_id"], &left.body["reason"]),
        ("/left", &json!("ada"), &json!("client_closed"))
    );

    for (headers, status) in [
        (vec![app, ("cookie", "session=banned")], 403),
        (vec![app, ("cookie", "session=eve")], 401),
        (vec![app, ("cookie", "session=broken")], 503),
        // A page of another site, in the browser of somebody who is known.
        (vec![("origin", "https://evil.example"), ("cookie", "session=ada")], 401),
        (vec![("origin", "null"), ("cookie", "session=ada")], 401),
        (vec![("cookie", "session=ada")], 401),
    ] {
        let refused = upgrade(&url, &headers).await.map(drop);
        assert_eq!(refused, Err(status), "{headers:?}");
    }
    // A token still is one, and a bad one is not replaced by a cookie.
    server.peer("bob", "acme").await.leave().await;
    let bad =
        upgrade(&url, &[app, ("cookie", "session=ada"), ("authorization", "Bearer bad")]).await.map(drop);
    assert_eq!(bad, Err(401));
    server.stop().await;
    assert!(!server.log().contains("hush"));
}

#[tokio::test]
async fn an_application_says_who_calls_over_http() {
    let origin = Origin::answering(|asked: &Asked| match asked.body["headers"]["cookie"].as_str() {
        Some("session=ada") => Reply::Json(200, json!({ "user_id": "ada", "tenant_id": "acme" })),
        _ => Reply::Json(401, json!({})),
    })
    .await;
    let mut server = calling()
        .set("hooks.connect_url", origin.url("/connect"))
        .set("hooks.allowed_origins", "[\"https://app.example\"]")
        .set("hooks.calls_remembered_ms", 60_000)
        .start()
        .await;
    let (app, ada) = (("Origin", "https://app.example"), ("Cookie", "session=ada"));
    let request = json!({ "id": "r", "action": "delay", "payload": { "seconds": 0.2, "chunks": 2 } });
    let submit = async |headers: &[(&str, &str)]| {
        http::call_with(server.listen(), "POST", "/v1/requests", headers, Some(&request)).await.status
    };
    assert_eq!(submit(&[ada, app, ("Prefer", "wait=20")]).await, 200);
    let question = origin.asked(1).await.remove(0);
    assert_eq!(question.header("streamer-event"), Some("call"));
    assert!(question.header("signature").is_some_and(|signature| signature.starts_with("k1=:")));
    assert_eq!((&question.body["type"], &question.body["method"]), (&json!("call"), &json!("POST")));
    // A page of another site, in the browser of somebody who is known.
    assert_eq!(submit(&[ada, ("Origin", "https://evil.example")]).await, 401);
    assert_eq!(submit(&[ada, ("Sec-Fetch-Site", "same-origin")]).await, 401);

    let own = [ada, ("Sec-Fetch-Site", "same-origin")];
    let events = http::call_with(server.listen(), "GET", "/v1/requests/r/events", &own, None).await;
    assert!(events.status == 200 && events.text().contains("event: complete"), "{}", events.text());
    let asked = origin.asked(4).await.len();
    for _ in 0..3 {
        let stands = http::call_with(server.listen(), "GET", "/v1/requests/r", &own, None).await.json();
        assert_eq!(stands["status"], "COMPLETED");
    }
    assert_eq!(origin.asked(asked + 1).await.len(), asked + 1, "its word is remembered");
    until("what is remembered to be counted", async || {
        (server.metric("streamer_hook_calls_remembered", &[]).await >= 3.0).then_some(())
    })
    .await;
    server.stop().await;
    assert!(!server.log().contains("session=ada"));
}

#[tokio::test]
async fn nobody_is_let_in_while_the_application_is_away() {
    let url = {
        let origin = Origin::answering(|_| Reply::Json(200, json!({}))).await;
        origin.url("/connect")
    };
    let mut server = calling().set("hooks.connect_url", url).start().await;
    match Peer::try_connect(&server.ws_url(), None).await {
        Err(Refused::Answered { status, .. }) => assert_eq!(status, 503),
        other => panic!("{:?}", other.map(drop)),
    }
    assert_eq!(http::get(server.listen(), "/v1/usage", None).await.status, 503);
    server.stop().await;
}
