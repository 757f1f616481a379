//! Short work is answered at once.

use std::time::Instant;

use serde_json::json;

use crate::demo::stage::Stage;

pub(in crate::demo) async fn echo(stage: &mut Stage) -> anyhow::Result<String> {
    let mut peer = stage.peer("ada").await?;
    let started = Instant::now();
    peer.send(&json!({ "id": "e1", "action": "echo", "payload": { "hello": "Streamer" } })).await?;
    let answer = peer.next().await?;
    let took = started.elapsed();
    anyhow::ensure!(
        answer["type"] == "response"
            && answer["request_id"] == "e1"
            && answer["data"]["echo"]["hello"] == "Streamer",
        "the answer is {answer}"
    );
    peer.close().await?;
    Ok(format!("answered at once, in {:.2} ms", took.as_secs_f64() * 1000.0))
}
