//! A store's file with a bit of everything in it, from which damaged ones are made; and all that is asked of one.

use std::{fs, path::Path, time::Duration};

use streamer_engine::store::{
    ArtifactId, Artifacts as _, ConnectionFilter, ConnectionRecord, Connections as _, EntryBody, Fingerprint,
    LogEntry, NewArtifact, NewRequest, Outcome, PageQuery, Priority, ProgressState, Quota, RequestFilter,
    RequestKey, Requests as _, RunningMax, WorkerId,
};
use streamer_protocol::{
    Action, ConnectionId, ErrorBody, ErrorCode, Json, Permissions, RequestId, TenantId, Timestamp, UserId,
};
use streamer_store_sqlite::{Settings, SqliteStore, check};

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);

/// The artifact that the template has.
const ARTIFACT: &str = "0123456789abcdef0123456789abcdef";

fn quota() -> Quota {
    Quota {
        open_max: 1000,
        tenant_open_max: 1000,
        stored_bytes_max: u64::MAX,
        tenant_stored_bytes_max: u64::MAX,
    }
}

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).expect("JSON")
}

fn key(n: usize) -> RequestKey {
    let id = RequestId::parse(&format!("request-{n}")).expect("valid");
    RequestKey::new(TenantId::new("acme"), UserId::new("ada"), id)
}

fn new(n: usize) -> NewRequest {
    let (action, payload) = (Action::parse("work").expect("valid"), json(r#"{"x":[1,2,{"y":"z"}]}"#));
    NewRequest {
        key: key(n),
        connection: Some(ConnectionId::new("c1")),
        fingerprint: Fingerprint::of(&action, &payload),
        action,
        payload,
        permissions: ["read", "work.do"].into_iter().collect::<Permissions>(),
        created_at: NOW,
        run_at: NOW,
        priority: Priority::default(),
        max_retries: 3,
        repeatable: true,
        announced: false,
    }
}

/// Requests in every state, logs, a connection and an artifact.
pub(super) async fn fill(path: &Path) {
    let store = SqliteStore::open(Settings::at(path)).expect("an empty folder");
    let worker = WorkerId::new("w");
    for n in 0..6 {
        store.enqueue(&new(n), &quota()).await.expect("room");
    }
    let claimed = store.claim(&worker, NOW, NOW + HOUR, 4, &RunningMax::default()).await.expect("claimed");
    for (n, claim) in claimed.claims.iter().enumerate() {
        let lease = &claim.lease;
        let entry = |seq, body| LogEntry { seq, at: NOW, body };
        let chunk = |index| EntryBody::Chunk { index, data: json(r#"{"row":1}"#) };
        let progress =
            ProgressState { percentage: 50.0, message: "half".to_owned(), metadata: Some(json("{}")) };
        let entries = [entry(1, chunk(0)), entry(2, EntryBody::Progress(progress)), entry(3, chunk(1))];
        store.append(lease, &entries, Some(&json(r#"{"at":2}"#)), &quota()).await.expect("leased");
        let failed = ErrorBody::new(ErrorCode::Timeout, "too slow");
        match n {
            0 => drop(
                store.finish(lease, &Outcome::Completed(json("[1]")), NOW, NOW + HOUR).await.expect("leased"),
            ),
            1 => drop(store.finish(lease, &Outcome::Failed(failed), NOW, NOW + HOUR).await.expect("leased")),
            2 => store.retry(lease, NOW, &failed).await.expect("leased"),
            _ => {}
        }
    }
    let connection = ConnectionRecord {
        id: ConnectionId::new("c1"),
        user: UserId::new("ada"),
        tenant: TenantId::new("acme"),
        endpoint: "node".to_owned(),
        connected_at: NOW,
        last_ping: NOW,
        user_agent: Some("fuzz".to_owned()),
        ip_address: None,
        expires_at: NOW + HOUR,
    };
    store.connect(&connection).await.expect("room");
    let artifact = NewArtifact {
        id: ArtifactId::parse(ARTIFACT).expect("valid"),
        tenant: TenantId::new("acme"),
        user: UserId::new("ada"),
        name: "report.csv".to_owned(),
        media_type: "text/csv".to_owned(),
        created_at: NOW,
        expires_at: NOW + HOUR,
        bytes: b"a,b\n1,2\n".to_vec().into(),
    };
    store.keep(artifact, &quota()).await.expect("room");
    store.close().await;
}

/// Opens a store and asks everything of it; errors are answers. Gives how many of each there were.
pub(super) async fn ask_everything(path: &Path) -> Result<(u32, u32), String> {
    let _ = check(&Settings::at(path)).map_err(|e| e.to_string());
    let opening = Settings::at(path);
    let opened = tokio::task::spawn_blocking(move || SqliteStore::open(opening)).await;
    let store = match opened.map_err(|e| format!("opening panics: {e}"))? {
        Ok(store) => store,
        Err(e) if e.to_string().is_empty() => return Err("no reason".to_owned()),
        Err(_) => return Ok((0, 1)),
    };
    let (mut answers, mut errors) = (0, 0);
    macro_rules! ask {
        ($asking:expr) => {
            match $asking.await {
                Ok(answer) => {
                    answers += 1;
                    Some(answer)
                }
                Err(e) if e.to_string().is_empty() => return Err("no reason".to_owned()),
                Err(_) => {
                    errors += 1;
                    None
                }
            }
        };
    }
    let page = PageQuery { limit: 3, cursor: None };
    let worker = WorkerId::new("w2");
    for n in 0..6 {
        ask!(store.request(&key(n)));
        ask!(store.log(&key(n), 0, 100));
        ask!(store.enqueue(&new(n), &quota()));
    }
    if let Some(first) = ask!(store.requests(&RequestFilter::default(), &page)) {
        ask!(store.requests(&RequestFilter::default(), &PageQuery { cursor: first.cursor, ..page.clone() }));
    }
    ask!(store.connections(&ConnectionFilter::default(), &page));
    ask!(store.connection(&ConnectionId::new("c1")));
    ask!(store.touch(&[ConnectionId::new("c1")], NOW, NOW));
    ask!(store.open_requests());
    ask!(store.stored_bytes());
    ask!(store.usage(&TenantId::new("acme"), NOW));
    ask!(store.reclaim(&WorkerId::new("w"), NOW));
    if let Some(claimed) = ask!(store.claim(&worker, NOW + HOUR, NOW + 2 * HOUR, 10, &RunningMax::default()))
    {
        for claim in &claimed.claims {
            let seq = claim.record.summary.last_seq.saturating_add(1);
            let ended = Outcome::Completed(json("1"));
            let body = EntryBody::Chunk { index: claim.record.summary.chunks, data: json("1") };
            ask!(store.append(&claim.lease, &[LogEntry { seq, at: NOW, body }], None, &quota()));
            ask!(store.finish(&claim.lease, &ended, NOW, NOW + HOUR));
        }
    }
    let cancelled = Outcome::Cancelled(ErrorBody::new(ErrorCode::Cancelled, "no longer wanted"));
    ask!(store.cancel(&key(5), &cancelled, NOW, NOW + HOUR));
    ask!(store.replay(&key(1), NOW));
    let (tenant, user) = (TenantId::new("acme"), UserId::new("ada"));
    ask!(store.artifact(&tenant, &user, &ArtifactId::parse(ARTIFACT).expect("valid")));
    ask!(store.purge_requests(NOW + 10 * HOUR, 100));
    ask!(store.purge_connections(NOW + 10 * HOUR, 100));
    ask!(store.purge_artifacts(NOW + 10 * HOUR, 100));
    store.close().await;
    Ok((answers, errors))
}

/// Removes a store with all that is beside it.
pub(super) fn clear(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    }
}
