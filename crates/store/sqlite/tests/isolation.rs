//! One write that fails does not take the others of its group down.

use std::{fs, sync::Arc, time::Duration};

use rusqlite::Connection;
use streamer_engine::store::{Enqueued, ErrorKind, Quota, Requests};

use crate::given::*;

/// A trigger stands for a fault of one statement: the disk's, or a damaged page's.
#[tokio::test]
async fn a_failing_statement_fails_alone() {
    let folder = folder();
    let store = Arc::new(open(&path(&folder)));
    let other = Connection::open(path(&folder)).expect("opens");
    other
        .execute_batch(
            "CREATE TRIGGER faulty AFTER INSERT ON payload WHEN new.request % 5 = 0 \
             BEGIN SELECT raise(ABORT, 'a fault'); END",
        )
        .expect("creates");
    drop(other);

    let callers: Vec<_> = (0..100)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { (n, store.enqueue(&new(&format!("r{n}")), &PLENTY).await) })
        })
        .collect();
    let mut stored = 0;
    for caller in callers {
        let (n, answer) = caller.await.expect("ends");
        let there = store.request(&key(&format!("r{n}"))).await.expect("reads").is_some();
        match answer {
            Ok(Enqueued::New) => assert!(there, "r{n} was answered"),
            Ok(known) => panic!("r{n}: {known:?}"),
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Unavailable);
                assert!(!there, "r{n} was refused: nothing of it is there");
            }
        }
        stored += u64::from(there);
    }
    assert!(stored > 0, "the sound ones were stored");
    assert!(stored < 100, "the fault struck");
    assert_eq!(store.open_requests().await.expect("counts"), stored, "the count was rolled back too");
    let quota = Quota { open_max: stored + 1, tenant_open_max: stored + 1, ..PLENTY };
    drop(store);
    let conn = Connection::open(path(&folder)).expect("opens");
    conn.execute_batch("DROP TRIGGER faulty").expect("drops");
    drop(conn);
    let store = open(&path(&folder));
    assert!(store.enqueue(&new("last"), &quota).await.is_ok(), "one place is left");
    assert_eq!(store.enqueue(&new("more"), &quota).await.expect_err("is full").kind(), ErrorKind::Full);
}

/// Another process that holds the file's write lock is waited for, then told of; the writer lives on.
#[tokio::test]
async fn a_busy_file_is_a_passing_fault() {
    let folder = folder();
    let store = open(&path(&folder));
    let other = Connection::open(path(&folder)).expect("opens");
    other.busy_timeout(Duration::from_secs(5)).expect("sets");
    other.execute_batch("BEGIN IMMEDIATE").expect("takes the lock");
    let error = store.enqueue(&new("a"), &PLENTY).await.expect_err("is busy");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    other.execute_batch("ROLLBACK").expect("lets go");
    enqueue(&store, "a").await;
}

/// A caller that goes away leaves its write to be done.
#[tokio::test]
async fn an_abandoned_call_is_done_whole() {
    let folder = folder();
    let store = Arc::new(open(&path(&folder)));
    for n in 0..20 {
        let store = store.clone();
        let call = tokio::spawn(async move { store.enqueue(&new(&format!("r{n}")), &PLENTY).await });
        tokio::task::yield_now().await;
        call.abort();
        let _ = call.await;
    }
    enqueue(&store, "last").await;
    let open_now = store.open_requests().await.expect("counts");
    drop(store);
    let report = streamer_store_sqlite::check(&streamer_store_sqlite::Settings::at(path(&folder)));
    let report = report.expect("checks");
    assert_eq!((report.open_requests, report.findings.len()), (open_now, 0));
    assert!(fs::metadata(path(&folder)).expect("is there").len() > 0);
}
