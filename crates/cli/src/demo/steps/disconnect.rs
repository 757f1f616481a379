//! A client leaves: its record goes, and one log line tells of it.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::demo::stage::{Stage, percentile};

const ROUNDS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(5);

pub(in crate::demo) async fn disconnect(stage: &mut Stage) -> anyhow::Result<String> {
    let mut spans = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let mut peer = stage.peer("leaver").await?;
        peer.send(&json!({ "action": "ping" })).await?;
        peer.next().await?;
        let stored = stage.connections("leaver").await?;
        anyhow::ensure!(stored.len() == 1, "{} connections are stored", stored.len());
        let left = Instant::now();
        peer.close().await?;
        while !stage.connections("leaver").await?.is_empty() {
            anyhow::ensure!(left.elapsed() < PATIENCE, "the record is still there");
        }
        spans.push(left.elapsed());
    }
    let cleanup = percentile(&mut spans, 0.5);
    stage.measured("disconnect_cleanup", cleanup);

    // The line is written right after the record is gone.
    let asked = Instant::now();
    let line = loop {
        let log = stage.server.log();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let tells =
            |line: &Value| line["event_type"] == "connection_disconnected" && line["user_id"] == "leaver";
        let line = lines.rfind(tells);
        match line {
            Some(line) => break line,
            None => anyhow::ensure!(asked.elapsed() < PATIENCE, "no line in the log tells of it"),
        }
        sleep(Duration::from_millis(10)).await;
    };
    for field in ["connection_id", "tenant_id", "duration_seconds", "disconnect_reason", "disconnect_time"] {
        line.get(field).with_context(|| format!("the log line lacks {field}: {line}"))?;
    }
    Ok(format!(
        "cleaned up within {:.1} ms; logged: {} sent, {} received, {}",
        cleanup.as_secs_f64() * 1000.0,
        line["messages_sent"],
        line["messages_received"],
        line["disconnect_reason"]
    ))
}
