//! A request that is no longer wanted.

use streamer_engine::store::{Cancelled, EntryBody, ErrorKind, LogEntry, SharedStore};
use streamer_protocol::RequestStatus;

use crate::given::*;

async fn cancel(store: &SharedStore, id: &str, now: i64) -> Cancelled {
    store.cancel(&key(id), &cancelled(), at(now), at(9999)).await.expect("answers")
}

async fn is_ended_at(store: &SharedStore, id: &str, seq: u64, now: i64) {
    let entry = match cancel(store, id, now).await {
        Cancelled::Ended(entry) => entry,
        other => panic!("it waited: {other:?}"),
    };
    assert_eq!(entry, LogEntry { seq, at: at(now), body: EntryBody::Outcome(cancelled()) });
    assert_eq!(log(store, &key(id)).await.last(), Some(&entry));
    let kept = record(store, &key(id)).await;
    assert_eq!((kept.summary.status, kept.outcome), (RequestStatus::Cancelled, Some(cancelled())));
    assert_eq!((kept.summary.ended_at, kept.summary.expires_at), (Some(at(now)), Some(at(9999))));
    assert_eq!((kept.summary.last_seq, kept.summary.retry_after), (seq, None));
    assert_eq!(next_due(store).await, None);
    assert_eq!(claim_all(store, 5000).await.len(), 0, "nobody works on it");
    match cancel(store, id, now + 1).await {
        Cancelled::Already(known) => assert_eq!(known, kept.summary, "a second time changes nothing"),
        other => panic!("it has ended: {other:?}"),
    }
}

/// One that nobody has begun.
pub async fn ends_what_waits(store: SharedStore) {
    enqueue_id(&store, "a").await;
    is_ended_at(&store, "a", 1, 5).await;
}

/// One between two attempts.
pub async fn ends_what_waits_for_a_retry(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    store.append(&lease, &[chunk(1, 0), progress(2, 5.0)], None, &PLENTY).await.expect("appends");
    store.retry(&lease, at(300), &error("e")).await.expect("waits");
    is_ended_at(&store, "a", 3, 5).await;
}

/// Its worker decides when.
pub async fn marks_what_runs(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    for _ in 0..2 {
        match cancel(&store, "a", 5).await {
            Cancelled::Asked(known) => {
                assert_eq!((known.status, known.cancel_asked), (RequestStatus::Processing, true));
            }
            other => panic!("it runs: {other:?}"),
        }
    }
    assert_eq!(log(&store, &key("a")).await, []);
    store.finish(&lease, &cancelled(), at(7), at(99)).await.expect("ends");
    assert_eq!(status(&store, &key("a")).await, RequestStatus::Cancelled);
}

/// A worker that died or gave up before it learnt of the cancel leaves it to the next.
pub async fn outlives_the_attempt(store: SharedStore) {
    running(&store, "a").await;
    cancel(&store, "a", 5).await;
    let taken = claim_one(&store, 1000).await;
    assert!(taken.record.summary.cancel_asked);
    store.release(&taken.lease, at(1001)).await.expect("waits");
    assert!(summary(&store, &key("a")).await.cancel_asked);
    is_ended_at(&store, "a", 2, 1002).await;
}

/// The outcome that was there first counts.
pub async fn leaves_what_ended(store: SharedStore) {
    for (id, outcome) in [("c", completed()), ("f", failed()), ("x", cancelled())] {
        let lease = running(&store, id).await.lease;
        store.finish(&lease, &outcome, at(1), at(99)).await.expect("ends");
        let before = snapshot(&store, &key(id)).await;
        match cancel(&store, id, 5).await {
            Cancelled::Already(known) => assert_eq!(known, before.0.summary),
            other => panic!("it has ended: {other:?}"),
        }
        assert_eq!(snapshot(&store, &key(id)).await, before);
    }
}

/// Somebody else's id is as good as none.
pub async fn of_nothing_is_not_found(store: SharedStore) {
    enqueue_id(&store, "a").await;
    for nothing in [key("b"), key_of("acme", "bob", "a"), key_of("other", "ada", "a")] {
        let answer = store.cancel(&nothing, &cancelled(), at(1), at(99)).await;
        assert_eq!(refusal(answer), ErrorKind::NotFound, "{nothing:?}");
    }
    assert_eq!(status(&store, &key("a")).await, RequestStatus::Pending);
}

/// A cancel with another outcome is a caller's mistake.
pub async fn ends_only_as_cancelled(store: SharedStore) {
    enqueue_id(&store, "a").await;
    for outcome in [completed(), failed()] {
        let answer = store.cancel(&key("a"), &outcome, at(1), at(99)).await;
        assert_eq!(refusal(answer), ErrorKind::Invalid);
    }
    assert_eq!(status(&store, &key("a")).await, RequestStatus::Pending);
}
