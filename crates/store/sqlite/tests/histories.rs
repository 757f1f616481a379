//! Topics beyond a process's life.

use std::{fs, time::Duration};

use rusqlite::Connection;
use streamer_engine::store::{
    Append, AppendId, Keep, MessageKey, NewMessage, Placed, SourcePosition, TopicKey, TopicLog, TopicQuota,
    TopicUsage,
};
use streamer_protocol::{Epoch, IdempotencyKey, Json, TenantId, Topic, UserId};
use streamer_store_sqlite::{Finding, Settings, SqliteStore, backup, check};

use crate::given::*;

fn orders() -> TopicKey {
    TopicKey::new(TenantId::new("acme"), Topic::parse("orders").expect("valid"))
}

fn append(id: u8, count: u64) -> Append {
    let message = |n| NewMessage {
        data: Json::parse(format!("\"é{n}\"")).expect("valid"),
        at: at(n),
        source: Some(SourcePosition { partition: "p".into(), place: (u64::from(id), n.cast_unsigned()) }),
        known_at: Vec::new(),
        key: None,
    };
    Append {
        id: AppendId([id; 16]),
        messages: (0..count.cast_signed()).map(message).collect(),
        life: (Epoch::new("e1"), 0),
        keep: Keep {
            messages_max: 4,
            bytes_max: 1000,
            age_max: Duration::from_secs(60),
            forget_after: Duration::from_secs(60),
        },
        quota: TopicQuota { tenant_topics_max: 10, tenant_bytes_max: 1000, bytes_max: 1000 },
    }
}

async fn is_filled(store: &SqliteStore) {
    let head = store.topic(&orders()).await.expect("reads").expect("is there");
    assert_eq!((head.epoch.as_str(), head.offset, head.kept_from), ("e1", 6, 3));
    let kept = store.messages(&orders(), 0, 99, 99).await.expect("reads");
    assert_eq!(kept.iter().map(|message| message.offset).collect::<Vec<_>>(), [3, 4, 5, 6]);
    assert_eq!(kept[3].data.as_str(), "\"é5\"");
    assert_eq!(store.topic_usage().await.expect("counts"), TopicUsage { topics: 1, bytes: 20 });
    // What was done before is known, by its id and by its source.
    let again = store.append_messages(&orders(), &append(1, 6)).await.expect("answers");
    assert_eq!(again.placed.last(), Some(&Placed::New(6)));
}

#[tokio::test]
async fn what_was_published_outlives_the_end_and_a_crash() {
    let (folder, dead) = (folder(), folder());
    let store = open(&path(&folder));
    store.append_messages(&orders(), &append(1, 6)).await.expect("appends");
    for name in ["streamer.db", "streamer.db-wal"] {
        fs::copy(folder.path().join(name), dead.path().join(name)).expect("copies");
    }
    is_filled(&store).await;
    store.close().await;
    drop(store);
    for path in [path(&folder), path(&dead)] {
        let store = open(&path);
        is_filled(&store).await;
        let renamed = Append { id: AppendId([9; 16]), ..append(1, 6) };
        let repeated = store.append_messages(&orders(), &renamed).await.expect("answers");
        assert_eq!(repeated.placed, [Placed::Dropped; 6], "its source has come as far before");
    }
}

#[tokio::test]
async fn a_key_outlives_the_end_and_a_crash() {
    let (folder, dead) = (folder(), folder());
    let store = open(&path(&folder));
    let keyed = |id: u8, data: &str| {
        let key = IdempotencyKey::parse("a").expect("a key");
        let mut append = append(id, 1);
        append.messages[0].key = Some(MessageKey { user: UserId::new("ada"), key });
        append.messages[0].source = None;
        append.messages[0].data = Json::parse(data.to_owned()).expect("JSON");
        append
    };
    let first = store.append_messages(&orders(), &keyed(1, "7")).await.expect("appends");
    assert_eq!(first.placed, [Placed::New(1)]);
    for name in ["streamer.db", "streamer.db-wal"] {
        fs::copy(folder.path().join(name), dead.path().join(name)).expect("copies");
    }
    store.close().await;
    drop(store);
    for path in [path(&folder), path(&dead)] {
        let store = open(&path);
        for (id, data, placed) in [(2, "7", Placed::Known(1)), (3, "8", Placed::Conflict)] {
            let again = store.append_messages(&orders(), &keyed(id, data)).await.expect("answers");
            assert_eq!(again.placed, [placed]);
        }
        assert_eq!(store.messages(&orders(), 0, 99, 99).await.expect("reads").len(), 1);
    }
}

#[tokio::test]
async fn a_backup_begins_new_lives() {
    let folder = folder();
    let store = open(&path(&folder));
    store.append_messages(&orders(), &append(1, 6)).await.expect("appends");
    let copy = folder.path().join("copy.db");
    backup(&Settings::at(path(&folder)), &copy).expect("copies");
    is_filled(&store).await;
    let copy = open(&copy);
    let head = copy.topic(&orders()).await.expect("reads").expect("is there");
    assert_ne!(head.epoch.as_str(), "e1", "what the original publishes next will have the same offsets");
    assert_eq!((head.offset, head.kept_from), (6, 3));
}

#[tokio::test]
async fn a_check_counts_topics_and_finds_gaps() {
    let folder = folder();
    let store = open(&path(&folder));
    store.append_messages(&orders(), &append(1, 6)).await.expect("appends");
    let report = check(&Settings::at(path(&folder))).expect("checks");
    assert_eq!((report.topics, report.findings.as_slice()), (1, [].as_slice()));
    drop(store);
    let sound = fs::read(path(&folder)).expect("reads");
    for damage in [
        "DELETE FROM message WHERE offset = 4",
        "UPDATE topic SET bytes = bytes + 1",
        "UPDATE topic SET last = last + 1",
        "DELETE FROM message",
    ] {
        fs::write(path(&folder), &sound).expect("writes");
        Connection::open(path(&folder)).expect("opens").execute_batch(damage).expect("damages");
        let report = check(&Settings::at(path(&folder))).expect("checks");
        assert_eq!(report.findings, [Finding::Miscounted { topics: 1 }], "{damage}");
    }
}

#[tokio::test]
async fn messages_from_before_keys_have_none() {
    let folder = folder();
    let conn = Connection::open(path(&folder)).expect("opens");
    for step in [
        include_str!("../src/schema/001.sql"),
        include_str!("../src/schema/002.sql"),
        include_str!("../src/schema/003_topics.sql"),
        include_str!("../src/schema/004_outbox.sql"),
        include_str!("../src/schema/005_permissions.sql"),
        "INSERT INTO topic VALUES (1, 'acme', 'orders', 'e1', 2, 2, 2, 999999, 60000, x'01', 2, 1, NULL)",
        "INSERT INTO message VALUES (1, 1, 0, 60000, '7'), (1, 2, 0, 60000, '7')",
        "INSERT INTO topic_tenant VALUES ('acme', 1, 2)",
        "UPDATE topic_total SET topics = 1, bytes = 2",
    ] {
        conn.execute_batch(step).expect("the fifth version");
    }
    conn.pragma_update(None, "application_id", 0x5354_524d).expect("writes");
    conn.pragma_update(None, "user_version", 5).expect("writes");
    drop(conn);
    let store = open(&path(&folder));
    let mut keyed = append(1, 1);
    let key = IdempotencyKey::parse("a").expect("a key");
    keyed.messages[0].key = Some(MessageKey { user: UserId::new("ada"), key });
    let added = store.append_messages(&orders(), &keyed).await.expect("appends");
    assert_eq!((&added.placed[..], added.kept_from), (&[Placed::New(3)][..], 1));
    store.close().await;
    drop(store);
    let report = check(&Settings::at(path(&folder))).expect("checks");
    assert_eq!((report.topics, report.findings.as_slice()), (1, [].as_slice()));
}

#[tokio::test]
async fn a_store_of_the_first_version_gets_its_topics() {
    let folder = folder();
    let conn = Connection::open(path(&folder)).expect("opens");
    conn.execute_batch(include_str!("../src/schema/001.sql")).expect("the first version");
    conn.pragma_update(None, "application_id", 0x5354_524d).expect("writes");
    conn.pragma_update(None, "user_version", 1).expect("writes");
    drop(conn);
    let report = check(&Settings::at(path(&folder))).expect("checks");
    assert!(matches!(report.findings[..], [Finding::Older { found: 1 }]), "{:?}", report.findings);
    let copy = folder.path().join("copy.db");
    backup(&Settings::at(path(&folder)), &copy).expect("an old store can be saved");
    let store = open(&path(&folder));
    enqueue(&store, "a").await;
    store.append_messages(&orders(), &append(1, 6)).await.expect("appends");
    is_filled(&store).await;
}
