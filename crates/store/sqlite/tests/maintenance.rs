//! Checks, backups and sweeps.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use rusqlite::Connection;
use streamer_engine::store::{
    ArtifactId, Artifacts, Fingerprint, NewArtifact, NewRequest, Outcome, Requests,
};
use streamer_protocol::{Json, TenantId, UserId};
use streamer_store_sqlite::{BackupError, Finding, OpenError, Settings, SqliteStore, backup, check};

use crate::given::*;

fn artifact(n: u8) -> NewArtifact {
    NewArtifact {
        id: ArtifactId::parse(&format!("{n:032x}")).expect("valid"),
        tenant: TenantId::new("acme"),
        user: UserId::new("ada"),
        name: "r.txt".to_owned(),
        media_type: "text/plain".to_owned(),
        created_at: at(0),
        expires_at: at(99),
        bytes: Bytes::from_static(b"kept"),
    }
}

#[tokio::test]
async fn a_sound_store_in_use_has_no_findings() {
    let folder = folder();
    let store = open(&path(&folder));
    enqueue(&store, "a").await;
    enqueue(&store, "b").await;
    let claim = claim(&store, 9, 1).await.remove(0);
    store.finish(&claim.lease, &Outcome::Completed(Json::null()), at(1), at(9)).await.expect("ends");
    store.keep(artifact(1), &PLENTY).await.expect("keeps");
    let report = check(&Settings::at(path(&folder))).expect("checks");
    assert_eq!(report.findings, []);
    assert_eq!((report.version, report.requests, report.open_requests, report.artifacts), (7, 2, 1, 1));
    enqueue(&store, "c").await;
}

#[tokio::test]
async fn what_is_not_as_it_should_be_is_found() {
    let folder = folder();
    let store = open(&path(&folder));
    enqueue(&store, "a").await;
    enqueue(&store, "b").await;
    store.keep(artifact(1), &PLENTY).await.expect("keeps");
    store.keep(artifact(2), &PLENTY).await.expect("keeps");
    drop(store);
    let artifacts = folder.path().join("streamer.db.artifacts");
    let file = |n: u8| artifacts.join(format!("{n:032x}"));
    fs::remove_file(file(1)).expect("removes");
    fs::write(file(2), "kept, and more").expect("writes");
    let conn = Connection::open(path(&folder)).expect("opens");
    conn.execute_batch(
        "PRAGMA foreign_keys = OFF; \
         DELETE FROM payload WHERE request = 1; \
         UPDATE request SET status = 'COMPLETED' WHERE number = 2; \
         INSERT INTO checkpoint VALUES (77, '1');",
    )
    .expect("damages");
    drop(conn);
    let report = check(&Settings::at(path(&folder))).expect("checks");
    for expected in [
        Finding::MissingFile(file(1)),
        Finding::WrongSize(file(2)),
        Finding::WithoutPayload { requests: 1 },
        Finding::Contradictory { requests: 1 },
        Finding::WrongUsage { tenants: 1 },
        Finding::Unrelated { table: "checkpoint".to_owned(), rows: 1 },
    ] {
        assert!(report.findings.contains(&expected), "{expected}: {:?}", report.findings);
    }
    assert_eq!(report.findings.len(), 6);
}

#[tokio::test]
async fn a_damaged_page_is_found() {
    let folder = folder();
    let store = open(&path(&folder));
    for n in 0..200 {
        enqueue(&store, &format!("r{n}")).await;
    }
    drop(store);
    // A table's, and not the schema's: without that nothing can be read at all.
    let conn = Connection::open(path(&folder)).expect("opens");
    let find = "SELECT rootpage FROM sqlite_schema WHERE name = 'payload'";
    let page: i64 = conn.query_row(find, [], |row| row.get(0)).expect("finds");
    drop(conn);
    let mut bytes = fs::read(path(&folder)).expect("reads");
    let start = (usize::try_from(page).expect("a number") - 1) * 4096;
    bytes[start..start + 200].fill(0xee);
    fs::write(path(&folder), bytes).expect("writes");
    let report = check(&Settings::at(path(&folder))).expect("checks");
    assert!(report.findings.iter().any(|f| matches!(f, Finding::Damaged(_))), "{:?}", report.findings);
}

#[tokio::test]
async fn what_is_nested_deeper_than_sqlite_reads_is_sound() {
    let folder = folder();
    let store = open(&path(&folder));
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let payload = Json::parse(deep).expect("JSON");
    let base = new("deep");
    let new = NewRequest { fingerprint: Fingerprint::of(&base.action, &payload), payload, ..base };
    store.enqueue(&new, &PLENTY).await.expect("stored");
    store.close().await;
    assert_eq!(check(&Settings::at(path(&folder))).expect("checks").findings, []);
}

#[test]
fn there_must_be_something_to_check() {
    let folder = folder();
    let error = check(&Settings::at(path(&folder))).expect_err("is missing");
    assert!(matches!(error, OpenError::Missing { .. }), "{error:?}");
    assert!(!path(&folder).exists(), "a check creates nothing");
}

#[tokio::test]
async fn a_backup_made_while_writing_is_whole() {
    let (folder, safe) = (folder(), folder());
    let store = Arc::new(open(&path(&folder)));
    enqueue(&store, "first").await;
    store.keep(artifact(1), &PLENTY).await.expect("keeps");
    let writing = {
        let store = store.clone();
        tokio::spawn(async move {
            let mut n = 0;
            loop {
                n += 1;
                enqueue(&store, &format!("r{n}")).await;
            }
        })
    };
    let (from, to) = (Settings::at(path(&folder)), safe.path().join("copy.db"));
    let copy = {
        let to = to.clone();
        tokio::task::spawn_blocking(move || {
            backup(&from, &to).expect("copies");
            let again = backup(&from, &to).expect_err("is there");
            assert!(matches!(again, BackupError::Exists { .. }), "{again:?}");
        })
    };
    copy.await.expect("ends");
    writing.abort();
    let _ = writing.await;

    let report = check(&Settings::at(&to)).expect("checks");
    assert_eq!(report.findings, []);
    let copy = SqliteStore::open(Settings::at(&to)).expect("opens");
    assert!(copy.request(&key("first")).await.expect("reads").is_some());
    let wanted = artifact(1);
    let kept = copy.artifact(&wanted.tenant, &wanted.user, &wanted.id).await.expect("reads");
    assert!(kept.is_some());
    enqueue(&copy, "more").await;
    enqueue(&store, "the original goes on").await;
}

#[test]
fn a_backup_that_cannot_be_written_names_where_it_was_to_be() {
    let folder = folder();
    drop(open(&path(&folder)));
    let to = folder.path().join("nowhere").join("copy.db");
    let error = backup(&Settings::at(path(&folder)), &to).expect_err("has no folder");
    assert_eq!(
        error.to_string(),
        format!("the folder {} is missing: create it first", to.parent().expect("has one").display())
    );
    // A file system that takes no files.
    let to = Path::new("/proc/copy.db");
    let error = backup(&Settings::at(path(&folder)), to).expect_err("takes none");
    assert_eq!(error.to_string(), "no permission to read and write /proc/copy.db");
}

#[tokio::test]
async fn only_old_orphans_are_swept() {
    let folder = folder();
    let store = open(&path(&folder));
    store.keep(artifact(1), &PLENTY).await.expect("keeps");
    drop(store);
    let artifacts = folder.path().join("streamer.db.artifacts");
    #[allow(clippy::disallowed_methods, reason = "the age of a file is the machine's, and so is its clock")]
    let long_ago = SystemTime::now() - Duration::from_secs(2 * 60 * 60);
    let names = [
        (format!("{:032x}", 1), true, true),
        (format!("{:032x}", 2), true, false),
        (format!("{:032x}", 3), false, true),
        (format!("{:032x}.7.partial", 4), true, false),
        ("README.txt".to_owned(), true, true),
    ];
    for (name, old, _) in &names {
        let file = fs::File::options().create(true).append(true).open(artifacts.join(name)).expect("writes");
        if *old {
            file.set_modified(long_ago).expect("ages");
        }
    }
    drop(open(&path(&folder)));
    for (name, _, stays) in &names {
        assert_eq!(artifacts.join(name).exists(), *stays, "{name}");
    }
}

/// The file of the write-ahead log does not grow without end, even while one read never ends.
#[tokio::test]
async fn the_write_ahead_log_is_bounded() {
    let folder = folder();
    let settings = Settings { wal_pages_soft_max: 16, wal_pages_max: 64, ..Settings::at(path(&folder)) };
    let store = SqliteStore::open(settings).expect("opens");
    let wal = || fs::metadata(folder.path().join("streamer.db-wal")).expect("is there").len() / 4096;
    for n in 0..300 {
        enqueue(&store, &format!("r{n}")).await;
        assert!(wal() < 64 + 32, "{} pages after {n}", wal());
    }
    let reader = Connection::open(path(&folder)).expect("opens");
    reader.execute_batch("BEGIN; SELECT count(*) FROM request").expect("reads");
    for n in 300..400 {
        enqueue(&store, &format!("r{n}")).await;
    }
    reader.execute_batch("ROLLBACK").expect("ends");
    drop(reader);
    for n in 400..500 {
        enqueue(&store, &format!("r{n}")).await;
    }
    assert!(wal() < 64 + 32, "{} pages after the read has ended", wal());
    assert_eq!(store.open_requests().await.expect("counts"), 500);
}
