//! A server: engine, hub, both doors, and everything that it logs and counts.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json};
use streamer_auth::{LiveVerifier, sigv4};
use streamer_engine::{
    Context, Engine, Failure, Ports, Router, Settings as EngineSettings,
    clock::{Clock, SystemClock},
    store::{ConnectionFilter, ConnectionRecord, Connections as _, PageQuery, WorkerId},
    testing::{Fault, Faulty, MemoryStore},
};
use streamer_server::{Admin, AdminSettings, Door, Gate, Hub, Management, Settings, Tls};
use tokio::{sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    SECRET, in_time,
    keys::verifier,
    logs::{Counts, Logs},
    until,
};

pub(crate) const ADMIN_TOKEN: &str = "operators-know-this";

type Plan = dyn Fn(&'static str) -> Option<Fault> + Send + Sync;

/// What a test wants to be different.
pub(crate) struct Setup {
    pub(crate) settings: Settings,
    pub(crate) engine: EngineSettings,
    pub(crate) verifier: LiveVerifier,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) plan: Box<Plan>,
    pub(crate) admin_token: Option<String>,
    /// Whose signatures count; without it the public address has no management API.
    pub(crate) keys: Option<sigv4::Verifier>,
    pub(crate) linger: Duration,
    pub(crate) tls: Option<Tls>,
    /// Who says who comes without a token.
    pub(crate) gate: Option<Gate>,
}

impl Default for Setup {
    fn default() -> Self {
        let settings = Settings {
            endpoint: "node-1:8080".to_owned(),
            path_prefixes: vec!["/prod".to_owned()],
            close_timeout: Duration::from_secs(5),
            // Tests come often, and all from one address.
            address_connections_per_minute: 0,
            address_refusals_per_minute: 0,
            messages_per_minute: 0,
            ..Settings::default()
        };
        Self {
            settings,
            engine: EngineSettings::default(),
            verifier: verifier().into(),
            clock: Arc::new(SystemClock),
            plan: Box::new(|_| None),
            admin_token: Some(ADMIN_TOKEN.to_owned()),
            keys: None,
            linger: Duration::ZERO,
            tls: None,
            gate: None,
        }
    }
}

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) hub: Hub,
    pub(crate) engine: Engine,
    pub(crate) store: Arc<Faulty<MemoryStore>>,
    /// Lets handlers that wait go on, one for each permit.
    pub(crate) gate: Arc<Semaphore>,
    /// How many handlers wait.
    pub(crate) waiting: Arc<AtomicUsize>,
    stop: CancellationToken,
    close: CancellationToken,
    leave: CancellationToken,
    work: Vec<JoinHandle<()>>,
    sockets: JoinHandle<()>,
    operators: JoinHandle<()>,
    logs: Logs,
    counts: Counts,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Setup::default().start().await
    }

    /// The stored connections.
    pub(crate) async fn stored(&self) -> Vec<ConnectionRecord> {
        let page = PageQuery { limit: 100, cursor: None };
        self.store.inner().connections(&ConnectionFilter::default(), &page).await.expect("listed").items
    }

    /// The one stored connection.
    pub(crate) async fn only_stored(&self) -> ConnectionRecord {
        let stored = self.stored().await;
        assert_eq!(stored.len(), 1, "{stored:?}");
        stored.into_iter().next().expect("one")
    }

    /// Waits until no connection is left, stored or live.
    pub(crate) async fn empty(&self) {
        until("all connections are gone", async || self.hub.is_empty() && self.stored().await.is_empty())
            .await;
    }

    pub(crate) fn metrics(&self) -> String {
        self.counts.handle.render()
    }

    /// Whether a series has this value.
    pub(crate) fn counts(&self, series: &str, value: u64) -> bool {
        self.metrics().lines().any(|line| line == format!("{series} {value}"))
    }

    pub(crate) fn log(&self) -> Vec<Value> {
        self.logs.lines()
    }

    /// The log lines of ended connections, once there are so many.
    pub(crate) async fn endings(&self, count: usize) -> Vec<Value> {
        let endings = || {
            let lines = self.log().into_iter();
            lines.filter(|line| line["event_type"] == "connection_disconnected").collect::<Vec<_>>()
        };
        until("the connections' log lines", async || endings().len() >= count).await;
        let endings = endings();
        assert_eq!(endings.len(), count, "each connection ends once: {endings:?}");
        endings
    }

    /// Waits until the one connection has ended, and gives why.
    pub(crate) async fn ending(&self) -> String {
        let ending = self.endings(1).await.remove(0);
        self.empty().await;
        ending["disconnect_reason"].as_str().expect("a reason").to_owned()
    }

    /// No new connections; those that are there are told.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Stops as a process does: doors and workers, then sockets, then the operators' address. Then looks for
    /// secrets in what was logged and counted.
    pub(crate) async fn finish(self) {
        self.stop.cancel();
        for task in self.work {
            in_time("the door and the workers stop", task).await.expect("no panic");
        }
        self.close.cancel();
        in_time("the sockets stop", self.sockets).await.expect("no panic");
        self.leave.cancel();
        in_time("the operators' address stops", self.operators).await.expect("no panic");
        assert!(self.hub.is_empty());
        for (what, text) in [("log", self.logs.text()), ("metrics", self.counts.handle.render())] {
            for secret in ["eyJ", SECRET, ADMIN_TOKEN, "Signature="] {
                let line = text.lines().find(|line| line.contains(secret));
                assert_eq!(line, None, "a secret stands in the {what}");
            }
        }
    }
}

impl Setup {
    pub(crate) async fn start(self) -> Server {
        let (logs, counts) = (Logs::capture(), Counts::capture());
        let store = Arc::new(Faulty::new(MemoryStore::new(), self.plan));
        let hub = Hub::new(&self.settings);
        let gate = Arc::new(Semaphore::new(0));
        let waiting = Arc::new(AtomicUsize::new(0));
        let ports = Ports { clock: self.clock, ..Ports::new(Arc::clone(&store) as _, Arc::new(hub.clone())) };
        let router = routes(&gate, &waiting);
        let engine = Engine::new(ports, router, WorkerId::new("node-1"), self.engine);
        let signed = self.keys.is_some();
        let management = Management::new(engine.clone(), &self.settings, self.keys);
        let mut door = Door::new(engine.clone(), hub.clone(), self.verifier, self.settings);
        if let Some(tls) = self.tls {
            door = door.with_tls(tls);
        }
        if let Some(keeper) = self.gate {
            door = door.with_gate(keeper);
        }
        if signed {
            door = door.with_management(management.clone());
        }
        let handle = counts.handle.clone();
        let admin_settings = AdminSettings {
            token: self.admin_token,
            allowed_hosts: vec!["streamer.internal".to_owned()],
            metrics: Arc::new(move || handle.render()),
            events: Arc::new(|| None),
            letters: None,
            configuration: json!({ "answer": 42 }),
        };
        let admin = Admin::new(engine.clone(), hub.clone(), door.readiness(), admin_settings);
        let admin = admin.with_management(management);

        let bind = || streamer_server::bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let (public, operators) = (bind(), bind());
        let addresses = (public.local_addr().expect("bound"), operators.local_addr().expect("bound"));
        let [stop, close, leave] = [(); 3].map(|()| CancellationToken::new());
        let work = vec![
            tokio::spawn(door.accept(public, stop.clone(), self.linger)),
            tokio::spawn({
                let (engine, stop) = (engine.clone(), stop.clone());
                async move { engine.work(stop, Duration::from_secs(5)).await }
            }),
        ];
        let sockets = tokio::spawn({
            let (hub, engine, close) = (hub.clone(), engine.clone(), close.clone());
            async move { hub.run(&engine, close).await }
        });
        let operators = tokio::spawn(admin.serve(operators, leave.clone()));
        let (addr, admin) = addresses;
        Server {
            addr,
            admin,
            hub,
            engine,
            store,
            gate,
            waiting,
            stop,
            close,
            leave,
            work,
            sockets,
            operators,
            logs,
            counts,
        }
    }
}

/// The actions of a test's server.
fn routes(gate: &Arc<Semaphore>, waiting: &Arc<AtomicUsize>) -> Router {
    const LONG: Duration = Duration::from_secs(60);
    let (gate, waiting) = (Arc::clone(gate), Arc::clone(waiting));
    let drizzling = Arc::clone(&gate);
    let wait = move |_: Context, payload: Value| {
        let (gate, waiting) = (Arc::clone(&gate), Arc::clone(&waiting));
        async move {
            waiting.fetch_add(1, Ordering::Relaxed);
            gate.acquire().await.expect("never closed").forget();
            waiting.fetch_sub(1, Ordering::Relaxed);
            Ok::<_, Failure>(payload)
        }
    };
    Router::new()
        .action("wait", wait.clone())
        .action("work", wait)
        .takes(LONG)
        .action("typed", typed)
        .action("burst", burst)
        .takes(LONG)
        .action("torrent", torrent)
        .takes(LONG)
        .action("drizzle", move |cx: Context, count: u32| {
            let gate = Arc::clone(&drizzling);
            async move {
                gate.acquire().await.expect("never closed").forget();
                drizzle(cx, count).await
            }
        })
        .takes(LONG)
        .action("keep", keep)
        .action("fail", fail)
        .takes(LONG)
}

#[derive(Deserialize)]
struct Typed {
    count: u8,
}

async fn typed(_: Context, payload: Typed) -> Result<u8, Failure> {
    Ok(payload.count)
}

async fn fail(_: Context, _: Value) -> Result<(), Failure> {
    Err(Failure::reject("it never works"))
}

/// Hands out `chunks` chunks of 32 KiB.
async fn burst(cx: Context, chunks: u32) -> Result<u32, Failure> {
    let chunk = format!("{SECRET}{}", "x".repeat(32 * 1024));
    for _ in 0..chunks {
        cx.chunk(&chunk).await?;
    }
    Ok(chunks)
}

/// Hands out `chunks` chunks of 16 KiB, each with its progress.
async fn torrent(cx: Context, chunks: u32) -> Result<u32, Failure> {
    let chunk = format!("{SECRET}{}", "x".repeat(16 * 1024));
    for n in 1..=chunks {
        cx.chunk(&chunk).await?;
        cx.progress(100.0 * f64::from(n) / f64::from(chunks), SECRET).await?;
    }
    Ok(chunks)
}

/// Tells of its progress, `count` times: more in all than any system holds for a peer.
async fn drizzle(cx: Context, count: u32) -> Result<u32, Failure> {
    for n in 1..=count {
        cx.progress(100.0 * f64::from(n) / f64::from(count), &"x".repeat(15_000)).await?;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(count)
}

/// Keeps a file of so many bytes.
async fn keep(cx: Context, bytes: usize) -> Result<Value, Failure> {
    let link = cx.artifact("re\"port.pdf", "application/pdf", vec![b'7'; bytes]).await?;
    Ok(json!(link))
}
