//! SIGKILL at random moments under load: what was acknowledged is done, once, and who comes back misses nothing.
//!
//! `CRASH_ROUNDS=100 CRASH_SEED=7 cargo test -p streamer-e2e crash` kills more often, and at other moments.

use std::time::Duration;

use futures_util::future::join_all;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use streamer_e2e::{
    audit,
    client::{Client, Errand},
    patience::within,
    scenario::Place as _,
};
use tokio::{sync::watch, time::sleep};

use crate::server;

const CLIENTS: u64 = 3;

/// Requests without end, as chance will have them.
fn errands(mut random: StdRng) -> impl Iterator<Item = Errand> {
    std::iter::repeat_with(move || {
        let errand = match random.random_range(0..5) {
            0 => Errand::new("echo_async", json!({ "n": random.random_range(0..1000) })),
            1 => {
                let period = json!({ "start_date": "2024-01-01", "end_date": "2024-01-31", "format": "csv" });
                Errand::new("generate_report", period)
            }
            // Some are queued, and some are short until their first chunk.
            _ => {
                let seconds = f64::from(random.random_range(50..900)) / 1000.0;
                let chunks = random.random_range(1..12);
                Errand::new("delay", json!({ "seconds": seconds, "chunks": chunks }))
            }
        };
        Errand { pause: Duration::from_millis(random.random_range(5..60)), ..errand }
    })
}

/// A variable's number, or what is usual.
fn chosen(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("a number"))
}

#[tokio::test]
async fn kills_at_random_moments_lose_double_and_reorder_nothing() {
    let (seed, rounds) = (chosen("CRASH_SEED", 1), chosen("CRASH_ROUNDS", 20));
    // Shown if it fails.
    eprintln!("CRASH_SEED={seed} CRASH_ROUNDS={rounds}");
    let mut random = StdRng::seed_from_u64(seed);
    // A request that is hit by every kill is no poison.
    let mut server =
        server().set("engine.short_limit_ms", 400).set("engine.takeovers_max", rounds).start().await;
    let (stop, stopped) = watch::channel(false);
    let clients = (0..CLIENTS).map(|n| {
        let errands = errands(StdRng::seed_from_u64(seed + n));
        Client::new(format!("user-{n}"), server.ws_url(), errands).live(stopped.clone())
    });
    let mut clients = join_all(clients);
    let kills = async {
        for _ in 0..rounds {
            // Not a wait for anything: the moment of the crash.
            sleep(Duration::from_millis(random.random_range(100..1500))).await;
            server.kill().await;
            server.restart().await;
        }
        stop.send(true).expect("the clients live");
    };
    tokio::select! {
        _ = &mut clients => panic!("nobody told the clients to stop"),
        () = kills => {}
    }
    let clients = within("the clients to be done", clients).await;

    let mut restarts = 0;
    for client in &clients {
        assert!(client.ended.len() > 10, "{} sent only {}", client.user, client.ended.len());
        let anew = audit::hold(&server, client).await;
        assert!(anew.attempts_max <= rounds + 1, "one was begun without a kill: {anew:?}");
        restarts += anew.restarts;
    }
    assert!(restarts > 0, "no kill hit running work: the test proves nothing");
    let resumes: u32 = clients.iter().map(|client| client.resumes).sum();
    assert!(resumes > 0, "nobody had to resume: the test proves nothing");
    audit::nothing_runs_again(&server, &clients).await;
    server.stop().await;
    audit::is_sound(&server).await;
}
