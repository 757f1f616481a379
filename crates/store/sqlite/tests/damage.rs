//! Files that somebody or something has damaged, moved or taken away: nothing of that is served as good.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use streamer_engine::store::{ErrorKind, Requests, RunningMax, WorkerId};
use streamer_store_sqlite::{Finding, OpenError, Settings, SqliteStore, check};

use crate::given::*;

const PAGE: usize = 4096;

/// A file with so many requests, closed.
async fn filled(folder: &tempfile::TempDir, requests: u32) -> PathBuf {
    let path = path(folder);
    let store = open(&path);
    for n in 0..requests {
        enqueue(&store, &format!("r{n}")).await;
    }
    store.close().await;
    path
}

/// The numbers of the pages of a table or index, root first.
fn pages_of(path: &Path, name: &str) -> Vec<usize> {
    let conn = Connection::open(path).expect("opens");
    let find = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
    let root: u32 = conn.query_row(find, [name], |row| row.get(0)).expect("is there");
    let root = root as usize;
    let bytes = fs::read(path).expect("reads");
    let page = |number: usize| &bytes[(number - 1) * PAGE..number * PAGE];
    // An interior page of a table is of kind 5, of an index 2; its cells begin with a child's number.
    let mut pages = vec![root];
    if matches!(page(root)[0], 2 | 5) {
        let cells = usize::from(u16::from_be_bytes([page(root)[3], page(root)[4]]));
        for cell in 0..cells {
            let at = 12 + 2 * cell;
            let offset = usize::from(u16::from_be_bytes([page(root)[at], page(root)[at + 1]]));
            let child = page(root)[offset..offset + 4].try_into().expect("four bytes");
            pages.push(u32::from_be_bytes(child) as usize);
        }
    }
    pages
}

fn overwrite(path: &Path, at: usize, bytes: &[u8]) {
    let mut file = fs::read(path).expect("reads");
    file[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(path, file).expect("writes");
}

fn refusal(path: &Path) -> OpenError {
    match SqliteStore::open(Settings::at(path)) {
        Ok(_) => panic!("it opened"),
        Err(e) => e,
    }
}

fn is_found(path: &Path) {
    match check(&Settings::at(path)) {
        Ok(report) => assert!(report.findings.iter().any(|f| !f.is_harmless()), "{:?}", report.findings),
        Err(OpenError::Damaged { .. } | OpenError::NotADatabase { .. }) => {}
        Err(e) => panic!("another error: {e:?}"),
    }
}

#[tokio::test]
async fn a_damaged_page_of_each_kind_is_refused_at_the_start_and_found_by_a_check() {
    let original = folder();
    let whole = filled(&original, 300).await;
    for name in ["request", "payload", "request_key"] {
        for part in ["head", "cells"] {
            let folder = folder();
            let path = path(&folder);
            fs::copy(&whole, &path).expect("copies");
            let page = *pages_of(&path, name).last().expect("it has a root");
            let at = (page - 1) * PAGE + if part == "head" { 0 } else { PAGE - 400 };
            overwrite(&path, at, &[0x5a; 300]);
            is_found(&path);
            // Text that is no longer what was sent is no damage that SQLite could see: see below.
            if (name, part) != ("payload", "cells") {
                let error = refusal(&path);
                assert!(matches!(error, OpenError::Damaged { .. }), "{name}, {part}: {error:?}");
                assert!(error.to_string().contains("streamer store check"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_lost_first_page_is_called_damage() {
    let folder = folder();
    let path = filled(&folder, 3).await;
    overwrite(&path, 0, &[0; PAGE]);
    is_found(&path);
    let error = refusal(&path);
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("restore the newest backup"), "{error}");
    // Whatever else stands there: it may have been somebody's notes, or ours.
    overwrite(&path, 0, &[0x5a; PAGE]);
    let told = refusal(&path).to_string();
    assert!(told.contains("is not a SQLite database") && told.contains("damaged: restore"), "{told}");
}

#[tokio::test]
async fn altered_text_is_found_by_a_check() {
    let folder = folder();
    let path = filled(&folder, 3).await;
    let conn = Connection::open(&path).expect("opens");
    conn.execute_batch(
        r#"UPDATE payload SET json = '{"year":2062}' WHERE request = 1;
           UPDATE payload SET json = '{"year":' WHERE request = 2;
           UPDATE request SET progress = '{]' WHERE number = 3;"#,
    )
    .expect("damages");
    drop(conn);
    let report = check(&Settings::at(&path)).expect("checks");
    for expected in [
        Finding::Altered { requests: 2 },
        Finding::Unreadable { table: "payload", rows: 1 },
        Finding::Unreadable { table: "request", rows: 1 },
    ] {
        assert!(report.findings.contains(&expected), "{expected}: {:?}", report.findings);
    }
}

#[tokio::test]
async fn damage_that_is_met_in_service_stops_all_writing_and_is_told() {
    let folder = folder();
    let path = filled(&folder, 300).await;
    let pages = pages_of(&path, "payload");
    overwrite(&path, (pages.last().expect("pages") - 1) * PAGE, &[0xee; 200]);
    // Too large to be looked through at the start.
    let store = SqliteStore::open(Settings { check_bytes_max: 0, ..Settings::at(&path) }).expect("opens");
    assert!(store.open_requests().await.is_ok(), "nobody has come upon it");
    let mut found = false;
    for n in 0..300 {
        match store.request(&key(&format!("r{n}"))).await {
            Ok(Some(record)) => assert_eq!(record.payload.as_str(), r#"{"year":2026}"#, "r{n}"),
            Ok(None) => panic!("r{n} is gone without a word"),
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Corrupt, "{e}");
                found = true;
            }
        }
    }
    assert!(found, "the page belongs to nothing: the test proves nothing");
    for refused in [
        store.enqueue(&new("more"), &PLENTY).await.expect_err("is refused"),
        store
            .claim(&WorkerId::new("w"), at(0), at(9), 1, &RunningMax::default())
            .await
            .expect_err("is refused"),
        store.open_requests().await.expect_err("is refused"),
    ] {
        assert_eq!(refused.kind(), ErrorKind::Corrupt);
        assert!(refused.to_string().contains("restore the newest backup"), "{refused}");
    }
}

/// The files of a store that died while all that it wrote was still in its log.
async fn crashed(folder: &tempfile::TempDir, requests: u32) -> PathBuf {
    let alive = tempfile::tempdir().expect("a folder");
    let store = open(&path(&alive));
    for n in 0..requests {
        enqueue(&store, &format!("r{n}")).await;
    }
    for name in ["streamer.db", "streamer.db-wal", "streamer.db.lock"] {
        fs::copy(alive.path().join(name), folder.path().join(name)).expect("copies");
    }
    path(folder)
}

#[tokio::test]
async fn a_damaged_log_is_refused_and_left_as_it_is() {
    // In its head, in the first transaction, in a frame's own head, and near its end.
    for (name, at) in [
        ("head", 20),
        ("first", 32 + 24 + 100),
        ("frame head", 32 + 20 * (24 + PAGE) + 9),
        ("late", usize::MAX),
    ] {
        let folder = folder();
        let path = crashed(&folder, 40).await;
        let log = folder.path().join("streamer.db-wal");
        let bytes = fs::read(&log).expect("reads");
        let frames = (bytes.len() - 32) / (24 + PAGE);
        // Some transactions before the last.
        let at = if at == usize::MAX { 32 + (frames - 40) * (24 + PAGE) + 1000 } else { at };
        overwrite(&log, at, &[bytes[at] ^ 0x10]);
        let damaged = fs::read(&log).expect("reads");
        let report = check(&Settings::at(&path)).expect("checks");
        assert!(matches!(report.findings[..], [Finding::DamagedLog { .. }]), "{name}: {:?}", report.findings);
        let error = refusal(&path);
        assert!(matches!(error, OpenError::DamagedLog { .. }), "{name}: {error:?}");
        assert!(
            error.to_string().contains("restore the newest backup") || error.to_string().contains("Restore")
        );
        assert_eq!(fs::read(&log).expect("reads"), damaged, "{name}: it was changed");
        // After the machine was down, the same may be what was never synced.
        fs::write(folder.path().join("streamer.db.lock"), "1\nanother boot\n").expect("writes");
        if name != "head" {
            assert!(open(&path).open_requests().await.expect("counts") < 40, "{name}");
        }
    }
}

#[tokio::test]
async fn a_log_whose_last_write_was_cut_off_is_no_damage() {
    let folder = folder();
    let path = crashed(&folder, 10).await;
    let log = folder.path().join("streamer.db-wal");
    let whole = fs::read(&log).expect("reads");
    for cut in [whole.len() - 1, whole.len() - 3000, whole.len() - PAGE - 24, 40, 31, 0] {
        fs::write(&log, &whole[..cut]).expect("writes");
        let report = check(&Settings::at(&path)).map(|report| report.findings);
        assert!(!matches!(report.as_deref(), Ok([Finding::DamagedLog { .. }])), "{cut}: {report:?}");
    }
    // The last page of the last transaction, which was perhaps never answered.
    fs::write(&log, &whole).expect("writes");
    overwrite(&log, whole.len() - 100, &[whole[whole.len() - 100] ^ 1]);
    assert_eq!(open(&path).open_requests().await.expect("counts"), 9);
}

#[tokio::test]
async fn files_that_are_taken_away_are_missed_and_welcome_back() {
    for name in ["streamer.db", "streamer.db-wal"] {
        let folder = folder();
        let store = open(&path(&folder));
        enqueue(&store, "before").await;
        let (here, there) = (folder.path().join(name), folder.path().join("elsewhere"));
        fs::rename(&here, &there).expect("moves");
        for refused in [
            store.enqueue(&new("lost"), &PLENTY).await.expect_err("is refused"),
            store.request(&key("before")).await.expect_err("is refused"),
            store.open_requests().await.expect_err("is refused"),
        ] {
            assert_eq!(refused.kind(), ErrorKind::Unavailable, "{name}");
            assert!(refused.to_string().contains(name), "{refused}");
        }
        // Another file of that name is another store.
        fs::copy(&there, &here).expect("copies");
        assert!(store.enqueue(&new("lost"), &PLENTY).await.is_err(), "{name}");
        fs::rename(&there, &here).expect("moves");
        enqueue(&store, "after").await;
        drop(store);
        let store = open(&path(&folder));
        for (id, there) in [("before", true), ("lost", false), ("after", true)] {
            assert_eq!(store.request(&key(id)).await.expect("reads").is_some(), there, "{name}, {id}");
        }
    }
}
