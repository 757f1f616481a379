//! The loops behind the queue: claiming, renewing, tidying up.

use std::{sync::Arc, time::Duration};

use streamer_protocol::{TenantId, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    core::Core,
    drive, handlers, outbox,
    run::Interruption,
    store::{Claim, Claimed, Lease, Renewed, Summary},
};

/// At most so many requests are claimed in one step.
const CLAIM_MAX: usize = 256;

/// At most so many records are removed in one step.
const PURGE_MAX: u32 = 500;

/// How often topics are looked through for those that may go.
const TOPICS_INTERVAL: Duration = Duration::from_secs(10);

/// For giving up the leases of what was stopped, beyond the deadline.
const RELEASE_TIME: Duration = Duration::from_secs(1);

/// After a failed claim.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// All of them, until `stop`, and until what runs then has ended or its `deadline` is over.
pub(crate) async fn run(core: &Arc<Core>, stop: CancellationToken, deadline: Duration) {
    match core.persist(|| core.store.reclaim(&core.worker, core.clock.now())).await {
        Ok(0) => {}
        Ok(count) => warn!(count, "took back the requests that a former life of this worker left"),
        Err(e) => warn!(error = %e, "a former life's leases could not be taken back: they will run out"),
    }
    // What was promoted before this bears the same worker's name, and is of this life.
    renew_all(core).await;
    // Leases are renewed until everything has ended.
    let drained = CancellationToken::new();
    let stopping = async {
        stop.cancelled().await;
        core.stopping.cancel();
    };
    let claiming = async {
        claim(Arc::clone(core), stop.clone()).await;
        // Only now is it certain that nothing more begins.
        drain(core, deadline).await;
        drained.cancel();
    };
    tokio::join!(
        stopping,
        claiming,
        tidy(Arc::clone(core), stop.clone()),
        tidy_topics(Arc::clone(core), stop.clone()),
        measure(Arc::clone(core), stop.clone()),
        handlers::watch(Arc::clone(core), drained.clone()),
        renew(Arc::clone(core), drained.clone()),
    );
}

/// Claims what is due and runs it, until `stop`.
async fn claim(core: Arc<Core>, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(core.settings.running_max));
    while !stop.is_cancelled() {
        let Ok(slot) = (tokio::select! {
            biased;
            () = stop.cancelled() => return,
            slot = Arc::clone(&slots).acquire_owned() => slot,
        }) else {
            return;
        };
        let free = slots.available_permits() + 1;
        let wanted = u32::try_from(free.min(CLAIM_MAX)).unwrap_or(u32::MAX);
        let now = core.clock.now();
        if core.renewal.is_overdue(now, core.settings.lease) && !renew_all(&core).await {
            // What runs here would be claimed, and begin a second time beside itself.
            drop(slot);
            pause(STORE_PAUSE, &stop).await;
            continue;
        }
        let lease_until = now + core.settings.lease;
        let claiming = core.store.claim(&core.worker, now, lease_until, wanted, &core.running_max);
        let Claimed { claims, next_due } = match claiming.await {
            Ok(claimed) => claimed,
            Err(e) => {
                warn!(error = %e, "requests could not be claimed");
                drop(slot);
                pause(STORE_PAUSE, &stop).await;
                continue;
            }
        };
        let took_all = claims.len() >= wanted as usize;
        let mut first = Some(slot);
        for claim in claims {
            let slot = match first.take() {
                Some(slot) => slot,
                None => Arc::clone(&slots).try_acquire_owned().expect("only this loop takes slots"),
            };
            let place = Place::take(&core, &claim, slot);
            let working = Arc::clone(&core);
            core.tasks.spawn(async move {
                drive::claimed(working, claim).await;
                drop(place);
            });
        }
        drop(first);
        if !took_all {
            wait_for_work(&core, next_due, &stop).await;
        }
    }
}

/// A place that a claimed request has, until this is dropped.
struct Place {
    core: Arc<Core>,
    tenant: TenantId,
    is_bounded: bool,
    slot: Option<OwnedSemaphorePermit>,
}

impl Place {
    fn take(core: &Arc<Core>, claim: &Claim, slot: OwnedSemaphorePermit) -> Self {
        let Summary { key, action, .. } = &claim.record.summary;
        core.running_max.take_place(&key.tenant);
        Self {
            core: Arc::clone(core),
            tenant: key.tenant.clone(),
            is_bounded: core.running_max.bounds(action),
            slot: Some(slot),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let was_full = self.core.running_max.give_place_back(&self.tenant);
        drop(self.slot.take());
        if was_full || self.is_bounded {
            // Whatever it came to, its tenant or its action has room for another.
            self.core.wake.notify_one();
        }
    }
}

/// Until something was enqueued, something is due, an action or a tenant has room again, or it is time to look again.
async fn wait_for_work(core: &Core, next_due: Option<Timestamp>, stop: &CancellationToken) {
    let poll = core.settings.poll_interval;
    let wait = next_due.map_or(poll, |due| due.since(core.clock.now()).min(poll));
    tokio::select! {
        biased;
        () = core.wake.notified() => {}
        () = pause(wait, stop) => {}
    }
}

/// Renews the leases of what runs here, until `stop`.
async fn renew(core: Arc<Core>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        pause(core.settings.lease / 3, &stop).await;
        renew_all(&core).await;
    }
}

/// Renews the leases of what runs here, once. Whether that could be done.
async fn renew_all(core: &Core) -> bool {
    let runs = core.running.all();
    let (runs, leases): (Vec<_>, Vec<Lease>) =
        runs.into_iter().filter_map(|run| run.lease().cloned().map(|lease| (run, lease))).unzip();
    let now = core.clock.now();
    if leases.is_empty() {
        core.renewal.done(now);
        return true;
    }
    let until = now + core.settings.lease;
    match core.persist(|| core.store.renew(&leases, until)).await {
        Ok(renewed) => {
            core.renewal.done(now);
            for (run, renewed) in runs.iter().zip(renewed) {
                match renewed {
                    Renewed::Held { cancel_asked: false } => {}
                    Renewed::Held { cancel_asked: true } => run.interrupt(Interruption::Cancelled),
                    Renewed::Lost => run.interrupt(Interruption::LeaseLost),
                }
            }
            true
        }
        // Whoever takes a request over has a new fence: a run that goes on meanwhile changes nothing.
        Err(e) => {
            warn!(error = %e, "leases could not be renewed");
            false
        }
    }
}

/// Removes what is past its time, until `stop`.
async fn tidy(core: Arc<Core>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let now = core.clock.now();
        let store = &core.store;
        for (what, removed) in [
            ("requests", purge(&stop, || store.purge_requests(now, PURGE_MAX)).await),
            ("artifacts", purge(&stop, || store.purge_artifacts(now, PURGE_MAX)).await),
            ("connections", purge(&stop, || store.purge_connections(now, PURGE_MAX)).await),
            ("messages of topics", purge(&stop, || store.purge_topics(now, PURGE_MAX)).await),
        ] {
            match removed {
                Ok(0) => {}
                Ok(count) => info!(what, count, "removed what is past its time"),
                Err(e) => warn!(what, error = %e, "what is past its time could not be removed"),
            }
        }
        pause(core.settings.purge_interval, &stop).await;
    }
}

async fn purge<Purging>(stop: &CancellationToken, purge: impl Fn() -> Purging) -> crate::store::Result<u64>
where
    Purging: Future<Output = crate::store::Result<u64>>,
{
    let mut removed = 0;
    while !stop.is_cancelled() {
        let count = purge().await?;
        removed += count;
        if count < u64::from(PURGE_MAX) {
            break;
        }
    }
    Ok(removed)
}

/// Lets go the topics that nothing holds here any more, until `stop`.
async fn tidy_topics(core: Arc<Core>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        core.topics.tidy(core.clock.now());
        pause(TOPICS_INTERVAL, &stop).await;
    }
}

/// Shows the engine's sizes as metrics, until `stop`.
async fn measure(core: Arc<Core>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        outbox::measure(&core).await;
        if let Ok(open) = core.store.open_requests().await {
            metrics::gauge!("streamer_requests_open").set(open as f64);
        }
        if let Ok(bytes) = core.store.stored_bytes().await {
            metrics::gauge!("streamer_stored_bytes").set(bytes as f64);
        }
        metrics::gauge!("streamer_requests_running").set(core.running.count() as f64);
        metrics::gauge!("streamer_requests_followed").set(core.live.followed() as f64);
        if let Ok(usage) = core.store.topic_usage().await {
            metrics::gauge!("streamer_topic_history_bytes", "history" => "durable").set(usage.bytes as f64);
        }
        core.topics.measure();
        pause(Duration::from_secs(5), &stop).await;
    }
}

/// Lets what runs come to its end within `deadline`; then asks it to stop, and gives up its leases.
async fn drain(core: &Core, deadline: Duration) {
    core.tasks.close();
    let grace = core.settings.cancel_grace.min(deadline / 2);
    let soft = deadline - grace;
    if tokio::time::timeout(soft, core.tasks.wait()).await.is_ok() {
        return;
    }
    for run in core.running.all() {
        run.interrupt(Interruption::Stopping(grace));
    }
    // What did not stop by itself is dropped by then; what is left is to write that.
    let hard = grace + RELEASE_TIME;
    if tokio::time::timeout(hard, core.tasks.wait()).await.is_err() {
        warn!(tasks = core.tasks.len(), "not all that ran has ended: its leases will run out");
    }
}

async fn pause(span: Duration, stop: &CancellationToken) {
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = tokio::time::sleep(span) => {}
    }
}
