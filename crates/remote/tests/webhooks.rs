//! Outcomes, told.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use streamer_engine::{
    Backoff, Context, Failure, OutboxSettings, Router,
    protocol::{Action, RequestId, TenantId, UserId},
    store::{Outbox as _, PageQuery, RequestKey},
    testing::MemoryStore,
};
use streamer_remote::UrlWebhooks;

use crate::harness::{Asked, Node, Script, Step, ok, raw, remote, soon, until};

async fn answer(_: Context, payload: Value) -> Result<Value, Failure> {
    if payload["fail"] == true { Err(Failure::reject("it never works")) } else { Ok(payload) }
}

/// An action whose outcomes are told.
fn routes() -> Router {
    let mut routes =
        Router::new().action("work", answer).action("quiet", answer).takes(Duration::from_secs(60));
    assert!(routes.announce("work"));
    routes
}

fn webhooks(script: &Script) -> UrlWebhooks {
    let action = Action::parse("work").expect("valid");
    UrlWebhooks::new(
        HashMap::from([(action, remote().target(script.address("/hook")))]),
        Duration::from_millis(500),
    )
}

fn impatient() -> OutboxSettings {
    let backoff = Backoff { base: Duration::from_millis(10), max: Duration::from_millis(50) };
    OutboxSettings { retries: 3, backoff, lease: Duration::from_secs(5), ..OutboxSettings::default() }
}

async fn told(script: &Script, count: usize) -> Vec<Asked> {
    let telling = async {
        loop {
            let asked = script.asked().await;
            if asked.len() >= count {
                return asked;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("an outcome to be told", telling).await
}

fn depth(store: &MemoryStore) -> (u64, u64) {
    let depth =
        futures_util::FutureExt::now_or_never(store.outbox_depth()).expect("at once").expect("counts");
    (depth.waiting, depth.given_up)
}

#[tokio::test]
async fn each_outcome_is_told_once_it_is_stored() {
    let script = Script::always(vec![ok("{}")]).await;
    let mut node = Node::start(routes()).await;
    node.announce(webhooks(&script), impatient());
    assert_eq!(node.ask("good", "work", json!({ "n": 1 })).await["type"], "complete", "it is always queued");
    let good = told(&script, 1).await.remove(0);
    assert_eq!(good.line, "POST /hook HTTP/1.1");
    let said = good.json();
    assert_eq!((&said["type"], &said["status"]), (&json!("outcome"), &json!("COMPLETED")));
    assert_eq!(
        (&said["request_id"], &said["tenant_id"], &said["user_id"]),
        (&json!("good"), &json!("acme"), &json!("ada é"))
    );
    assert_eq!((&said["action"], &said["result"]), (&json!("work"), &json!({ "n": 1 })));
    assert!(said["ended_at"].is_string() && said.get("error").is_none());
    assert!(good.header("signature-input").contains("k1="));

    node.ask("bad", "work", json!({ "fail": true })).await;
    let bad = told(&script, 2).await.remove(1);
    assert_eq!(
        (&bad.json()["status"], &bad.json()["error"]["message"]),
        (&json!("FAILED"), &json!("it never works"))
    );
    assert_ne!(bad.header("idempotency-key"), good.header("idempotency-key"));

    node.ask("quiet", "quiet", json!({})).await;
    until("the outbox is empty", || depth(&node.store) == (0, 0)).await;
    assert_eq!(script.asked().await.len(), 2);
    node.stop().await;
}

#[tokio::test]
async fn an_outcome_is_told_again_until_it_is_heard() {
    let script = Script::play(|asked| match asked.number {
        0 => vec![raw("500 Oops", "", "")],
        1 => vec![Step::Hang],
        2 => vec![raw("302 Found", "location: /x\r\n", "")],
        _ => vec![raw("202 Accepted", "", "")],
    })
    .await;
    let mut node = Node::start(routes()).await;
    node.announce(webhooks(&script), impatient());
    node.ask("r", "work", json!({})).await;
    let asked = told(&script, 4).await;
    let of = |name: &str| asked.iter().map(|asked| asked.header(name).to_owned()).collect::<Vec<_>>();
    assert_eq!(of("streamer-delivery"), ["1", "2", "3", "4"]);
    let keys = of("idempotency-key");
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    until("the outbox is empty", || depth(&node.store) == (0, 0)).await;
    node.stop().await;
}

#[tokio::test]
async fn what_nobody_hears_is_given_up_and_can_be_told_again() {
    let script = Script::play(|asked| match asked.number {
        0..4 => vec![raw("500 SECRET", "", "SECRET")],
        _ => vec![ok("")],
    })
    .await;
    let mut node = Node::start(routes()).await;
    node.announce(webhooks(&script), impatient());
    node.ask("r", "work", json!({})).await;
    until("it is given up", || depth(&node.store) == (0, 1)).await;
    let page = node.engine.given_up(&PageQuery { limit: 10, cursor: None }).await.expect("lists");
    let given_up = &page.items[0];
    assert_eq!((given_up.key.id.as_str(), given_up.failures), ("r", 4));
    assert_eq!(given_up.why, "it answered with the HTTP status 500");

    let id = RequestId::parse("r").expect("valid");
    let key = RequestKey::new(TenantId::new("acme"), UserId::new("ada é"), id);
    node.engine.announce_again(&key).await.expect("revived");
    told(&script, 5).await;
    until("the outbox is empty", || depth(&node.store) == (0, 0)).await;
    node.stop().await;
}

#[tokio::test]
async fn one_who_is_gone_for_good_is_not_asked_again() {
    let script = Script::always(vec![raw("410 Gone", "", "")]).await;
    let mut node = Node::start(routes()).await;
    node.announce(webhooks(&script), impatient());
    node.ask("r", "work", json!({})).await;
    until("it is given up", || depth(&node.store) == (0, 1)).await;
    assert_eq!(script.asked().await.len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn what_was_not_told_in_this_life_is_told_in_the_next() {
    let store = Arc::new(MemoryStore::new());
    let node = Node::start_on(Arc::clone(&store), routes()).await;
    node.ask("r", "work", json!({ "n": 1 })).await;
    node.stop().await;
    assert_eq!(depth(&store), (1, 0));
    let script = Script::always(vec![ok("")]).await;
    let mut node = Node::start_on(store, routes()).await;
    node.announce(webhooks(&script), impatient());
    assert_eq!(told(&script, 1).await[0].json()["result"], json!({ "n": 1 }));
    node.stop().await;
}

#[tokio::test]
async fn a_slow_receiver_holds_up_nobody_elses_outcomes() {
    let (slow, well) = (Script::always(vec![Step::Hang]).await, Script::always(vec![ok("")]).await);
    let mut routes = Router::new().action("slow", answer).action("well", answer);
    assert!(routes.announce("slow") && routes.announce("well") && !routes.announce("unknown"));
    let mut node = Node::start(routes).await;
    let target = |name: &str, script: &Script| {
        (Action::parse(name).expect("valid"), remote().target(script.address("/")))
    };
    let webhooks = UrlWebhooks::new(
        HashMap::from([target("slow", &slow), target("well", &well)]),
        Duration::from_secs(25),
    );
    let settings = OutboxSettings { in_flight_max: 4, action_in_flight_max: 2, ..impatient() };
    let settings = OutboxSettings { lease: Duration::from_secs(60), ..settings };
    node.announce(webhooks, settings);
    for n in 0..6 {
        node.ask(&format!("s{n}"), "slow", json!({})).await;
    }
    for n in 0..6 {
        node.ask(&format!("w{n}"), "well", json!({})).await;
    }
    told(&well, 6).await;
    assert_eq!(slow.asked().await.len(), 2, "as many as may be told at once");
    drop(slow);
    node.stop().await;
}
