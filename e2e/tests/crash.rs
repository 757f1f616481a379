//! SIGKILL at random moments under load: what was acknowledged is done, once, and who comes back misses nothing.
//!
//! `CRASH_ROUNDS=100 CRASH_SEED=7 cargo test -p streamer-e2e crash` kills more often, and at other moments.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use streamer_e2e::{audit, load, scenario::Place as _};
use tokio::time::sleep;

use crate::{chosen, server};

#[tokio::test]
async fn kills_at_random_moments_lose_double_and_reorder_nothing() {
    let (seed, rounds) = (chosen("CRASH_SEED", 1), chosen("CRASH_ROUNDS", 20));
    // Shown if it fails.
    eprintln!("CRASH_SEED={seed} CRASH_ROUNDS={rounds}");
    let mut random = StdRng::seed_from_u64(seed);
    // A request that is hit by every kill is no poison.
    let mut server =
        server().set("engine.short_limit_ms", 400).set("engine.takeovers_max", rounds).start().await;
    let url = server.ws_url();
    let clients = load::during(&url, seed, async {
        for _ in 0..rounds {
            // Not a wait for anything: the moment of the crash.
            sleep(Duration::from_millis(random.random_range(100..1500))).await;
            server.kill().await;
            server.restart().await;
        }
    })
    .await;
    let anew = load::hold(&server, &clients).await;
    assert!(anew.attempts_max <= rounds + 1, "one was begun without a kill: {anew:?}");
    server.stop().await;
    audit::is_sound(&server).await;
}
