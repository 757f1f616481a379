//! What is refused at the door, and in which words.

use std::{fs, io::ErrorKind};

use rusqlite::Connection;
use streamer_engine::store::{Fingerprint, Priority, Requests, RunningMax, Usage, WorkerId};
use streamer_protocol::{Action, Json, TenantId};
use streamer_store_sqlite::{Finding, OpenError, Settings, SqliteStore, check};

use crate::given::*;

fn refusal(settings: Settings) -> OpenError {
    match SqliteStore::open(settings) {
        Ok(_) => panic!("it opened"),
        Err(e) => e,
    }
}

#[tokio::test]
async fn a_second_store_on_the_same_file_is_refused_by_name() {
    let folder = folder();
    let first = open(&path(&folder));
    let error = refusal(Settings::at(path(&folder)));
    let pid = std::process::id();
    assert!(matches!(error, OpenError::Locked { pid: Some(holder), .. } if holder == pid), "{error:?}");
    assert!(error.to_string().contains(&pid.to_string()), "{error}");
    enqueue(&first, "a").await;
    drop(first);
    let second = open(&path(&folder));
    assert_eq!(second.open_requests().await.expect("counts"), 1);
}

#[test]
fn a_text_file_is_no_database_and_stays_as_it_was() {
    let folder = folder();
    let text = "these are my notes, and they are longer than a header of a hundred bytes. ".repeat(20);
    fs::write(path(&folder), &text).expect("writes");
    let error = refusal(Settings::at(path(&folder)));
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
    assert_eq!(fs::read_to_string(path(&folder)).expect("reads"), text);
}

#[test]
fn another_programs_database_is_refused() {
    let folder = folder();
    let conn = Connection::open(path(&folder)).expect("opens");
    conn.execute_batch("CREATE TABLE bookmark (url TEXT)").expect("creates");
    drop(conn);
    let error = refusal(Settings::at(path(&folder)));
    assert!(matches!(error, OpenError::NotAStore { .. }), "{error:?}");
}

#[test]
fn a_newer_store_is_refused_by_its_version() {
    let folder = folder();
    drop(open(&path(&folder)));
    let conn = Connection::open(path(&folder)).expect("opens");
    conn.pragma_update(None, "user_version", 99).expect("writes");
    drop(conn);
    let error = refusal(Settings::at(path(&folder)));
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error:?}");
    assert!(error.to_string().contains("99"), "{error}");
}

#[tokio::test]
async fn an_empty_file_becomes_a_store() {
    let folder = folder();
    fs::write(path(&folder), "").expect("writes");
    let store = open(&path(&folder));
    enqueue(&store, "a").await;
    drop(store);
    let conn = Connection::open(path(&folder)).expect("opens");
    let version: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("reads");
    assert_eq!(version, 7);
}

#[tokio::test]
async fn a_store_of_the_first_version_is_brought_to_this_one() {
    let folder = folder();
    let conn = Connection::open(path(&folder)).expect("opens");
    conn.execute_batch(include_str!("../src/schema/001.sql")).expect("creates");
    conn.pragma_update(None, "application_id", 0x5354_524d).expect("writes");
    conn.pragma_update(None, "user_version", 1).expect("writes");
    conn.execute_batch(
        "INSERT INTO request (number, tenant, user, id, action, fingerprint, max_retries, repeatable, created_at, \
         run_at, status, due_at, expires_at, log_bytes, outcome) VALUES \
         (1, 'acme', 'ada', 'waits', 'a', zeroblob(32), 0, 1, 0, 5, 'PENDING', 5, NULL, 0, NULL), \
         (2, 'acme', 'ada', 'ended', 'a', zeroblob(32), 0, 1, 0, 0, 'COMPLETED', NULL, 9, 3, '[1]'), \
         (3, 'other', 'bob', 'failed once', 'a', zeroblob(32), 1, 1, 0, 7, 'RETRYING', 7, NULL, 0, '{}'); \
         INSERT INTO payload VALUES (1, '1'), (2, '22'), (3, '\"é\"'); \
         INSERT INTO checkpoint VALUES (3, '{\"at\":5}'); \
         INSERT INTO artifact VALUES ('00000000000000000000000000000001', 'acme', 'ada', 'n', 't', 100, 0, 9);",
    )
    .expect("fills");
    for (number, payload) in [(1, "1"), (2, "22"), (3, "\"é\"")] {
        let payload = Json::parse(payload.to_owned()).expect("valid");
        let fingerprint = Fingerprint::of(&Action::parse("a").expect("valid"), &payload);
        let whose = (number, fingerprint.as_bytes().as_slice());
        conn.execute("UPDATE request SET fingerprint = ?2 WHERE number = ?1", whose).expect("fills");
    }
    drop(conn);

    let store = open(&path(&folder));
    let usage = |tenant: &'static str| {
        let store = &store;
        async move { store.usage(&TenantId::new(tenant), at(0)).await.expect("reads") }
    };
    assert_eq!(usage("acme").await, Usage { open: 1, running: 0, stored_bytes: 1 + 2 + 3 + 3 + 100 });
    assert_eq!(usage("other").await, Usage { open: 1, running: 0, stored_bytes: 4 + 8 });
    let (me, unbounded) = (WorkerId::new("w"), RunningMax::default());
    let claimed = store.claim(&me, at(5), at(99), 9, &unbounded).await.expect("claims");
    assert_eq!((claimed.claims.len(), claimed.next_due), (1, Some(at(7))));
    assert_eq!(claimed.claims[0].record.summary.priority, Priority::default());
    drop(store);
    let report = check(&Settings::at(path(&folder))).expect("checks");
    let wrong: Vec<_> =
        report.findings.iter().filter(|finding| !matches!(finding, Finding::MissingFile(_))).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn a_missing_folder_is_named() {
    let folder = folder();
    let error = refusal(Settings::at(folder.path().join("nowhere").join("streamer.db")));
    assert!(
        matches!(&error, OpenError::MissingFolder { folder } if folder.ends_with("nowhere")),
        "{error:?}"
    );
}

#[test]
fn a_damaged_header_page_is_called_damage() {
    let folder = folder();
    drop(open(&path(&folder)));
    let mut bytes = fs::read(path(&folder)).expect("reads");
    bytes[100..400].fill(0xff);
    fs::write(path(&folder), bytes).expect("writes");
    let error = refusal(Settings::at(path(&folder)));
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("streamer store check"), "{error}");
}

#[test]
fn a_folder_in_the_place_of_the_file_is_refused() {
    let folder = folder();
    fs::create_dir(path(&folder)).expect("creates");
    let error = refusal(Settings::at(path(&folder)));
    assert!(
        matches!(&error, OpenError::Io { source, .. } if source.kind() == ErrorKind::IsADirectory),
        "{error:?}"
    );
}
