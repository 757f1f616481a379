//! A request is stored once, and found again by its id.

use streamer_engine::store::{Enqueued, ErrorKind, Promoted, SharedStore};
use streamer_protocol::{ConnectionId, RequestStatus};

use crate::given::*;

/// What comes back is what went in.
pub async fn stores_everything(store: SharedStore) {
    let mut wanted = new(key("a"));
    wanted.connection = Some(ConnectionId::new("c-1"));
    wanted.run_at = at(500);
    wanted.repeatable = false;
    wanted.permissions = ["write", "report \"é\""].into_iter().collect();
    enqueue(&store, &wanted).await;

    let kept = record(&store, &wanted.key).await;
    assert_eq!(kept.payload.as_str(), wanted.payload.as_str(), "the payload's text is kept as it came");
    assert_eq!(kept.permissions, wanted.permissions);
    assert_eq!((kept.checkpoint, kept.outcome), (None, None));
    let kept = kept.summary;
    assert_eq!(kept.key, wanted.key);
    assert_eq!(kept.connection, wanted.connection);
    assert_eq!(kept.action, wanted.action);
    assert_eq!(kept.status, RequestStatus::Pending);
    assert_eq!((kept.run_at, kept.created_at), (at(500), at(0)));
    assert_eq!((kept.max_retries, kept.repeatable, kept.cancel_asked), (3, false, false));
    assert_eq!((kept.attempt, kept.retry_count, kept.takeovers), (0, 0, 0));
    assert_eq!((kept.progress, kept.retry_after), (None, None));
    assert_eq!((kept.started_at, kept.ended_at, kept.expires_at), (None, None, None));
    assert_eq!((kept.last_seq, kept.chunks, kept.log_bytes), (0, 0, 0));
    assert_eq!(log(&store, &wanted.key).await, []);
    assert_eq!(store.request(&key("b")).await.expect("reads"), None);
    assert_eq!(store.log(&key("b"), 0, 10).await.expect("reads"), []);
}

/// The second call changes nothing, whatever else it says.
pub async fn repeated_answers_where_it_stands(store: SharedStore) {
    let claim = running(&store, "a").await;
    store.append(&claim.lease, &[progress(1, 40.0)], None, &PLENTY).await.expect("appends");
    let before = snapshot(&store, &key("a")).await;

    let mut again = new(key("a"));
    (again.created_at, again.run_at, again.max_retries) = (at(900), at(901), 9);
    again.permissions = ["admin"].into_iter().collect();
    match store.enqueue(&again, &PLENTY).await {
        Ok(Enqueued::Known(known)) => assert_eq!(known, before.0.summary),
        other => panic!("it is known: {other:?}"),
    }
    assert_eq!(snapshot(&store, &key("a")).await, before);
}

/// The fingerprint tells payloads apart.
pub async fn with_another_payload_is_a_conflict(store: SharedStore) {
    enqueue_id(&store, "a").await;
    let before = snapshot(&store, &key("a")).await;
    let other = with_payload(new(key("a")), r#"{"year": 2027}"#);
    assert_eq!(refusal(store.enqueue(&other, &PLENTY).await), ErrorKind::Conflict);
    assert_eq!(snapshot(&store, &key("a")).await, before);
}

/// An id is taken until it is purged.
pub async fn knows_an_id_after_its_end(store: SharedStore) {
    let claim = running(&store, "a").await;
    store.finish(&claim.lease, &completed(), at(10), at(99)).await.expect("ends");
    match store.enqueue(&new(key("a")), &PLENTY).await {
        Ok(Enqueued::Known(known)) => assert_eq!(known.status, RequestStatus::Completed),
        other => panic!("it is known: {other:?}"),
    }
    assert_eq!(claim_all(&store, 50).await.len(), 0, "what ended does not run again");
}

/// Of many callers with one id, one stores it and the others are told.
pub async fn at_once_by_many_stores_one(store: SharedStore) {
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.enqueue(&new(key("a")), &PLENTY).await })
        })
        .collect();
    let mut stored = 0;
    for caller in callers {
        stored += u32::from(matches!(caller.await.expect("ends").expect("answers"), Enqueued::New));
    }
    assert_eq!(stored, 1);
    assert_eq!(store.open_requests().await.expect("counts"), 1);
}

/// A promoted request runs from its first moment.
pub async fn promoted_is_leased(store: SharedStore) {
    let mut wanted = new(key("a"));
    wanted.permissions = ["write"].into_iter().collect();
    let lease = match store.promote(&wanted, &PLENTY, &worker("w"), at(1000)).await {
        Ok(Promoted::Leased(lease)) => lease,
        other => panic!("it is leased: {other:?}"),
    };
    assert_eq!(lease.key, wanted.key);
    let kept = summary(&store, &wanted.key).await;
    assert_eq!((kept.status, kept.attempt), (RequestStatus::Processing, 1));
    assert_eq!((kept.last_seq, kept.started_at), (0, Some(at(0))));
    assert_eq!(next_due(&store).await, Some(at(1000)));
    assert_eq!(claim_all(&store, 999).await.len(), 0, "its lease holds");
    store.append(&lease, &[chunk(1, 0)], None, &PLENTY).await.expect("it may append");

    let taken = claim_one(&store, 1000).await;
    assert!(taken.lease.fence > lease.fence);
    assert_eq!((taken.record.summary.attempt, taken.record.summary.takeovers), (2, 1));
    assert!(taken.restart.is_some());
}

/// A second promotion finds the first.
pub async fn promoted_repeated_is_known(store: SharedStore) {
    let promote = || async { store.promote(&new(key("a")), &PLENTY, &worker("w"), at(1000)).await };
    assert!(matches!(promote().await, Ok(Promoted::Leased(_))));
    match promote().await {
        Ok(Promoted::Known(known)) => {
            assert_eq!((known.status, known.attempt), (RequestStatus::Processing, 1))
        }
        other => panic!("it is known: {other:?}"),
    }
    enqueue_id(&store, "b").await;
    let known = store.promote(&new(key("b")), &PLENTY, &worker("w"), at(1000)).await;
    assert!(matches!(known, Ok(Promoted::Known(_))), "an enqueued one too: {known:?}");
    assert_eq!(status(&store, &key("b")).await, RequestStatus::Pending);
}

/// The fingerprint counts for promotions too.
pub async fn promoted_over_another_payload_is_a_conflict(store: SharedStore) {
    enqueue_id(&store, "a").await;
    let other = with_payload(new(key("a")), "1");
    let promoted = store.promote(&other, &PLENTY, &worker("w"), at(1000)).await;
    assert_eq!(refusal(promoted), ErrorKind::Conflict);
    assert_eq!(status(&store, &key("a")).await, RequestStatus::Pending);
}
