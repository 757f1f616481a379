//! The application sends to connections: to one, to three, to a hundred.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::demo::{
    peer::Peer,
    stage::{Stage, percentile},
};

const SENDS: usize = 200;
const HUNDRED: usize = 100;
const ROUNDS: usize = 5;

pub(in crate::demo) async fn broadcast(stage: &mut Stage) -> anyhow::Result<String> {
    let mut three = connect(stage, "grace", 3).await?;
    let took = send_to_all(stage, "grace", &mut three).await?;

    let operator = stage.operator();
    let mut one = stage.peer("sends").await?;
    let ids = stage.connections("sends").await?;
    let id = ids.first().ok_or_else(|| anyhow::anyhow!("the connection is not stored"))?;
    let path = format!("/v1/connections/{id}/messages");
    let mut spans = Vec::with_capacity(SENDS);
    for n in 0..SENDS {
        let started = Instant::now();
        let body = serde_json::to_vec(&json!({ "n": n }))?;
        let (status, _) = operator.call(hyper::Method::POST, &path, Some(body.into())).await?;
        anyhow::ensure!(status.is_success(), "a send was answered {status}");
        anyhow::ensure!(one.next().await?["n"] == n, "another message came");
        spans.push(started.elapsed());
    }
    stage.measured("send_p99", percentile(&mut spans, 0.99));

    let mut hundred = connect(stage, "hundred", HUNDRED).await?;
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        rounds.push(send_to_all(stage, "hundred", &mut hundred).await?);
    }
    let last = percentile(&mut rounds, 0.5);
    stage.measured("broadcast_100", last);
    for peer in three.into_iter().chain(hundred).chain([one]) {
        peer.close().await?;
    }
    Ok(format!(
        "three clients have it within {:.2} ms, a hundred within {:.2} ms",
        took.as_secs_f64() * 1000.0,
        last.as_secs_f64() * 1000.0
    ))
}

async fn connect(stage: &Stage, user: &str, count: usize) -> anyhow::Result<Vec<Peer>> {
    let mut peers = Vec::with_capacity(count);
    for _ in 0..count {
        peers.push(stage.peer(user).await?);
    }
    Ok(peers)
}

/// From the call to the moment when the last one has it.
async fn send_to_all(stage: &Stage, user: &str, peers: &mut [Peer]) -> anyhow::Result<Duration> {
    let ids = stage.connections(user).await?;
    anyhow::ensure!(ids.len() == peers.len(), "{} of {} connections are stored", ids.len(), peers.len());
    let order = json!({ "connections": ids, "message": { "news": "for all" } });
    let operator = stage.operator();
    let started = Instant::now();
    let answer: serde_json::Value = operator.post("/v1/broadcast", &order).await?;
    for peer in peers.iter_mut() {
        let message = peer.next().await?;
        anyhow::ensure!(message["news"] == "for all", "another message came: {message}");
    }
    let took = started.elapsed();
    anyhow::ensure!(answer["delivered"] == peers.len(), "the broadcast was answered {answer}");
    Ok(took)
}
