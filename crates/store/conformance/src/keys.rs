//! A request's name is a tuple, and any text is a name.

use streamer_engine::store::SharedStore;

use crate::given::*;

/// Parts that read the same when they are joined are different names.
pub async fn are_tuples(store: SharedStore) {
    let alike = [
        key_of("a", "b:c", "d"),
        key_of("a:b", "c", "d"),
        key_of("a", "b", "c:d"),
        key_of("a:b:c", "d", "d"),
        key_of("", "ab:c", "d"),
        key_of("a", "", "b:c:d"),
        key_of("a\0b", "c", "d"),
        key_of("a", "b\0c", "d"),
    ];
    for key in &alike {
        enqueue(&store, &new(key.clone())).await;
    }
    assert_eq!(store.open_requests().await.expect("counts"), alike.len() as u64);
    for key in &alike {
        assert_eq!(summary(&store, key).await.key, *key);
    }
}

/// Letters of every script, quotes, wildcards: kept as they are, and told apart exactly.
pub async fn may_hold_any_text(store: SharedStore) {
    let texts = [
        "é",
        "e\u{301}",
        "Ünïcode",
        "日本語",
        "🦀",
        "a'b\"c",
        "%",
        "_",
        "A",
        "a",
        "a ",
        " a",
        "\\",
        "ß",
        "ẞ",
    ];
    for text in texts {
        enqueue(&store, &new(key_of(text, text, text))).await;
    }
    for claim in claim_all(&store, 0).await {
        let lease = claim.lease;
        store.append(&lease, &[chunk(1, 0)], None, &PLENTY).await.expect("appends");
        store.finish(&lease, &completed(), at(1), at(99)).await.expect("ends");
    }
    for text in texts {
        let key = key_of(text, text, text);
        assert_eq!(summary(&store, &key).await.key, key);
        assert_eq!(log(&store, &key).await.len(), 2, "{text:?}");
    }
    assert_eq!(store.purge_requests(at(99), 100).await.expect("purges"), texts.len() as u64);
}

/// The same id of another user, or in another tenant, is free, and its life is its own.
pub async fn of_other_users_and_tenants_are_other_requests(store: SharedStore) {
    let mine = running(&store, "a").await;
    for other in [key_of("acme", "bob", "a"), key_of("other", "ada", "a")] {
        enqueue(&store, &with_payload(new(other.clone()), "1")).await;
        store.cancel(&other, &cancelled(), at(1), at(99)).await.expect("ends");
    }
    store.append(&mine.lease, &[chunk(1, 0)], None, &PLENTY).await.expect("mine goes on");
    assert_eq!(log(&store, &key("a")).await, [chunk(1, 0)]);
    assert!(!summary(&store, &key("a")).await.cancel_asked);
}
