//! A lease is prolonged, given up, or run out.

use streamer_engine::store::{ErrorKind, Lease, Outcome, Renewed, SharedStore};
use streamer_protocol::RequestStatus;

use crate::given::*;

const HELD: Renewed = Renewed::Held { cancel_asked: false };

async fn renew(store: &SharedStore, leases: &[Lease], until: i64) -> Vec<Renewed> {
    store.renew(leases, at(until)).await.expect("answers")
}

/// A renewal moves the moment at which others may take over.
pub async fn renewed_is_held_longer(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    assert_eq!(renew(&store, std::slice::from_ref(&lease), 3000).await, [HELD]);
    assert_eq!(claim_all(&store, 2999).await.len(), 0);
    assert_eq!(claim_one(&store, 3000).await.lease.key, key("a"));
    assert_eq!(store.renew(&[], at(1)).await.expect("answers"), []);
}

/// A worker that writes nothing learns of a cancel too.
pub async fn renewed_tells_of_a_cancel(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    store.cancel(&key("a"), &cancelled(), at(5), at(99)).await.expect("asks");
    assert_eq!(renew(&store, &[lease], 3000).await, [Renewed::Held { cancel_asked: true }]);
}

/// Nobody prolongs what is no longer theirs.
pub async fn renewed_is_lost_to_a_new_fence_or_the_end(store: SharedStore) {
    let old = running(&store, "a").await.lease;
    let new = claim_one(&store, 1000).await.lease;
    assert_eq!(renew(&store, &[old, new.clone()], 3000).await, [Renewed::Lost, HELD]);
    store.finish(&new, &completed(), at(1001), at(9999)).await.expect("ends");
    assert_eq!(renew(&store, &[new], 4000).await, [Renewed::Lost]);
    let given_up = running(&store, "b").await.lease;
    store.release(&given_up, at(5)).await.expect("waits");
    let nothing = Lease { key: key("nothing"), fence: 1, place: 1 };
    assert_eq!(renew(&store, &[given_up, nothing], 4000).await, [Renewed::Lost; 2]);
    assert_eq!(next_due(&store).await, Some(at(5)), "a lost renewal changes nothing");
}

/// One answer per lease, in the caller's order.
pub async fn renewals_answer_in_order(store: SharedStore) {
    let mut leases = Vec::new();
    for n in 0..6 {
        leases.push(running(&store, &format!("r{n}")).await.lease);
    }
    for n in [1, 4] {
        store.finish(&leases[n], &completed(), at(1), at(99)).await.expect("ends");
    }
    let expected = [HELD, Renewed::Lost, HELD, HELD, Renewed::Lost, HELD];
    assert_eq!(renew(&store, &leases, 3000).await, expected);
}

/// A draining worker's requests go on elsewhere.
pub async fn released_can_be_claimed_at_once(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    store.append(&lease, &[], Some(&json("1")), &PLENTY).await.expect("stores");
    store.release(&lease, at(20)).await.expect("waits");
    let waits = summary(&store, &key("a")).await;
    assert_eq!((waits.status, waits.run_at), (RequestStatus::Pending, at(20)));
    assert_eq!((waits.attempt, waits.retry_count, waits.retry_after), (1, 0, None));
    let next = claim_one(&store, 20).await;
    assert!(next.lease.fence > lease.fence);
    assert_eq!(next.record.checkpoint, Some(json("1")));
}

/// What has no room for the request asks for it later.
pub async fn released_waits_for_its_time(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    store.release(&lease, at(300)).await.expect("waits");
    assert_eq!(claim_all(&store, 299).await.len(), 0);
    assert_eq!(next_due(&store).await, Some(at(300)));
    let again = claim_one(&store, 300).await.record.summary;
    assert_eq!((again.attempt, again.retry_count, again.takeovers), (2, 0, 0));
}

/// A caller that missed the reply says the same again.
pub async fn released_twice_is_the_same(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    store.release(&lease, at(20)).await.expect("waits");
    let before = snapshot(&store, &key("a")).await;
    store.release(&lease, at(30)).await.expect("is safe to repeat");
    assert_eq!(snapshot(&store, &key("a")).await, before);
    assert_eq!(next_due(&store).await, Some(at(20)));
}

/// A failed attempt is counted, kept, and repeated when it is time.
pub async fn retried_waits_for_its_time(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    store.retry(&lease, at(300), &error("first")).await.expect("waits");
    let waits = record(&store, &key("a")).await;
    assert_eq!(waits.outcome, Some(Outcome::Failed(error("first"))));
    let waits = waits.summary;
    assert_eq!((waits.status, waits.retry_count), (RequestStatus::Retrying, 1));
    assert_eq!((waits.retry_after, waits.run_at), (Some(at(300)), at(300)));
    assert_eq!((waits.ended_at, waits.last_seq), (None, 0), "a failed attempt is no outcome");
    assert_eq!(claim_all(&store, 299).await.len(), 0);
    let again = claim_one(&store, 300).await.record;
    assert_eq!((again.summary.retry_count, again.summary.attempt), (1, 2));
    assert_eq!((again.outcome, again.summary.retry_after), (None, None));
}

/// A caller that missed the reply says the same again.
pub async fn retried_twice_counts_once(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    store.retry(&lease, at(300), &error("first")).await.expect("waits");
    let before = snapshot(&store, &key("a")).await;
    store.retry(&lease, at(400), &error("second")).await.expect("is safe to repeat");
    assert_eq!(snapshot(&store, &key("a")).await, before);
    let lease = claim_one(&store, 300).await.lease;
    store.retry(&lease, at(500), &error("second")).await.expect("waits");
    assert_eq!(summary(&store, &key("a")).await.retry_count, 2);
}

/// A worker that lost its lease gives nothing up.
pub async fn by_an_old_fence_changes_nothing(store: SharedStore) {
    let old = running(&store, "a").await.lease;
    let new = claim_one(&store, 1000).await.lease;
    let before = snapshot(&store, &key("a")).await;
    assert_eq!(refusal(store.retry(&old, at(1001), &error("e")).await), ErrorKind::LeaseLost);
    assert_eq!(refusal(store.release(&old, at(1001)).await), ErrorKind::LeaseLost);
    assert_eq!(snapshot(&store, &key("a")).await, before);
    store.finish(&new, &completed(), at(1002), at(9999)).await.expect("ends");
    let before = snapshot(&store, &key("a")).await;
    for lease in [&old, &new] {
        assert_eq!(refusal(store.retry(lease, at(1003), &error("e")).await), ErrorKind::LeaseLost);
        assert_eq!(refusal(store.release(lease, at(1003)).await), ErrorKind::LeaseLost);
    }
    assert_eq!(snapshot(&store, &key("a")).await, before);
}

/// A node that starts again does not wait for its former life's leases.
pub async fn reclaimed_runs_out_at_once(store: SharedStore) {
    let old = running(&store, "a").await.lease;
    assert_eq!(store.reclaim(&worker("w"), at(10)).await.expect("reclaims"), 1);
    assert_eq!(store.reclaim(&worker("w"), at(11)).await.expect("reclaims"), 0, "it ran out already");
    let taken = claim_one(&store, 10).await;
    assert!(taken.lease.fence > old.fence);
    assert_eq!(taken.record.summary.takeovers, 1);
}

/// What others hold, what waits and what has ended is left alone.
pub async fn reclaimed_is_only_ones_own(store: SharedStore) {
    for id in ["theirs", "mine", "ended", "released"] {
        enqueue_id(&store, id).await;
        let me = worker(if id == "theirs" { "other" } else { "me" });
        let lease = claim_by(&store, me.as_str(), 0, 1000, 1).await.remove(0).lease;
        assert_eq!(lease.key, key(id));
        match id {
            "ended" => drop(store.finish(&lease, &completed(), at(1), at(99)).await.expect("ends")),
            "released" => store.release(&lease, at(700)).await.expect("waits"),
            _ => {}
        }
    }
    assert_eq!(store.reclaim(&worker("me"), at(10)).await.expect("reclaims"), 1);
    assert_eq!(claim_one(&store, 10).await.lease.key, key("mine"));
    assert_eq!(store.reclaim(&worker("nobody"), at(10)).await.expect("reclaims"), 0);
}
