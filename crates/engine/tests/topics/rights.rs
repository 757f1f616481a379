//! Who may do what.

use serde_json::json;
use streamer_engine::Rights;

use super::alone;
use crate::support::code;

#[tokio::test(start_paused = true)]
async fn reading_and_writing_need_a_permission_or_a_grant() {
    let node = alone();
    for (n, (read, write, grants)) in [
        (false, false, vec![]),
        (true, false, vec![]),
        (false, true, vec![]),
        (false, false, vec!["orders.*"]),
        (false, false, vec!["orders.*=write"]),
        (false, false, vec!["orders.*=read+write", "nonsense*"]),
    ]
    .into_iter()
    .enumerate()
    {
        let rights = Rights::new(read, write, grants.clone());
        let client = node.connect_as(&format!("c{n}"), "ada", "acme", rights).await;
        for (topic, granted) in
            [("orders.eu", true), ("orders", false), ("orders2.eu", false), ("invoices.eu", false)]
        {
            let has = |access: &str| {
                granted && grants.iter().any(|g| g.contains(access) || (access == "read" && !g.contains('=')))
            };
            let may_read = read || has("read");
            let may_write = write || has("write");
            for (action, may) in [("subscribe", may_read), ("presence", may_read), ("publish", may_write)] {
                let answer = client.answer("x", action, json!({ "topic": topic, "data": 1 })).await;
                let refused = answer["type"] == "error";
                assert_eq!(refused, !may, "{action} {topic} with {read} {write} {grants:?}: {answer}");
                if refused {
                    assert_eq!(code(&answer), "FORBIDDEN");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn some_topics_only_the_server_publishes_to() {
    let node = alone();
    let ada = node.connect_as("a", "ada", "acme", Rights::new(true, true, ["feed.*=write"])).await;
    ada.subscribe_to("feed.news").await;
    assert_eq!(code(&ada.publish("feed.news", json!(1)).await), "FORBIDDEN");
    assert_eq!(ada.publish("feed", json!(1)).await["type"], "response", "not the prefix");
    assert_eq!(node.publish("feed.news", json!("server")).await, 1);
    assert_eq!(ada.events_until(json!("server")).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_token_counts_at_once_and_ends_what_it_does_not_allow() {
    let node = alone();
    let ada = node.connect_as("a", "ada", "acme", Rights::new(true, false, [])).await;
    for topic in ["orders.eu", "orders.us", "news"] {
        ada.subscribe_to(topic).await;
    }
    assert_eq!(code(&ada.publish("news", json!(1)).await), "FORBIDDEN");
    let answer = ada.answer("r", "refresh", json!({ "token": "fresh orders.eu news=write" })).await;
    assert_eq!(answer["data"]["unsubscribed"], json!(["news", "orders.us"]));
    for topic in ["orders.us", "orders.eu"] {
        node.publish(topic, json!(topic)).await;
    }
    let heard = super::events(&ada.until(|frame| frame["data"] == "orders.eu").await);
    assert_eq!(heard, [(1, json!("orders.eu"))]);
    assert_eq!(ada.publish("news", json!(1)).await["type"], "response", "the new token allows it");
    assert!(ada.take().is_empty());
    assert_eq!(code(&ada.answer("s", "subscribe", json!({ "topic": "orders.us" })).await), "FORBIDDEN");
    // A token that is not taken changes nothing.
    ada.answer("r", "refresh", json!({ "token": "stale" })).await;
    node.publish("orders.eu", json!(2)).await;
    assert_eq!(ada.events_until(json!(2)).await.len(), 1);
    let answer = ada.answer("r", "refresh", json!({ "token": "fresh orders.*" })).await;
    assert_eq!(answer["data"].get("unsubscribed"), None);
}
