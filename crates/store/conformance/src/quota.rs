//! How many requests may be open.

use streamer_engine::store::{Enqueued, ErrorKind, Promoted, Quota, SharedStore};

use crate::given::*;

const TWO: Quota = Quota { open_max: 2, tenant_open_max: 100, ..PLENTY };
const ONE_EACH: Quota = Quota { open_max: 100, tenant_open_max: 1, ..PLENTY };

async fn open(store: &SharedStore) -> u64 {
    store.open_requests().await.expect("counts")
}

async fn is_full(store: &SharedStore, id: &str, quota: Quota) -> bool {
    match store.enqueue(&new(key(id)), &quota).await {
        Ok(Enqueued::New) => false,
        Err(e) if e.kind() == ErrorKind::Full => true,
        other => panic!("new or full, but: {other:?}"),
    }
}

/// The total counts every tenant's.
pub async fn bounds_all_tenants_together(store: SharedStore) {
    enqueue(&store, &new(key_of("t1", "u", "a"))).await;
    enqueue(&store, &new(key_of("t2", "u", "a"))).await;
    let third = new(key_of("t3", "u", "a"));
    assert_eq!(refusal(store.enqueue(&third, &TWO).await), ErrorKind::Full);
    assert_eq!(store.request(&third.key).await.expect("reads"), None);
    assert_eq!(open(&store).await, 2);
}

/// One tenant's bound is no other's.
pub async fn bounds_each_tenant(store: SharedStore) {
    let of = |tenant: &str, user: &str, id: &str| new(key_of(tenant, user, id));
    assert!(store.enqueue(&of("t1", "u", "a"), &ONE_EACH).await.is_ok());
    assert_eq!(refusal(store.enqueue(&of("t1", "v", "b"), &ONE_EACH).await), ErrorKind::Full);
    assert!(store.enqueue(&of("t2", "u", "a"), &ONE_EACH).await.is_ok(), "another tenant has room");
}

/// A full queue still knows what it holds.
pub async fn answers_a_known_id_though_full(store: SharedStore) {
    enqueue_id(&store, "a").await;
    let none = Quota { open_max: 0, tenant_open_max: 0, ..PLENTY };
    assert!(matches!(store.enqueue(&new(key("a")), &none).await, Ok(Enqueued::Known(_))));
    let other = with_payload(new(key("a")), "1");
    assert_eq!(refusal(store.enqueue(&other, &none).await), ErrorKind::Conflict);
    assert_eq!(refusal(store.enqueue(&new(key("b")), &none).await), ErrorKind::Full);
}

/// A promoted request is an open one.
pub async fn bounds_promotions(store: SharedStore) {
    let promote = |id| {
        let (store, new) = (store.clone(), new(key(id)));
        async move { store.promote(&new, &ONE_EACH, &worker("w"), at(1000)).await }
    };
    assert!(matches!(promote("a").await, Ok(Promoted::Leased(_))));
    assert_eq!(refusal(promote("b").await), ErrorKind::Full);
    assert!(matches!(promote("a").await, Ok(Promoted::Known(_))));
    assert!(is_full(&store, "c", ONE_EACH).await);
}

/// Completed, failed, cancelled by its worker, cancelled while it waited: each frees one place, once.
pub async fn is_freed_by_every_end(store: SharedStore) {
    for (n, outcome) in [completed(), failed(), cancelled()].iter().enumerate() {
        let id = format!("r{n}");
        assert!(!is_full(&store, &id, ONE_EACH).await, "{id}");
        assert!(is_full(&store, "other", ONE_EACH).await);
        let claim = claim_one(&store, 0).await;
        for _ in 0..3 {
            store.finish(&claim.lease, outcome, at(1), at(99)).await.expect("ends");
            store.cancel(&key(&id), &cancelled(), at(1), at(99)).await.expect("answers");
        }
        assert_eq!(open(&store).await, 0);
    }
    assert!(!is_full(&store, "waits", ONE_EACH).await);
    for _ in 0..3 {
        store.cancel(&key("waits"), &cancelled(), at(1), at(99)).await.expect("ends");
    }
    assert_eq!(open(&store).await, 0);
    store.purge_requests(at(100), 100).await.expect("purges");
    assert_eq!(open(&store).await, 0, "a purge frees nothing more");
    assert!(!is_full(&store, "last", ONE_EACH).await);
    assert!(is_full(&store, "one too many", ONE_EACH).await);
}

/// A request that is retried, released or taken over is open all the while.
pub async fn is_held_by_what_waits_again(store: SharedStore) {
    let claim = running(&store, "a").await;
    store.retry(&claim.lease, at(5), &error("e")).await.expect("waits");
    assert!(is_full(&store, "b", ONE_EACH).await);
    let claim = claim_one(&store, 5).await;
    store.release(&claim.lease, at(6)).await.expect("waits");
    assert!(is_full(&store, "b", ONE_EACH).await);
    claim_one(&store, 6).await;
    claim_one(&store, 2000).await;
    assert!(is_full(&store, "b", ONE_EACH).await);
    assert_eq!(open(&store).await, 1);
}

/// What an operator gives a second chance is open again.
pub async fn is_taken_again_by_a_replay(store: SharedStore) {
    let claim = running(&store, "a").await;
    store.finish(&claim.lease, &failed(), at(1), at(99)).await.expect("ends");
    assert_eq!(open(&store).await, 0);
    store.replay(&key("a"), at(2)).await.expect("replays");
    assert_eq!(open(&store).await, 1);
    assert!(is_full(&store, "b", ONE_EACH).await);
    let claim = claim_one(&store, 2).await;
    store.finish(&claim.lease, &completed(), at(3), at(99)).await.expect("ends");
    assert_eq!(open(&store).await, 0);
}

/// Callers that come together do not slip past the bound.
pub async fn holds_against_many_at_once(store: SharedStore) {
    let quota = Quota { open_max: 100, tenant_open_max: 5, ..PLENTY };
    let callers: Vec<_> = (0..20)
        .map(|n| {
            let (store, new) = (store.clone(), new(key(&format!("r{n}"))));
            tokio::spawn(async move { store.enqueue(&new, &quota).await.is_ok() })
        })
        .collect();
    let mut stored = 0;
    for caller in callers {
        stored += u64::from(caller.await.expect("ends"));
    }
    assert_eq!((stored, open(&store).await), (5, 5));
}
