//! What tests start from.

use std::path::{Path, PathBuf};

use streamer_engine::store::{Enqueued, Fingerprint, NewRequest, Quota, RequestKey, Requests};
use streamer_protocol::{Action, Json, RequestId, TenantId, Timestamp, UserId};
use streamer_store_sqlite::{Settings, SqliteStore};
use tempfile::TempDir;

pub(crate) const PLENTY: Quota = Quota { open_max: 1_000_000, tenant_open_max: 1_000_000 };

pub(crate) async fn fresh() -> (SqliteStore, TempDir) {
    let folder = folder();
    (open(&path(&folder)), folder)
}

pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

pub(crate) fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("streamer.db")
}

pub(crate) fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(Settings::at(path)).expect("opens")
}

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn key(id: &str) -> RequestKey {
    let id = RequestId::parse(id).expect("valid");
    RequestKey::new(TenantId::new("acme"), UserId::new("ada"), id)
}

pub(crate) fn new(id: &str) -> NewRequest {
    let action = Action::parse("report.build").expect("valid");
    let payload = Json::parse(r#"{"year":2026}"#.to_owned()).expect("valid");
    NewRequest {
        key: key(id),
        connection: None,
        fingerprint: Fingerprint::of(&action, &payload),
        action,
        payload,
        created_at: at(0),
        run_at: at(0),
        max_retries: 3,
        repeatable: true,
    }
}

pub(crate) async fn enqueue(store: &SqliteStore, id: &str) {
    let answer = store.enqueue(&new(id), &PLENTY).await.expect("stores");
    assert!(matches!(answer, Enqueued::New), "{answer:?}");
}
