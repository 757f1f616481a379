//! Requests by tenant, user, status and action.

use streamer_engine::store::{ErrorKind, PageQuery, RequestFilter, SharedStore, Summary};
use streamer_protocol::{RequestStatus, TenantId, UserId};

use crate::given::*;

async fn list(store: &SharedStore, filter: &RequestFilter, limit: u32) -> Vec<Summary> {
    let (mut all, mut page) = (Vec::new(), PageQuery { limit, cursor: None });
    loop {
        let read = store.requests(filter, &page).await.expect("lists");
        assert!(read.items.len() <= limit as usize);
        assert!(read.cursor.is_none() || !read.items.is_empty(), "a page before the last holds something");
        all.extend(read.items);
        page.cursor = read.cursor;
        if page.cursor.is_none() {
            return all;
        }
    }
}

async fn ids(store: &SharedStore, filter: &RequestFilter, limit: u32) -> Vec<String> {
    list(store, filter, limit).await.into_iter().map(|summary| summary.key.id.to_string()).collect()
}

/// The last that came is the first.
pub async fn is_newest_first(store: SharedStore) {
    for (n, id) in ["b", "c", "a"].into_iter().enumerate() {
        let mut wanted = new(key(id));
        wanted.created_at = at(n as i64);
        enqueue(&store, &wanted).await;
    }
    let listed = list(&store, &RequestFilter::default(), 10).await;
    let order: Vec<_> = listed.iter().map(|summary| summary.key.clone()).collect();
    assert_eq!(order, ["a", "c", "b"].map(key));
    assert_eq!(listed[0], summary(&store, &key("a")).await);
}

async fn mixed(store: &SharedStore) {
    let mut n = 0;
    for tenant in ["t1", "t2"] {
        for user in ["u1", "u2"] {
            for name in ["act.a", "act.b"] {
                for end in [false, true] {
                    n += 1;
                    let mut wanted = new(key_of(tenant, user, &format!("{tenant}-{user}-{name}-{end}")));
                    (wanted.action, wanted.created_at) = (action(name), at(n));
                    enqueue(store, &wanted).await;
                    if end {
                        store.cancel(&wanted.key, &cancelled(), at(n), at(999)).await.expect("ends");
                    }
                }
            }
        }
    }
}

/// Every field of the filter narrows, alone and with the others, in pages of any size.
pub async fn filters_by_everything(store: SharedStore) {
    mixed(&store).await;
    let tenants = [None, Some("t1"), Some("nobody")];
    let users = [None, Some("u2")];
    let statuses =
        [None, Some(RequestStatus::Pending), Some(RequestStatus::Cancelled), Some(RequestStatus::Failed)];
    let actions = [None, Some("act.b")];
    let all = list(&store, &RequestFilter::default(), 100).await;
    assert_eq!(all.len(), 16);
    for tenant in tenants {
        for user in users {
            for status in statuses {
                for name in actions {
                    let filter = RequestFilter {
                        tenant: tenant.map(TenantId::new),
                        user: user.map(UserId::new),
                        status,
                        action: name.map(action),
                    };
                    let expected: Vec<_> = all
                        .iter()
                        .filter(|s| tenant.is_none_or(|tenant| s.key.tenant.as_str() == tenant))
                        .filter(|s| user.is_none_or(|user| s.key.user.as_str() == user))
                        .filter(|s| status.is_none_or(|status| s.status == status))
                        .filter(|s| name.is_none_or(|name| s.action.as_str() == name))
                        .cloned()
                        .collect();
                    for limit in [1, 3, 100] {
                        assert_eq!(list(&store, &filter, limit).await, expected, "{filter:?} by {limit}");
                    }
                }
            }
        }
    }
}

/// Nothing is skipped or shown twice, whatever the size of the pages.
pub async fn comes_in_pages(store: SharedStore) {
    for n in 0..10 {
        let mut wanted = new(key(&format!("r{n}")));
        wanted.created_at = at(n);
        enqueue(&store, &wanted).await;
    }
    let expected: Vec<_> = (0..10).rev().map(|n| format!("r{n}")).collect();
    for limit in [1, 3, 5, 10, 11, u32::MAX] {
        assert_eq!(ids(&store, &RequestFilter::default(), limit).await, expected, "by {limit}");
    }
    let exact = store.requests(&RequestFilter::default(), &PageQuery { limit: 10, cursor: None }).await;
    assert_eq!(exact.expect("lists").cursor, None, "there are no more");
}

/// What comes later does not move the pages that follow.
pub async fn stands_still_while_requests_come(store: SharedStore) {
    for n in 0..4 {
        let mut wanted = new(key(&format!("r{n}")));
        wanted.created_at = at(n);
        enqueue(&store, &wanted).await;
    }
    let everything = RequestFilter::default();
    let first = store.requests(&everything, &PageQuery { limit: 2, cursor: None }).await.expect("lists");
    let mut late = new(key("late"));
    late.created_at = at(50);
    enqueue(&store, &late).await;
    store.cancel(&key("r3"), &cancelled(), at(51), at(60)).await.expect("ends");
    store.purge_requests(at(60), 10).await.expect("purges");
    let rest =
        store.requests(&everything, &PageQuery { limit: 9, cursor: first.cursor }).await.expect("lists");
    let rest: Vec<_> = rest.items.into_iter().map(|summary| summary.key).collect();
    assert_eq!(rest, ["r1", "r0"].map(key));
}

/// Only the store that made a cursor reads it.
pub async fn refuses_a_foreign_cursor(store: SharedStore) {
    enqueue_id(&store, "a").await;
    for cursor in ["", "x", "1", "requests:", "requests:-", "requests:é", "connections:1", "' OR 1=1 --"] {
        let page = PageQuery { limit: 5, cursor: Some(cursor.to_owned()) };
        let answer = store.requests(&RequestFilter::default(), &page).await;
        assert_eq!(refusal(answer), ErrorKind::Invalid, "{cursor:?}");
    }
}

/// A page holds at least one.
pub async fn refuses_an_empty_page(store: SharedStore) {
    let answer = store.requests(&RequestFilter::default(), &PageQuery { limit: 0, cursor: None }).await;
    assert_eq!(refusal(answer), ErrorKind::Invalid);
}
