//! Publishing over HTTP.

use serde_json::json;
use streamer_engine::HistoryRule;
use streamer_protocol::History;

use crate::harness::{Client, Contract, Http, SECRET, Server, Setup, Token};

fn post(server: &Server, token: &str, topic: &str) -> Http {
    Http::post(server.addr, format!("/v1/topics/{topic}")).bearer(token)
}

/// A token of ada's that says more than who she is.
fn allowed(claim: &str, value: serde_json::Value) -> String {
    let mut claims = Token::claims();
    claims[claim] = value;
    Token::claiming(&claims)
}

#[tokio::test]
async fn a_message_reaches_those_who_are_subscribed() {
    let server = Server::start().await;
    let contract = Contract::of(&server).await;
    let mut client = Client::connect(&server, &allowed("permissions", json!(["read"]))).await;
    client.ask("s", "subscribe", json!({ "topic": "orders:eu" })).await;
    assert_eq!(client.frame().await["type"], "response");
    for writer in [allowed("permissions", json!(["write"])), allowed("topics", json!(["orders:*=write"]))] {
        let answer = post(&server, &writer, "orders%3Aeu").json(json!({ "data": SECRET })).send().await;
        contract.holds("post", "/v1/topics/{topic}", &answer);
        let published = answer.json()["data"].clone();
        assert_eq!((answer.status, &published["topic"]), (200, &json!("orders:eu")));
        assert_eq!(answer.header("location"), None);
        let event = client.frame().await;
        assert_eq!((&event["type"], &event["data"]), (&json!("event"), &json!(SECRET)));
        assert_eq!((&event["epoch"], &event["offset"]), (&published["epoch"], &published["offset"]));
    }
    client.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn what_may_not_be_published_is_told() {
    let server = Server::start().await;
    let contract = Contract::of(&server).await;
    let writer = allowed("permissions", json!(["write"]));
    let message = json!({ "data": SECRET });
    for (token, topic, status, code) in [
        (Token::ada(), "orders", 403, "FORBIDDEN"),
        (allowed("topics", json!(["orders.*=write"])), "invoices", 403, "FORBIDDEN"),
        (writer.clone(), "request:a", 403, "FORBIDDEN"),
        (writer.clone(), "no%20topic", 400, "VALIDATION_ERROR"),
        (writer.clone(), "%ff", 400, "VALIDATION_ERROR"),
        (Token::expired(), "orders", 401, "UNAUTHORIZED"),
    ] {
        let answer = post(&server, &token, topic).json(&message).send().await;
        contract.holds("post", "/v1/topics/{topic}", &answer);
        assert_eq!(answer.error(), (status, code.to_owned()), "{topic}");
    }
    for body in ["", "{}", "[1]", "7", "{\"data\":1}x", SECRET] {
        let answer = post(&server, &writer, "orders").json(body).send().await;
        assert_eq!((answer.error().0, answer.wrong_field()), (400, "data".to_owned()), "{body}");
    }
    let huge = json!({ "data": "x".repeat(server.engine.settings().topics.message_bytes_max) });
    let answer = post(&server, &writer, "orders").json(huge).send().await;
    assert_eq!(
        (answer.error(), answer.wrong_field()),
        ((413, "PAYLOAD_TOO_LARGE".to_owned()), "data".to_owned())
    );
    let unread = Http::get(server.addr, "/v1/topics/orders").bearer(&writer).send().await;
    assert_eq!((unread.status, unread.header("allow")), (405, Some("post")));
    server.finish().await;
}

#[tokio::test]
async fn a_message_with_a_key_is_there_once() {
    let history =
        |prefix: &str, history| HistoryRule { prefix: prefix.to_owned(), history, ..HistoryRule::default() };
    let mut setup = Setup::default();
    setup.engine.topics.histories =
        vec![history("memory.", History::Memory), history("durable.", History::Durable)];
    let server = setup.start().await;
    let contract = Contract::of(&server).await;
    let writer = allowed("permissions", json!(["read", "write"]));
    let keyed = async |topic: &str, key: &str, data: serde_json::Value| {
        let call = post(&server, &writer, topic).header("idempotency-key", key);
        let answer = call.json(json!({ "data": data })).send().await;
        contract.holds("post", "/v1/topics/{topic}", &answer);
        answer
    };
    for topic in ["memory.a", "durable.a"] {
        let mut client = Client::connect(&server, &writer).await;
        client.ask("s", "subscribe", json!({ "topic": topic })).await;
        assert_eq!(client.frame().await["type"], "response");
        let first = keyed(topic, "k", json!(1)).await.json();
        assert_eq!((&first["request_id"], &first["data"]["offset"]), (&json!("k"), &json!(1)));
        // Bare or in quotes, and over the socket as well.
        assert_eq!(keyed(topic, "\"k\"", json!(1)).await.json()["data"], first["data"]);
        assert_eq!(client.frame().await["offset"], 1);
        client.ask("p", "publish", json!({ "topic": topic, "data": 1, "idempotency_key": "k" })).await;
        assert_eq!(client.frame().await["data"], first["data"], "no second event comes before it");
        let other = keyed(topic, "k", json!(2)).await;
        assert_eq!(
            (other.error(), other.wrong_field()),
            ((409, "CONFLICT".to_owned()), "Idempotency-Key".to_owned())
        );
        client.leave().await;
    }
    let refused = keyed("none.a", "k", json!(1)).await;
    assert_eq!((refused.error().0, refused.wrong_field()), (400, "Idempotency-Key".to_owned()));
    let long = keyed("memory.a", &"k".repeat(129), json!(1)).await;
    assert_eq!((long.error().0, long.wrong_field()), (400, "Idempotency-Key".to_owned()));
    server.finish().await;
}
