//! A request's log while it runs.

use streamer_engine::store::{EntryBody, ErrorKind, LogEntry, SharedStore};

use crate::given::*;

/// What was appended can be read from any place on.
pub async fn keeps_entries_in_order(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    let entries = [chunk(1, 0), progress(2, 50.0), chunk(3, 1)];
    assert!(!store.append(&lease, &entries, None, &PLENTY).await.expect("appends"));
    assert_eq!(log(&store, &key("a")).await, entries);
    assert_eq!(store.log(&key("a"), 1, 100).await.expect("reads"), entries[1..]);
    assert_eq!(store.log(&key("a"), 3, 100).await.expect("reads"), []);
}

/// An older progress leaves a gap.
pub async fn keeps_only_the_newest_progress(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    store
        .append(&lease, &[progress(1, 10.0), chunk(2, 0), progress(3, 20.0)], None, &PLENTY)
        .await
        .expect("appends");
    assert_eq!(log(&store, &key("a")).await, [chunk(2, 0), progress(3, 20.0)]);
    store.append(&lease, &[progress(4, 30.5)], None, &PLENTY).await.expect("appends");
    assert_eq!(log(&store, &key("a")).await, [chunk(2, 0), progress(4, 30.5)]);
    let shown = summary(&store, &key("a")).await.progress.expect("is there");
    assert_eq!((shown.percentage, shown.message.as_str()), (30.5, "step 4"));
    assert_eq!(shown.metadata, Some(json(r#"{"rows":3}"#)));
}

/// The summary counts what the log holds.
pub async fn counts_chunks_and_their_bytes(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    store
        .append(&lease, &[chunk(1, 0), chunk(2, 1), progress(3, 1.0)], None, &PLENTY)
        .await
        .expect("appends");
    let counted = summary(&store, &key("a")).await;
    assert_eq!((counted.last_seq, counted.chunks, counted.log_bytes), (3, 2, 12));
}

/// A caller that missed the reply says the same again.
pub async fn repeated_changes_nothing(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    let (entries, state) = ([chunk(1, 0), progress(2, 50.0), chunk(3, 1)], json("7"));
    store.append(&lease, &entries, Some(&state), &PLENTY).await.expect("appends");
    let before = snapshot(&store, &key("a")).await;
    store.append(&lease, &entries, Some(&state), &PLENTY).await.expect("is safe to repeat");
    assert_eq!(snapshot(&store, &key("a")).await, before);
}

/// What is known is skipped, what is new is kept.
pub async fn partly_repeated_adds_the_rest(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    store.append(&lease, &[chunk(1, 0), chunk(2, 1)], None, &PLENTY).await.expect("appends");
    store.append(&lease, &[chunk(2, 1), chunk(3, 2)], None, &PLENTY).await.expect("appends");
    assert_eq!(log(&store, &key("a")).await, [chunk(1, 0), chunk(2, 1), chunk(3, 2)]);
}

/// A repetition that comes after later entries does not bring its old checkpoint back.
pub async fn repeated_late_leaves_the_newer_checkpoint(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    store.append(&lease, &[chunk(1, 0)], Some(&json("1")), &PLENTY).await.expect("appends");
    store.append(&lease, &[chunk(2, 1)], Some(&json("2")), &PLENTY).await.expect("appends");
    let before = snapshot(&store, &key("a")).await;
    store.append(&lease, &[chunk(1, 0)], Some(&json("1")), &PLENTY).await.expect("is known");
    assert_eq!(snapshot(&store, &key("a")).await, before);
}

/// Both are there, or neither: shown by a call that is refused for its entries.
pub async fn stores_checkpoint_and_chunks_together(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    store.append(&lease, &[chunk(1, 0)], Some(&json("1")), &PLENTY).await.expect("appends");
    let bad = [chunk(2, 1), chunk(3, 7)];
    assert_eq!(refusal(store.append(&lease, &bad, Some(&json("2")), &PLENTY).await), ErrorKind::Invalid);
    let again = claim_one(&store, 1000).await;
    assert_eq!(again.record.checkpoint, Some(json("1")));
    assert_eq!((again.record.summary.chunks, again.record.summary.last_seq), (1, 2));
}

/// Without entries it covers the chunks that are there.
pub async fn takes_a_checkpoint_alone(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    store.append(&lease, &[chunk(1, 0), chunk(2, 1)], None, &PLENTY).await.expect("appends");
    store.append(&lease, &[], Some(&json(r#"{"n":1}"#)), &PLENTY).await.expect("stores");
    assert_eq!(record(&store, &key("a")).await.checkpoint, Some(json(r#"{"n":1}"#)));
    store.append(&lease, &[], Some(&json(r#"{"n":2}"#)), &PLENTY).await.expect("stores");
    let again = claim_one(&store, 1000).await;
    assert_eq!(again.record.checkpoint, Some(json(r#"{"n":2}"#)));
    assert_eq!(again.record.summary.chunks, 2);
}

/// A worker learns of a cancel when it writes.
pub async fn tells_of_a_cancel(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    store.cancel(&key("a"), &cancelled(), at(5), at(99)).await.expect("asks");
    assert!(store.append(&lease, &[chunk(1, 0)], None, &PLENTY).await.expect("appends"));
    assert!(store.append(&lease, &[chunk(1, 0)], None, &PLENTY).await.expect("is known"));
    assert_eq!(log(&store, &key("a")).await, [chunk(1, 0)], "it may still write");
}

/// A worker that lost its lease changes nothing.
pub async fn by_an_old_fence_changes_nothing(store: SharedStore) {
    let old = running(&store, "a").await.lease;
    store.append(&old, &[chunk(1, 0)], Some(&json("1")), &PLENTY).await.expect("appends");
    let new = claim_one(&store, 1000).await.lease;
    let before = snapshot(&store, &key("a")).await;
    for entries in [&[chunk(3, 1)][..], &[chunk(1, 0)], &[]] {
        let late = store.append(&old, entries, Some(&json("2")), &PLENTY).await;
        assert_eq!(refusal(late), ErrorKind::LeaseLost);
    }
    assert_eq!(snapshot(&store, &key("a")).await, before);
    store.append(&new, &[chunk(3, 1)], None, &PLENTY).await.expect("the new one may");
}

/// After the end, a retry or a release nobody appends, whatever the fence.
pub async fn to_what_ended_or_was_given_up_is_refused(store: SharedStore) {
    for id in ["ended", "retried", "released", "replayed"] {
        let lease = running(&store, id).await.lease;
        match id {
            "ended" => drop(store.finish(&lease, &completed(), at(1), at(99)).await.expect("ends")),
            "retried" => store.retry(&lease, at(9999), &error("e")).await.expect("waits"),
            "released" => store.release(&lease, at(9999)).await.expect("waits"),
            _ => {
                store.finish(&lease, &failed(), at(1), at(99)).await.expect("ends");
                store.replay(&key(id), at(9999)).await.expect("waits");
            }
        }
        let before = snapshot(&store, &key(id)).await;
        let late = store.append(&lease, &[chunk(9, 0)], Some(&json("2")), &PLENTY).await;
        assert_eq!(refusal(late), ErrorKind::LeaseLost, "{id}");
        assert_eq!(snapshot(&store, &key(id)).await, before, "{id}");
    }
    let nothing = streamer_engine::store::Lease { key: key("nothing"), fence: 1, place: 1 };
    assert_eq!(refusal(store.append(&nothing, &[chunk(1, 0)], None, &PLENTY).await), ErrorKind::LeaseLost);
}

/// Chunks count on, `seq` rises, and outcomes and restarts are the store's own to append.
pub async fn that_does_not_continue_the_log_is_invalid(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    store.append(&lease, &[chunk(1, 0)], None, &PLENTY).await.expect("appends");
    let before = snapshot(&store, &key("a")).await;
    let outcome = LogEntry { seq: 2, at: at(1), body: EntryBody::Outcome(completed()) };
    let restart = LogEntry { seq: 2, at: at(1), body: EntryBody::Restart { attempt: 2, from_index: 0 } };
    for bad in
        [vec![chunk(2, 0)], vec![chunk(2, 2)], vec![chunk(3, 1), chunk(2, 2)], vec![outcome], vec![restart]]
    {
        assert_eq!(refusal(store.append(&lease, &bad, None, &PLENTY).await), ErrorKind::Invalid, "{bad:?}");
    }
    assert_eq!(snapshot(&store, &key("a")).await, before);
}

/// A page begins where the last one ended.
pub async fn log_comes_in_pages(store: SharedStore) {
    let lease = running(&store, "a").await.lease;
    let mut entries: Vec<_> = (0..20).map(|n| chunk(n + 1, n)).collect();
    entries.push(progress(21, 99.0));
    store.append(&lease, &entries, None, &PLENTY).await.expect("appends");
    let end = store.finish(&lease, &completed(), at(500), at(999)).await.expect("ends");
    let outcome = EntryBody::Outcome(completed());
    entries.push(LogEntry { seq: end, at: at(500), body: outcome });

    for limit in [1, 4, 22, 100] {
        let (mut read, mut after) = (Vec::new(), 0);
        loop {
            let page = store.log(&key("a"), after, limit).await.expect("reads");
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            after = last.seq;
            read.extend(page);
        }
        assert_eq!(read, entries, "by {limit}");
    }
}
