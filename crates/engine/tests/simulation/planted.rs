//! The simulation proves itself: each planted bug is found, by the promise that it breaks.

use streamer_engine::planted::{self, Bug};

use crate::{panics, world};

/// By so many seeds a planted bug must be found.
const SEEDS: u64 = 2_000;

/// What the first seed that finds a planted bug says about it.
fn finds(bug: Bug) -> String {
    panics::watch();
    let _planted = planted::plant(bug);
    let found = (0..SEEDS).find_map(|seed| Some((seed, world::run(seed, false).err()?)));
    let (seed, how) = found.unwrap_or_else(|| panic!("{bug:?} is not found by {SEEDS} seeds"));
    println!("{bug:?} is found by seed {seed}: {how}");
    how
}

fn is_found(bug: Bug, by: &[&str]) {
    let how = finds(bug);
    assert!(by.iter().any(|by| how.contains(by)), "{bug:?} is found by something else: {how}");
}

#[test]
fn push_before_persist() {
    is_found(Bug::PushBeforePersist, &["pushed before it is stored"]);
}

#[test]
fn no_fencing() {
    is_found(Bug::NoFencing, &["is out"]);
}

#[test]
fn lost_last_progress() {
    is_found(Bug::LostLastProgress, &["the last progress shown"]);
}

#[test]
fn acknowledgment_before_commit() {
    is_found(Bug::AcknowledgmentBeforeCommit, &["acknowledged, and not stored"]);
}

#[test]
fn double_finish() {
    is_found(Bug::DoubleFinish, &["it has ended 2 times"]);
}

#[test]
fn repeated_chunk() {
    is_found(Bug::RepeatedChunk, &["row "]);
}

#[test]
fn dropped_hand_over() {
    is_found(Bug::DroppedHandOver, &["a gap", "misunderstood", "rows seen"]);
}

#[test]
fn forgotten_cancel() {
    is_found(Bug::ForgottenCancel, &["again after it was cancelled"]);
}

#[test]
fn run_at_ignored() {
    is_found(Bug::RunAtIgnored, &["before its time"]);
}

#[test]
fn quota_leak() {
    is_found(Bug::QuotaLeak, &["not every request", "one more", "requests of"]);
}

#[test]
fn bound_ignored() {
    is_found(Bug::BoundIgnored, &["run at once"]);
}
