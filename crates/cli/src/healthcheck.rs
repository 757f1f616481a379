//! `streamer healthcheck`: asks a server whether it is ready, where there is no shell and no curl.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Args;
use hyper::{Method, StatusCode};

use crate::http::Http;

/// Ask a server whether it is ready; exit with 1 if it is not.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The admin address
    #[arg(long, env = "STREAMER_ADMIN_URL", default_value = "http://127.0.0.1:8081")]
    admin_url: String,
    /// How long the answer may take
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 2000)]
    timeout_ms: u64,
}

pub(crate) fn command(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let asked = crate::block_on(async {
        let http = Http::new(&arguments.admin_url, "");
        let asking = http.call(Method::GET, "/readyz", None);
        let answered = tokio::time::timeout(Duration::from_millis(arguments.timeout_ms), asking).await;
        answered.with_context(|| format!("{} does not answer in time", arguments.admin_url))?
    });
    let (status, body) = asked?;
    // Shown by whoever runs the check, such as `docker inspect`.
    println!("{status}: {}", String::from_utf8_lossy(&body));
    Ok(if status == StatusCode::OK { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
