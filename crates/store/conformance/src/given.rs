//! What tests start from.

use streamer_engine::store::{
    Claim, Enqueued, EntryBody, ErrorKind, Fingerprint, LogEntry, NewRequest, Outcome, Priority,
    ProgressState, Quota, Record, RequestKey, Result, RunningMax, SharedStore, Summary, WorkerId,
};
use streamer_protocol::{
    Action, ErrorBody, ErrorCode, Json, Permissions, RequestId, RequestStatus, TenantId, Timestamp, UserId,
};

/// More than any test uses.
pub(crate) const PLENTY: Quota = Quota {
    open_max: 1_000_000,
    tenant_open_max: 1_000_000,
    stored_bytes_max: 1 << 40,
    tenant_stored_bytes_max: 1 << 40,
};

/// So many milliseconds after the tests' beginning.
pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + millis)
}

/// A request of the user `ada` of `acme`.
pub(crate) fn key(id: &str) -> RequestKey {
    key_of("acme", "ada", id)
}

pub(crate) fn key_of(tenant: &str, user: &str, id: &str) -> RequestKey {
    let id = RequestId::parse(id).expect("a valid id");
    RequestKey::new(TenantId::new(tenant), UserId::new(user), id)
}

pub(crate) fn action(name: &str) -> Action {
    Action::parse(name).expect("a valid action")
}

pub(crate) fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).expect("valid JSON")
}

/// A request that comes, and is due, at the beginning.
pub(crate) fn new(key: RequestKey) -> NewRequest {
    let (action, payload) = (action("report.build"), json(r#"{"year": 2026}"#));
    NewRequest {
        key,
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

/// The same request with another payload.
pub(crate) fn with_payload(mut new: NewRequest, payload: &str) -> NewRequest {
    new.payload = json(payload);
    new.fingerprint = Fingerprint::of(&new.action, &new.payload);
    new
}

pub(crate) fn worker(name: &str) -> WorkerId {
    WorkerId::new(name)
}

/// Stores a request that must be new.
pub(crate) async fn enqueue(store: &SharedStore, new: &NewRequest) {
    match store.enqueue(new, &PLENTY).await {
        Ok(Enqueued::New) => {}
        other => panic!("{:?} should be new, but: {other:?}", new.key),
    }
}

/// Stores `key(id)`.
pub(crate) async fn enqueue_id(store: &SharedStore, id: &str) {
    enqueue(store, &new(key(id))).await;
}

/// Claims whatever is due at `now`, until 1000 ms later.
pub(crate) async fn claim_all(store: &SharedStore, now: i64) -> Vec<Claim> {
    claim_by(store, "w", now, now + 1000, 1000).await
}

/// Claims at most `limit` of what is due at `now`, as `me`, until `lease_until`.
pub(crate) async fn claim_by(
    store: &SharedStore,
    me: &str,
    now: i64,
    lease_until: i64,
    limit: u32,
) -> Vec<Claim> {
    let (me, unbounded) = (worker(me), RunningMax::default());
    store.claim(&me, at(now), at(lease_until), limit, &unbounded).await.expect("claims").claims
}

/// When something is due that is not due before the beginning.
pub(crate) async fn next_due(store: &SharedStore) -> Option<Timestamp> {
    let (me, unbounded) = (worker("nobody"), RunningMax::default());
    store.claim(&me, at(-1), at(0), 0, &unbounded).await.expect("looks").next_due
}

/// Claims the one request that is due at `now`, until 1000 ms later.
pub(crate) async fn claim_one(store: &SharedStore, now: i64) -> Claim {
    let mut claims = claim_all(store, now).await;
    assert_eq!(claims.len(), 1, "one request is due: {claims:?}");
    claims.pop().expect("there is one")
}

/// Stores `key(id)` and claims it at 0, until 1000.
pub(crate) async fn running(store: &SharedStore, id: &str) -> Claim {
    enqueue_id(store, id).await;
    claim_one(store, 0).await
}

pub(crate) fn progress(seq: u64, percentage: f64) -> LogEntry {
    let metadata = Some(json(r#"{"rows":3}"#));
    let state = ProgressState { percentage, message: format!("step {seq}"), metadata };
    LogEntry { seq, at: at(100 + seq.cast_signed()), body: EntryBody::Progress(state) }
}

/// A chunk whose JSON is six bytes long.
pub(crate) fn chunk(seq: u64, index: u64) -> LogEntry {
    let data = json(&format!("\"c{index:03}\""));
    LogEntry { seq, at: at(100 + seq.cast_signed()), body: EntryBody::Chunk { index, data } }
}

pub(crate) fn error(message: &str) -> ErrorBody {
    ErrorBody::new(ErrorCode::InternalError, message).at("path", "why").correlated("abc")
}

pub(crate) fn completed() -> Outcome {
    Outcome::Completed(json(r#"{"url":"/r"}"#))
}

pub(crate) fn failed() -> Outcome {
    Outcome::Failed(error("it broke"))
}

pub(crate) fn cancelled() -> Outcome {
    Outcome::Cancelled(ErrorBody::new(ErrorCode::Cancelled, "no longer wanted"))
}

pub(crate) async fn record(store: &SharedStore, key: &RequestKey) -> Record {
    store.request(key).await.expect("reads").expect("is there")
}

pub(crate) async fn summary(store: &SharedStore, key: &RequestKey) -> Summary {
    record(store, key).await.summary
}

pub(crate) async fn status(store: &SharedStore, key: &RequestKey) -> RequestStatus {
    summary(store, key).await.status
}

/// The whole log, without restarts that a later one makes superfluous.
pub(crate) async fn log(store: &SharedStore, key: &RequestKey) -> Vec<LogEntry> {
    let mut entries = store.log(key, 0, 10_000).await.expect("reads");
    assert!(entries.is_sorted_by(|a, b| a.seq < b.seq), "seq rises: {entries:?}");
    let mut lowest = u64::MAX;
    let mut needed = Vec::new();
    while let Some(entry) = entries.pop() {
        if let EntryBody::Restart { from_index, .. } = entry.body {
            if from_index >= lowest {
                continue;
            }
            lowest = from_index;
        }
        needed.push(entry);
    }
    needed.reverse();
    needed
}

/// Everything that is kept of a request: to show that a call changed nothing.
pub(crate) async fn snapshot(store: &SharedStore, key: &RequestKey) -> (Record, Vec<LogEntry>, u64) {
    (record(store, key).await, log(store, key).await, store.open_requests().await.expect("counts"))
}

/// The kind of the error that this must be.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("should be refused").kind()
}
