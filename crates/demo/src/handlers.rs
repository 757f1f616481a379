//! The demonstration handlers, as the engine runs them.

mod background;
mod checked;
mod delay;
mod echo;

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use streamer_engine::{ArtifactLink, Context, Failure, Router};

use self::checked::checked;
use crate::{Settings, bulk, pipeline, report};

pub use delay::DELAY_SECONDS_MAX;

/// What queued work is estimated to take. The examples' files take less; those of others may not.
const QUEUED: Duration = Duration::from_secs(20);

const RETRIES: u32 = 2;

/// What `generate_report` answers.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    file: ArtifactLink,
    pages: usize,
}

/// What `process_data` answers.
#[derive(Serialize)]
struct Processed {
    #[serde(flatten)]
    file: ArtifactLink,
    pipeline: pipeline::Kind,
    rows: usize,
    metrics: pipeline::Metrics,
}

/// `echo_async`, `delay`, `generate_report`, `process_data` and `bulk_operation` over the files of `settings`.
#[must_use]
pub fn routes(settings: Settings) -> Router {
    let settings = Arc::new(settings);
    let of_report = Arc::clone(&settings);
    let report = move |cx, request| generate_report(cx, request, Arc::clone(&of_report));
    let of_pipeline = Arc::clone(&settings);
    let process = move |cx, request| process_data(cx, request, Arc::clone(&of_pipeline));
    let bulk = move |cx, request| bulk_operation(cx, request, Arc::clone(&settings));
    Router::new()
        .action("echo_async", echo::echo)
        .takes(QUEUED)
        .retries(RETRIES)
        .action("delay", checked(delay::delay, delay::Request::check).estimated(delay::Request::duration))
        .timeout(Duration::from_secs(DELAY_SECONDS_MAX + 60))
        .repeatable()
        .action("generate_report", checked(report, report::Request::check))
        .takes(QUEUED)
        .retries(RETRIES)
        .action("process_data", process)
        .takes(QUEUED)
        .retries(RETRIES)
        .action("bulk_operation", checked(bulk, bulk::Request::check))
        .takes(QUEUED)
        .retries(RETRIES)
}

async fn generate_report(
    cx: Context,
    request: report::Request,
    settings: Arc<Settings>,
) -> Result<Report, Failure> {
    let work = move |progress: &mut dyn crate::Progress| report::build(&request, &settings, progress);
    let document = background::run(&cx, work).await?;
    cx.progress(90.0, "Storing the report…").await?;
    let file = cx.artifact(&document.name, document.media_type, document.bytes).await?;
    cx.progress(100.0, "Report complete").await?;
    Ok(Report { file, pages: document.pages })
}

async fn process_data(
    cx: Context,
    request: pipeline::Request,
    settings: Arc<Settings>,
) -> Result<Processed, Failure> {
    let pipeline = request.pipeline;
    let work = move |progress: &mut dyn crate::Progress| pipeline::run(&request, &settings, progress);
    let pipeline::Processed { file, rows, metrics } = background::run(&cx, work).await?;
    let file = cx.artifact(&file.name, file.media_type, file.bytes).await?;
    cx.progress(100.0, "Pipeline complete").await?;
    Ok(Processed { file, pipeline, rows, metrics })
}

async fn bulk_operation(
    cx: Context,
    request: bulk::Request,
    settings: Arc<Settings>,
) -> Result<bulk::Done, Failure> {
    let work = move |progress: &mut dyn crate::Progress| bulk::run(&request, &settings, progress);
    let done = background::run(&cx, work).await?;
    cx.progress(100.0, "All operations done").await?;
    Ok(done)
}
