//! SIGKILL in the middle of ten requests: the server starts again, and all ten finish.

use std::time::{Duration, Instant};

use serde_json::json;
use streamer_client::{Call, Chunks, Update};

use crate::demo::stage::Stage;

const REQUESTS: usize = 10;
const CHUNKS: u64 = 20;

pub(in crate::demo) async fn crash(stage: &mut Stage) -> anyhow::Result<String> {
    let client = stage.client("ada").await?;
    let mut calls = Vec::with_capacity(REQUESTS);
    for n in 0..REQUESTS {
        let wanted = json!({ "seconds": 6, "chunks": CHUNKS });
        let call = client.request("delay").payload(&wanted).id(format!("crash-{n}")).send().await?;
        calls.push((call, Chunks::default()));
    }
    for (call, chunks) in &mut calls {
        until(call, chunks, |update| matches!(update, Update::Chunk(chunk) if chunk.index >= 2)).await?;
    }

    let killed = Instant::now();
    stage.server.kill().await?;
    stage.server.restart().await?;
    for (call, chunks) in &mut calls {
        until(call, chunks, |update| matches!(update, Update::Restart(_))).await?;
    }
    let recovery = killed.elapsed();
    stage.measured("crash_recovery", recovery);

    for (mut call, mut chunks) in calls {
        while let Some(update) = call.next().await {
            chunks.apply(&update);
        }
        let id = call.id().clone();
        call.outcome().await.map_err(|e| anyhow::anyhow!("{id}: {e}"))?;
        anyhow::ensure!(chunks.data().len() as u64 == CHUNKS, "{id} has {} chunks", chunks.data().len());
    }
    client.close().await;
    Ok(format!(
        "killed in the middle of {REQUESTS} requests; all go on after {:.0} ms and finish with every chunk",
        recovery.as_secs_f64() * 1000.0
    ))
}

/// Reads on until an update is what is awaited.
async fn until(
    call: &mut Call,
    chunks: &mut Chunks,
    is_awaited: impl Fn(&Update) -> bool,
) -> anyhow::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(20);
    let reading = async {
        while let Some(update) = call.next().await {
            chunks.apply(&update);
            if is_awaited(&update) {
                return Ok(());
            }
        }
        anyhow::bail!("{} ended early", call.id())
    };
    tokio::time::timeout(PATIENCE, reading).await.map_err(|_| anyhow::anyhow!("nothing came in time"))?
}
