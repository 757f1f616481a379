//! What was answered is there afterwards.

use std::{fs, path::Path, sync::Arc};

use bytes::Bytes;
use streamer_engine::store::{
    ArtifactId, Artifacts, EntryBody, ErrorKind, LogEntry, NewArtifact, Outcome, Requests,
};
use streamer_protocol::{Json, RequestStatus, TenantId, UserId};
use streamer_store_sqlite::SqliteStore;
use tokio::io::AsyncReadExt;

use crate::given::*;

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).expect("valid")
}

/// One request in each state, and an artifact.
async fn fill(store: &SqliteStore) {
    for id in ["ended", "running"] {
        enqueue(store, id).await;
        let claims = claim(store, 1000, 1).await;
        let lease = &claims[0].lease;
        let chunk = EntryBody::Chunk { index: 0, data: json(r#""é""#) };
        let entry = LogEntry { seq: 1, at: at(5), body: chunk };
        store.append(lease, &[entry], Some(&json("7")), &PLENTY).await.expect("appends");
        if id == "ended" {
            store.finish(lease, &Outcome::Completed(json("[1]")), at(9), at(99)).await.expect("ends");
        }
    }
    enqueue(store, "waiting").await;
    store.keep(artifact(), &PLENTY).await.expect("keeps");
}

fn artifact() -> NewArtifact {
    NewArtifact {
        id: ArtifactId::parse(&"a1".repeat(16)).expect("valid"),
        tenant: TenantId::new("acme"),
        user: UserId::new("ada"),
        name: "r.txt".to_owned(),
        media_type: "text/plain".to_owned(),
        created_at: at(0),
        expires_at: at(99),
        bytes: Bytes::from_static(b"kept"),
    }
}

async fn is_filled(store: &SqliteStore) {
    assert_eq!(store.open_requests().await.expect("counts"), 2);
    let kept = |id| async move { store.request(&key(id)).await.expect("reads").expect("is there") };
    let ended = kept("ended").await;
    assert_eq!(ended.outcome, Some(Outcome::Completed(json("[1]"))));
    assert_eq!(store.log(&key("ended"), 0, 9).await.expect("reads").len(), 2);
    let running = kept("running").await;
    assert_eq!((running.summary.status, running.checkpoint), (RequestStatus::Processing, Some(json("7"))));
    assert_eq!(kept("waiting").await.summary.status, RequestStatus::Pending);
    let wanted = artifact();
    let found = store.artifact(&wanted.tenant, &wanted.user, &wanted.id).await.expect("reads");
    let (_, mut body) = found.expect("is there");
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes).await.expect("reads");
    assert_eq!(bytes, wanted.bytes);
}

#[tokio::test]
async fn a_store_that_was_closed_opens_as_it_was() {
    let folder = folder();
    let path = path(&folder);
    let store = open(&path);
    fill(&store).await;
    store.close().await;
    let wal = folder.path().join("streamer.db-wal");
    assert!(!wal.exists() || fs::metadata(&wal).expect("reads").len() == 0, "the log was emptied");
    is_filled(&open(&path)).await;
}

#[tokio::test]
async fn a_store_that_was_dropped_opens_as_it_was() {
    let folder = folder();
    let path = path(&folder);
    let store = open(&path);
    fill(&store).await;
    drop(store);
    is_filled(&open(&path)).await;
}

/// The files as they lie on the disk at this moment, as after the death of the process.
fn crash_copy(from: &Path, to: &Path) {
    for name in ["streamer.db", "streamer.db-wal"] {
        fs::copy(from.join(name), to.join(name)).expect("copies");
    }
    let artifacts = "streamer.db.artifacts";
    fs::create_dir(to.join(artifacts)).expect("creates");
    for file in fs::read_dir(from.join(artifacts)).expect("lists") {
        let file = file.expect("lists");
        fs::copy(file.path(), to.join(artifacts).join(file.file_name())).expect("copies");
    }
}

#[tokio::test]
async fn a_crash_loses_nothing_that_was_answered() {
    let (alive, dead) = (folder(), folder());
    let store = open(&path(&alive));
    fill(&store).await;
    crash_copy(alive.path(), dead.path());
    is_filled(&open(&path(&dead))).await;
}

#[tokio::test]
async fn calls_after_the_close_are_told_so_and_what_had_queued_is_done() {
    let folder = folder();
    let store = Arc::new(open(&path(&folder)));
    let callers: Vec<_> = (0..50)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.enqueue(&new(&format!("r{n}")), &PLENTY).await.is_ok() })
        })
        .collect();
    tokio::task::yield_now().await;
    store.close().await;
    let mut answered = 0;
    for caller in callers {
        answered += u64::from(caller.await.expect("ends"));
    }
    let closed = |kind| assert_eq!(kind, ErrorKind::Closed);
    closed(store.enqueue(&new("late"), &PLENTY).await.expect_err("is closed").kind());
    closed(store.request(&key("r0")).await.expect_err("is closed").kind());
    store.close().await;
    drop(store);
    let store = open(&path(&folder));
    assert_eq!(store.open_requests().await.expect("counts"), answered, "answered and stored are the same");
}
