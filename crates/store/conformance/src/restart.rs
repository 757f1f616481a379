//! What another attempt starts from.

use streamer_engine::store::{EntryBody, LogEntry, SharedStore};

use crate::given::*;

fn restart(seq: u64, now: i64, attempt: u32, from_index: u64) -> LogEntry {
    LogEntry { seq, at: at(now), body: EntryBody::Restart { attempt, from_index } }
}

/// Without a checkpoint every chunk is void.
pub async fn voids_what_no_checkpoint_covers(store: SharedStore) {
    let first = running(&store, "a").await;
    store.append(&first.lease, &[chunk(1, 0), chunk(2, 1)], None, &PLENTY).await.expect("appends");
    let second = claim_one(&store, 1000).await;
    let expected = restart(3, 1000, 2, 0);
    assert_eq!(second.restart, Some(expected.clone()));
    let counted = &second.record.summary;
    assert_eq!((counted.last_seq, counted.chunks, counted.log_bytes), (3, 0, 0));
    assert_eq!(log(&store, &key("a")).await, std::slice::from_ref(&expected));

    store.append(&second.lease, &[chunk(4, 0)], None, &PLENTY).await.expect("index 0 again");
    assert_eq!(log(&store, &key("a")).await, [expected, chunk(4, 0)]);
}

/// What the checkpoint covers is never sent twice.
pub async fn keeps_what_the_checkpoint_covers(store: SharedStore) {
    let first = running(&store, "a").await;
    let state = json(r#"{"row":2}"#);
    store.append(&first.lease, &[chunk(1, 0), chunk(2, 1)], Some(&state), &PLENTY).await.expect("appends");
    store.append(&first.lease, &[chunk(3, 2)], None, &PLENTY).await.expect("appends");

    let second = claim_one(&store, 1000).await;
    assert_eq!(second.record.checkpoint, Some(state));
    let expected = restart(4, 1000, 2, 2);
    assert_eq!(second.restart.as_ref(), Some(&expected));
    let counted = &second.record.summary;
    assert_eq!((counted.last_seq, counted.chunks, counted.log_bytes), (4, 2, 12));
    assert_eq!(log(&store, &key("a")).await, [chunk(1, 0), chunk(2, 1), expected]);
}

/// After a retry, a release, a takeover and a replay.
pub async fn comes_with_every_attempt_but_the_first(store: SharedStore) {
    let claim = running(&store, "a").await;
    assert_eq!(claim.restart, None);
    store.retry(&claim.lease, at(1), &error("e")).await.expect("waits");
    let claim = claim_one(&store, 1).await;
    assert_eq!(claim.restart, Some(restart(1, 1, 2, 0)));
    store.release(&claim.lease, at(2)).await.expect("waits");
    let claim = claim_one(&store, 2).await;
    assert_eq!(claim.restart, Some(restart(2, 2, 3, 0)));
    let claim_again = claim_one(&store, 1002).await;
    assert_eq!(claim_again.restart, Some(restart(3, 1002, 4, 0)));
    assert!(claim_again.lease.fence > claim.lease.fence);
    store.finish(&claim_again.lease, &failed(), at(1003), at(9999)).await.expect("ends");
    store.replay(&key("a"), at(1004)).await.expect("replays");
    let claim = claim_one(&store, 1004).await;
    assert_eq!(claim.restart, Some(restart(5, 1004, 5, 0)), "above the outcome that was seq 4");
}

/// A reader that applies the log in order ends with the right chunks.
pub async fn supersedes_earlier_ones(store: SharedStore) {
    let claim = running(&store, "a").await;
    store.append(&claim.lease, &[chunk(1, 0)], Some(&json("1")), &PLENTY).await.expect("appends");
    let claim = claim_one(&store, 1000).await;
    store.append(&claim.lease, &[chunk(3, 1)], Some(&json("2")), &PLENTY).await.expect("appends");
    let claim = claim_one(&store, 2000).await;
    store.append(&claim.lease, &[chunk(5, 2)], None, &PLENTY).await.expect("appends");
    claim_one(&store, 3000).await;

    // The restart from 1 is still needed by who saw an earlier chunk 1; that from 2 came twice.
    let expected = [chunk(1, 0), restart(2, 1000, 2, 1), chunk(3, 1), restart(6, 3000, 4, 2)];
    assert_eq!(log(&store, &key("a")).await, expected);
    for after in 0..=6 {
        let missed = store.log(&key("a"), after, 100).await.expect("reads");
        assert!(missed.iter().all(|entry| entry.seq > after));
        assert_eq!(missed.last(), (after < 6).then(|| &expected[3]));
    }
}

/// A new attempt does not make the percentage fall.
pub async fn keeps_the_progress(store: SharedStore) {
    let claim = running(&store, "a").await;
    store.append(&claim.lease, &[progress(1, 60.0), chunk(2, 0)], None, &PLENTY).await.expect("appends");
    let again = claim_one(&store, 1000).await;
    assert_eq!(again.record.summary.progress.map(|p| p.percentage), Some(60.0));
    assert_eq!(log(&store, &key("a")).await, [progress(1, 60.0), restart(3, 1000, 2, 0)]);
}
