//! Who gets how much: turns between tenants, ranks within one, bounds of actions, bytes that are kept.

use streamer_engine::store::{
    Artifact, ArtifactId, Claim, ErrorKind, NewArtifact, Priority, Quota, Result, RunningMax, SharedStore,
    Usage,
};
use streamer_protocol::{TenantId, UserId};

use crate::given::*;

/// Stores `count` requests of a tenant, all due at the beginning.
async fn enqueue_many(store: &SharedStore, tenant: &str, count: u32) {
    for n in 0..count {
        enqueue(store, &new(key_of(tenant, "u", &format!("r{n}")))).await;
    }
}

async fn claim_some(store: &SharedStore, now: i64, limit: u32) -> Vec<Claim> {
    claim_by(store, "w", now, now + 1000, limit).await
}

async fn finish(store: &SharedStore, claim: &Claim, now: i64) {
    store.finish(&claim.lease, &completed(), at(now), at(99_999)).await.expect("ends");
}

fn tenants(claims: &[Claim]) -> Vec<&str> {
    claims.iter().map(|claim| claim.lease.key.tenant.as_str()).collect()
}

fn ids(claims: &[Claim]) -> Vec<&str> {
    claims.iter().map(|claim| claim.lease.key.id.as_str()).collect()
}

async fn usage(store: &SharedStore, tenant: &str, now: i64) -> Usage {
    store.usage(&TenantId::new(tenant), at(now)).await.expect("reads")
}

/// What is free goes to whoever runs the fewest, however many another has waiting.
pub async fn goes_to_the_tenant_that_runs_the_fewest(store: SharedStore) {
    enqueue_many(&store, "many", 20).await;
    let busy = claim_some(&store, 0, 4).await;
    assert_eq!(tenants(&busy), ["many"; 4]);
    enqueue_many(&store, "one", 1).await;
    finish(&store, &busy[0], 1).await;
    let next = claim_some(&store, 2, 1).await;
    assert_eq!(tenants(&next), ["one"], "its single request waits for one free place");
    let rest = claim_some(&store, 3, 2).await;
    assert_eq!(tenants(&rest), ["many"; 2], "nobody else has anything that waits");
}

/// Several tenants that have enough share what there is.
pub async fn is_shared_evenly(store: SharedStore) {
    for (tenant, count) in [("a", 9), ("b", 5), ("c", 1)] {
        enqueue_many(&store, tenant, count).await;
    }
    let claims = claim_some(&store, 0, 9).await;
    let count = |wanted: &str| tenants(&claims).iter().filter(|tenant| **tenant == wanted).count();
    assert_eq!((count("a"), count("b"), count("c")), (4, 4, 1));
}

/// With a single place, tenants take turns, and who comes again each time does not push in.
pub async fn alternates_with_a_single_place(store: SharedStore) {
    enqueue_many(&store, "z-many", 8).await;
    let mut order = Vec::new();
    for round in 0..8 {
        // Ends each time before it asks again: it has nothing else open.
        if order.last().is_none_or(|last| last == "a-again") || round == 1 {
            enqueue(&store, &new(key_of("a-again", "u", &format!("r{round}")))).await;
        }
        let claim = claim_some(&store, round, 1).await.remove(0);
        finish(&store, &claim, round).await;
        order.push(claim.lease.key.tenant.to_string());
    }
    let many = order.iter().filter(|tenant| *tenant == "z-many").count();
    assert!((3..=5).contains(&many), "{order:?}");
    assert!(!order.windows(3).any(|three| three.iter().all(|tenant| *tenant == three[0])), "{order:?}");
}

/// A lease that ran out is no place taken.
pub async fn counts_only_leases_that_hold(store: SharedStore) {
    enqueue_many(&store, "a", 4).await;
    assert_eq!(claim_some(&store, 0, 2).await.len(), 2);
    assert_eq!((usage(&store, "a", 999).await.running, usage(&store, "a", 1000).await.running), (2, 0));
    enqueue_many(&store, "b", 4).await;
    // Two of a's are due again, and two of its wait: all four places are shared.
    let claims = claim_some(&store, 1000, 4).await;
    let mut shared = tenants(&claims);
    shared.sort_unstable();
    assert_eq!(shared, ["a", "a", "b", "b"]);
}

/// The highest priority first, then what is due longest.
pub async fn ranks_by_priority_within_a_tenant(store: SharedStore) {
    for (id, rank, run_at) in
        [("low", -10, 0), ("plain", 0, 1), ("early", 7, 2), ("late", 7, 3), ("top", 10, 9)]
    {
        let mut wanted = new(key(id));
        wanted.priority = Priority::new(rank).expect("valid");
        wanted.run_at = at(run_at);
        enqueue(&store, &wanted).await;
    }
    let first = claim_some(&store, 5, 2).await;
    assert_eq!(ids(&first), ["early", "late"], "what is not due has no rank");
    assert_eq!(first[0].record.summary.priority, Priority::new(7).expect("valid"));
    assert_eq!(ids(&claim_some(&store, 10, 9).await), ["top", "plain", "low"]);
}

/// A rank is a matter between a tenant's own requests.
pub async fn ranks_nothing_between_tenants(store: SharedStore) {
    for n in 0..3 {
        let mut urgent = new(key_of("urgent", "u", &format!("r{n}")));
        urgent.priority = Priority::MAX;
        enqueue(&store, &urgent).await;
    }
    enqueue_many(&store, "modest", 3).await;
    let mut shared = Vec::new();
    for _ in 0..4 {
        shared.extend(claim_some(&store, 0, 1).await);
    }
    let urgent = tenants(&shared).iter().filter(|tenant| **tenant == "urgent").count();
    assert_eq!(urgent, 2);
}

/// An action that runs as often as it may is passed over, in every tenant, until one of it has ended.
pub async fn passes_over_an_action_at_its_bound(store: SharedStore) {
    let bounded: RunningMax = [(action("narrow"), 2)].into_iter().collect();
    for n in 0..3 {
        for tenant in ["t1", "t2"] {
            let mut narrow = new(key_of(tenant, "u", &format!("narrow{n}")));
            narrow.action = action("narrow");
            enqueue(&store, &narrow).await;
        }
    }
    enqueue(&store, &new(key_of("t1", "u", "wide"))).await;
    let claim = |now: i64| {
        let (store, bounded) = (store.clone(), bounded.clone());
        async move {
            let me = worker("w");
            let claiming = store.claim(&me, at(now), at(now + 1000), 9, &bounded);
            claiming.await.expect("claims").claims
        }
    };
    let first = claim(0).await;
    let narrow = first.iter().filter(|claim| claim.record.summary.action == action("narrow"));
    assert_eq!((first.len(), narrow.count()), (3, 2), "{:?}", ids(&first));
    assert_eq!(claim(1).await.len(), 0);
    let ended = first.iter().find(|claim| claim.record.summary.action == action("narrow")).expect("two");
    finish(&store, ended, 2).await;
    assert_eq!(claim(3).await.len(), 1);
    assert_eq!(claim(4).await.len(), 0);
    // Two leases of it run out: there is room for two again.
    assert_eq!(claim(2000).await.len(), 3, "two of it, and the one that has no bound");
}

/// Actions with one bound for all of them run within it together, whatever bound each has of its own.
pub async fn passes_over_actions_at_their_shared_bound(store: SharedStore) {
    for n in 0..3 {
        for name in ["left", "right", "else"] {
            let mut wanted = new(key_of("t", "u", &format!("{name}{n}")));
            wanted.action = action(name);
            enqueue(&store, &wanted).await;
        }
    }
    let bounded = [(action("left"), 1)].into_iter().collect::<RunningMax>();
    let bounded = bounded.sharing([(vec![action("left"), action("right")], 2)]);
    let me = worker("w");
    let count = |claims: &[Claim]| {
        let of = |name| claims.iter().filter(|claim| claim.record.summary.action == action(name)).count();
        (of("left") + of("right"), of("left"), of("else"))
    };
    let first = store.claim(&me, at(0), at(1000), 9, &bounded).await.expect("claims").claims;
    let (shared, left, rest) = count(&first);
    assert_eq!((shared, left <= 1, rest), (2, true, 3));
    let ended = first.iter().find(|claim| claim.record.summary.action != action("else")).expect("two");
    finish(&store, ended, 1).await;
    let next = store.claim(&me, at(2), at(1000), 9, &bounded).await.expect("claims").claims;
    assert_eq!((count(&next).0, next.len()), (1, 1));
}

/// A tenant takes as many places as it may have, and the next one has its turn.
pub async fn passes_over_a_tenant_without_a_place(store: SharedStore) {
    for tenant in ["a", "b"] {
        enqueue_many(&store, tenant, 5).await;
    }
    enqueue_many(&store, "c", 1).await;
    let (me, bounded) = (worker("w"), RunningMax::default().per_tenant(2));
    let claiming = store.claim(&me, at(0), at(1000), 9, &bounded);
    let claims = claiming.await.expect("claims").claims;
    let mut served = tenants(&claims);
    served.sort_unstable();
    assert_eq!(served, ["a", "a", "b", "b", "c"]);
}

/// What counts are payloads and permissions, chunks that are not void, checkpoints, outcomes and artifacts, until they are removed.
pub async fn counts_the_bytes_that_are_kept(store: SharedStore) {
    let payload = r#"{"year": 2026}["build","read"]"#.len() as u64;
    let outcome = completed().to_json().as_str().len() as u64;
    let bytes = |now| {
        let store = store.clone();
        async move { usage(&store, "acme", now).await.stored_bytes }
    };
    let mut wanted = new(key("a"));
    wanted.permissions = ["read", "build"].into_iter().collect();
    enqueue(&store, &wanted).await;
    let claim = claim_one(&store, 0).await;
    assert_eq!(claim.record.permissions, wanted.permissions);
    assert_eq!(bytes(0).await, payload);
    store
        .append(&claim.lease, &[chunk(1, 0), chunk(2, 1)], Some(&json("1")), &PLENTY)
        .await
        .expect("appends");
    store.append(&claim.lease, &[chunk(3, 2), progress(4, 1.0)], None, &PLENTY).await.expect("appends");
    assert_eq!(bytes(1).await, payload + 18 + 1);
    let again = claim_one(&store, 1000).await;
    assert_eq!(bytes(1000).await, payload + 13, "a chunk that no checkpoint covers is void");
    store.retry(&again.lease, at(1001), &error("e")).await.expect("waits");
    assert_eq!(bytes(1001).await, payload + 13, "a failure that is to be repeated is no outcome");
    let last = claim_one(&store, 1001).await;
    store.finish(&last.lease, &failed(), at(1002), at(5000)).await.expect("ends");
    let failure = failed().to_json().as_str().len() as u64;
    assert_eq!(bytes(1002).await, payload + 13 + failure);
    store.replay(&key("a"), at(1003)).await.expect("replays");
    assert_eq!(bytes(1003).await, payload + 13);
    let last = claim_one(&store, 1003).await;
    store.finish(&last.lease, &completed(), at(1004), at(5000)).await.expect("ends");
    keep(&store, "acme", 1, 100, &PLENTY).await.expect("keeps");
    keep(&store, "other", 2, 7, &PLENTY).await.expect("keeps");
    assert_eq!(bytes(1005).await, payload + 13 + outcome + 100);
    assert_eq!(usage(&store, "other", 0).await, Usage { open: 0, running: 0, stored_bytes: 7 });
    assert_eq!(store.stored_bytes().await.expect("reads"), payload + 13 + outcome + 107);
    store.purge_requests(at(5000), 10).await.expect("purges");
    assert_eq!(bytes(5000).await, 100);
    store.purge_artifacts(at(5000), 10).await.expect("purges");
    assert_eq!((bytes(5000).await, store.stored_bytes().await.expect("reads")), (0, 0));
}

async fn keep(store: &SharedStore, tenant: &str, n: u64, bytes: usize, quota: &Quota) -> Result<Artifact> {
    let new = NewArtifact {
        id: ArtifactId::parse(&format!("{n:032x}")).expect("valid"),
        tenant: TenantId::new(tenant),
        user: UserId::new("u"),
        name: "report.csv".to_owned(),
        media_type: "text/csv".to_owned(),
        created_at: at(0),
        expires_at: at(5000),
        bytes: vec![b'x'; bytes].into(),
    };
    store.keep(new, quota).await
}

/// A tenant that keeps as much as it may gets nothing more in; another one does.
pub async fn bounds_the_bytes_of_each_tenant(store: SharedStore) {
    let quota = Quota { tenant_stored_bytes_max: 40, ..PLENTY };
    let enqueue = |tenant: &'static str, id: &'static str| {
        let store = store.clone();
        async move { store.enqueue(&new(key_of(tenant, "u", id)), &quota).await }
    };
    for id in ["a", "b", "c"] {
        assert!(enqueue("t1", id).await.is_ok(), "14 bytes each, and the last begins below 40");
    }
    assert_eq!(refusal(enqueue("t1", "d").await), ErrorKind::Full);
    assert_eq!(refusal(keep(&store, "t1", 1, 1, &quota).await), ErrorKind::Full);
    assert!(enqueue("t1", "a").await.is_ok(), "what is known is answered all the same");
    assert!(enqueue("t2", "a").await.is_ok());
    assert!(keep(&store, "t2", 2, 26, &quota).await.is_ok());
    assert_eq!(refusal(keep(&store, "t2", 3, 1, &quota).await), ErrorKind::Full);
    assert_eq!(usage(&store, "t2", 0).await.stored_bytes, 40);
}

/// The same for all tenants together.
pub async fn bounds_the_bytes_of_all_together(store: SharedStore) {
    let quota = Quota { stored_bytes_max: 28, ..PLENTY };
    for tenant in ["t1", "t2"] {
        store.enqueue(&new(key_of(tenant, "u", "a")), &quota).await.expect("has room");
    }
    assert_eq!(refusal(store.enqueue(&new(key_of("t3", "u", "a")), &quota).await), ErrorKind::Full);
    assert_eq!(refusal(keep(&store, "t3", 1, 1, &quota).await), ErrorKind::Full);
    let lease = claim_some(&store, 0, 1).await.remove(0);
    store.finish(&lease.lease, &completed(), at(1), at(2)).await.expect("ends, though it adds bytes");
    store.purge_requests(at(2), 10).await.expect("purges");
    assert!(store.enqueue(&new(key_of("t3", "u", "a")), &quota).await.is_ok(), "a purge makes room");
}

/// What runs is held to it too: what does not fit is refused and changes nothing, what adds nothing always fits, and the
/// request can end.
pub async fn bounds_the_bytes_of_what_runs(store: SharedStore) {
    for (n, in_all) in [false, true].into_iter().enumerate() {
        let id = format!("r{n}");
        enqueue_id(&store, &id).await;
        let lease = claim_one(&store, 0).await.lease;
        let kept = store.stored_bytes().await.expect("reads");
        let bounded = |bytes: u64| match in_all {
            false => Quota { tenant_stored_bytes_max: bytes, ..PLENTY },
            true => Quota { stored_bytes_max: bytes, ..PLENTY },
        };
        let state = json(r#"{"n":1}"#);
        let entries = [progress(1, 1.0), chunk(2, 0)];
        let quota = bounded(kept + 12);
        let refused = store.append(&lease, &entries, Some(&state), &quota).await;
        assert_eq!(
            refusal(refused),
            ErrorKind::Full,
            "6 bytes of a chunk and 7 of a checkpoint, and room for 12"
        );
        assert_eq!(log(&store, &key(&id)).await, []);
        assert_eq!(record(&store, &key(&id)).await.checkpoint, None);
        let quota = bounded(kept + 13);
        for _ in 0..2 {
            store
                .append(&lease, &entries, Some(&state), &quota)
                .await
                .expect("just fits, and is safe to repeat");
        }
        assert_eq!(store.stored_bytes().await.expect("reads"), kept + 13);
        for checkpoint in [None, Some(json(r#"{"n":2}"#)), Some(json("3"))] {
            let seq = summary(&store, &key(&id)).await.last_seq + 1;
            let progress = [progress(seq, 2.0)];
            store.append(&lease, &progress, checkpoint.as_ref(), &quota).await.expect("adds nothing");
        }
        assert_eq!(store.stored_bytes().await.expect("reads"), kept + 7, "a smaller checkpoint makes room");
        let seq = summary(&store, &key(&id)).await.last_seq + 1;
        store.append(&lease, &[chunk(seq, 1)], None, &quota).await.expect("has room again");
        assert_eq!(refusal(store.append(&lease, &[chunk(seq + 1, 2)], None, &quota).await), ErrorKind::Full);
        store.finish(&lease, &completed(), at(1), at(2)).await.expect("ends, though it adds bytes");
        store.purge_requests(at(2), 10).await.expect("purges");
        assert_eq!(store.stored_bytes().await.expect("reads"), 0);
    }
}
