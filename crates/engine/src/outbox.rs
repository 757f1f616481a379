//! Tells outcomes outside: takes them out of the outbox, has them told, and tries again what failed.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use streamer_protocol::Action;
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    backoff::Backoff,
    core::Core,
    store::{Announcement, OutboxDepth, ToAnnounce},
};

/// Tells an outcome to whoever is to know it.
#[async_trait]
pub trait Webhooks: Send + Sync {
    /// Tells it. Bounds by itself how long that takes: less than the lease of the [`OutboxSettings`].
    async fn announce(&self, announcement: &Announcement) -> Result<(), Undelivered>;
}

/// An outcome was not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// For operators. Nothing secret is in it.
    pub why: String,
    /// What happens next.
    pub then: Then,
}

/// What becomes of an outcome that was not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is tried again as often as the settings say.
    Retry {
        /// Not before so long, if somebody said so.
        after: Option<Duration>,
    },
    /// It was not even tried, and that is no failure.
    Wait {
        /// So long.
        after: Duration,
    },
    /// Trying again would not help.
    GiveUp,
}

/// How outcomes are told. `OutboxSettings::default()` suits a server.
#[derive(Debug, Clone, Copy)]
pub struct OutboxSettings {
    /// How many are told at once.
    pub in_flight_max: usize,
    /// How many of one action are: a slow receiver holds up nobody else's.
    pub action_in_flight_max: usize,
    /// How often one is tried again before it is given up.
    pub retries: u32,
    /// Between the tries.
    pub backoff: Backoff,
    /// How long telling one may take before another may tell it too.
    pub lease: Duration,
    /// How often the outbox is looked at when nothing announces an end.
    pub poll_interval: Duration,
}

impl Default for OutboxSettings {
    fn default() -> Self {
        Self {
            in_flight_max: 64,
            action_in_flight_max: 8,
            // Some eight hours together.
            retries: 16,
            backoff: Backoff { base: Duration::from_secs(5), max: Duration::from_secs(60 * 60) },
            lease: Duration::from_secs(60),
            poll_interval: Duration::from_secs(1),
        }
    }
}

/// After a failed call of the store.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// The longest reason that is kept, in characters.
const WHY_CHARS_MAX: usize = 300;

/// Tells what is due, until `stop`; then lets what is being told come to its end.
pub(crate) async fn announce(
    core: &Arc<Core>,
    webhooks: Arc<dyn Webhooks>,
    settings: OutboxSettings,
    stop: &CancellationToken,
    deadline: Duration,
) {
    let mut telling = Telling { tasks: JoinSet::new(), of_action: BTreeMap::new(), settings };
    while !stop.is_cancelled() {
        telling.note_ends();
        let room = telling.room();
        let wait = if room == 0 {
            settings.poll_interval
        } else {
            let now = core.clock.now();
            match core.store.take(now, now + settings.lease, room, &telling.full()).await {
                Ok(ToAnnounce { announcements, next_due }) => {
                    let took_some = !announcements.is_empty();
                    for announcement in announcements {
                        telling.begin(core, &webhooks, announcement);
                    }
                    if took_some {
                        continue;
                    }
                    next_due.map_or(settings.poll_interval, |due| due.since(now).min(settings.poll_interval))
                }
                Err(e) => {
                    warn!(error = %e, "outcomes could not be taken out of the outbox");
                    STORE_PAUSE
                }
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = telling.end_of_one() => {}
            () = core.ended.notified() => {}
            () = sleep(wait) => {}
        }
    }
    let rest = async { while telling.tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(deadline, rest).await.is_err() {
        info!("outcomes that were being told when the process stopped are told again later");
    }
}

/// What is being told.
struct Telling {
    tasks: JoinSet<Action>,
    of_action: BTreeMap<Action, usize>,
    settings: OutboxSettings,
}

impl Telling {
    /// The actions of which no more are told at once.
    fn full(&self) -> BTreeSet<Action> {
        let full = |(_, count): &(&Action, &usize)| **count >= self.settings.action_in_flight_max;
        self.of_action.iter().filter(full).map(|(action, _)| action.clone()).collect()
    }

    /// How many more may be told, even if all of them are of one action that is not full.
    fn room(&self) -> u32 {
        let action_max = self.settings.action_in_flight_max;
        let free = self.settings.in_flight_max.saturating_sub(self.tasks.len());
        let of_one =
            self.of_action.values().map(|count| action_max.saturating_sub(*count)).filter(|left| *left > 0);
        u32::try_from(of_one.chain([action_max, free]).min().unwrap_or(free)).unwrap_or(u32::MAX)
    }

    fn begin(&mut self, core: &Arc<Core>, webhooks: &Arc<dyn Webhooks>, announcement: Announcement) {
        let action = announcement.action.clone();
        *self.of_action.entry(action.clone()).or_default() += 1;
        let (core, webhooks, settings) = (Arc::clone(core), Arc::clone(webhooks), self.settings);
        self.tasks.spawn(async move {
            tell(&core, webhooks.as_ref(), &settings, &announcement).await;
            action
        });
    }

    /// Returns once one has ended; never, if there is none.
    async fn end_of_one(&mut self) {
        match self.tasks.join_next().await {
            Some(ended) => self.note_end(ended),
            None => std::future::pending().await,
        }
    }

    /// Notes those that have ended by now.
    fn note_ends(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            self.note_end(ended);
        }
    }

    fn note_end(&mut self, ended: Result<Action, tokio::task::JoinError>) {
        let action = ended.expect("a panic was caught, and none is aborted");
        if let Some(count) = self.of_action.get_mut(&action) {
            *count -= 1;
            if *count == 0 {
                self.of_action.remove(&action);
            }
        }
    }
}

/// Tells one, and notes how it went.
async fn tell(core: &Core, webhooks: &dyn Webhooks, settings: &OutboxSettings, announcement: &Announcement) {
    let Announcement { key, fence, .. } = announcement;
    let told = AssertUnwindSafe(webhooks.announce(announcement)).catch_unwind().await;
    let told = told.unwrap_or_else(|_| {
        error!(request_id = %key.id, "telling an outcome panicked");
        Err(Undelivered { why: "telling it panicked".to_owned(), then: Then::Retry { after: None } })
    });
    let now = core.clock.now();
    let noted = match told {
        Ok(()) => {
            count("delivered");
            core.persist(|| core.store.announced(key, *fence)).await
        }
        Err(Undelivered { then: Then::Wait { after }, .. }) => {
            core.persist(|| core.store.put_off(key, *fence, now + after, None)).await
        }
        Err(Undelivered { why, then }) => {
            let why: String = why.chars().take(WHY_CHARS_MAX).collect();
            let failures = announcement.failures + 1;
            let after = match then {
                Then::Retry { after } if failures <= settings.retries => {
                    Some(after.unwrap_or_else(|| settings.backoff.after(failures, core.random.as_ref())))
                }
                _ => None,
            };
            let (tenant_id, action) = (&key.tenant, &announcement.action);
            match after {
                Some(after) => {
                    count("failed");
                    warn!(request_id = %key.id, %tenant_id, operation = %action, failures, error = %why, "an outcome could not be told yet");
                    core.persist(|| core.store.put_off(key, *fence, now + after, Some(&why))).await
                }
                None => {
                    count("given_up");
                    error!(request_id = %key.id, %tenant_id, operation = %action, failures, error = %why, "an outcome could not be told, and is given up");
                    core.persist(|| core.store.give_up(key, *fence, now, &why)).await
                }
            }
        }
    };
    if let Err(e) = noted {
        warn!(request_id = %key.id, error = %e, "the outbox could not be told: it will have the outcome told again");
    }
}

fn count(what: &'static str) {
    metrics::counter!("streamer_webhooks_total", "outcome" => what).increment(1);
}

/// Shows how much is to be told, and what nobody took.
pub(crate) async fn measure(core: &Core) {
    if let Ok(OutboxDepth { waiting, given_up }) = core.store.outbox_depth().await {
        metrics::gauge!("streamer_webhooks_waiting").set(waiting as f64);
        metrics::gauge!("streamer_webhooks_given_up").set(given_up as f64);
    }
}
