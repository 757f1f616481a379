//! `streamer requests`, as an operator.

use std::fs;

use serde_json::{Value, json};
use streamer_e2e::{command::Shell, patience::until, peer::Peer};

use crate::server;

const NAMED: [&str; 4] = ["--tenant", "acme", "--user", "ada"];

async fn asked(shell: &Shell, verb: &str, id: &str) -> Value {
    let printed = shell.run(["requests", verb, "--json"].iter().chain(&NAMED).chain(&[id])).await.succeeded();
    serde_json::from_str(&printed).expect("JSON")
}

async fn listed(shell: &Shell, filter: &[&str]) -> Vec<String> {
    let printed = shell.run(["requests", "list", "--json"].iter().chain(filter)).await.succeeded();
    let list: Value = serde_json::from_str(&printed).expect("JSON");
    let requests = list["requests"].as_array().expect("a list");
    let ids = requests.iter().map(|request| request["request_id"].as_str().expect("an id").to_owned());
    ids.collect()
}

/// Sends a request and waits until it is stored.
async fn stored(peer: &mut Peer, id: &str, action: &str, payload: Value) {
    let answer = peer.ask(id, action, payload).await;
    assert_eq!(answer["type"], "acknowledgment", "{answer}");
}

async fn stands_at(shell: &Shell, id: &str, status: &str) -> Value {
    until(&format!("{id} to be {status}"), async || {
        let view = asked(shell, "show", id).await;
        (view["status"] == status).then_some(view)
    })
    .await
}

#[tokio::test]
async fn requests_are_listed_shown_and_cancelled() {
    let server = server().start().await;
    let shell = server.shell();
    let mut ada = server.peer("ada", "acme").await;
    let mut eve = server.peer("eve", "other").await;
    stored(&mut ada, "long", "delay", json!({ "seconds": 300 })).await;
    stored(&mut ada, "quick", "echo_async", json!({})).await;
    stored(&mut eve, "elsewhere", "echo_async", json!({})).await;
    stands_at(&shell, "long", "PROCESSING").await;
    stands_at(&shell, "quick", "COMPLETED").await;

    let mut all = listed(&shell, &[]).await;
    all.sort();
    assert_eq!(all, ["elsewhere", "long", "quick"]);
    assert_eq!(listed(&shell, &["--tenant", "other"]).await, ["elsewhere"]);
    assert_eq!(listed(&shell, &["--user", "ada", "--action", "delay"]).await, ["long"]);
    assert_eq!(listed(&shell, &["--status", "PROCESSING"]).await, ["long"]);
    let table = shell.run(["requests", "list", "--tenant", "acme", "--limit", "1"]).await.succeeded();
    assert!(table.contains("REQUEST") && table.contains("quick") && !table.contains("long"), "{table}");
    let cursor = table.lines().find_map(|line| line.strip_prefix("more: --cursor ")).expect("a next page");
    let cursor = cursor.trim_matches('\''); // quoted for a shell
    let next = ["--tenant", "acme", "--limit", "1", "--cursor", cursor];
    assert_eq!(listed(&shell, &next).await, ["long"]);

    let cancelled = asked(&shell, "cancel", "long").await;
    assert_eq!(cancelled["request_id"], "long", "{cancelled}");
    let view = stands_at(&shell, "long", "CANCELLED").await;
    assert_eq!(view["error"]["code"], "CANCELLED", "{view}");
    // Only what failed begins anew.
    let replay = shell.run(["requests", "replay"].iter().chain(&NAMED).chain(&["quick"])).await.failed(1);
    assert!(replay.contains("CONFLICT"), "{replay}");
    let missing = shell.run(["requests", "show"].iter().chain(&NAMED).chain(&["nothing"])).await.failed(1);
    assert!(missing.contains("NOT_FOUND"), "{missing}");
    let audited = server.log_lines();
    let audited = audited.iter().filter(|line| line["audit"] == true && line["method"] == "POST");
    assert_eq!(audited.count(), 2, "each cancel and replay is in the audit log");
}

#[tokio::test]
async fn what_failed_is_replayed_once_its_cause_is_mended() {
    let server = server().set("engine.retry_base_ms", 10).start().await;
    let shell = server.shell();
    let orders = server.folder().join("data/orders.csv");
    let good = fs::read(&orders).expect("the example data is there");
    fs::write(&orders, "no,orders\n1,2\n").expect("written");

    let mut peer = server.peer("ada", "acme").await;
    let period = json!({ "start_date": "2024-01-01", "end_date": "2024-01-31", "format": "csv" });
    stored(&mut peer, "report", "generate_report", period).await;
    let failed = stands_at(&shell, "report", "FAILED").await;
    assert_eq!((&failed["attempt"], &failed["retry_count"]), (&json!(3), &json!(2)), "{failed}");
    assert_eq!(failed["error"]["code"], "INTERNAL_ERROR");
    let told = failed["error"].to_string();
    assert!(!told.contains("orders.csv") && told.contains("correlation_id"), "inner text: {told}");

    fs::write(&orders, good).expect("mended");
    asked(&shell, "replay", "report").await;
    let done = stands_at(&shell, "report", "COMPLETED").await;
    assert_eq!(done["attempt"], 4, "{done}");
    let url = done["result"]["url"].as_str().expect("a file");
    assert_eq!(server.get(url, "ada", "acme").await.status, 200);
}

#[tokio::test]
async fn only_operators_are_answered() {
    let server = server().start().await;
    let list = ["requests", "list"];
    let wrong = server.shell().variable("STREAMER_ADMIN__TOKEN", "a-wrong-admin-token");
    let refused = wrong.run(list).await.failed(1);
    assert!(refused.contains("UNAUTHORIZED") && !refused.contains("a-wrong-admin-token"), "{refused}");
    let nobody = server.shell().variable("STREAMER_ADMIN__TOKEN", "");
    assert!(!nobody.run(list).await.failed(1).is_empty());
    // Who may ask for work may not administer.
    let user = streamer_e2e::issuer::Issuer::shared().token("ada", "acme");
    let answer = streamer_e2e::http::get(server.admin(), "/v1/requests", Some(&user)).await;
    assert_eq!(answer.status, 401, "{}", answer.text());
}
