//! Handlers, and how they are routed to.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use streamer_engine::{
    Context, Failure, Handler, Rights, Router, Settings,
    protocol::{ErrorCode, Json},
};

use crate::support::{Node, World, code};

#[derive(Deserialize)]
struct Order {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    amount: u32,
}

#[derive(Serialize)]
struct Total {
    total: u32,
}

async fn add(_: Context, order: Order) -> Result<Total, Failure> {
    Ok(Total { total: order.rows.iter().map(|row| row.amount).sum() })
}

async fn idle(_: Context, _: Value) -> Result<(), Failure> {
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_typed_function_names_what_does_not_fit_by_its_path() {
    let routes = Router::new().action("add", add).action("add.later", add).takes(Duration::from_secs(60));
    let client = Node::alone(routes).connect("c", "ada").await;
    let answer = client.answer("1", "add", json!({ "rows": [{ "amount": 2 }, { "amount": 3 }] })).await;
    assert_eq!(answer["data"], json!({ "total": 5 }));
    for (payload, path, message) in [
        (json!({ "rows": [{ "amount": 2 }, { "amount": "x" }] }), "payload.rows[1].amount", "invalid type"),
        (json!({ "rows": [{}] }), "payload.rows[0]", "missing field `amount`"),
        (json!({ "rows": 3 }), "payload.rows", "invalid type"),
        (json!("rows"), "payload", "invalid type"),
    ] {
        for action in ["add", "add.later"] {
            let answer = client.answer("2", action, payload.clone()).await;
            assert_eq!(code(&answer), "VALIDATION_ERROR");
            let field = &answer["error"]["details"]["fields"][0];
            assert_eq!(field["path"], path, "{answer}");
            let text = field["message"].as_str().expect("text");
            assert!(text.contains(message) && !text.contains(" at line "), "{text}");
        }
    }
    let deep = format!(r#"{{"id":"3","action":"add","payload":{}{}}}"#, "[".repeat(500), "]".repeat(500));
    client.send_text(&deep).await;
    assert_eq!(code(&client.take()[0]), "VALIDATION_ERROR");
}

#[tokio::test(start_paused = true)]
async fn a_failure_says_what_the_client_reads() {
    let reject = |_: Context, _: Value| async move {
        let failure =
            Failure::reject("no good").at("[2].x").also_at("", "too much").also_at("y", "too little");
        Err::<(), _>(failure.code(ErrorCode::Forbidden))
    };
    let client = Node::alone(Router::new().action("reject", reject)).connect("c", "ada").await;
    let answer = client.answer("1", "reject", json!({})).await;
    assert_eq!(
        answer["error"],
        json!({ "code": "FORBIDDEN", "message": "no good", "details": { "fields": [
            { "path": "payload[2].x", "message": "no good" },
            { "path": "payload", "message": "too much" },
            { "path": "payload.y", "message": "too little" },
        ] } })
    );
    assert_eq!(Failure::retry("why").after(Duration::from_secs(1)).to_string(), "to be retried: why");
    assert_eq!(Failure::cancel().at("x").code(ErrorCode::Conflict).to_string(), "cancelled");
}

/// Takes as long as its payload says.
struct Estimating;

#[async_trait]
impl Handler for Estimating {
    fn validate(&self, payload: &Json) -> Result<(), Failure> {
        match payload.get::<i64>() {
            Ok(0..) => Ok(()),
            Ok(_) => Err(Failure::reject("not below zero").at("")),
            Err(_) => panic!("nobody thought of this"),
        }
    }

    fn estimated_duration(&self, payload: &Json) -> Option<Duration> {
        payload.get().ok().map(Duration::from_secs)
    }

    async fn process(&self, _: Context, payload: Json) -> Result<Json, Failure> {
        Ok(payload)
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_estimates_each_payload_and_may_even_panic_at_it() {
    let client = Node::alone(Router::new().action("wait", Estimating)).connect("c", "ada").await;
    assert_eq!(client.answer("1", "wait", json!(4)).await["type"], "response");
    assert_eq!(client.answer("2", "wait", json!(5)).await["type"], "acknowledgment");
    client.until_outcome("2").await;
    assert_eq!(code(&client.answer("3", "wait", json!(-1)).await), "VALIDATION_ERROR");
    assert_eq!(code(&client.answer("4", "wait", json!("x")).await), "INTERNAL_ERROR");
    assert_eq!(client.answer("5", "wait", json!(0)).await["type"], "response");
}

#[test]
fn a_router_refuses_what_the_program_got_wrong() {
    let refused = |what: &str, build: &dyn Fn() -> Router| {
        assert!(catch_unwind(AssertUnwindSafe(build)).is_err(), "{what}");
    };
    refused("a name with a space", &|| Router::new().action("a b", idle));
    refused("no name", &|| Router::new().action("", idle));
    refused("a long name", &|| Router::new().action(&"a".repeat(65), idle));
    refused("twice", &|| Router::new().action("a", idle).action("a", idle));
    refused("twice over two", &|| Router::new().action("a", idle).merge(Router::new().action("a", idle)));
    refused("describes nothing", &|| Router::new().retries(1));
    refused("describes a merged one", &|| Router::new().merge(Router::new().action("a", idle)).retries(1));
    for name in ["echo", "health", "ping", "refresh", "status", "resume", "cancel", "requests"] {
        refused(name, &|| Router::new().action(name, idle));
    }
    let merged = Router::new().action("a", idle).merge(Router::new().action("b", idle));
    assert_eq!(merged.actions().count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_told_what_was_allowed_when_the_request_came() {
    async fn allowed(cx: Context, _: Value) -> Result<Vec<String>, Failure> {
        Ok(cx.permissions().iter().map(str::to_owned).collect())
    }
    let routes = || {
        let later = Router::new().action("later", allowed).takes(Duration::from_secs(60));
        later.action("now", allowed)
    };
    let world = World::new();
    let accepting = world.node("accepting", routes(), Settings::default());
    let rights = Rights::of(["write", "reports.build"].into_iter().collect(), ["news=write"]);
    let client = accepting.connect_as("c", "ada", "acme", rights).await;
    assert_eq!(client.answer("a", "now", json!(1)).await["data"], json!(["reports.build", "write"]));
    client.ask("b", "later", json!(1)).await;
    client.until_type("acknowledgment", "b").await;
    // With a token that allows nothing any more.
    client.answer("r", "refresh", json!({ "token": "fresh" })).await;
    assert_eq!(client.answer("c", "now", json!(1)).await["data"], json!([]));
    client.ask("b", "later", json!(1)).await;

    let _elsewhere = world.working("elsewhere", routes(), Settings::default());
    let other = accepting.connect("d", "ada").await;
    let ended = async {
        loop {
            let stands = other.answer("q", "status", json!({ "request_id": "b" })).await;
            if stands["data"]["status"] == "COMPLETED" {
                break stands["data"]["result"].clone();
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    assert_eq!(crate::support::soon("the end", ended).await, json!(["reports.build", "write"]));
}
