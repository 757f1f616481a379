//! Sends to a peer that does not read are given up for a while.

use std::time::Duration;

use serde_json::{Value, json};
use streamer_engine::BreakerSettings;

use crate::harness::{Client, Http, Server, Setup, Token, until};

async fn broadcast(server: &Server, id: &str, message: &Value) -> Value {
    let order = json!({ "connections": [id], "message": message });
    Http::new("POST", server.admin, "/v1/broadcast").operator().json(order).send().await.json()
}

async fn breaker(server: &Server) -> Value {
    let answer = Http::get(server.admin, "/v1/breakers").operator().send().await.json();
    answer["breakers"][0]["breaker"].clone()
}

#[tokio::test]
async fn a_breaker_opens_and_closes_again() {
    let open_for = Duration::from_millis(300);
    let mut setup = Setup::default();
    setup.settings.outbound_bytes_max = 64 * 1024;
    setup.engine.breaker = BreakerSettings { failures_max: 3, open_for };
    let server = setup.start().await;
    let mut slow = Client::narrow(&server, &Token::ada()).await;
    let id = server.only_stored().await.id.to_string();
    assert_eq!(breaker(&server).await, Value::Null);

    let large = json!("x".repeat(32 * 1024));
    let mut delivered = 0;
    until("the breaker opens", async || {
        let answer = broadcast(&server, &id, &large).await;
        delivered += answer["delivered"].as_u64().expect("a number");
        breaker(&server).await == "open"
    })
    .await;
    let refused = broadcast(&server, &id, &large).await;
    assert_eq!(refused["failed"][0]["error"], "circuit_open");
    let send = || {
        let target = format!("/v1/connections/{id}/messages");
        Http::new("POST", server.admin, target).operator().json(json!({ "note": 1 })).send()
    };
    assert_eq!(send().await.error(), (503, "OVERLOADED".to_owned()));

    // It reads again: the next try closes the circuit.
    for _ in 0..delivered {
        assert_eq!(slow.frame().await, large);
    }
    until("the circuit may be tried", async || breaker(&server).await == "half_open").await;
    assert_eq!(send().await.status, 204);
    assert_eq!(slow.frame().await, json!({ "note": 1 }));
    assert_eq!(breaker(&server).await, Value::Null);
    slow.leave().await;
    server.finish().await;
}
