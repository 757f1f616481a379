//! How a request ends under its lease.

use streamer_engine::store::{EntryBody, ErrorKind, LogEntry, Outcome, SharedStore};
use streamer_protocol::RequestStatus;

use crate::given::*;

/// Record and log say the same.
pub async fn ends_with_the_outcome(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    store.append(&lease, &[chunk(1, 0), progress(2, 100.0)], None, &PLENTY).await.expect("appends");
    let seq = store.finish(&lease, &completed(), at(70), at(900)).await.expect("ends");
    assert_eq!(seq, 3, "the log's next");
    let kept = record(&store, &key("a")).await;
    assert_eq!(kept.outcome, Some(completed()));
    assert_eq!(kept.summary.status, RequestStatus::Completed);
    assert_eq!((kept.summary.ended_at, kept.summary.expires_at), (Some(at(70)), Some(at(900))));
    assert_eq!((kept.summary.last_seq, kept.summary.chunks), (3, 1));
    let end = LogEntry { seq: 3, at: at(70), body: EntryBody::Outcome(completed()) };
    assert_eq!(log(&store, &key("a")).await, [chunk(1, 0), progress(2, 100.0), end]);
    assert_eq!(claim_all(&store, 5000).await.len(), 0);
}

/// Each outcome has its status, and keeps what it says.
pub async fn may_fail_or_be_cancelled(store: SharedStore) {
    let large = Outcome::Completed(json(&format!("\"{}\"", "x".repeat(300_000))));
    let outcomes = [
        ("failed", failed(), RequestStatus::Failed),
        ("cancelled", cancelled(), RequestStatus::Cancelled),
        ("large", large, RequestStatus::Completed),
        ("null", Outcome::Completed(json("null")), RequestStatus::Completed),
    ];
    for (id, outcome, expected) in outcomes {
        let lease = running(&store, id).await.lease;
        let seq = store.finish(&lease, &outcome, at(1), at(99)).await.expect("ends");
        assert_eq!(status(&store, &key(id)).await, expected);
        assert_eq!(record(&store, &key(id)).await.outcome, Some(outcome.clone()));
        let end = LogEntry { seq, at: at(1), body: EntryBody::Outcome(outcome) };
        assert_eq!(log(&store, &key(id)).await, [end]);
    }
}

/// What ended stays as it ended, whatever is said later.
pub async fn repeated_changes_nothing(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    let seq = store.finish(&lease, &completed(), at(1), at(99)).await.expect("ends");
    let before = snapshot(&store, &key("a")).await;
    for outcome in [completed(), failed()] {
        let again = store.finish(&lease, &outcome, at(2), at(999)).await.expect("is safe to repeat");
        assert_eq!(again, seq);
        assert_eq!(snapshot(&store, &key("a")).await, before);
    }
}

/// A worker that lost its lease ends nothing, before the new one ends it and after.
pub async fn by_an_old_fence_changes_nothing(store: SharedStore) {
    let old = running(&store, "a").await.lease;
    let new = claim_one(&store, 1000).await.lease;
    let late = || async { refusal(store.finish(&old, &failed(), at(1001), at(9999)).await) };
    assert_eq!(late().await, ErrorKind::LeaseLost);
    assert_eq!(status(&store, &key("a")).await, RequestStatus::Processing);
    store.finish(&new, &completed(), at(1002), at(9999)).await.expect("ends");
    assert_eq!(late().await, ErrorKind::LeaseLost);
    assert_eq!(record(&store, &key("a")).await.outcome, Some(completed()));
}

/// Who gave the lease up ends nothing, even if nobody has claimed the request since.
pub async fn by_a_lease_given_up_is_refused(store: SharedStore) {
    for id in ["retried", "released", "cancelled", "replayed"] {
        let lease = running(&store, id).await.lease;
        match id {
            "released" => store.release(&lease, at(9999)).await.expect("waits"),
            "replayed" => {
                store.finish(&lease, &failed(), at(1), at(99)).await.expect("ends");
                store.replay(&key(id), at(9999)).await.expect("waits");
            }
            _ => store.retry(&lease, at(9999), &error("e")).await.expect("waits"),
        }
        if id == "cancelled" {
            store.cancel(&key(id), &cancelled(), at(2), at(99)).await.expect("ends");
        }
        let before = snapshot(&store, &key(id)).await;
        let late = store.finish(&lease, &completed(), at(3), at(99)).await;
        assert_eq!(refusal(late), ErrorKind::LeaseLost, "{id}");
        assert_eq!(snapshot(&store, &key(id)).await, before, "{id}");
    }
}

/// While no other fence is out, the holder's word counts.
pub async fn works_after_the_lease_ran_out(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    store.finish(&lease, &completed(), at(5000), at(9999)).await.expect("ends");
    assert_eq!(status(&store, &key("a")).await, RequestStatus::Completed);
}
