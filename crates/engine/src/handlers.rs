//! Where handlers run: with the engine, or on threads of their own.
//!
//! A handler is anybody's code, and may keep its thread for as long as it likes: asleep, in a loop, or in a library
//! that waits. On threads of its own it holds up other handlers at worst, and only once all of these threads are
//! kept; sockets, leases, timeouts and the store go on in any case.

mod contained;
mod pool;

use std::{
    collections::HashMap,
    future::poll_fn,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use streamer_protocol::Json;
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub(crate) use self::contained::Panicked;
use self::{
    contained::Contained,
    pool::{LOOK_EVERY, Pool},
};
use crate::{Failure, core::Core, run::Run, session::Session};

/// From when on a handler that does not give its thread back is told of.
const KEPT: Duration = Duration::from_secs(1);

/// How long a message may hold up the start of its connection's next one.
const TURN_MAX: Duration = Duration::from_millis(50);

/// Where handlers run. By default where the engine does.
#[derive(Debug, Clone, Default)]
pub struct Handlers(Option<Threads>);

#[derive(Debug, Clone)]
struct Threads {
    pool: Arc<Pool>,
    engines: Handle,
}

impl Handlers {
    /// On at most so many threads of their own, inside of another runtime: that is where their timers and sockets
    /// are, and the tasks that they spawn. Called inside the engine's.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[must_use]
    pub fn on(threads_max: usize, theirs: Handle) -> Self {
        let pool = Arc::new(Pool::new(theirs, threads_max));
        Self(Some(Threads { pool, engines: Handle::current() }))
    }

    /// The runtime that the engine is to name for its own tasks, if it may be called from another.
    pub(crate) fn engines(&self) -> Option<&Handle> {
        self.0.as_ref().map(|threads| &threads.engines)
    }
}

/// A message's turn among those of its connection: they start in the order in which they came.
pub(crate) struct Turn {
    before: Option<Started>,
    mine: oneshot::Sender<oneshot::Receiver<()>>,
}

/// Fires when a message has started, with what fires when its handler first gives its thread back.
pub(crate) type Started = oneshot::Receiver<oneshot::Receiver<()>>;

impl Turn {
    /// The next one of a connection. Where the engine runs handlers itself, they start in order anyway.
    pub(crate) fn of(session: &Session, handlers: &Handlers) -> Option<Self> {
        handlers.0.as_ref()?;
        let (mine, started) = oneshot::channel();
        Some(Self { before: session.turn.lock().replace(started), mine })
    }

    /// Waits for it. The answer is to be dropped once the handler has first given its thread back.
    async fn come(self) -> oneshot::Sender<()> {
        if let Some(before) = self.before
            && let Ok(given_back) = before.await
        {
            // One that keeps its thread is not waited for.
            let _ = timeout(TURN_MAX, given_back).await;
        }
        let (keeping, given_back) = oneshot::channel();
        // There may be no next one.
        let _ = self.mine.send(given_back);
        keeping
    }
}

/// The handlers that have begun on threads of their own, also those that were given up and have not noticed yet.
#[derive(Default)]
pub(crate) struct Begun {
    handling: Mutex<HashMap<u64, Arc<Handling>>>,
    /// Fires when there is a first one.
    first: Notify,
}

struct Handling {
    run: Arc<Run>,
    /// Since when it has had its thread without giving it back.
    kept: Mutex<Option<Instant>>,
}

/// A handler is among those that have begun for as long as this lives.
struct Entered<'a> {
    begun: &'a Begun,
    number: u64,
}

impl Begun {
    fn enter(&self, handling: &Arc<Handling>) -> Entered<'_> {
        // Its place in memory is nobody else's while it is there.
        let number = Arc::as_ptr(handling).addr() as u64;
        let mut all = self.handling.lock();
        if all.is_empty() {
            self.first.notify_one();
        }
        all.insert(number, Arc::clone(handling));
        Entered { begun: self, number }
    }

    /// Waits until there is a handler.
    async fn any(&self) {
        while self.handling.lock().is_empty() {
            self.first.notified().await;
        }
    }

    fn kept(&self, now: Instant) -> Vec<(Arc<Handling>, Instant)> {
        let long = |handling: &Arc<Handling>| {
            let since = (*handling.kept.lock())?;
            (now.saturating_duration_since(since) >= KEPT).then(|| (Arc::clone(handling), since))
        };
        self.handling.lock().values().filter_map(long).collect()
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.begun.handling.lock().remove(&self.number);
    }
}

/// Runs a run's handler where handlers run.
pub(crate) async fn process(
    run: &Arc<Run>,
    turn: Option<Turn>,
    handling: impl Future<Output = Result<Json, Failure>> + Send + 'static,
) -> Result<Result<Json, Failure>, Panicked> {
    let Some(Threads { pool, .. }) = &run.core.handlers.0 else {
        return Contained::new(handling).await;
    };
    let handling = Contained::new(watched(Arc::clone(run), turn, handling));
    match pool.spawn(handling).fallible().await {
        Some(handled) => handled,
        // Its threads are gone, and so is the process, soon.
        None => std::future::pending().await,
    }
}

/// Has a handler wait for its turn, and notes when it has its thread.
async fn watched<F: Future>(run: Arc<Run>, turn: Option<Turn>, handling: F) -> F::Output {
    let mut keeping = match turn {
        Some(turn) => Some(turn.come().await),
        None => None,
    };
    let core = Arc::clone(&run.core);
    let noted = Arc::new(Handling { run, kept: Mutex::default() });
    let _entered = core.begun.enter(&noted);
    let mut handling = pin!(handling);
    poll_fn(|cx| {
        *noted.kept.lock() = Some(Instant::now());
        let polled = handling.as_mut().poll(cx);
        *noted.kept.lock() = None;
        drop(keeping.take());
        polled
    })
    .await
}

/// Replaces threads that handlers keep, and tells of those that are kept for long, until all handlers have `ended`.
pub(crate) async fn watch(core: Arc<Core>, ended: CancellationToken) {
    const LOOKS_A_TELL: u32 = 25;
    let Some(Threads { pool, .. }) = &core.handlers.0 else { return };
    let at_work = metrics::gauge!("streamer_handler_threads_at_work");
    let mut told = Told::new(pool.threads_max());
    let watching = async {
        for look in 1_u32.. {
            if pool.is_calm() && told.is_empty() {
                core.begun.any().await;
            }
            tokio::time::sleep(LOOK_EVERY).await;
            at_work.set(pool.look() as f64);
            if look % LOOKS_A_TELL == 0 {
                told.tell(core.begun.kept(Instant::now()));
            }
        }
    };
    ended.run_until_cancelled(watching).await;
}

/// Who was told of for keeping a thread for long.
struct Told {
    threads: usize,
    shown: metrics::Gauge,
    /// By the moment from which each has its thread, so that each time is told once.
    told: Vec<(Arc<Handling>, Instant)>,
}

impl Told {
    fn new(threads: usize) -> Self {
        let shown = metrics::gauge!("streamer_handler_threads_kept");
        shown.set(0.0);
        Self { threads, shown, told: Vec::new() }
    }

    const fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    fn tell(&mut self, kept: Vec<(Arc<Handling>, Instant)>) {
        self.shown.set(kept.len() as f64);
        for (handling, since) in &kept {
            if !self.told.iter().any(|(other, before)| Arc::ptr_eq(handling, other) && since == before) {
                warn!(
                    parent: &handling.run.span,
                    kept_ms = since.elapsed().as_millis() as u64,
                    threads_kept = kept.len(),
                    threads = self.threads,
                    "a handler keeps its thread: it should await, or block in `spawn_blocking`"
                );
            }
        }
        self.told = kept;
    }
}
