//! The source: what the pipeline reads.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use streamer_events::{
    Epoch, Partition, Position,
    clock::Clock,
    random::Random,
    source::{Error as SourceError, ErrorKind, Limit, Opened, Read, Result as SourceResult, SlotLag, Source},
};
use tokio::sync::Mutex;
use tracing::warn;

use crate::{
    approach::{Approach, Arrived, Start},
    connection::{Connection, Purpose, Receiver},
    error::{Error, Result},
    session::Session,
    settings::Settings,
    slot,
    snapshot::Snapshot,
    stream::{Decoder, Ready},
};

/// PostgreSQL's log as a source of changes.
pub struct PostgresSource {
    approach: Arc<Approach>,
    state: Mutex<State>,
}

struct State {
    session: Option<Session>,
    /// Which life of the server and the slot this is; another one is not read.
    epoch: Option<Epoch>,
    phase: Phase,
    /// On the way to where the phase can be read. A call that is dropped leaves it as far as it has come: were each
    /// to begin anew, calls that are dropped sooner than that takes would never read anything.
    approaching: Option<BoxFuture<'static, SourceResult<Arrived>>>,
    /// What broke since, and how often in a row.
    broken: Option<Error>,
    failures: u32,
    /// Read, and not taken: a call that is dropped leaves it here.
    ready: Ready,
}

pub(crate) enum Phase {
    /// Not started, or closed.
    Idle,
    /// To be read, once there is a connection.
    Snapshot {
        snapshot: Snapshot,
        connection: Option<Connection>,
    },
    Stream(Option<Streaming>),
}

impl Phase {
    /// Whether it can be read.
    fn has_begun(&self) -> bool {
        matches!(self, Self::Snapshot { connection: Some(_), .. } | Self::Stream(Some(_)))
    }

    /// After something broke: nothing of the connections is used again.
    pub(crate) fn disconnect(&mut self) {
        match self {
            Self::Idle => {}
            Self::Snapshot { connection, .. } => *connection = None,
            Self::Stream(streaming) => *streaming = None,
        }
    }
}

pub(crate) struct Streaming {
    pub(crate) receiver: Receiver,
    pub(crate) decoder: Decoder,
}

impl PostgresSource {
    /// Nothing is connected yet.
    #[must_use]
    pub fn new(settings: Settings, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let state = State {
            session: None,
            epoch: None,
            phase: Phase::Idle,
            approaching: None,
            broken: None,
            failures: 0,
            ready: Ready::new(),
        };
        Self { approach: Arc::new(Approach::new(settings, clock, random)), state: Mutex::new(state) }
    }

    /// Drops the slot and forgets it: the next [`open`](Source::open) makes it anew, and its life is another one.
    /// For when a slot was lost, or is not to be read on.
    pub async fn forget_slot(&self) -> SourceResult<()> {
        let forgetting = async {
            let settings = &self.approach.settings;
            let mut control =
                Connection::open(&settings.server, Purpose::Queries, settings.message_bytes_max).await?;
            slot::remove(&mut control, settings).await?;
            control.close().await
        };
        forgetting.await.map_err(into_fatal)
    }

    /// How far the slot is behind, asked by a connection of its own; none if there is no slot.
    pub async fn lag(&self) -> SourceResult<Option<slot::Lag>> {
        let asking = async {
            let settings = &self.approach.settings;
            let mut control =
                Connection::open(&settings.server, Purpose::Queries, settings.message_bytes_max).await?;
            let lag = slot::lag(&mut control, settings).await?;
            control.close().await?;
            Ok(lag)
        };
        asking.await.map_err(into_fatal)
    }

    /// Reads until something is ready. What breaks on the way is for the caller to mend.
    async fn fill(&self, state: &mut State) -> Result<()> {
        let State { session, phase, ready, .. } = state;
        let session = session.as_mut().ok_or_else(|| Error::Io(std::io::ErrorKind::NotConnected.into()))?;
        let Approach { settings, clock, shared, .. } = &*self.approach;
        match phase {
            Phase::Snapshot { snapshot, connection: Some(connection) } => {
                let types = session.types.clone();
                tokio::select! {
                    biased;
                    read = snapshot.next(connection, settings, &types, &**clock, ready) => read?,
                    error = session.broken() => return Err(error),
                }
                if matches!(ready.back(), Some((Read::SnapshotEnd, _))) {
                    *phase = Phase::Stream(None);
                }
                Ok(())
            }
            Phase::Stream(Some(streaming)) => {
                let piece = tokio::select! {
                    biased;
                    piece = streaming.receiver.next() => piece?,
                    error = session.broken() => return Err(error),
                };
                streaming.decoder.take(&piece, &**clock, shared, ready)
            }
            Phase::Idle | Phase::Snapshot { .. } | Phase::Stream(None) => Err(closed()),
        }
    }

    /// Comes to where the phase can be read, unless it is there.
    async fn arrive(&self, state: &mut State) -> SourceResult<()> {
        if state.session.is_some() && state.phase.has_begun() {
            return Ok(());
        }
        let approaching = match &mut state.approaching {
            Some(approaching) => approaching,
            None => {
                if matches!(state.phase, Phase::Idle) {
                    return Err(into_fatal(closed()));
                }
                let phase = std::mem::replace(&mut state.phase, Phase::Idle);
                let start = Start {
                    session: state.session.take(),
                    known: state.epoch.clone(),
                    phase,
                    broken: state.broken.take(),
                    failures: state.failures,
                };
                let run = Arc::clone(&self.approach).run(start);
                state.approaching.insert(Box::pin(run))
            }
        };
        let arrived = approaching.await;
        state.approaching = None;
        let Arrived { session, phase } = arrived?;
        state.session = Some(session);
        state.phase = phase;
        Ok(())
    }

    /// A transaction whose changes are all confirmed is confirmed once its end is read: it may be on its way.
    async fn reach_commit(&self, streaming: &mut Streaming) {
        const GRACE: std::time::Duration = std::time::Duration::from_millis(200);
        let reaching = async {
            let Approach { clock, shared, .. } = &*self.approach;
            while shared.progress.lock().lacks_only_the_end() {
                let piece = streaming.receiver.next().await?;
                streaming.decoder.take(&piece, &**clock, shared, &mut Ready::new())?;
            }
            Ok::<_, Error>(())
        };
        // If it does not come, the transaction comes again, and changes nothing.
        drop(tokio::time::timeout(GRACE, reaching).await);
    }
}

fn closed() -> Error {
    Error::Fatal(SourceError::new(ErrorKind::Closed, "the source is not open"))
}

/// For what is asked once: nobody tries again.
fn into_fatal(error: Error) -> SourceError {
    error.fatal().unwrap_or_else(|e| SourceError::new(ErrorKind::NotReady, e.to_string()))
}

/// Takes from what is ready as much as is wanted.
fn taken(ready: &mut Ready, limit: Limit) -> Vec<Read> {
    let (mut taken, mut bytes) = (Vec::new(), 0);
    while taken.len() < limit.changes && bytes < limit.bytes {
        let Some((read, size)) = ready.pop_front() else { break };
        bytes += size;
        taken.push(read);
    }
    taken
}

#[async_trait]
impl Source for PostgresSource {
    async fn open(&self) -> SourceResult<Opened> {
        let mut state = self.state.lock().await;
        let session = self.approach.connect(state.epoch.as_ref()).await?;
        let epoch = session.epoch.clone();
        state.session = Some(session);
        state.epoch = Some(epoch.clone());
        // Whoever reads it for the first time may find rows that are older than the slot.
        Ok(Opened { epoch, has_rows_before: true })
    }

    async fn start(&self, snapshot: Option<u32>) -> SourceResult<()> {
        let mut state = self.state.lock().await;
        let epoch = state.epoch.as_ref().ok_or_else(|| into_fatal(closed()))?;
        state.phase = match snapshot {
            None => Phase::Stream(None),
            Some(pass) => {
                let snapshot = Snapshot::new(Partition::snapshot(epoch, pass));
                Phase::Snapshot { snapshot, connection: None }
            }
        };
        Ok(())
    }

    async fn read(&self, limit: Limit) -> SourceResult<Vec<Read>> {
        let mut state = self.state.lock().await;
        loop {
            self.fill_at_hand(&mut state, limit)?;
            if !state.ready.is_empty() {
                return Ok(taken(&mut state.ready, limit));
            }
            self.arrive(&mut state).await?;
            match self.fill(&mut state).await {
                Ok(()) => state.failures = 0,
                Err(e) => {
                    state.session = None;
                    state.phase.disconnect();
                    state.broken = Some(e);
                    state.failures += 1;
                }
            }
        }
    }

    async fn confirm(&self, position: &Position) {
        let mut progress = self.approach.shared.progress.lock();
        // A snapshot's rows are no part of the log.
        if progress.is_of(&position.partition) {
            progress.confirm(position.offset);
        }
    }

    fn last_lag(&self) -> Option<SlotLag> {
        self.approach.shared.lag.lock().clone()
    }

    async fn close(&self) -> SourceResult<()> {
        let mut state = self.state.lock().await;
        let mut phase = std::mem::replace(&mut state.phase, Phase::Idle);
        state.approaching = None;
        state.broken = None;
        state.ready.clear();
        if let Phase::Stream(Some(streaming)) = &mut phase {
            self.reach_commit(streaming).await;
        }
        let Some(mut session) = state.session.take() else { return Ok(()) };
        if let Err(e) = session.close().await {
            // What was not told comes again, and changes nothing.
            warn!(error = %e, "the server could not be told what is confirmed");
            return Ok(());
        }
        if let Phase::Stream(Some(streaming)) = phase {
            leave(streaming.receiver).await;
        }
        Ok(())
    }
}

impl PostgresSource {
    /// Takes in what has come already, up to what is wanted: no call for each piece.
    fn fill_at_hand(&self, state: &mut State, limit: Limit) -> SourceResult<()> {
        let State { phase: Phase::Stream(Some(streaming)), ready, .. } = state else { return Ok(()) };
        let Approach { clock, shared, .. } = &*self.approach;
        let mut bytes: usize = ready.iter().map(|(_, bytes)| bytes).sum();
        while ready.len() < limit.changes && bytes < limit.bytes {
            let before = ready.len();
            match streaming.receiver.at_hand() {
                Ok(Some(piece)) => {
                    let taken = streaming.decoder.take(&piece, &**clock, shared, ready);
                    if let Err(e) = taken {
                        return Err(into_fatal(e));
                    }
                    bytes += ready.iter().skip(before).map(|(_, bytes)| bytes).sum::<usize>();
                }
                // What broke, or comes later, the waiting call finds.
                Ok(None) | Err(_) => break,
            }
        }
        Ok(())
    }
}

/// Waits until the server has taken what was told, so that the next process finds the slot free.
async fn leave(mut receiver: Receiver) {
    const GRACE: std::time::Duration = std::time::Duration::from_secs(2);
    let leaving = async { while receiver.next().await.is_ok() {} };
    drop(tokio::time::timeout(GRACE, leaving).await);
}
