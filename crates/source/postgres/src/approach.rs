//! On the way to where changes can be read: connects, and begins the snapshot or the stream.

use std::sync::Arc;

use parking_lot::Mutex;
use streamer_events::{
    Epoch, Partition,
    clock::Clock,
    random::Random,
    source::{Error as SourceError, ErrorKind, Result as SourceResult},
};
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::{
    connection::{Connection, Purpose},
    error::{Error, Result},
    progress::Progress,
    session::Session,
    settings::Settings,
    snapshot::Snapshot,
    source::{Phase, Streaming},
    stream::{Decoder, Shared},
};

/// What is needed to come there.
pub(crate) struct Approach {
    pub(crate) settings: Arc<Settings>,
    pub(crate) clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    pub(crate) shared: Arc<Shared>,
}

/// Where it begins.
pub(crate) struct Start {
    /// None: it connects first.
    pub(crate) session: Option<Session>,
    /// The only life of the server and the slot that will do, if there is one.
    pub(crate) known: Option<Epoch>,
    pub(crate) phase: Phase,
    /// What broke, and how often in a row something did: there is a wait before the first attempt.
    pub(crate) broken: Option<Error>,
    pub(crate) failures: u32,
}

/// There: everything that has to be begun has begun.
pub(crate) struct Arrived {
    pub(crate) session: Session,
    pub(crate) phase: Phase,
}

impl Approach {
    pub(crate) fn new(settings: Settings, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let shared =
            Shared { progress: Mutex::new(Progress::default()), asked: Notify::new(), lag: Mutex::new(None) };
        Self { settings: Arc::new(settings), clock, random, shared: Arc::new(shared) }
    }

    /// Comes there, trying again for as long as it may help.
    pub(crate) async fn run(self: Arc<Self>, start: Start) -> SourceResult<Arrived> {
        let Start { mut session, known, mut phase, mut broken, mut failures } = start;
        loop {
            if let Some(broken) = broken.take() {
                self.wait_out(failures, broken).await?;
            }
            let mut connected = match session.take() {
                Some(session) => session,
                None => self.connect(known.as_ref()).await?,
            };
            match self.begin(&mut connected, &mut phase).await {
                Ok(()) => return Ok(Arrived { session: connected, phase }),
                Err(e) => {
                    phase.disconnect();
                    broken = Some(e);
                    failures += 1;
                }
            }
        }
    }

    /// Connects, trying again for as long as it may help.
    pub(crate) async fn connect(&self, known: Option<&Epoch>) -> SourceResult<Session> {
        let mut failures = 0;
        loop {
            match Session::open(&self.settings).await {
                Ok(session) if known.is_some_and(|known| *known != session.epoch) => {
                    let epoch = &session.epoch;
                    let message =
                        format!("the server or the slot is not the one that was read (it is {epoch})");
                    return Err(
                        SourceError::new(ErrorKind::Lost, message).mended_by("streamer events resnapshot")
                    );
                }
                Ok(session) => return Ok(session),
                Err(e) => {
                    failures += 1;
                    self.wait_out(failures, e).await?;
                }
            }
        }
    }

    /// Waits before another attempt, unless none can help.
    async fn wait_out(&self, failures: u32, error: Error) -> SourceResult<()> {
        let error = match error.fatal() {
            Ok(fatal) => return Err(fatal),
            Err(passing) => passing,
        };
        let wait = self.settings.backoff.after(failures, &*self.random);
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        warn!(server = ?self.settings.server, failures, wait_ms, error = %error, "the source cannot be reached");
        tokio::time::sleep(wait).await;
        Ok(())
    }

    async fn begin(&self, session: &mut Session, phase: &mut Phase) -> Result<()> {
        match phase {
            Phase::Snapshot { snapshot, connection: connection @ None } => {
                *connection = Some(self.begin_snapshot(session, snapshot).await?);
                session.beat(&self.settings, &self.shared, &self.clock);
            }
            Phase::Stream(streaming @ None) => *streaming = Some(self.begin_stream(session).await?),
            Phase::Idle | Phase::Snapshot { .. } | Phase::Stream(_) => {}
        }
        Ok(())
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
}
