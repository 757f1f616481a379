//! A process: an engine with its connections. When it dies, nothing that it still does has an effect.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use streamer_engine::{
    Caller, Engine, Frame, Handlers, Ports,
    protocol::{CloseCode, ConnectionId, TenantId, UserId},
    push::{Push, Result},
    store::WorkerId,
    testing::{FakeConnections, Fault, Faulty, SeededRandom},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{ledger::Ledger, witness::Witness, work, world::World};

/// How long a process that is asked to stop gives its runs.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether a process is there.
#[derive(Default)]
pub(crate) struct Life {
    over: AtomicBool,
}

impl Life {
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) gate: Arc<Gate>,
    pub(crate) life: Arc<Life>,
    /// Which of all lives of all nodes this is.
    pub(crate) which: u64,
    stop: CancellationToken,
    working: Mutex<Option<JoinHandle<()>>>,
}

impl Node {
    /// Starts the process that has this name; `which` of all lives it is makes its chance another one.
    pub(crate) fn start(world: &World, name: &str, which: u64) -> Arc<Self> {
        let life = Arc::new(Life::default());
        let ledger = Arc::clone(&world.ledger);
        let gate = Arc::new(Gate { fake: FakeConnections::new(), ledger, life: Arc::clone(&life) });
        let witness =
            Witness { store: Arc::clone(&world.store), ledger: Arc::clone(&world.ledger), life: which };
        let (weather, here) = (Arc::clone(&world.weather), Arc::clone(&life));
        let plan = move |method| if here.is_over() { Some(Fault::Never) } else { weather.strikes(method) };
        let ports = Ports {
            store: Arc::new(Faulty::new(witness, plan)),
            push: gate.clone(),
            clock: Arc::new(world.clock),
            random: Arc::new(SeededRandom::new(world.seed.wrapping_mul(31).wrapping_add(which))),
            handlers: Handlers::default(),
        };
        let routes = work::routes(&world.ledger, &life);
        let engine = Engine::new(ports, routes, WorkerId::new(name), world.settings.clone());
        let stop = CancellationToken::new();
        let (worker, stopped) = (engine.clone(), stop.clone());
        let working = tokio::spawn(async move { worker.work(stopped, STOP_TIMEOUT).await });
        Arc::new(Self { engine, gate, life, which, stop, working: Mutex::new(Some(working)) })
    }

    /// Dies at whatever it is doing.
    pub(crate) fn crash(&self) {
        self.gate.ledger.life_ends(self.which);
        self.life.over.store(true, Ordering::Relaxed);
        if let Some(working) = self.working.lock().take() {
            working.abort();
        }
    }

    /// Stops as a process does that is asked to.
    pub(crate) async fn stop(&self) {
        self.gate.ledger.life_ends(self.which);
        self.stop.cancel();
        let working = self.working.lock().take();
        if let Some(working) = working {
            let _ = working.await;
        }
        self.crash();
    }
}

/// A process's connections: what it says reaches them while it lives, and the ledger first.
pub(crate) struct Gate {
    pub(crate) fake: FakeConnections,
    ledger: Arc<Ledger>,
    life: Arc<Life>,
}

impl Gate {
    /// Nothing happens any more in a process that is dead.
    async fn pass(&self) {
        if self.life.is_over() {
            pending().await
        }
    }
}

/// A connection's name says who is at its other end.
pub(crate) fn connection_of(caller: &Caller, which: &str) -> ConnectionId {
    ConnectionId::new(format!("{}|{}|{which}", caller.tenant, caller.user))
}

fn caller_of(connection: &ConnectionId) -> Caller {
    let mut parts = connection.as_str().split('|');
    let mut next = || parts.next().expect("three parts").to_owned();
    Caller { tenant: TenantId::new(next()), user: UserId::new(next()) }
}

#[async_trait]
impl Push for Gate {
    async fn push(&self, to: &ConnectionId, frame: Frame) -> Result<()> {
        self.pass().await;
        let said = std::str::from_utf8(frame.bytes()).expect("frames are text");
        self.ledger.pushes(to, &caller_of(to), said);
        self.fake.push(to, frame).await
    }

    async fn drained(&self, to: &ConnectionId) -> Result<()> {
        self.fake.drained(to).await
    }

    async fn is_active(&self, to: &ConnectionId) -> bool {
        self.fake.is_active(to).await
    }

    async fn disconnect(&self, to: &ConnectionId, why: CloseCode) -> Result<()> {
        self.pass().await;
        self.fake.disconnect(to, why).await
    }
}
