//! Who may work on what, and when.

use std::collections::HashSet;

use streamer_engine::store::{RequestKey, RunningMax, SharedStore};
use streamer_protocol::RequestStatus;

use crate::given::*;

async fn enqueue_at(store: &SharedStore, id: &str, run_at: i64) {
    let mut wanted = new(key(id));
    wanted.run_at = at(run_at);
    enqueue(store, &wanted).await;
}

/// A start in the future is waited for.
pub async fn takes_what_is_due(store: SharedStore) {
    enqueue_at(&store, "later", 500).await;
    assert_eq!(claim_all(&store, 499).await.len(), 0);
    let claim = claim_one(&store, 500).await;
    assert_eq!(claim.lease.key, key("later"));
    assert_eq!(claim.restart, None, "a first attempt does not restart");
    let kept = record(&store, &key("later")).await;
    assert_eq!(claim.record, kept, "a claim carries the record as it left it");
    assert_eq!(kept.summary.status, RequestStatus::Processing);
    assert_eq!((kept.summary.attempt, kept.summary.takeovers), (1, 0));
    assert_eq!(kept.summary.started_at, Some(at(500)));
}

/// The order is that of the due times, not of arrival.
pub async fn takes_the_longest_due_first(store: SharedStore) {
    for (id, run_at) in [("c", 30), ("a", 10), ("d", 40), ("b", 20)] {
        enqueue_at(&store, id, run_at).await;
    }
    let claims = claim_all(&store, 100).await;
    let keys: Vec<RequestKey> = claims.into_iter().map(|claim| claim.lease.key).collect();
    assert_eq!(keys, ["a", "b", "c", "d"].map(key));
}

/// The rest is left to others.
pub async fn takes_at_most_the_limit(store: SharedStore) {
    for n in 0..5 {
        enqueue_at(&store, &format!("r{n}"), n).await;
    }
    let claim = |limit| {
        let store = store.clone();
        async move { claim_by(&store, "w", 10, 1000, limit).await.len() }
    };
    assert_eq!(claim(0).await, 0);
    assert_eq!(claim(2).await, 2);
    assert_eq!(claim(100).await, 3);
    assert_eq!(claim(100).await, 0);
}

/// While a lease holds, nobody else gets the request.
pub async fn takes_nothing_twice(store: SharedStore) {
    running(&store, "a").await;
    for now in [0, 1, 999] {
        let others = claim_by(&store, "other", now, 5000, 10).await;
        assert_eq!(others.len(), 0, "at {now}");
    }
}

/// A lease that ran out is another worker's chance, and is counted.
pub async fn takes_over_once_the_lease_ran_out(store: SharedStore) {
    let first = running(&store, "a").await;
    let second = claim_one(&store, 1000).await;
    assert!(second.lease.fence > first.lease.fence);
    let counted = &second.record.summary;
    assert_eq!((counted.attempt, counted.takeovers, counted.retry_count), (2, 1, 0));
    assert_eq!(counted.started_at, Some(at(0)), "when the first attempt began");
    let third = claim_one(&store, 2000).await;
    assert_eq!((third.record.summary.attempt, third.record.summary.takeovers), (3, 2));
}

/// Every claim has a higher fence than the one before.
pub async fn raises_the_fence(store: SharedStore) {
    let mut claim = running(&store, "a").await;
    for round in 1..6 {
        let next = match round % 3 {
            0 => {
                store.retry(&claim.lease, at(round), &error("e")).await.expect("waits");
                claim_one(&store, round).await
            }
            1 => {
                store.release(&claim.lease, at(round)).await.expect("waits");
                claim_one(&store, round).await
            }
            _ => {
                store.finish(&claim.lease, &failed(), at(round), at(9999)).await.expect("ends");
                store.replay(&key("a"), at(round)).await.expect("replays");
                claim_one(&store, round).await
            }
        };
        assert!(next.lease.fence > claim.lease.fence, "round {round}");
        claim = next;
    }
}

/// A lease that was given up is no takeover.
pub async fn counts_attempts_but_no_takeover_after_a_release(store: SharedStore) {
    let claim = running(&store, "a").await;
    store.release(&claim.lease, at(5)).await.expect("waits");
    let claim = claim_one(&store, 5).await;
    assert_eq!((claim.record.summary.attempt, claim.record.summary.takeovers), (2, 0));
    store.retry(&claim.lease, at(6), &error("e")).await.expect("waits");
    let claim = claim_one(&store, 6).await;
    assert_eq!((claim.record.summary.attempt, claim.record.summary.takeovers), (3, 0));
}

/// Starts, retries and the ends of leases count; what has ended does not, nor what is due already.
pub async fn tells_when_the_next_is_due(store: SharedStore) {
    let claim = |now: i64, limit: u32| {
        let store = store.clone();
        async move {
            let (me, unbounded) = (worker("w"), RunningMax::default());
            let claiming = store.claim(&me, at(now), at(now + 300), limit, &unbounded);
            let claimed = claiming.await.expect("claims");
            (claimed.claims, claimed.next_due)
        }
    };
    assert_eq!(claim(0, 9).await.1, None);
    enqueue_at(&store, "a", 700).await;
    enqueue_at(&store, "b", 300).await;
    assert_eq!(claim(0, 9).await.1, Some(at(300)), "b's start");
    assert_eq!(claim(300, 0).await.1, Some(at(700)), "a's start: b is due");
    let b = claim(300, 1).await.0.remove(0);
    assert_eq!(claim(301, 0).await.1, Some(at(600)), "the end of b's lease");
    store.renew(std::slice::from_ref(&b.lease), at(900)).await.expect("renews");
    assert_eq!(claim(302, 0).await.1, Some(at(700)), "a's start");
    store.retry(&b.lease, at(650), &error("e")).await.expect("waits");
    assert_eq!(claim(303, 0).await.1, Some(at(650)), "b's retry");
    store.cancel(&key("b"), &cancelled(), at(304), at(999)).await.expect("ends");
    assert_eq!(claim(305, 0).await.1, Some(at(700)));
    let a = claim_one(&store, 700).await;
    store.finish(&a.lease, &completed(), at(701), at(999)).await.expect("ends");
    assert_eq!(claim(702, 9).await.1, None);
}

/// Workers that claim at the same moment share the requests.
pub async fn by_many_gives_each_request_once(store: SharedStore) {
    for n in 0..60 {
        enqueue_id(&store, &format!("r{n}")).await;
    }
    let workers: Vec<_> = (0..8)
        .map(|n| {
            let (store, me) = (store.clone(), format!("w{n}"));
            tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let claims = claim_by(&store, &me, 0, 1000, 3).await;
                    if claims.is_empty() {
                        return mine;
                    }
                    mine.extend(claims.into_iter().map(|claim| claim.lease.key));
                }
            })
        })
        .collect();
    let (mut count, mut seen) = (0, HashSet::new());
    for worker in workers {
        for key in worker.await.expect("ends") {
            count += 1;
            seen.insert(key);
        }
    }
    assert_eq!((count, seen.len()), (60, 60));
}
