//! What every part of the engine shares.

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use streamer_protocol::{
    Acknowledgment, ErrorBody, ErrorCode, ErrorFrame, Json, QUEUED, RequestId, Retry, ServerFrame,
};
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, warn};

use crate::{
    Frame, Handlers, Router, Settings,
    backoff::Backoff,
    clock::Clock,
    handlers::Begun,
    live::{Listener, Live},
    random::Random,
    renewal::Renewal,
    run::Run,
    session::Session,
    store::{self, ErrorKind, LogEntry, RequestKey, RunningMax, SharedStore, Summary, WorkerId},
    topics::Topics,
};

/// Between the tries of one write to the store.
const STORE_BACKOFF: Backoff = Backoff { base: Duration::from_millis(50), max: Duration::from_secs(5) };

/// How often a write is tried again, unless it insists: together some five seconds.
const STORE_RETRIES: u32 = 6;

pub(crate) struct Core {
    pub(crate) store: SharedStore,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) handlers: Handlers,
    pub(crate) router: Router,
    /// The router's bounds, as the store takes them.
    pub(crate) running_max: RunningMax,
    pub(crate) worker: WorkerId,
    pub(crate) settings: Settings,
    pub(crate) live: Live,
    pub(crate) topics: Topics,
    pub(crate) running: Running,
    pub(crate) begun: Begun,
    pub(crate) renewal: Renewal,
    /// Rung when there may be something to claim.
    pub(crate) wake: tokio::sync::Notify,
    /// Rung when a request has ended.
    pub(crate) ended: tokio::sync::Notify,
    /// Everything that goes on by itself.
    pub(crate) tasks: TaskTracker,
    /// Fired when the process is going away.
    pub(crate) stopping: CancellationToken,
}

/// What those read whose request or message the disk has no room for.
pub(crate) const NO_SPACE: &str = "the server's disk is full: try again later";

impl Core {
    /// Lets a task go on by itself, on the engine's own threads: a handler may be the one who asks for it.
    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        match self.handlers.engines() {
            Some(engines) => self.tasks.spawn_on(task, engines),
            None => self.tasks.spawn(task),
        }
    }

    /// Tries a call again while its fault may pass.
    pub(crate) async fn persist<T, Trying>(&self, call: impl Fn() -> Trying + Send) -> store::Result<T>
    where
        Trying: Future<Output = store::Result<T>> + Send,
    {
        self.try_again(call, |kind, failures| kind.is_transient() && failures <= STORE_RETRIES).await
    }

    /// As [`persist`](Self::persist), but waits for a full disk to get room, however long that takes: for what runs
    /// under a lease, which nobody else can claim meanwhile.
    pub(crate) async fn outwait<T, Trying>(&self, call: impl Fn() -> Trying + Send) -> store::Result<T>
    where
        Trying: Future<Output = store::Result<T>> + Send,
    {
        let passes = |kind: ErrorKind, failures| {
            kind == ErrorKind::NoSpace || kind.is_transient() && failures <= STORE_RETRIES
        };
        self.try_again(call, passes).await
    }

    /// Tries a call again until it succeeds, or it is certain that it never will. A full disk may get room.
    pub(crate) async fn insist<T, Trying>(&self, call: impl Fn() -> Trying + Send) -> store::Result<T>
    where
        Trying: Future<Output = store::Result<T>> + Send,
    {
        self.try_again(call, |kind, _| kind.is_transient() || kind.is_used_up()).await
    }

    /// `passes` says whether a kind of fault may pass, after so many failures.
    async fn try_again<T, Trying>(
        &self,
        call: impl Fn() -> Trying + Send,
        passes: impl Fn(ErrorKind, u32) -> bool + Send,
    ) -> store::Result<T>
    where
        Trying: Future<Output = store::Result<T>> + Send,
    {
        let mut failures = 0_u32;
        loop {
            match call().await {
                Err(e) if passes(e.kind(), failures.saturating_add(1)) => {
                    failures = failures.saturating_add(1);
                    if failures == 1 {
                        warn!(error = %e, "the store could not do it yet; it is tried again");
                    }
                    metrics::counter!("streamer_store_retries_total").increment(1);
                    tokio::time::sleep(STORE_BACKOFF.after(failures, self.random.as_ref())).await;
                }
                done => return done,
            }
        }
    }

    /// What a client reads when the store refused or failed. A failure goes to the log, under the id.
    pub(crate) fn refusal(&self, e: &store::Error, correlation_id: &str) -> ErrorBody {
        match e.kind() {
            ErrorKind::Full => {
                self.overloaded("the queue is full, or as much is stored as may be: try again later")
            }
            ErrorKind::NoSpace => self.overloaded(NO_SPACE),
            ErrorKind::Conflict => {
                ErrorBody::new(ErrorCode::Conflict, "this id stands for a request with another payload")
            }
            ErrorKind::NotFound => ErrorBody::new(ErrorCode::NotFound, "you have no request with this id"),
            _ => {
                error!(correlation_id, error = %e, "the store failed");
                internal(correlation_id)
            }
        }
    }

    pub(crate) fn overloaded(&self, message: &str) -> ErrorBody {
        let after = u64::try_from(self.settings.overloaded_retry_after.as_millis()).unwrap_or(u64::MAX);
        ErrorBody::new(ErrorCode::Overloaded, message).retry(Retry {
            retryable: true,
            after: Some(after),
            attempt: None,
            max_tries: None,
        })
    }

    pub(crate) fn too_many_followed(&self) -> ErrorBody {
        self.overloaded("this connection follows as many requests as it may: wait until some have ended")
    }

    /// An error that answers a message.
    pub(crate) fn error(&self, request_id: Option<RequestId>, error: ErrorBody) -> Frame {
        metrics::counter!("streamer_errors_total", "code" => error.code.as_str()).increment(1);
        ServerFrame::Error(ErrorFrame { request_id, seq: None, error, timestamp: self.clock.now() }).into()
    }

    pub(crate) fn acknowledgment(&self, request_id: &RequestId, message: &str) -> Frame {
        ServerFrame::Acknowledgment(Acknowledgment {
            request_id: request_id.clone(),
            status: QUEUED.to_owned(),
            message: message.to_owned(),
            timestamp: self.clock.now(),
        })
        .into()
    }

    /// Answers a request whose id is known with where it stands: an acknowledgment unless it has ended, its log
    /// from the start, and what follows.
    pub(crate) async fn stand(&self, session: &Session, listener: &Arc<Listener>, summary: &Summary) {
        let ended = summary.status.is_final();
        let known = || self.acknowledgment(&summary.key.id, "this request is stored already");
        if !ended && self.live.supersede(listener).await {
            // Whoever is gone by now resumes later.
            let _ = self.live.tell(session, known()).await;
        }
        // Whoever has no connection asked for the outcome, not for what led to it.
        let after = match session.is_connection() {
            true => 0,
            false => summary.last_seq.saturating_sub(u64::from(ended)),
        };
        if self.catch_up(listener, after, ended).await {
            let _ = self.live.tell(session, known()).await;
        }
    }

    /// Sends stored entries to whoever follows here. Those who missed something before them read the log.
    pub(crate) async fn publish(self: &Arc<Self>, key: &RequestKey, entries: Vec<LogEntry>) {
        for (listener, after) in self.live.publish(key, entries).await {
            let core = Arc::clone(self);
            self.spawn(async move { core.catch_up(&listener, after, false).await });
        }
    }

    /// Reads a request's log for a listener; one that had `ended` has nothing to follow, unless it was replayed
    /// meanwhile: then the answer is true.
    pub(crate) async fn catch_up(&self, listener: &Arc<Listener>, after: u64, ended: bool) -> bool {
        self.live.catch_up(listener, after, self.store.as_ref()).await;
        if !ended || !self.live.is_there(listener) {
            return false;
        }
        match self.persist(|| self.store.request(listener.key())).await {
            Ok(Some(record)) if record.summary.status.is_final() => {
                self.live.remove_at(listener, record.summary.last_seq).await;
                false
            }
            _ => true,
        }
    }
}

/// What a client reads when a page cannot begin where it wants. `at` is where it said so.
pub(crate) fn unknown_cursor(at: &str) -> ErrorBody {
    ErrorBody::new(ErrorCode::ValidationError, "this cursor is not one of ours")
        .at(at, "use a cursor as an earlier answer gave it")
}

/// The client learns nothing of the inside but where its log has more.
pub(crate) fn internal(correlation_id: &str) -> ErrorBody {
    ErrorBody::new(
        ErrorCode::InternalError,
        "something failed inside; the log has more under the correlation id",
    )
    .correlated(correlation_id)
}

/// `{}`: what a message without a payload stands for.
pub(crate) fn empty_payload() -> Json {
    Json::parse("{}".to_owned()).expect("is JSON")
}

/// The runs of this process.
///
/// There may be several of one request: a short one may be sent again while an earlier run of it is stored and
/// goes on, and a run that lost its lease may linger beside the one that has it.
#[derive(Default)]
pub(crate) struct Running {
    runs: Mutex<HashMap<RequestKey, Vec<Arc<Run>>>>,
}

/// A run is among the runs of this process for as long as this lives, whatever becomes of its task.
pub(crate) struct Entered<'a> {
    run: &'a Arc<Run>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.run.core.running.remove(self.run);
    }
}

impl Running {
    pub(crate) fn enter<'a>(&self, run: &'a Arc<Run>) -> Entered<'a> {
        self.insert(run);
        Entered { run }
    }

    pub(crate) fn insert(&self, run: &Arc<Run>) {
        let mut runs = self.runs.lock();
        let of_key = runs.entry(run.key.clone()).or_default();
        if !of_key.iter().any(|there| Arc::ptr_eq(there, run)) {
            of_key.push(Arc::clone(run));
        }
    }

    pub(crate) fn remove(&self, run: &Arc<Run>) {
        let mut runs = self.runs.lock();
        let Some(of_key) = runs.get_mut(&run.key) else { return };
        of_key.retain(|there| !Arc::ptr_eq(there, run));
        if of_key.is_empty() {
            runs.remove(&run.key);
        }
    }

    pub(crate) fn of(&self, key: &RequestKey) -> Vec<Arc<Run>> {
        self.runs.lock().get(key).cloned().unwrap_or_default()
    }

    /// In the order of their keys, so that what is done to all of them repeats itself in simulation.
    pub(crate) fn all(&self) -> Vec<Arc<Run>> {
        let mut all: Vec<_> = self.runs.lock().values().flatten().cloned().collect();
        all.sort_by(|a, b| a.key.cmp(&b.key));
        all
    }

    pub(crate) fn count(&self) -> usize {
        self.runs.lock().values().map(Vec::len).sum()
    }
}
