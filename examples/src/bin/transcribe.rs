//! Partial results and checkpoints: lines are handed out as they are ready, and after a crash the work goes on
//! after the last of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use streamer_engine::{Context, Failure, Router};

#[derive(Deserialize)]
struct Transcribe {
    lines: Vec<String>,
}

#[derive(Serialize)]
struct Transcribed {
    lines: usize,
}

/// What another attempt goes on from.
#[derive(Default, Serialize, Deserialize)]
struct Done {
    lines: usize,
}

async fn transcribe(cx: Context, wanted: Transcribe) -> Result<Transcribed, Failure> {
    if wanted.lines.is_empty() {
        return Err(Failure::reject("there is nothing to transcribe").at("lines"));
    }
    let Done { lines: done } = cx.restored().unwrap_or_default();
    for (n, line) in wanted.lines.iter().enumerate().skip(done) {
        let text = listen(line).await.map_err(Failure::retry)?;
        // The chunk and the state are stored in one step: another attempt repeats neither.
        cx.chunks_with_checkpoint(&[text], &Done { lines: n + 1 }).await?;
        cx.progress(100.0 * (n + 1) as f64 / wanted.lines.len() as f64, "lines transcribed").await?;
    }
    Ok(Transcribed { lines: wanted.lines.len() })
}

/// Stands for a service that takes its time and may fail.
async fn listen(line: &str) -> Result<String, std::io::Error> {
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(line.to_uppercase())
}

fn main() -> std::process::ExitCode {
    streamer_cli::run(|| {
        Router::new().action("transcribe", transcribe).takes(Duration::from_secs(120)).retries(5)
    })
}
