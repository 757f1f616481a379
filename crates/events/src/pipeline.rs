//! From a source to the sinks: three stages, each with one batch in hand.
//!
//! *Intake* reads changes and projects them, gathering a batch for as long as the next stage is busy: batches form by
//! themselves, and under no load a change goes on at once. *Recording* writes down where each event stands, and buries
//! what handlers rejected. *Applying* has the sinks apply the writes, buries what they refuse, and confirms.
//!
//! Batches go through the stages in their order, one at a time: a document's position covers all that is below it, so
//! no event may overtake another of its partition.

mod applying;
mod figures;
mod intake;
mod patience;
mod recording;
mod tally;

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    backoff::Backoff,
    batch::Batch,
    clock::{Clock, Moment},
    latency::Latency,
    letter::{DeadLetter, PAYLOAD_BYTES_MAX},
    outbox::Outbox,
    position::{Epoch, Position},
    random::Random,
    registry::Registry,
    sink::{self, Adopted, ReadModels, Sink},
    source::{self, Source},
};
use patience::{Halt, Patience};

pub use figures::{Figures, Pace};
pub use tally::{Recent, Tally};

/// What a pipeline is made of.
pub struct Parts {
    /// Where changes come from.
    pub source: Arc<dyn Source>,
    /// Where the read models are, with the ledger and the dead letters.
    pub models: Arc<dyn ReadModels>,
    /// Where the events go besides. Each has them before a position is confirmed.
    pub sinks: Vec<Arc<dyn Sink>>,
    /// Which handlers an event has.
    pub registry: Registry,
    /// Which rows are events.
    pub outbox: Outbox,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// For the jitter of waits.
    pub random: Arc<dyn Random>,
}

/// How much is done at once, and what is done when it fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// At most so many events in a batch.
    pub batch_events_max: usize,
    /// No more events once a batch has about so many bytes.
    pub batch_bytes_max: usize,
    /// Between the attempts of a sink that fails.
    pub backoff: Backoff,
    /// The longest payload in a dead letter.
    pub letter_payload_bytes_max: usize,
    /// Whether to go on when the source is not the one that the documents' positions belong to.
    pub on_new_epoch: NewEpoch,
    /// How often a summary goes to the log.
    pub summary_interval: Duration,
}

/// What to do in another life of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewEpoch {
    /// Stop, and say what goes on.
    Stop,
    /// Read the rows that are there, apply those that are not known, and go on from there.
    Resnapshot,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch_events_max: 1000,
            batch_bytes_max: 4 * 1024 * 1024,
            backoff: Backoff { base: Duration::from_millis(50), max: Duration::from_secs(5) },
            letter_payload_bytes_max: PAYLOAD_BYTES_MAX,
            on_new_epoch: NewEpoch::Stop,
            summary_interval: Duration::from_secs(60),
        }
    }
}

/// How far a pipeline has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Looking for its source: the source may not answer, or another process may be reading it.
    Opening,
    /// Reading the rows that were there before.
    Snapshot,
    /// Following what is committed.
    Streaming,
}

impl State {
    /// In a word, for logs and probes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Snapshot => "snapshot",
            Self::Streaming => "streaming",
        }
    }
}

/// Why a pipeline ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source cannot go on.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// A sink cannot go on.
    #[error(transparent)]
    Sink(#[from] sink::Error),
    /// The source is in another life than the documents' positions: some changes may be missing between the two.
    #[error(
        "the source is not the one whose changes the read models hold (it was {known}, it is {found}): after a \
         restore, an upgrade, a recreated slot or topic, or a change of the source, changes may be missing; to go on: \
         streamer events resnapshot"
    )]
    EpochChanged {
        /// What the documents' positions belong to.
        known: Epoch,
        /// What is there.
        found: Epoch,
    },
    /// A bug: a stage panicked.
    #[error("the pipeline's {0} panicked")]
    Panicked(&'static str),
}

/// Reads, applies, confirms.
pub struct Pipeline {
    core: Arc<Core>,
}

/// What the stages share.
struct Core {
    parts: Parts,
    settings: Settings,
    latency: Latency,
    tally: Tally,
    state: watch::Sender<State>,
    since: Moment,
}

/// A batch on its way, with what belongs to it.
#[derive(Default)]
struct Prepared {
    batch: Batch,
    /// When each event of the batch was taken.
    taken: Vec<Moment>,
    /// What its handlers rejected.
    letters: Vec<DeadLetter>,
    /// The last position of each partition; what is confirmed in the end.
    confirm: Vec<Position>,
    /// Whether a snapshot's last row is in it, or was before it.
    snapshot_end: bool,
}

impl Pipeline {
    /// Puts the parts together. Nothing runs yet.
    #[must_use]
    pub fn new(parts: Parts, settings: Settings) -> Self {
        let (latency, tally) = (Latency::new(), Tally::default());
        let (state, _) = watch::channel(State::Opening);
        let since = parts.clock.now();
        Self { core: Arc::new(Core { parts, settings, latency, tally, state, since }) }
    }

    /// How far it has come, and what it comes to.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.core.state.subscribe()
    }

    /// How long events take.
    #[must_use]
    pub fn latency(&self) -> &Latency {
        &self.core.latency
    }

    /// How many there were.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.core.tally
    }

    /// Runs until `stop`, or until it cannot go on. What was taken by then is finished if the sinks answer; what they
    /// do not take comes again in the next run.
    // Boxed: compiled here once, and not by every crate that awaits it.
    pub fn run(&self, stop: CancellationToken) -> BoxFuture<'_, Result<(), Error>> {
        self.run_until(stop).boxed()
    }

    async fn run_until(&self, stop: CancellationToken) -> Result<(), Error> {
        let halt = stop.child_token();
        let begun = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            begun = self.begin(&halt) => begun?,
        };
        if !begun {
            return Ok(());
        }
        let done = self.run_stages(&halt).await;
        let closed = self.core.parts.source.close().await;
        done.and(closed.map_err(Error::from))
    }

    /// Finds out in which life the source is, and what is to be read. Whether there is anything to do.
    async fn begin(&self, halt: &CancellationToken) -> Result<bool, Error> {
        let core = &*self.core;
        let opened = core.parts.source.open().await?;
        let patience = core.patience(halt);
        let models = &core.parts.models;
        let Some(adopted) = stopped(patience.insist("adopted", || models.adopted()).await)? else {
            return Ok(false);
        };
        let snapshot = match adopted {
            None => opened.has_rows_before.then_some(1),
            Some(Adopted { epoch, snapshot }) if epoch == opened.epoch => snapshot.map(|pass| pass + 1),
            Some(Adopted { epoch, .. }) => match core.settings.on_new_epoch {
                NewEpoch::Resnapshot => Some(1),
                NewEpoch::Stop => return Err(Error::EpochChanged { known: epoch, found: opened.epoch }),
            },
        };
        let adopted = Adopted { epoch: opened.epoch, snapshot };
        if stopped(patience.insist("adopt", || models.adopt(&adopted)).await)?.is_none() {
            return Ok(false);
        }
        info!(epoch = %adopted.epoch, snapshot = adopted.snapshot, "the pipeline begins");
        core.parts.source.start(snapshot).await?;
        let state = if snapshot.is_some() { State::Snapshot } else { State::Streaming };
        core.state.send_replace(state);
        Ok(true)
    }

    async fn run_stages(&self, halt: &CancellationToken) -> Result<(), Error> {
        let (to_record, recorded) = mpsc::channel(1);
        let (to_apply, applied) = mpsc::channel(1);
        let mut stages = JoinSet::new();
        let core = || (Arc::clone(&self.core), halt.clone());
        let (intake, recording, applying, summary) = (core(), core(), core(), core());
        stages.spawn(async move { intake::run(&intake.0, to_record, &intake.1).await });
        stages.spawn(async move { recording::run(&recording.0, recorded, to_apply, &recording.1).await });
        stages.spawn(async move { applying::run(&applying.0, applied, &applying.1).await });
        let mut summaries = JoinSet::new();
        summaries.spawn(async move { tally::summarize(&summary.0).await });
        let mut done = Ok(());
        while let Some(ended) = stages.join_next().await {
            let ended = ended.unwrap_or(Err(Error::Panicked("stage")));
            if ended.is_err() {
                // The others cannot go on without it: they finish what they hold.
                halt.cancel();
                done = done.and(ended);
            }
        }
        done
    }
}

impl Core {
    fn patience<'a>(&'a self, halt: &'a CancellationToken) -> Patience<'a> {
        Patience { backoff: self.settings.backoff, random: &*self.parts.random, halt, tally: &self.tally }
    }
}

/// Nothing if the pipeline is to stop; that is no error.
fn stopped<T>(done: Result<T, Halt>) -> Result<Option<T>, Error> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(Halt::Stopped) => Ok(None),
        Err(Halt::Failed(e)) => Err(e.into()),
    }
}
