//! Who is connected.

use streamer_engine::store::{ConnectionFilter, ConnectionRecord, ErrorKind, PageQuery, SharedStore};
use streamer_protocol::{ConnectionId, TenantId, UserId};

use crate::given::*;

fn connection(id: &str) -> ConnectionRecord {
    ConnectionRecord {
        id: ConnectionId::new(id),
        user: UserId::new("ada"),
        tenant: TenantId::new("acme"),
        endpoint: "node-1:8080".to_owned(),
        connected_at: at(1),
        last_ping: at(2),
        user_agent: Some("browser/1 (é)".to_owned()),
        ip_address: Some("::1".to_owned()),
        expires_at: at(1000),
    }
}

async fn connect(store: &SharedStore, connection: &ConnectionRecord) {
    store.connect(connection).await.expect("stores");
}

async fn find(store: &SharedStore, id: &str) -> Option<ConnectionRecord> {
    store.connection(&ConnectionId::new(id)).await.expect("reads")
}

async fn list(store: &SharedStore, filter: &ConnectionFilter, limit: u32) -> Vec<String> {
    let (mut all, mut page) = (Vec::new(), PageQuery { limit, cursor: None });
    loop {
        let read = store.connections(filter, &page).await.expect("lists");
        assert!(read.items.len() <= limit as usize);
        all.extend(read.items.into_iter().map(|connection| connection.id.to_string()));
        page.cursor = read.cursor;
        if page.cursor.is_none() {
            return all;
        }
    }
}

/// What comes back is what went in.
pub async fn are_kept_whole(store: SharedStore) {
    let bare = ConnectionRecord { user_agent: None, ip_address: None, ..connection("b==/é") };
    for wanted in [connection("a"), bare] {
        connect(&store, &wanted).await;
        assert_eq!(find(&store, wanted.id.as_str()).await, Some(wanted));
    }
    assert_eq!(find(&store, "c").await, None);
}

/// The same id again is the newer one's.
pub async fn are_replaced(store: SharedStore) {
    connect(&store, &connection("a")).await;
    let newer = ConnectionRecord { tenant: TenantId::new("other"), expires_at: at(5), ..connection("a") };
    connect(&store, &newer).await;
    assert_eq!(find(&store, "a").await, Some(newer));
    assert_eq!(list(&store, &ConnectionFilter::default(), 10).await, ["a"]);
}

/// Only `last_ping` and `expires_at` change, and nothing appears.
pub async fn are_touched(store: SharedStore) {
    connect(&store, &connection("a")).await;
    connect(&store, &connection("b")).await;
    let ids = [ConnectionId::new("a"), ConnectionId::new("unknown")];
    store.touch(&ids, at(50), at(5000)).await.expect("notes");
    assert_eq!(
        find(&store, "a").await,
        Some(ConnectionRecord { last_ping: at(50), expires_at: at(5000), ..connection("a") })
    );
    assert_eq!(find(&store, "b").await, Some(connection("b")));
    assert_eq!(find(&store, "unknown").await, None);
    store.touch(&[], at(60), at(6000)).await.expect("notes");
}

/// The record is handed to whoever removed it.
pub async fn are_removed_once(store: SharedStore) {
    connect(&store, &connection("a")).await;
    let id = ConnectionId::new("a");
    assert_eq!(store.disconnect(&id).await.expect("removes"), Some(connection("a")));
    assert_eq!(store.disconnect(&id).await.expect("answers"), None);
    assert_eq!(find(&store, "a").await, None);
}

/// Nothing crosses tenants.
pub async fn are_listed_by_tenant_and_user(store: SharedStore) {
    for (id, tenant, user) in [("4", "t1", "u1"), ("1", "t1", "u2"), ("3", "t2", "u1"), ("2", "t1", "u1")] {
        let (tenant, user) = (TenantId::new(tenant), UserId::new(user));
        connect(&store, &ConnectionRecord { tenant, user, ..connection(id) }).await;
    }
    let cases: [(Option<&str>, Option<&str>, &[&str]); 6] = [
        (None, None, &["1", "2", "3", "4"]),
        (Some("t1"), None, &["1", "2", "4"]),
        (Some("t1"), Some("u1"), &["2", "4"]),
        (None, Some("u1"), &["2", "3", "4"]),
        (Some("t2"), Some("u2"), &[]),
        (Some("t1:u1"), None, &[]),
    ];
    for (tenant, user, expected) in cases {
        let filter = ConnectionFilter { tenant: tenant.map(TenantId::new), user: user.map(UserId::new) };
        for limit in [1, 2, 10] {
            assert_eq!(list(&store, &filter, limit).await, expected, "{filter:?} by {limit}");
        }
    }
}

/// Oldest id first, nothing skipped, nothing twice.
pub async fn are_listed_in_pages(store: SharedStore) {
    for n in (0..10).rev() {
        connect(&store, &connection(&format!("c{n}"))).await;
    }
    let expected: Vec<_> = (0..10).map(|n| format!("c{n}")).collect();
    for limit in [1, 3, 10, 11, u32::MAX] {
        assert_eq!(list(&store, &ConnectionFilter::default(), limit).await, expected, "by {limit}");
    }
}

/// Only the store that made a cursor reads it, and a page holds at least one.
pub async fn refuse_a_foreign_cursor(store: SharedStore) {
    connect(&store, &connection("a")).await;
    for cursor in ["", "a", "requests:1"] {
        let page = PageQuery { limit: 5, cursor: Some(cursor.to_owned()) };
        let answer = store.connections(&ConnectionFilter::default(), &page).await;
        assert_eq!(refusal(answer), ErrorKind::Invalid, "{cursor:?}");
    }
    let empty = store.connections(&ConnectionFilter::default(), &PageQuery { limit: 0, cursor: None }).await;
    assert_eq!(refusal(empty), ErrorKind::Invalid);
}

/// A node that starts again clears what it left behind, and nothing else.
pub async fn of_an_endpoint_are_forgotten(store: SharedStore) {
    connect(&store, &connection("a")).await;
    connect(&store, &connection("b")).await;
    connect(&store, &ConnectionRecord { endpoint: "node-1:80".to_owned(), ..connection("c") }).await;
    assert_eq!(store.forget_endpoint("node-1:8080").await.expect("removes"), 2);
    assert_eq!(store.forget_endpoint("node-1:8080").await.expect("removes"), 0);
    assert_eq!(list(&store, &ConnectionFilter::default(), 10).await, ["c"]);
}

/// Whatever became of the connection.
pub async fn are_purged_when_expired(store: SharedStore) {
    for (id, expires_at) in [("a", 100), ("b", 100), ("c", 100), ("d", 101)] {
        connect(&store, &ConnectionRecord { expires_at: at(expires_at), ..connection(id) }).await;
    }
    for (now, expected) in [(99, 0), (100, 2), (100, 1), (100, 0), (101, 1)] {
        assert_eq!(store.purge_connections(at(now), 2).await.expect("purges"), expected, "at {now}");
    }
}
