//! The engine: what doors, workers and operators call.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use serde::Serialize;
use streamer_protocol::{
    ConnectionId, ErrorBody, ErrorCode, Json, Present, Published, Request, RequestId, RequestStatus, TenantId,
};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use crate::{
    Frame, Handlers, RequestView, Router, Settings, accept,
    clock::{Clock, SystemClock},
    core::{Core, NO_SPACE, Running, unknown_cursor},
    handlers::Begun,
    live::Live,
    outbox::{self, OutboxSettings, Webhooks},
    push::Push,
    random::{Random, SystemRandom},
    renewal::Renewal,
    run::Interruption,
    sender::Sender,
    session::{Caller, Credentials, Session},
    store::{
        self, Cancelled, ConnectionFilter, ConnectionRecord, EntryBody, ErrorKind, GivenUp, Outcome, Page,
        PageQuery, Record, RequestFilter, RequestKey, SharedStore, Summary, TopicKey, Usage, WorkerId,
    },
    topics::{self, Sourced, Topics},
    worker,
};

/// What the engine stands on.
pub struct Ports {
    /// Where everything durable is.
    pub store: SharedStore,
    /// The way to connections.
    pub push: Arc<dyn Push>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Ids and jitter.
    pub random: Arc<dyn Random>,
    /// Where handlers run.
    pub handlers: Handlers,
}

impl Ports {
    /// With the machine's clock and randomness, and handlers that run where the engine does.
    #[must_use]
    pub fn new(store: SharedStore, push: Arc<dyn Push>) -> Self {
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        Self { store, push, clock, random, handlers: Handlers::default() }
    }
}

/// Accepts requests, runs them, and tells whoever follows them. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    core: Arc<Core>,
    sender: Arc<Sender>,
}

/// The answer to a wish to cancel.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CancelView {
    /// The request.
    pub request_id: RequestId,
    /// Where it stands now: CANCELLED if it waited; if it runs, it ends soon; or it had ended already.
    pub status: RequestStatus,
}

impl Engine {
    /// An engine whose queue is worked on only once [`work`](Self::work) runs. `worker` is the node's name: the
    /// same after a restart, and no other node's.
    #[must_use]
    pub fn new(ports: Ports, router: Router, worker: WorkerId, settings: Settings) -> Self {
        let Ports { store, push, clock, random, handlers } = ports;
        let live =
            Live::new(Arc::clone(&push), settings.listener_buffer_max, settings.connection_listeners_max);
        let topics = Topics::new(Arc::clone(&push), settings.topics.clone());
        let sender = Arc::new(Sender::new(
            Arc::clone(&store),
            Arc::clone(&push),
            Arc::clone(&random),
            settings.breaker,
        ));
        let core = Core {
            store,
            clock,
            random,
            running_max: router
                .bounds()
                .per_tenant(u32::try_from(settings.tenant_running_max).unwrap_or(u32::MAX)),
            handlers,
            router,
            worker,
            settings,
            live,
            topics,
            running: Running::default(),
            begun: Begun::default(),
            renewal: Renewal::default(),
            wake: tokio::sync::Notify::new(),
            ended: tokio::sync::Notify::new(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        };
        Self { core: Arc::new(core), sender }
    }

    /// Stores a connection and begins its session. `credentials` answers its `refresh`.
    pub async fn connect(
        &self,
        connection: &ConnectionRecord,
        credentials: Arc<dyn Credentials>,
    ) -> store::Result<Arc<Session>> {
        let core = &self.core;
        core.persist(|| core.store.connect(connection)).await?;
        let caller = Caller { user: connection.user.clone(), tenant: connection.tenant.clone() };
        let in_flight_max = core.settings.connection_in_flight_max;
        Ok(Session::new(connection.id.clone(), caller, in_flight_max, credentials))
    }

    /// Ends a session: its record and what it follows are forgotten. Running work goes on. Always succeeds; what
    /// the store could not forget now expires.
    pub async fn disconnect(&self, session: &Session) {
        self.core.live.forget(session);
        topics::forget(&self.core, session).await;
        self.sender.forget(&session.connection);
        if let Err(e) = self.core.persist(|| self.core.store.disconnect(&session.connection)).await {
            warn!(error = %e, connection_id = %session.connection, "a connection's record could not be removed");
        }
    }

    /// What those read who are turned away because the store's disk is full.
    #[must_use]
    pub fn refused_for_space(&self) -> ErrorBody {
        self.core.overloaded(NO_SPACE)
    }

    /// Notes that these connections were heard from: their records live on.
    pub async fn touch(&self, connections: &[ConnectionId]) {
        let now = self.core.clock.now();
        let expires_at = now + self.core.settings.connection_ttl;
        if let Err(e) = self.core.store.touch(connections, now, expires_at).await {
            warn!(error = %e, "connections could not be touched");
        }
    }

    /// Takes one text frame of a connection. Gives the answer, if it is there at once; otherwise it is pushed
    /// when it is. The work has begun when this returns, so that messages start in the order in which they are
    /// given. `room` is the session's, and is held until the message is answered.
    #[must_use]
    pub fn accept(&self, session: &Arc<Session>, room: OwnedSemaphorePermit, text: &str) -> Option<Frame> {
        accept::accept(&self.core, session, room, text)
    }

    /// Begins the session of somebody who has no connection, but calls and is answered: what a connection would be
    /// sent goes to `way`, under the session's name. Nothing of it is stored. [`leave`](Self::leave) ends it.
    #[must_use]
    pub fn visit(
        &self,
        caller: Caller,
        way: Arc<dyn Push>,
        credentials: Arc<dyn Credentials>,
    ) -> Arc<Session> {
        let name = ConnectionId::new(self.core.random.unguessable());
        Session::visiting(name, caller, way, credentials)
    }

    /// Ends a session that [`visit`](Self::visit) began: what it follows is forgotten. Running work goes on.
    pub fn leave(&self, session: &Session) {
        self.core.live.forget(session);
    }

    /// Takes one message that is read already. Otherwise as [`accept`](Self::accept). A session without a connection
    /// hears of a request that is stored already no more than where it stands, and its outcome.
    #[must_use]
    pub fn submit(
        &self,
        session: &Arc<Session>,
        room: OwnedSemaphorePermit,
        request: Request,
    ) -> Option<Frame> {
        accept::submit(&self.core, session, room, request)
    }

    /// Lets a session hear a request's log above `after_seq`, then what follows, up to the outcome. False if
    /// nothing will come: the request has ended, and the session has heard all of it.
    pub async fn follow(
        &self,
        session: &Arc<Session>,
        id: RequestId,
        after_seq: u64,
    ) -> Result<bool, ErrorBody> {
        let core = &self.core;
        let key = session.caller.key(id);
        // Registered first, so that nothing is missed of what is published.
        let listener = core.live.hold(session, &key).map_err(|_| core.too_many_followed())?;
        let found = find(core, &key).await.map(|record| record.summary);
        let (after, ended) = match found {
            Ok(Summary { status, last_seq, .. }) if !status.is_final() || after_seq < last_seq => {
                (after_seq.min(last_seq), status.is_final())
            }
            heard => {
                core.live.remove(&listener);
                return heard.map(|_| false);
            }
        };
        let core = Arc::clone(core);
        self.core.spawn(async move { core.catch_up(&listener, after, ended).await });
        Ok(true)
    }

    /// Sends messages of the application to connections.
    #[must_use]
    pub fn sender(&self) -> &Arc<Sender> {
        &self.sender
    }

    /// The store that the engine stands on.
    #[must_use]
    pub fn store(&self) -> &SharedStore {
        &self.core.store
    }

    /// The engine's clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.core.clock
    }

    /// The engine's randomness.
    #[must_use]
    pub fn random(&self) -> &Arc<dyn Random> {
        &self.core.random
    }

    /// The engine's limits.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.core.settings
    }

    /// The answer to a message that was not taken, under its id if that is near at hand.
    #[must_use]
    pub fn refuse(&self, text: &str, error: ErrorBody) -> Frame {
        self.core.error(Request::peek_id(text), error)
    }

    /// Shows in the metrics what the engine holds in memory just now.
    pub fn measure(&self) {
        metrics::gauge!("streamer_engine_tasks").set(self.core.tasks.len() as f64);
        metrics::gauge!("streamer_requests_running").set(self.core.running.count() as f64);
        self.core.live.measure();
        self.sender.measure();
    }

    /// Everything about a request.
    pub async fn status(&self, key: &RequestKey) -> Result<RequestView, ErrorBody> {
        status(&self.core, key).await
    }

    /// Requests that match, newest first. A cursor that is none is told as the field `cursor`.
    pub async fn requests(
        &self,
        filter: &RequestFilter,
        page: &PageQuery,
    ) -> Result<Page<Summary>, ErrorBody> {
        requests(&self.core, filter, page, "cursor").await
    }

    /// Connections that match. A cursor that is none is told as the field `cursor`.
    pub async fn connections(
        &self,
        filter: &ConnectionFilter,
        page: &PageQuery,
    ) -> Result<Page<ConnectionRecord>, ErrorBody> {
        let core = &self.core;
        let listed = core.persist(|| core.store.connections(filter, page)).await;
        listed.map_err(|e| page_refusal(core, &e, "cursor"))
    }

    /// What a tenant has open, runs and keeps.
    pub async fn usage(&self, tenant: &TenantId) -> Result<Usage, ErrorBody> {
        let core = &self.core;
        let now = core.clock.now();
        core.persist(|| core.store.usage(tenant, now)).await.map_err(|e| refusal(core, &e))
    }

    /// Asks to end a request.
    pub async fn cancel(&self, key: &RequestKey) -> Result<CancelView, ErrorBody> {
        let (core, key) = (Arc::clone(&self.core), key.clone());
        // In a task of its own: the caller may go away at any moment, but what is stored must be published.
        let cancelling = self.core.spawn(async move { cancel(&core, &key).await });
        cancelling.await.unwrap_or_else(|_| Err(refusal(&self.core, &ErrorKind::Closed.into())))
    }

    /// Gives a failed request a second chance.
    pub async fn replay(&self, key: &RequestKey) -> Result<RequestView, ErrorBody> {
        let core = &self.core;
        let now = core.clock.now();
        match core.persist(|| core.store.replay(key, now)).await {
            Ok(summary) => {
                core.wake.notify_one();
                Ok(RequestView::from(&summary))
            }
            Err(e) if e.kind() == ErrorKind::Conflict => {
                Err(ErrorBody::new(ErrorCode::Conflict, "only a FAILED request can be replayed"))
            }
            Err(e) => Err(refusal(core, &e)),
        }
    }

    /// Publishes a message as the server: to any topic but a request's. The answer comes once the message is as safe
    /// as the topic's history promises, and is on its way to all who follow.
    pub async fn publish(&self, key: &TopicKey, data: Json) -> Result<Published, ErrorBody> {
        topics::publish_as_server(&self.core, key.clone(), data).await
    }

    /// Publishes messages of a source that may repeat itself, in their order: `None` for those that were published to
    /// this topic before, by the source's positions. A durable topic remembers that for as long as it is remembered
    /// itself, others for as long as they live in this process. After an error some of them may be published, the
    /// first ones; the whole may be repeated.
    pub async fn publish_from(
        &self,
        key: &TopicKey,
        messages: Vec<Sourced>,
    ) -> Result<Vec<Option<Published>>, ErrorBody> {
        topics::publish_from(&self.core, key.clone(), messages).await
    }

    /// The largest message that a topic takes, in bytes of its data.
    #[must_use]
    pub fn topic_message_bytes_max(&self) -> usize {
        self.core.topics.settings().message_bytes_max
    }

    /// Who is on a topic, by this process's knowledge.
    pub async fn present(&self, key: &TopicKey) -> Present {
        topics::present(&self.core, key).await
    }

    /// Tells the outcomes of announced actions outside, each at least once, until `stop`. What is being told then has
    /// `deadline` to come to its end; the rest is told later, by whoever works here next.
    pub async fn announce(
        &self,
        webhooks: Arc<dyn Webhooks>,
        settings: OutboxSettings,
        stop: CancellationToken,
        deadline: Duration,
    ) {
        outbox::announce(&self.core, webhooks, settings, &stop, deadline).await;
    }

    /// Announcements that were given up, the last that ended first.
    pub async fn given_up(&self, page: &PageQuery) -> Result<Page<GivenUp>, ErrorBody> {
        let core = &self.core;
        core.persist(|| core.store.given_up(page)).await.map_err(|e| refusal(core, &e))
    }

    /// Has an announcement that was given up told again, as if it were new.
    pub async fn announce_again(&self, key: &RequestKey) -> Result<(), ErrorBody> {
        let core = &self.core;
        let now = core.clock.now();
        core.persist(|| core.store.revive(key, now)).await.map_err(|e| refusal(core, &e))?;
        core.ended.notify_one();
        Ok(())
    }

    /// Works on the queue until `stop`: reclaims what a former life of this worker left, then claims, runs,
    /// renews and tidies up. Then lets what runs come to its end within `deadline`, and gives up the leases of
    /// the rest.
    // Boxed: compiled here once, and not by every crate that awaits it.
    pub fn work(&self, stop: CancellationToken, deadline: Duration) -> BoxFuture<'_, ()> {
        worker::run(&self.core, stop, deadline).boxed()
    }
}

fn refusal(core: &Core, e: &store::Error) -> ErrorBody {
    core.refusal(e, &core.random.uuid(core.clock.now()).to_string())
}

/// Of a list, whose asker gave the cursor at `cursor_at`.
fn page_refusal(core: &Core, e: &store::Error, cursor_at: &str) -> ErrorBody {
    match e.kind() {
        ErrorKind::Invalid => unknown_cursor(cursor_at),
        _ => refusal(core, e),
    }
}

pub(crate) async fn find(core: &Core, key: &RequestKey) -> Result<Record, ErrorBody> {
    match core.persist(|| core.store.request(key)).await {
        Ok(Some(record)) => Ok(record),
        Ok(None) => Err(refusal(core, &ErrorKind::NotFound.into())),
        Err(e) => Err(refusal(core, &e)),
    }
}

pub(crate) async fn status(core: &Core, key: &RequestKey) -> Result<RequestView, ErrorBody> {
    find(core, key).await.map(|record| RequestView::from(&record))
}

pub(crate) async fn requests(
    core: &Core,
    filter: &RequestFilter,
    page: &PageQuery,
    cursor_at: &str,
) -> Result<Page<Summary>, ErrorBody> {
    let listed = core.persist(|| core.store.requests(filter, page)).await;
    listed.map_err(|e| page_refusal(core, &e, cursor_at))
}

pub(crate) async fn cancel(core: &Arc<Core>, key: &RequestKey) -> Result<CancelView, ErrorBody> {
    let outcome =
        Outcome::Cancelled(ErrorBody::new(ErrorCode::Cancelled, "the request was cancelled before it ran"));
    let now = core.clock.now();
    let expires_at = now + core.settings.retention;
    let running = core.running.of(key);
    let status = match core.persist(|| core.store.cancel(key, &outcome, now, expires_at)).await {
        Ok(Cancelled::Ended(entry)) => {
            debug_assert!(matches!(entry.body, EntryBody::Outcome(_)), "a cancelled request has its outcome");
            core.publish(key, vec![entry]).await;
            core.ended.notify_one();
            RequestStatus::Cancelled
        }
        Ok(Cancelled::Asked(summary)) => {
            // It may have begun meanwhile.
            for run in core.running.of(key) {
                run.interrupt(Interruption::Cancelled);
            }
            summary.status
        }
        Ok(Cancelled::Already(summary)) => {
            // It may have been this very call, by a try whose reply was lost: then nobody was told yet.
            tell_outcome(core, &summary).await;
            summary.status
        }
        // A short run is not stored, but it can be ended.
        Err(e) if e.kind() == ErrorKind::NotFound && !running.is_empty() => {
            for run in running {
                run.interrupt(Interruption::Cancelled);
            }
            RequestStatus::Cancelled
        }
        Err(e) => return Err(refusal(core, &e)),
    };
    Ok(CancelView { request_id: key.id.clone(), status })
}

/// Publishes the outcome of an ended request again, to whoever has not heard it.
async fn tell_outcome(core: &Arc<Core>, summary: &Summary) {
    let Some(before) = summary.last_seq.checked_sub(1).filter(|_| core.live.is_followed(&summary.key)) else {
        return;
    };
    match core.persist(|| core.store.log(&summary.key, before, 1)).await {
        Ok(outcome) => core.publish(&summary.key, outcome).await,
        Err(e) => warn!(error = %e, "an outcome could not be read for its followers"),
    }
}
