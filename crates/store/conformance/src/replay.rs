//! A second chance for what failed.

use streamer_engine::store::{EntryBody, ErrorKind, Outcome, SharedStore};
use streamer_protocol::RequestStatus;

use crate::given::*;

/// It waits as if it had never failed, and goes on from its checkpoint.
pub async fn gives_a_second_chance(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    store.append(&lease, &[chunk(1, 0)], Some(&json("1")), &PLENTY).await.expect("appends");
    store.retry(&lease, at(1), &error("e")).await.expect("waits");
    claim_one(&store, 1).await;
    let lease = claim_one(&store, 1001).await.lease;
    store.cancel(&key("a"), &cancelled(), at(1002), at(9999)).await.expect("asks");
    store.finish(&lease, &failed(), at(1003), at(9999)).await.expect("ends");

    let waits = store.replay(&key("a"), at(1500)).await.expect("replays");
    assert_eq!((waits.status, waits.run_at), (RequestStatus::Pending, at(1500)));
    assert_eq!((waits.retry_count, waits.takeovers, waits.cancel_asked), (0, 0, false));
    assert_eq!((waits.ended_at, waits.expires_at, waits.attempt), (None, None, 3));
    let kept = record(&store, &key("a")).await;
    assert_eq!((&kept.summary, &kept.outcome), (&waits, &None));
    assert_eq!(claim_all(&store, 1499).await.len(), 0);

    let again = claim_one(&store, 1500).await;
    assert_eq!(again.record.checkpoint, Some(json("1")));
    assert_eq!((again.record.summary.chunks, again.record.summary.attempt), (1, 4));
    assert_eq!(again.record.summary.takeovers, 0);
}

/// The log goes on above the outcome that a client may have seen.
pub async fn takes_the_outcome_out_of_the_log(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    store.append(&lease, &[progress(1, 20.0)], None, &PLENTY).await.expect("appends");
    let failed_at = store.finish(&lease, &failed(), at(1), at(99)).await.expect("ends");
    store.replay(&key("a"), at(2)).await.expect("replays");
    assert_eq!(log(&store, &key("a")).await, [progress(1, 20.0)]);
    let lease = claim_one(&store, 2).await.lease;
    let ended_at = store.finish(&lease, &completed(), at(3), at(99)).await.expect("ends");
    let entries = store.log(&key("a"), failed_at, 100).await.expect("reads");
    assert_eq!(entries.last().map(|entry| entry.seq), Some(ended_at));
    let outcomes: Vec<_> = log(&store, &key("a"))
        .await
        .into_iter()
        .filter_map(|entry| match entry.body {
            EntryBody::Outcome(outcome) => Some(outcome),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes, [Outcome::Completed(json(r#"{"url":"/r"}"#))], "one outcome only");
}

/// What waits, runs, or ended otherwise needs no second chance.
pub async fn is_for_what_failed_only(store: SharedStore) {
    for id in ["retrying", "running", "completed", "cancelled"] {
        let lease = running(&store, id).await.lease;
        match id {
            "retrying" => store.retry(&lease, at(9999), &error("e")).await.expect("waits"),
            "completed" => drop(store.finish(&lease, &completed(), at(1), at(99)).await.expect("ends")),
            "cancelled" => drop(store.finish(&lease, &cancelled(), at(1), at(99)).await.expect("ends")),
            _ => {}
        }
    }
    enqueue_id(&store, "pending").await;
    for id in ["retrying", "running", "completed", "cancelled", "pending"] {
        let before = snapshot(&store, &key(id)).await;
        assert_eq!(refusal(store.replay(&key(id), at(2)).await), ErrorKind::Conflict, "{id}");
        assert_eq!(snapshot(&store, &key(id)).await, before, "{id}");
    }
}

/// There is nothing to replay.
pub async fn of_nothing_is_not_found(store: SharedStore) {
    assert_eq!(refusal(store.replay(&key("a"), at(2)).await), ErrorKind::NotFound);
}

/// Who let it fail has no say in the second life.
pub async fn ends_the_old_leases_say(store: SharedStore) {
    let old = running(&store, "a").await.lease;
    store.finish(&old, &failed(), at(1), at(99)).await.expect("ends");
    store.replay(&key("a"), at(2)).await.expect("replays");
    assert_eq!(refusal(store.finish(&old, &failed(), at(3), at(99)).await), ErrorKind::LeaseLost);
    let new = claim_one(&store, 4).await.lease;
    assert_eq!(refusal(store.finish(&old, &failed(), at(5), at(99)).await), ErrorKind::LeaseLost);
    assert_eq!(refusal(store.append(&old, &[], Some(&json("1")), &PLENTY).await), ErrorKind::LeaseLost);
    store.finish(&new, &completed(), at(6), at(99)).await.expect("ends");
}
