//! A peer stops reading: its circuit opens, nobody else waits, and once it reads again the circuit closes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::demo::stage::Stage;

/// So many broadcasts fill every buffer on the way, and more.
const BROADCASTS_MAX: usize = 400;

const PATIENCE: Duration = Duration::from_secs(15);

pub(in crate::demo) async fn breaker(stage: &mut Stage) -> anyhow::Result<String> {
    let mut slow = stage.peer("slow").await?;
    let mut quick = stage.peer("quick").await?;
    let slow_id = one(stage.connections("slow").await?)?;
    let quick_id = one(stage.connections("quick").await?)?;
    let operator = stage.operator();

    // `slow` does not read; `quick` does, and has each message at once.
    let message = json!({ "filler": "x".repeat(60 * 1024) });
    let order = json!({ "connections": [slow_id, quick_id], "message": message });
    let (mut opened, mut slowest) = (None, Duration::ZERO);
    for sent in 1..=BROADCASTS_MAX {
        let started = Instant::now();
        let answer: Value = operator.post("/v1/broadcast", &order).await?;
        quick.next().await?;
        slowest = slowest.max(started.elapsed());
        let failed = answer["failed"].as_array().into_iter().flatten();
        if failed.into_iter().any(|failure| failure["error"] == "circuit_open") {
            opened = Some(sent);
            break;
        }
    }
    let opened = opened.ok_or_else(|| anyhow::anyhow!("the circuit did not open"))?;
    let breakers: Value = operator.get("/v1/breakers").await?;
    let listed = breakers["breakers"].as_array().into_iter().flatten();
    anyhow::ensure!(
        listed.into_iter().any(|breaker| breaker["connection_id"] == slow_id),
        "the open circuit is not listed: {breakers}"
    );

    // It reads again, and the next trial closes the circuit.
    let reading = tokio::spawn(async move {
        loop {
            let message = slow.next().await?;
            if message["filler"].is_null() {
                slow.close().await?;
                return anyhow::Ok(message);
            }
        }
    });
    let recovering = Instant::now();
    let path = format!("/v1/connections/{slow_id}/messages");
    let again = serde_json::to_vec(&json!({ "news": "again" }))?;
    loop {
        let (status, _) = operator.call(hyper::Method::POST, &path, Some(again.clone().into())).await?;
        if status.is_success() {
            break;
        }
        anyhow::ensure!(recovering.elapsed() < PATIENCE, "the circuit did not close: {status}");
        sleep(Duration::from_millis(50)).await;
    }
    let message = reading.await??;
    anyhow::ensure!(message["news"] == "again", "another message came: {message}");
    quick.close().await?;
    Ok(format!(
        "open after {opened} broadcasts; the other client never waited more than {:.1} ms; closed again {:.1} s \
         after the peer read on",
        slowest.as_secs_f64() * 1000.0,
        recovering.elapsed().as_secs_f64()
    ))
}

fn one(ids: Vec<String>) -> anyhow::Result<String> {
    <[String; 1]>::try_from(ids).map(|[id]| id).map_err(|ids| anyhow::anyhow!("{} connections", ids.len()))
}
