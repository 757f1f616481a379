//! Engines over one store in memory, with clients that have no sockets.

mod client;
mod faults;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::Value;
use streamer_engine::{
    Credentials, Engine, Handlers, Ports, Rights, Router, Settings,
    clock::Clock,
    protocol::{ConnectionId, ErrorBody, ErrorCode, TenantId, Timestamp, UserId},
    store::{ConnectionRecord, RequestKey, SharedStore, WorkerId},
    testing::{FakeConnections, Faulty, MemoryStore, PausedClock, SeededRandom},
};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use client::{Client, types};
pub(crate) use faults::Faults;

/// When every test begins.
pub(crate) const BEGIN: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// What outlives an engine: the store, and the time.
pub(crate) struct World {
    pub(crate) faults: Faults,
    pub(crate) store: SharedStore,
    pub(crate) handlers: Handlers,
    pub(crate) clock: Arc<SetClock>,
}

/// A clock that follows paused time, until somebody sets it.
pub(crate) struct SetClock {
    right: PausedClock,
    wrong_by_ms: AtomicI64,
}

impl SetClock {
    /// Sets it ahead, or back.
    pub(crate) fn set_by(&self, seconds: i64) {
        self.wrong_by_ms.fetch_add(1000 * seconds, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.right.now().as_millis() + self.wrong_by_ms.load(Ordering::SeqCst))
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let faults = Faults::default();
        let store = Arc::new(Faulty::new(MemoryStore::new(), faults.plan()));
        let clock = SetClock { right: PausedClock::starting_at(BEGIN), wrong_by_ms: AtomicI64::new(0) };
        Self { faults, store, handlers: Handlers::default(), clock: Arc::new(clock) }
    }

    /// An engine that accepts and does not work on the queue yet.
    pub(crate) fn node(&self, name: &str, routes: Router, settings: Settings) -> Node {
        let fake = Arc::new(FakeConnections::new());
        let ports = Ports {
            store: Arc::clone(&self.store),
            push: fake.clone(),
            clock: Arc::clone(&self.clock) as _,
            random: Arc::new(SeededRandom::new(name.bytes().map(u64::from).sum())),
            handlers: self.handlers.clone(),
        };
        let engine = Engine::new(ports, routes, WorkerId::new(name), settings);
        Node { engine, fake, working: None }
    }

    /// An engine at work.
    pub(crate) fn working(&self, name: &str, routes: Router, settings: Settings) -> Node {
        let mut node = self.node(name, routes, settings);
        node.work();
        node
    }
}

/// An engine with its connections.
pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) fake: Arc<FakeConnections>,
    working: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Node {
    /// An engine of one's own that reaches these connections.
    pub(crate) fn of(engine: Engine, fake: Arc<FakeConnections>) -> Self {
        Self { engine, fake, working: None }
    }

    /// A node of a world of its own, at work.
    pub(crate) fn alone(routes: Router) -> Self {
        World::new().working("alone", routes, Settings::default())
    }

    pub(crate) fn work(&mut self) {
        let (engine, stop) = (self.engine.clone(), CancellationToken::new());
        let stopped = stop.clone();
        let working = tokio::spawn(async move { engine.work(stopped, Duration::from_secs(20)).await });
        self.working = Some((stop, working));
    }

    /// Stops working as a process does that is asked to.
    pub(crate) async fn stop(&mut self) {
        let (stop, working) = self.working.take().expect("works");
        stop.cancel();
        soon("the engine to stop", working).await.expect("does not panic");
    }

    /// Asks to stop, and does not wait.
    pub(crate) fn begin_to_stop(&self) {
        self.working.as_ref().expect("works").0.cancel();
    }

    /// Claims, renews and gives up nothing any more. What its handlers do goes on.
    pub(crate) fn die(&mut self) {
        let (_, working) = self.working.take().expect("works");
        working.abort();
    }

    pub(crate) async fn connect(&self, connection: &str, user: &str) -> Client {
        self.connect_with(connection, user, |fake, id| fake.open(id)).await
    }

    /// Connects the user `ada` of a tenant.
    pub(crate) async fn connect_of(&self, tenant: &str) -> Client {
        self.connect_as(&format!("of {tenant}"), "ada", tenant, Rights::new(true, true, [])).await
    }

    pub(crate) async fn connect_with(
        &self,
        connection: &str,
        user: &str,
        open: impl FnOnce(&FakeConnections, &ConnectionId),
    ) -> Client {
        let id = ConnectionId::new(connection);
        open(&self.fake, &id);
        self.enter(id, user, "acme", Rights::new(true, true, [])).await
    }

    /// A connection of any tenant, with these rights.
    pub(crate) async fn connect_as(
        &self,
        connection: &str,
        user: &str,
        tenant: &str,
        rights: Rights,
    ) -> Client {
        let id = ConnectionId::new(connection);
        self.fake.open(&id);
        self.enter(id, user, tenant, rights).await
    }

    async fn enter(&self, id: ConnectionId, user: &str, tenant: &str, rights: Rights) -> Client {
        let record = ConnectionRecord {
            id,
            user: UserId::new(user),
            tenant: TenantId::new(tenant),
            endpoint: "here".to_owned(),
            connected_at: BEGIN,
            last_ping: BEGIN,
            user_agent: None,
            ip_address: None,
            expires_at: BEGIN + Duration::from_secs(24 * 60 * 60),
        };
        let session = self.engine.connect(&record, Tokens::with(rights)).await.expect("the store works");
        Client::new(self.engine.clone(), Arc::clone(&self.fake), session)
    }
}

/// The name of a request of user `ada`.
pub(crate) fn key(id: &str) -> RequestKey {
    let id = streamer_engine::protocol::RequestId::parse(id).expect("valid");
    RequestKey::new(TenantId::new("acme"), UserId::new("ada"), id)
}

/// Takes the token `fresh`, and `fresh` with grants after it, and no other.
struct Tokens(Mutex<Arc<Rights>>);

impl Tokens {
    fn with(rights: Rights) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Arc::new(rights))))
    }
}

impl Credentials for Tokens {
    fn rights(&self) -> Arc<Rights> {
        Arc::clone(&self.0.lock())
    }

    fn refresh(&self, token: &str) -> Result<Timestamp, ErrorBody> {
        let mut words = token.split(' ');
        match words.next() {
            Some("fresh") => {
                *self.0.lock() = Arc::new(Rights::new(false, false, words));
                Ok(BEGIN + Duration::from_secs(60))
            }
            _ => Err(ErrorBody::new(ErrorCode::Unauthorized, "not valid")),
        }
    }
}

/// Fails the test if `awaited` takes a day of paused time: it will never come.
pub(crate) async fn soon<F: Future>(what: &str, awaited: F) -> F::Output {
    let day = Duration::from_secs(24 * 60 * 60);
    timeout(day, awaited).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// Lets `span` of paused time go by, with all that happens in it.
pub(crate) async fn pass(span: Duration) {
    tokio::time::sleep(span).await;
}

/// The code of an error frame.
pub(crate) fn code(frame: &Value) -> &str {
    frame["error"]["code"].as_str().unwrap_or_else(|| panic!("no error: {frame}"))
}
