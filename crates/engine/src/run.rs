//! One attempt at a request: its lease, its log, and how it is told to stop.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;
use streamer_protocol::{Action, ErrorBody, Json, Permissions};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, warn};

use crate::{
    Failure,
    core::Core,
    planted::{self, Bug},
    progress::Shown,
    router::Route,
    session::Session,
    store::{
        Claim, EntryBody, ErrorKind, Lease, LogEntry, NewRequest, ProgressState, Promoted, RequestKey,
        Summary,
    },
};

/// Why an attempt was told to stop.
#[derive(Debug, Clone)]
pub(crate) enum Interruption {
    /// Its owner or an operator asked for it.
    Cancelled,
    /// Its time was up.
    TimedOut,
    /// Somebody else works on the request now.
    LeaseLost,
    /// The process is going away; the handler has so much time to stop.
    Stopping(Duration),
    /// The id of this short run is taken by a stored request.
    Known(Box<Summary>),
    /// This short run could not be stored when it had to be; the client reads this.
    Unstorable(ErrorBody),
}

/// One attempt. The handler sees it as a [`Context`](crate::Context).
pub(crate) struct Run {
    pub(crate) core: Arc<Core>,
    pub(crate) key: RequestKey,
    pub(crate) action: Action,
    pub(crate) route: Arc<Route>,
    pub(crate) attempt: u32,
    pub(crate) retry_count: u32,
    pub(crate) max_retries: u32,
    /// Whether it may run again after its worker stopped.
    pub(crate) repeatable: bool,
    pub(crate) checkpoint: Option<Json>,
    pub(crate) permissions: Permissions,
    pub(crate) correlation_id: String,
    pub(crate) span: tracing::Span,
    stop: CancellationToken,
    interruption: OnceLock<Interruption>,
    shown: Mutex<Shown>,
    reported: tokio::sync::Notify,
    lease: OnceLock<Lease>,
    journal: Arc<tokio::sync::Mutex<Journal>>,
    /// A short run's place among its connection's messages, until its message is answered.
    room: Mutex<Option<OwnedSemaphorePermit>>,
}

/// The log of a run, as far as it is written. Only its lock's holder writes.
pub(crate) struct Journal {
    state: State,
    last_seq: u64,
    chunks: u64,
    log_bytes: u64,
}

enum State {
    /// A short run: nothing is stored. This is what would be.
    Unrecorded { new: Box<NewRequest>, session: Arc<Session> },
    /// Stored; the run has the lease.
    Recorded,
    /// Nothing more is written: its end is settled, or it is not known how far the log was written.
    Closed,
}

/// What a run was when it came to its end.
pub(crate) enum Closed {
    /// Stored: its outcome goes into the log.
    Recorded(Lease),
    /// Not stored: its outcome is an answer.
    Unrecorded(Arc<Session>),
}

impl Run {
    /// A run that is not stored.
    pub(crate) fn short(
        core: &Arc<Core>,
        route: &Arc<Route>,
        new: NewRequest,
        session: &Arc<Session>,
        room: OwnedSemaphorePermit,
    ) -> Arc<Self> {
        let repeatable = new.repeatable;
        let (key, action, permissions) = (new.key.clone(), new.action.clone(), new.permissions.clone());
        let state = State::Unrecorded { new: Box::new(new), session: Arc::clone(session) };
        let journal = Journal { state, last_seq: 0, chunks: 0, log_bytes: 0 };
        Self::new(core, route, key, action, journal, |run| {
            run.max_retries = route.retries;
            run.repeatable = repeatable;
            run.permissions = permissions;
            run.room = Mutex::new(Some(room));
        })
    }

    /// A run of a claimed request.
    pub(crate) fn claimed(core: &Arc<Core>, route: &Arc<Route>, claim: &Claim) -> Arc<Self> {
        let summary = &claim.record.summary;
        let journal = Journal {
            state: State::Recorded,
            last_seq: summary.last_seq,
            chunks: summary.chunks,
            log_bytes: summary.log_bytes,
        };
        let shown = Shown::new(core.settings.progress_interval, summary.progress.as_ref());
        Self::new(core, route, summary.key.clone(), summary.action.clone(), journal, |run| {
            run.attempt = summary.attempt;
            run.retry_count = summary.retry_count;
            run.max_retries = summary.max_retries;
            run.repeatable = summary.repeatable;
            run.checkpoint.clone_from(&claim.record.checkpoint);
            run.permissions = claim.record.permissions.clone();
            run.shown = Mutex::new(shown);
            run.lease = claim.lease.clone().into();
        })
    }

    fn new(
        core: &Arc<Core>,
        route: &Arc<Route>,
        key: RequestKey,
        action: Action,
        journal: Journal,
        describe: impl FnOnce(&mut Self),
    ) -> Arc<Self> {
        let correlation_id = core.random.uuid(core.clock.now()).to_string();
        let span = tracing::info_span!(
            "request",
            correlation_id,
            user_id = %key.user,
            tenant_id = %key.tenant,
            operation = %action,
            request_id = %key.id,
        );
        let mut run = Self {
            core: Arc::clone(core),
            key,
            action,
            route: Arc::clone(route),
            attempt: 1,
            retry_count: 0,
            max_retries: 0,
            repeatable: true,
            checkpoint: None,
            permissions: Permissions::default(),
            correlation_id,
            span,
            stop: CancellationToken::new(),
            interruption: OnceLock::new(),
            shown: Mutex::new(Shown::new(core.settings.progress_interval, None)),
            reported: tokio::sync::Notify::new(),
            lease: OnceLock::new(),
            journal: Arc::new(tokio::sync::Mutex::new(journal)),
            room: Mutex::default(),
        };
        describe(&mut run);
        Arc::new(run)
    }

    /// Tells the run to stop. Only the first reason counts.
    pub(crate) fn interrupt(&self, why: Interruption) {
        let _ = self.interruption.set(why);
        self.stop.cancel();
    }

    pub(crate) fn interruption(&self) -> Option<&Interruption> {
        self.interruption.get()
    }

    /// Returns once the run is told to stop, with the reason.
    pub(crate) async fn interrupted(&self) -> &Interruption {
        self.stop.cancelled().await;
        self.interruption.get().expect("set before the signal is given")
    }

    /// Where a handler's calls arrive: nothing goes on once the run was told to stop.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.interruption.get().is_some() { Err(Failure::cancel()) } else { Ok(()) }
    }

    /// Takes a report of progress; shows it now or, within the interval, soon.
    pub(crate) async fn report(self: &Arc<Self>, percentage: f64, message: &str) -> Result<(), Failure> {
        self.check()?;
        let due_now = {
            let mut shown = self.shown.lock();
            if shown.bytes(message) as u64 > self.core.settings.progress_bytes_max {
                return Err(too_large(
                    "a progress message and its metadata",
                    self.core.settings.progress_bytes_max,
                ));
            }
            shown.report(percentage, message);
            shown.due().is_some_and(|at| at <= tokio::time::Instant::now())
        };
        if due_now {
            self.write(Vec::new(), None).await
        } else {
            self.reported.notify_one();
            Ok(())
        }
    }

    pub(crate) fn set_metadata(&self, key: &str, value: serde_json::Value) {
        self.shown.lock().set(key, value);
    }

    /// When a report that waits may be shown; never, while none does. A run that is not stored yet shows
    /// nothing: what waits is shown when it is promoted.
    pub(crate) async fn report_due(&self) {
        loop {
            let due = if self.lease.get().is_some() { self.shown.lock().due() } else { None };
            match due {
                Some(at) => {
                    tokio::time::sleep_until(at).await;
                    return;
                }
                None => self.reported.notified().await,
            }
        }
    }

    /// Writes chunks (recording the run, if it is a short one: only a log can carry them), and a report of
    /// progress that is due, and with `checkpoint` the state from which another attempt continues.
    ///
    /// Runs in a task of its own: a handler may be dropped at any moment, but what is stored must be published
    /// and counted.
    pub(crate) async fn write(
        self: &Arc<Self>,
        chunks: Vec<Json>,
        checkpoint: Option<Json>,
    ) -> Result<(), Failure> {
        self.check()?;
        let run = Arc::clone(self);
        let writing = async move {
            let mut journal = Arc::clone(&run.journal).lock_owned().await;
            if matches!(journal.state, State::Unrecorded { .. }) {
                if chunks.is_empty() && checkpoint.is_none() {
                    // Only progress: it is shown if the run is recorded later.
                    return Ok(());
                }
                run.record(&mut journal).await?;
            }
            run.append(&mut journal, chunks, checkpoint).await
        };
        let written = self.core.spawn(writing.instrument(self.span.clone())).await;
        written.unwrap_or_else(|_| Err(Failure::cancel()))
    }

    /// Begins to store a short run that takes too long. Whether that or its end comes first is the journal's
    /// to say.
    pub(crate) fn promote(self: &Arc<Self>) {
        let run = Arc::clone(self);
        let promoting = async move {
            let mut journal = Arc::clone(&run.journal).lock_owned().await;
            if matches!(journal.state, State::Unrecorded { .. }) && run.record(&mut journal).await.is_ok() {
                let _ = run.append(&mut journal, Vec::new(), None).await;
            }
        };
        self.core.spawn(promoting.instrument(self.span.clone()));
    }

    /// The message is answered: the next one may come.
    pub(crate) fn leave_room(&self) {
        self.room.lock().take();
    }

    async fn record(self: &Arc<Self>, journal: &mut Journal) -> Result<(), Failure> {
        // What was told to stop is not stored any more.
        self.check()?;
        let State::Unrecorded { new, session } = &journal.state else { return Ok(()) };
        let (core, session) = (&self.core, Arc::clone(session));
        let Ok(listener) = core.live.hold(&session, &self.key) else {
            self.interrupt(Interruption::Unstorable(core.too_many_followed()));
            return Err(Failure::cancel());
        };
        let lease_until = core.clock.now() + core.settings.lease;
        let promoted =
            core.persist(|| core.store.promote(new, &core.settings.quota, &core.worker, lease_until)).await;
        let why = match promoted {
            Ok(Promoted::Leased(lease)) => {
                metrics::counter!("streamer_requests_promoted_total").increment(1);
                let _ = self.lease.set(lease);
                core.running.insert(self);
                journal.state = State::Recorded;
                // What was reported so far can be shown now.
                self.reported.notify_one();
                let run = Arc::clone(self);
                // The log is held back until the peer has room for the acknowledgment; the handler is not.
                core.spawn(async move {
                    let core = &run.core;
                    let longer = "this takes longer: progress and outcome follow";
                    // Whoever is gone by now resumes later.
                    let _ = core.live.tell(&session, core.acknowledgment(&run.key.id, longer)).await;
                    run.leave_room();
                    core.live.follow(&listener, core.store.as_ref()).await;
                });
                return Ok(());
            }
            Ok(Promoted::Known(summary)) => Interruption::Known(Box::new(summary)),
            Err(e) => Interruption::Unstorable(core.refusal(&e, &self.correlation_id)),
        };
        core.live.remove(&listener);
        self.interrupt(why);
        Err(Failure::cancel())
    }

    async fn append(
        self: &Arc<Self>,
        journal: &mut Journal,
        chunks: Vec<Json>,
        checkpoint: Option<Json>,
    ) -> Result<(), Failure> {
        let (State::Recorded, Some(lease)) = (&journal.state, self.lease.get()) else {
            return Err(Failure::cancel());
        };
        let core = &self.core;
        let bytes: u64 = chunks.iter().map(|chunk| chunk.as_str().len() as u64).sum();
        if !chunks.is_empty() && journal.log_bytes + bytes > core.settings.log_bytes_max {
            return Err(too_large("the chunks of one request", core.settings.log_bytes_max));
        }
        // Progress that is not due yet waits, even if a chunk goes by: no more often means no more often.
        let pending: Option<ProgressState> = self.shown.lock().take_due();
        if pending.is_none() && chunks.is_empty() && checkpoint.is_none() {
            return Ok(());
        }
        let at = core.clock.now();
        let count = chunks.len() as u64;
        let indexes = journal.chunks..;
        let bodies = pending
            .map(EntryBody::Progress)
            .into_iter()
            .chain(indexes.zip(chunks).map(|(index, data)| EntryBody::Chunk { index, data }));
        let entries: Vec<LogEntry> =
            (journal.last_seq + 1..).zip(bodies).map(|(seq, body)| LogEntry { seq, at, body }).collect();
        if planted::is(Bug::PushBeforePersist) {
            core.publish(&self.key, entries.clone()).await;
        }
        let quota = &core.settings.quota;
        match core.outwait(|| core.store.append(lease, &entries, checkpoint.as_ref(), quota)).await {
            Ok(cancel_asked) => {
                journal.last_seq += entries.len() as u64;
                journal.chunks += count;
                journal.log_bytes += bytes;
                core.publish(&self.key, entries).await;
                if cancel_asked {
                    self.interrupt(Interruption::Cancelled);
                }
                self.check()
            }
            Err(e) if e.kind() == ErrorKind::Full => {
                // Nothing of it was done, and progress always has room.
                if let Some(LogEntry { body: EntryBody::Progress(progress), .. }) = entries.into_iter().next()
                {
                    self.shown.lock().put_back(progress);
                    self.reported.notify_one();
                }
                Err(no_room(true))
            }
            Err(e) => {
                self.abandon(journal, &e);
                Err(Failure::cancel())
            }
        }
    }

    /// The log cannot be written: whoever takes the request over continues from what is there. It may even have
    /// been written, and its reply lost: what came after would be numbered wrongly.
    fn abandon(&self, journal: &mut Journal, e: &crate::store::Error) {
        journal.state = State::Closed;
        if e.kind() != ErrorKind::LeaseLost {
            warn!(error = %e, "a request's log could not be written: its lease is left to run out");
        }
        self.interrupt(Interruption::LeaseLost);
    }

    /// Waits for what is being written, and closes the journal.
    pub(crate) async fn close(self: &Arc<Self>) -> Option<Closed> {
        let mut journal = self.journal.lock().await;
        if let (State::Recorded, Some(lease)) = (&journal.state, self.lease.get()) {
            self.show_last(lease, journal.last_seq + 1).await;
        }
        match std::mem::replace(&mut journal.state, State::Closed) {
            State::Recorded => self.lease.get().cloned().map(Closed::Recorded),
            State::Unrecorded { session, .. } => Some(Closed::Unrecorded(session)),
            State::Closed => None,
        }
    }

    /// The last progress before the end is never dropped. Only where the store fails: the outcome says more.
    async fn show_last(&self, lease: &Lease, seq: u64) {
        let Some(progress) = self.shown.lock().take() else { return };
        if planted::is(Bug::LostLastProgress) {
            return;
        }
        let core = &self.core;
        let entry = LogEntry { seq, at: core.clock.now(), body: EntryBody::Progress(progress) };
        let (entries, quota) = (std::slice::from_ref(&entry), &core.settings.quota);
        match core.outwait(|| core.store.append(lease, entries, None, quota)).await {
            Ok(_) => core.publish(&self.key, vec![entry]).await,
            Err(e) if e.kind() == ErrorKind::LeaseLost => self.interrupt(Interruption::LeaseLost),
            Err(e) => warn!(error = %e, "a request's last progress could not be written"),
        }
    }

    /// The lease, once the run is stored.
    pub(crate) fn lease(&self) -> Option<&Lease> {
        self.lease.get()
    }
}

/// What a handler is told whose tenant keeps as much as it may, or all tenants together do. There may be room later, for
/// what can be tried again.
pub(crate) fn no_room(may_be_repeated: bool) -> Failure {
    let message = "as many bytes are stored as may be: there is no room for what this request hands out";
    let failure = if may_be_repeated { Failure::retry(message) } else { Failure::reject(message) };
    failure.code(streamer_protocol::ErrorCode::Overloaded)
}

pub(crate) fn too_large(what: &str, bytes_max: u64) -> Failure {
    Failure::reject(format!("{what} would have more than {bytes_max} bytes"))
        .code(streamer_protocol::ErrorCode::PayloadTooLarge)
}
