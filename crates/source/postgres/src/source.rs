//! The source: what the pipeline reads.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex as Lock;
use streamer_events::{
    Epoch, Partition, Position,
    clock::Clock,
    random::Random,
    source::{Error as SourceError, ErrorKind, Limit, Opened, Read, Result as SourceResult, Source},
};
use tokio::sync::{Mutex, Notify};
use tracing::{info, warn};

use crate::{
    connection::{Connection, Purpose, Receiver},
    error::{Error, Result},
    progress::Progress,
    session::Session,
    settings::Settings,
    slot,
    snapshot::Snapshot,
    stream::{Decoder, Ready, Shared},
};

/// PostgreSQL's log as a source of changes.
pub struct PostgresSource {
    settings: Arc<Settings>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    shared: Arc<Shared>,
    state: Mutex<State>,
}

struct State {
    session: Option<Session>,
    /// Which life of the server and the slot this is; another one is not read.
    epoch: Option<Epoch>,
    phase: Phase,
    /// Read, and not taken: a call that is dropped leaves it here.
    ready: Ready,
}

enum Phase {
    /// Not started, or closed.
    Idle,
    /// To be read, once there is a connection.
    Snapshot {
        snapshot: Snapshot,
        connection: Option<Connection>,
    },
    Stream(Option<Streaming>),
}

struct Streaming {
    receiver: Receiver,
    decoder: Decoder,
}

impl PostgresSource {
    /// Nothing is connected yet.
    #[must_use]
    pub fn new(settings: Settings, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let shared = Shared { progress: Lock::new(Progress::default()), asked: Notify::new() };
        let state = State { session: None, epoch: None, phase: Phase::Idle, ready: Ready::new() };
        Self {
            settings: Arc::new(settings),
            clock,
            random,
            shared: Arc::new(shared),
            state: Mutex::new(state),
        }
    }

    /// Drops the slot and forgets it: the next [`open`](Source::open) makes it anew, and its life is another one.
    /// For when a slot was lost, or is not to be read on.
    pub async fn forget_slot(&self) -> SourceResult<()> {
        let forgetting = async {
            let settings = &self.settings;
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
            let settings = &self.settings;
            let mut control =
                Connection::open(&settings.server, Purpose::Queries, settings.message_bytes_max).await?;
            let lag = slot::lag(&mut control, settings).await?;
            control.close().await?;
            Ok(lag)
        };
        asking.await.map_err(into_fatal)
    }

    /// Connects, trying again for as long as it may help.
    async fn connect(&self, state: &mut State) -> SourceResult<Epoch> {
        let mut failures = 0;
        loop {
            let error = match Session::open(&self.settings).await {
                Ok(session) => {
                    let epoch = session.epoch.clone();
                    if state.epoch.as_ref().is_some_and(|known| *known != epoch) {
                        let message =
                            format!("the server or the slot is not the one that was read (it is {epoch})");
                        return Err(SourceError::new(ErrorKind::Lost, message)
                            .mended_by("streamer events resnapshot"));
                    }
                    state.session = Some(session);
                    return Ok(epoch);
                }
                Err(e) => e,
            };
            self.wait_out(&mut failures, error).await?;
        }
    }

    /// Waits before another attempt, unless none can help.
    async fn wait_out(&self, failures: &mut u32, error: Error) -> SourceResult<()> {
        let error = match error.fatal() {
            Ok(fatal) => return Err(fatal),
            Err(passing) => passing,
        };
        *failures += 1;
        let wait = self.settings.backoff.after(*failures, &*self.random);
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        warn!(server = ?self.settings.server, failures = *failures, wait_ms, error = %error, "the source cannot be reached");
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Reads until something is ready. What breaks on the way is for the caller to mend.
    async fn fill(&self, state: &mut State) -> Result<()> {
        let State { session, phase, ready, .. } = state;
        let session = session.as_mut().ok_or_else(|| Error::Io(std::io::ErrorKind::NotConnected.into()))?;
        let settings = &self.settings;
        match phase {
            Phase::Idle => Err(closed()),
            Phase::Snapshot { snapshot, connection } => {
                if connection.is_none() {
                    *connection = Some(self.begin_snapshot(session, snapshot).await?);
                    session.beat(settings, &self.shared, &self.clock);
                }
                let Some(connection) = connection else { return Ok(()) };
                let types = session.types.clone();
                tokio::select! {
                    biased;
                    read = snapshot.next(connection, settings, &types, &*self.clock, ready) => read?,
                    error = session.broken() => return Err(error),
                }
                if matches!(ready.back(), Some((Read::SnapshotEnd, _))) {
                    *phase = Phase::Stream(None);
                }
                Ok(())
            }
            Phase::Stream(streaming) => {
                let streaming = match streaming {
                    Some(streaming) => streaming,
                    None => streaming.insert(self.begin_stream(session).await?),
                };
                let piece = tokio::select! {
                    biased;
                    piece = streaming.receiver.next() => piece?,
                    error = session.broken() => return Err(error),
                };
                streaming.decoder.take(&piece, &*self.clock, &self.shared, ready)
            }
        }
    }

    async fn begin_snapshot(&self, session: &mut Session, snapshot: &mut Snapshot) -> Result<Connection> {
        let settings = &self.settings;
        let mut connection =
            Connection::open(&settings.server, Purpose::Queries, settings.message_bytes_max).await?;
        // It is as old as the slot: only good for a snapshot from its beginning.
        let exported = session.slot.exported.take();
        if let Some(overlap) = snapshot.begin(&mut connection, exported.as_deref()).await? {
            session.overlap(settings, overlap).await?;
        }
        info!(exported = exported.is_some(), "the snapshot begins");
        Ok(connection)
    }

    async fn begin_stream(&self, session: &mut Session) -> Result<Streaming> {
        let receiver = session.stream(&self.settings, &self.shared).await?;
        session.beat(&self.settings, &self.shared, &self.clock);
        let partition = Partition::of(&session.epoch, 0);
        let schema = &self.settings.outbox.schema;
        let decoder = Decoder::new(partition, session.types.clone(), session.slot.overlap, schema);
        info!(slot = %self.settings.slot, from = %session.slot.confirmed, "the stream begins");
        Ok(Streaming { receiver, decoder })
    }

    /// A transaction whose changes are all confirmed is confirmed once its end is read: it may be on its way.
    async fn reach_commit(&self, streaming: &mut Streaming) {
        const GRACE: std::time::Duration = std::time::Duration::from_millis(200);
        let reaching = async {
            while self.shared.progress.lock().lacks_only_the_end() {
                let piece = streaming.receiver.next().await?;
                streaming.decoder.take(&piece, &*self.clock, &self.shared, &mut Ready::new())?;
            }
            Ok::<_, Error>(())
        };
        // If it does not come, the transaction comes again, and changes nothing.
        drop(tokio::time::timeout(GRACE, reaching).await);
    }

    /// After something broke: nothing of the connections is used again.
    fn disconnect(state: &mut State) {
        state.session = None;
        match &mut state.phase {
            Phase::Idle => {}
            Phase::Snapshot { connection, .. } => *connection = None,
            Phase::Stream(streaming) => *streaming = None,
        }
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
        let epoch = self.connect(&mut state).await?;
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
        let mut failures = 0;
        loop {
            self.fill_at_hand(&mut state, limit)?;
            if !state.ready.is_empty() {
                return Ok(taken(&mut state.ready, limit));
            }
            if state.session.is_none() && !matches!(state.phase, Phase::Idle) {
                self.connect(&mut state).await?;
            }
            match self.fill(&mut state).await {
                Ok(()) => failures = 0,
                Err(e) => {
                    Self::disconnect(&mut state);
                    self.wait_out(&mut failures, e).await?;
                }
            }
        }
    }

    async fn confirm(&self, position: &Position) {
        let mut progress = self.shared.progress.lock();
        // A snapshot's rows are no part of the log.
        if progress.is_of(&position.partition) {
            progress.confirm(position.offset);
        }
    }

    async fn close(&self) -> SourceResult<()> {
        let mut state = self.state.lock().await;
        let mut phase = std::mem::replace(&mut state.phase, Phase::Idle);
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
        let mut bytes: usize = ready.iter().map(|(_, bytes)| bytes).sum();
        while ready.len() < limit.changes && bytes < limit.bytes {
            let before = ready.len();
            match streaming.receiver.at_hand() {
                Ok(Some(piece)) => {
                    let taken = streaming.decoder.take(&piece, &*self.clock, &self.shared, ready);
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
