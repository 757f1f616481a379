//! The engine and its store under paused time, with crashes, duplicates, reordering and lost replies, held against
//! what must never happen.
//!
//! A seed is a world: one durable store, one to three nodes over it that die and come back, a store that refuses,
//! loses replies, is slow or away, and devices of four users in two tenants that ask, ask again, resume, cancel and
//! go away. The same seed is the same world, to the last frame. A seed that breaks a promise is printed with the
//! command that shows it again; `SIMULATION_SEEDS=100000` runs more of them than the usual ones.

mod device;
mod dice;
mod ledger;
mod node;
mod panics;
mod planted;
mod view;
mod weather;
mod witness;
mod work;
mod world;

use std::{
    env,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// How many seeds are run unless `SIMULATION_SEEDS` says otherwise.
const SEEDS: u64 = 1_000;

fn number(name: &str, otherwise: u64) -> u64 {
    env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")))
}

#[test]
fn no_seed_breaks_a_promise() {
    panics::watch();
    let (next, end) = (AtomicU64::new(0), number("SIMULATION_SEEDS", SEEDS));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let search = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return None;
            }
            if let Err(how) = world::run(seed, false) {
                // The others need not go on.
                next.store(end, Ordering::Relaxed);
                return Some((seed, how));
            }
        }
    };
    let broken: Vec<(u64, String)> = thread::scope(|scope| {
        let searches: Vec<_> = (0..threads).map(|_| scope.spawn(search)).collect();
        searches.into_iter().filter_map(|search| search.join().expect("does not panic")).collect()
    });
    for (seed, how) in &broken {
        println!(
            "seed {seed}: {how}\n  \
             SIMULATION_SEED={seed} cargo test -p streamer-engine --test simulation -- one --nocapture"
        );
    }
    assert!(broken.is_empty(), "a promise is broken: {broken:?}");
}

/// Shows all that happens in the world of `SIMULATION_SEED`.
#[test]
fn one() {
    panics::watch();
    let seed = number("SIMULATION_SEED", 0);
    if let Err(how) = world::run(seed, true) {
        panic!("seed {seed}: {how}");
    }
}

#[test]
fn a_seed_repeats_itself_and_another_differs() {
    panics::watch();
    let mut before = None;
    for seed in 0..50 {
        let trace = world::run(seed, false);
        assert_eq!(trace, world::run(seed, false), "seed {seed}");
        assert_ne!(Some(&trace), before.as_ref(), "seed {seed} and the one before");
        before = Some(trace);
    }
}
