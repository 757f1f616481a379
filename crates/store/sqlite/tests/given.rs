//! What tests start from.

use std::path::{Path, PathBuf};

use streamer_engine::store::{
    Claim, Enqueued, Fingerprint, NewRequest, Priority, Quota, RequestKey, Requests, RunningMax, WorkerId,
};
use streamer_protocol::{Action, Json, Permissions, RequestId, TenantId, Timestamp, UserId};
use streamer_store_sqlite::{Settings, SqliteStore};
use tempfile::TempDir;

pub(crate) const PLENTY: Quota = Quota {
    open_max: 1_000_000,
    tenant_open_max: 1_000_000,
    stored_bytes_max: 1 << 40,
    tenant_stored_bytes_max: 1 << 40,
};

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
        permissions: Permissions::default(),
        created_at: at(0),
        run_at: at(0),
        priority: Priority::default(),
        max_retries: 3,
        repeatable: true,
        announced: false,
    }
}

pub(crate) async fn enqueue(store: &SqliteStore, id: &str) {
    let answer = store.enqueue(&new(id), &PLENTY).await.expect("stores");
    assert!(matches!(answer, Enqueued::New), "{answer:?}");
}

/// Claims at most `limit` requests at the beginning, until `lease_until`.
pub(crate) async fn claim(store: &SqliteStore, lease_until: i64, limit: u32) -> Vec<Claim> {
    let (me, unbounded) = (WorkerId::new("w"), RunningMax::default());
    store.claim(&me, at(0), at(lease_until), limit, &unbounded).await.expect("claims").claims
}
