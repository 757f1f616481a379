//! The binary of an application whose handlers fail, panic, block their threads, and never return.

use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;
use streamer_engine::{Context, Failure, Handler, Router, protocol::Json};
use streamer_events::{Document, Event, Rejection, Write};

/// Estimated so that it is queued.
const LONG: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Flaky {
    /// How many attempts fail.
    failures: u32,
}

async fn flaky(cx: Context, Flaky { failures }: Flaky) -> Result<u32, Failure> {
    cx.chunk(&cx.attempt()).await?;
    if cx.attempt() <= failures { Err(Failure::retry("not yet")) } else { Ok(cx.attempt()) }
}

async fn doomed(_cx: Context, _: Value) -> Result<(), Failure> {
    Err(Failure::reject("never"))
}

#[derive(Deserialize)]
struct Seconds {
    seconds: f64,
}

impl Seconds {
    fn span(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// Has its thread to itself for so long, asleep.
async fn sleeps(_cx: Context, wanted: Seconds) -> Result<&'static str, Failure> {
    thread::sleep(wanted.span());
    Ok("slept")
}

/// Has its thread to itself for so long, at work.
async fn spins(_cx: Context, wanted: Seconds) -> Result<&'static str, Failure> {
    let started = Instant::now();
    while started.elapsed() < wanted.span() {
        std::hint::spin_loop();
    }
    Ok("spun")
}

/// Waits for what never comes, and does not listen.
async fn never(_cx: Context, _: Value) -> Result<(), Failure> {
    std::future::pending().await
}

/// Panics where its payload says.
struct Panics;

#[derive(Deserialize)]
struct Place {
    place: String,
}

impl Panics {
    fn at(payload: &Json, place: &str) -> bool {
        payload.get::<Place>().is_ok_and(|wanted| wanted.place == place)
    }
}

#[async_trait]
impl Handler for Panics {
    fn validate(&self, payload: &Json) -> Result<(), Failure> {
        assert!(!Self::at(payload, "validate"), "a panic in validate");
        Ok(())
    }

    fn estimated_duration(&self, payload: &Json) -> Option<Duration> {
        assert!(!Self::at(payload, "estimate"), "a panic in the estimate");
        Some(if Self::at(payload, "short") { Duration::ZERO } else { LONG })
    }

    async fn process(&self, cx: Context, payload: Json) -> Result<Json, Failure> {
        if Self::at(&payload, "task") {
            let task = tokio::spawn(async { panic!("a panic in a task") });
            return task.await.map_err(Failure::retry);
        }
        if Self::at(&payload, "chunk") {
            cx.chunk(&"handed out").await?;
        }
        panic!("a panic in process")
    }
}

fn routes() -> Router {
    Router::new()
        .action("flaky", flaky)
        .takes(LONG)
        .retries(5)
        .action("doomed", doomed)
        .takes(LONG)
        .action("sleeps", sleeps)
        .action("sleeps.queued", sleeps)
        .takes(LONG)
        .action("spins.queued", spins)
        .takes(LONG)
        .action("never", never)
        .takes(LONG)
        .action("never.timed", never)
        .takes(LONG)
        .timeout(Duration::from_secs(1))
        .action("sleeps.timed", sleeps)
        .takes(LONG)
        .timeout(Duration::from_secs(1))
        .action("panics", Panics)
        .retries(1)
}

#[derive(Deserialize)]
struct Counted {
    panics: bool,
}

/// A handler of events that panics where the payload says so.
fn told(event: &Event) -> Result<Vec<Write>, Rejection> {
    let Counted { panics } = event.payload()?;
    assert!(!panics, "a panic of a handler of events");
    Ok(vec![Write::on("told", &*event.aggregate_id).insert(Document::new().with("told", true))])
}

/// Its sibling.
fn count(_: &Event) -> Result<Vec<Write>, Rejection> {
    Ok(vec![Write::on("counts", "all").creating().increment("n", 1)])
}

fn main() -> ExitCode {
    streamer_cli::Application::new()
        .routes(routes)
        .events(|shipped| shipped.on("Counted", "panics", told).on("Counted", "counts", count))
        .run()
}
