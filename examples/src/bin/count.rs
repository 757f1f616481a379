//! The README's example: a server with one action of its own.
//!
//! `cargo run -p streamer-examples --bin count -- token keys`, then `… -- serve --public-key-file public.pem`.

use std::time::Duration;

use streamer_engine::{Context, Failure, Router};

async fn count(cx: Context, to: u32) -> Result<String, Failure> {
    for n in 1..=to {
        tokio::time::sleep(Duration::from_secs(1)).await; // your work
        cx.progress(100.0 * f64::from(n) / f64::from(to), "counting").await?; // cancellation arrives here too
    }
    Ok(format!("counted to {to}"))
}

fn main() -> std::process::ExitCode {
    streamer_cli::run(|| Router::new().action("count", count).takes(Duration::from_secs(60)).retries(3))
}
