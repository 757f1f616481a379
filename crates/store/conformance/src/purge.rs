//! What has been kept long enough.

use streamer_engine::store::{Enqueued, ErrorKind, SharedStore};

use crate::given::*;

async fn ended(store: &SharedStore, id: &str, expires_at: i64) {
    let lease = running(store, id).await.lease;
    store.append(&lease, &[chunk(1, 0)], Some(&json("1")), &PLENTY).await.expect("appends");
    store.finish(&lease, &completed(), at(1), at(expires_at)).await.expect("ends");
}

async fn is_there(store: &SharedStore, id: &str) -> bool {
    store.request(&key(id)).await.expect("reads").is_some()
}

/// Neither what is still open, however old, nor what is to be kept longer.
pub async fn removes_only_what_ended_and_expired(store: SharedStore) {
    ended(&store, "expired", 100).await;
    ended(&store, "kept", 101).await;
    running(&store, "runs").await;
    let mut wanted = new(key("waits"));
    wanted.run_at = at(1_000_000);
    enqueue(&store, &wanted).await;
    ended(&store, "replayed", 5_000_000).await;

    assert_eq!(store.purge_requests(at(99), 100).await.expect("purges"), 0);
    assert_eq!(store.purge_requests(at(100), 100).await.expect("purges"), 1);
    assert!(!is_there(&store, "expired").await);
    assert_eq!(store.log(&key("expired"), 0, 10).await.expect("reads"), []);
    for id in ["kept", "runs", "waits", "replayed"] {
        assert!(is_there(&store, id).await, "{id}");
    }
    assert_eq!(store.purge_requests(at(1_000_000), 100).await.expect("purges"), 1);
    assert_eq!(store.open_requests().await.expect("counts"), 2);
}

/// A long list is removed in portions.
pub async fn removes_at_most_the_limit(store: SharedStore) {
    for n in 0..5 {
        ended(&store, &format!("r{n}"), 100).await;
    }
    for expected in [2, 2, 1, 0] {
        assert_eq!(store.purge_requests(at(100), 2).await.expect("purges"), expected);
    }
}

/// A purged id is a new one, with an empty log.
pub async fn frees_the_id(store: SharedStore) {
    ended(&store, "a", 100).await;
    store.purge_requests(at(100), 10).await.expect("purges");
    let other = with_payload(new(key("a")), "1");
    assert!(matches!(store.enqueue(&other, &PLENTY).await, Ok(Enqueued::New)));
    let claim = claim_one(&store, 200).await;
    assert_eq!((claim.record.checkpoint, claim.restart), (None, None));
    assert_eq!(claim.record.payload, json("1"));
    assert_eq!(log(&store, &key("a")).await, []);
}

/// A lease on what is gone is lost.
pub async fn loses_the_lease(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    store.finish(&lease, &completed(), at(1), at(2)).await.expect("ends");
    store.purge_requests(at(2), 10).await.expect("purges");
    assert_eq!(refusal(store.finish(&lease, &completed(), at(3), at(9)).await), ErrorKind::LeaseLost);
    assert_eq!(refusal(store.append(&lease, &[], None, &PLENTY).await), ErrorKind::LeaseLost);
    assert_eq!(refusal(store.retry(&lease, at(3), &error("e")).await), ErrorKind::LeaseLost);
    assert_eq!(refusal(store.release(&lease, at(3)).await), ErrorKind::LeaseLost);
}
