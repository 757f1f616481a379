//! Slow work shows its progress and leaves a file, for its owner only.

use anyhow::Context as _;
use hyper::{Method, StatusCode};
use serde_json::json;
use streamer_client::Update;

use crate::demo::stage::Stage;

pub(in crate::demo) async fn report(stage: &mut Stage) -> anyhow::Result<String> {
    let client = stage.client("ada").await?;
    let wanted = json!({
        "start_date": "2023-01-01", "end_date": "2026-12-31", "format": "pdf", "include_charts": true,
    });
    let mut call = client.request("generate_report").payload(&wanted).send().await?;
    let bar = crate::request::bar(false);
    let (mut acknowledged, mut percentages) = (false, Vec::new());
    while let Some(update) = call.next().await {
        match update {
            Update::Acknowledged(_) => acknowledged = true,
            Update::Progress(progress) => {
                bar.set_position((progress.percentage * 10.0) as u64);
                bar.set_message(progress.message);
                percentages.push(progress.percentage);
            }
            _ => {}
        }
    }
    bar.finish_and_clear();
    let result: serde_json::Value = call.outcome().await?.get()?;
    client.close().await;
    anyhow::ensure!(acknowledged, "it was not acknowledged");
    anyhow::ensure!(percentages.last() == Some(&100.0), "the last progress was {:?}", percentages.last());
    anyhow::ensure!(percentages.len() >= 3, "only {percentages:?} was shown");
    anyhow::ensure!(percentages.is_sorted(), "the percentage fell: {percentages:?}");

    let url = result["url"].as_str().context("the result has no url")?;
    let (status, file) = stage.http("ada")?.call(Method::GET, url, None).await?;
    anyhow::ensure!(status.is_success() && file.starts_with(b"%PDF-"), "{status}, {} bytes", file.len());
    std::fs::write(stage.folder().join("report.pdf"), &file)?;
    let (status, _) = stage.http("mallory")?.call(Method::GET, url, None).await?;
    anyhow::ensure!(status == StatusCode::NOT_FOUND, "another user was answered {status}");
    Ok(format!(
        "{} progress updates to 100 %, then a PDF of {} pages, {} KiB; another user gets 404",
        percentages.len(),
        result["pages"],
        file.len() / 1024
    ))
}
