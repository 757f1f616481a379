//! An engine at work, and one client.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use streamer_engine::{
    BreakerSettings, Credentials, Engine, OutboxSettings, Ports, Rights, Router, Session, Settings, Webhooks,
    clock::{Clock as _, SystemClock},
    protocol::{ConnectionId, ErrorBody, ErrorCode, TenantId, Timestamp, UserId},
    push::Push as _,
    store::{ConnectionRecord, WorkerId},
    testing::{FakeConnections, MemoryStore},
};
use streamer_remote::{
    Address, HandlerSettings, PoolSettings, Remote, RemoteSettings, SigningKey, UrlHandler, trust,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::soon;

/// What the tests' requests are signed with.
pub(crate) fn secret() -> &'static str {
    "0123456789abcdef0123456789abcdef"
}

pub(crate) fn remote() -> Remote {
    remote_with(|_| {})
}

pub(crate) fn remote_with(change: impl FnOnce(&mut RemoteSettings)) -> Remote {
    let mut settings = RemoteSettings {
        pool: PoolSettings::default(),
        // Out of the way of those who do not ask for it.
        breaker: BreakerSettings { failures_max: 1000, open_for: Duration::from_secs(60) },
        keys: vec![SigningKey::new("k1", secret()).expect("a key")],
        tls: trust::platform(),
    };
    change(&mut settings);
    Remote::new(settings, Arc::new(SystemClock))
}

/// A handler at an address, with bounds that suit tests.
pub(crate) fn handler(address: Address, change: impl FnOnce(&mut HandlerSettings)) -> UrlHandler {
    let mut settings = HandlerSettings::default();
    change(&mut settings);
    UrlHandler::new(remote().target(address), settings)
}

pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<MemoryStore>,
    fake: Arc<FakeConnections>,
    session: Arc<Session>,
    stop: CancellationToken,
    working: Vec<AbortOnDropHandle<()>>,
}

impl Node {
    pub(crate) async fn start(routes: Router) -> Self {
        Self::start_on(Arc::new(MemoryStore::new()), routes).await
    }

    pub(crate) async fn start_on(store: Arc<MemoryStore>, routes: Router) -> Self {
        let fake = Arc::new(FakeConnections::new());
        let ports = Ports::new(Arc::clone(&store) as _, fake.clone());
        let settings = Settings {
            retry_backoff: streamer_engine::Backoff {
                base: Duration::from_millis(20),
                max: Duration::from_millis(100),
            },
            cancel_grace: Duration::from_secs(60),
            ..Settings::default()
        };
        let engine = Engine::new(ports, routes, WorkerId::new("node"), settings);
        let id = ConnectionId::new("c");
        fake.open(&id);
        let now = SystemClock.now();
        let record = ConnectionRecord {
            id,
            user: UserId::new("ada é"),
            tenant: TenantId::new("acme"),
            endpoint: "here".to_owned(),
            connected_at: now,
            last_ping: now,
            user_agent: None,
            ip_address: None,
            expires_at: now + Duration::from_secs(60),
        };
        let session = engine.connect(&record, Arc::new(Nothing)).await.expect("the store works");
        let stop = CancellationToken::new();
        let (worker, stopped) = (engine.clone(), stop.clone());
        let working = tokio::spawn(async move { worker.work(stopped, Duration::from_secs(5)).await });
        Self { engine, store, fake, session, stop, working: vec![AbortOnDropHandle::new(working)] }
    }

    /// Tells outcomes.
    pub(crate) fn announce(&mut self, webhooks: impl Webhooks + 'static, settings: OutboxSettings) {
        let (engine, stop) = (self.engine.clone(), self.stop.clone());
        let telling = async move {
            engine.announce(Arc::new(webhooks), settings, stop, Duration::from_secs(5)).await;
        };
        self.working.push(AbortOnDropHandle::new(tokio::spawn(telling)));
    }

    pub(crate) async fn send(&self, id: &str, action: &str, payload: Value) {
        let message = json!({ "id": id, "action": action, "payload": payload }).to_string();
        let room = self.session.room().await;
        if let Some(answer) = self.engine.accept(&self.session, room, &message) {
            self.fake.push(&self.session.connection, answer).await.expect("there is room");
        }
    }

    /// Takes what comes about a request, up to its end.
    pub(crate) async fn until_end(&self, id: &str) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            for frame in self.fake.take_at_most(&self.session.connection, 1) {
                if frame["request_id"] != id {
                    continue;
                }
                let kind = frame["type"].as_str().expect("has a type");
                let ends = match kind {
                    "response" | "complete" => true,
                    // That of an attempt has another to come.
                    "error" => {
                        frame["error"]["retry"]["retryable"] != true
                            || frame["error"]["retry"]["attempt"].is_null()
                    }
                    _ => false,
                };
                frames.push(frame);
                if ends {
                    return frames;
                }
            }
            let what = format!("another frame than {frames:#?}");
            soon(&what, self.fake.something(&self.session.connection)).await;
        }
    }

    /// Sends a request, and gives its end.
    pub(crate) async fn ask(&self, id: &str, action: &str, payload: Value) -> Value {
        self.send(id, action, payload).await;
        self.until_end(id).await.pop().expect("until its end")
    }

    /// Waits for the next frame about a request that matches.
    pub(crate) async fn frame(&self, matches: impl Fn(&Value) -> bool) -> Value {
        soon("a frame", self.fake.frame(&self.session.connection, matches)).await
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        for working in self.working.drain(..) {
            soon("the engine to stop", working).await.expect("does not panic");
        }
    }
}

/// The code of an error.
#[track_caller]
pub(crate) fn code(frame: &Value) -> &str {
    frame["error"]["code"].as_str().unwrap_or_else(|| panic!("no error: {frame}"))
}

struct Nothing;

impl Credentials for Nothing {
    fn rights(&self) -> Arc<Rights> {
        let permissions = ["report.build", "a, b"].into_iter().collect();
        Arc::new(Rights::of(permissions, []))
    }

    fn refresh(&self, _: &str) -> Result<Timestamp, ErrorBody> {
        Err(ErrorBody::new(ErrorCode::Unauthorized, "not here"))
    }
}
