//! A client leaves in the middle, comes back on another connection, and misses nothing.

use serde_json::json;
use streamer_client::Update;

use crate::demo::stage::Stage;

const CHUNKS: u64 = 30;

pub(in crate::demo) async fn leave_and_resume(stage: &mut Stage) -> anyhow::Result<String> {
    let mut indexes = Vec::new();
    let first = stage.client("ada").await?;
    let wanted = json!({ "seconds": 3, "chunks": CHUNKS });
    let mut call = first.request("delay").payload(&wanted).id("leave-and-resume").send().await?;
    // The delay is short by its estimate: it is the chunk that has it stored.
    while indexes.len() < 8 {
        match call.next().await {
            Some(Update::Chunk(chunk)) => indexes.push(chunk.index),
            Some(_) => {}
            None => anyhow::bail!("it ended early: {:?}", call.outcome().await),
        }
    }
    let after = call.last_seq();
    first.close().await;
    let left_at = indexes.len();
    // Long enough that chunks come while nobody listens.
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;

    let second = stage.client("ada").await?;
    let mut call = second.resume("leave-and-resume", after).await?;
    while let Some(update) = call.next().await {
        if let Update::Chunk(chunk) = update {
            indexes.push(chunk.index);
        }
    }
    call.outcome().await?;
    second.close().await;
    anyhow::ensure!(
        indexes.iter().copied().eq(0..CHUNKS),
        "the chunks that came are not 0 to {}: {indexes:?}",
        CHUNKS - 1
    );
    Ok(format!("left after {left_at} of {CHUNKS} chunks, came back, and has each of them once"))
}
