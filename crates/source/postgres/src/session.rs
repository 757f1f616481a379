//! One life of the connections: from login to where something breaks.

use std::sync::Arc;

use streamer_events::{Epoch, Partition, change::Lsn, clock::Clock};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    check,
    connection::{Connection, Purpose, Receiver, Sender, literal},
    error::{Error, Result},
    heart::Heart,
    settings::Settings,
    slot::{self, Slot},
    stream::Shared,
    table::{TYPES_QUERY, Types},
};

/// Connections that are ready, and the only ones that read the slot.
pub(crate) struct Session {
    pub(crate) epoch: Epoch,
    pub(crate) slot: Slot,
    pub(crate) types: Types,
    /// Holds the lock that makes us the only ones; until the heart takes it.
    control: Option<Connection>,
    /// Idle until it streams, which keeps an exported snapshot alive.
    replication: Option<Connection>,
    heart: JoinSet<Result<()>>,
    senders: mpsc::Sender<Sender>,
    for_heart: Option<mpsc::Receiver<Sender>>,
    stop: CancellationToken,
}

/// SQLSTATE `object_in_use`.
const IN_USE: &str = "55006";

impl Session {
    /// Connects, checks, waits until nobody else reads the slot, and finds or makes it.
    pub(crate) async fn open(settings: &Settings) -> Result<Self> {
        let mut control =
            Connection::open(&settings.server, Purpose::Queries, settings.message_bytes_max).await?;
        let mut problems = check::server(&mut control, settings).await?;
        problems.extend(check::database(&mut control, settings).await?);
        check::refuse(&problems)?;
        lock(&mut control, settings).await?;
        let types = Types::of(control.query(TYPES_QUERY).await?);
        let mut replication =
            Connection::open(&settings.server, Purpose::Replication, settings.message_bytes_max).await?;
        let (system, timeline) = identity(&mut replication).await?;
        let slot = slot::open(&mut control, &mut replication, settings).await?;
        let epoch = Epoch::Postgres { system, timeline, incarnation: slot.incarnation.clone() };
        let (senders, for_heart) = mpsc::channel(1);
        Ok(Self {
            epoch,
            slot,
            types,
            control: Some(control),
            replication: Some(replication),
            heart: JoinSet::new(),
            senders,
            for_heart: Some(for_heart),
            stop: CancellationToken::new(),
        })
    }

    /// Writes down that changes up to here may be known from a snapshot. Before the heart beats.
    pub(crate) async fn overlap(&mut self, settings: &Settings, upto: Lsn) -> Result<()> {
        self.slot.overlap = self.slot.overlap.max(Some(upto));
        match &mut self.control {
            Some(control) => slot::overlap(control, settings, upto).await,
            None => Ok(()),
        }
    }

    /// Begins to tell the server how far we are.
    pub(crate) fn beat(&mut self, settings: &Arc<Settings>, shared: &Arc<Shared>, clock: &Arc<dyn Clock>) {
        let (Some(control), Some(senders)) = (self.control.take(), self.for_heart.take()) else { return };
        let heart = Heart {
            control,
            settings: Arc::clone(settings),
            shared: Arc::clone(shared),
            clock: Arc::clone(clock),
            senders,
            sender: None,
            reported: self.slot.reported,
            has_warned: false,
        };
        self.heart.spawn(heart.run(self.stop.clone()));
    }

    /// Begins to stream. Waits while the server still holds the slot for a connection that is gone.
    pub(crate) async fn stream(&mut self, settings: &Settings, shared: &Shared) -> Result<Receiver> {
        let mut has_said = false;
        loop {
            let replication = match self.replication.take() {
                Some(replication) => replication,
                None => {
                    Connection::open(&settings.server, Purpose::Replication, settings.message_bytes_max)
                        .await?
                }
            };
            match replication.stream(&settings.slot, &settings.publication).await {
                Ok((sender, receiver)) => {
                    shared.progress.lock().starts_at(&Partition::of(&self.epoch, 0), self.slot.confirmed);
                    // There is room: one sender for one heart.
                    drop(self.senders.try_send(sender));
                    return Ok(receiver);
                }
                Err(e) if e.code() == Some(IN_USE) => {
                    if !std::mem::replace(&mut has_said, true) {
                        info!(slot = %settings.slot, "the slot is read by another connection: waiting for it");
                    }
                    tokio::time::sleep(settings.takeover_interval).await;
                }
                // What the slot stood for is gone: 55000, 42704.
                Err(e) if matches!(e.code(), Some("55000" | "42704")) => {
                    return Err(slot::lost(settings, "can no longer be read", self.slot.reported));
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Comes back when the heart has stopped, which ends the session.
    pub(crate) async fn broken(&mut self) -> Error {
        match self.heart.join_next().await {
            Some(ended) => heart_error(ended),
            // None has begun.
            None => std::future::pending().await,
        }
    }

    /// Tells the server what is confirmed, and leaves it.
    pub(crate) async fn close(&mut self) -> Result<()> {
        self.stop.cancel();
        match self.heart.join_next().await {
            Some(Ok(done)) => done,
            Some(Err(e)) => Err(Error::Io(std::io::Error::other(e))),
            None => match self.control.take() {
                Some(control) => control.close().await,
                None => Ok(()),
            },
        }
    }
}

fn heart_error(ended: std::result::Result<Result<()>, JoinError>) -> Error {
    match ended {
        Ok(Err(e)) => e,
        Ok(Ok(())) => Error::Io(std::io::ErrorKind::ConnectionAborted.into()),
        Err(e) => Error::Io(std::io::Error::other(e)),
    }
}

/// Waits until no other process reads the slot. The lock goes with the connection: the server finds out if we die.
async fn lock(control: &mut Connection, settings: &Settings) -> Result<()> {
    // A peer whose machine vanished is noticed after half a minute, and one that only stopped beating after a few.
    control
        .query("SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 4")
        .await?;
    if control.version() >= 140_000 {
        let idle = settings.heartbeat_interval.max(settings.takeover_interval).as_millis() * 12;
        control.query(&format!("SET idle_session_timeout = {}", idle.max(60_000))).await?;
    }
    let sql = format!(
        "SELECT pg_try_advisory_lock(hashtext('streamer events'), hashtext({}))",
        literal(&settings.slot)
    );
    let mut has_said = false;
    while control.value(&sql).await?.as_deref() != Some("t") {
        if !std::mem::replace(&mut has_said, true) {
            info!(slot = %settings.slot, "another process reads the slot: waiting to take over");
        }
        tokio::time::sleep(settings.takeover_interval).await;
    }
    Ok(())
}

async fn identity(replication: &mut Connection) -> Result<(u64, u32)> {
    let row = replication.query("IDENTIFY_SYSTEM").await?.into_iter().next().unwrap_or_default();
    let mut fields = row.into_iter().flatten();
    let system = fields.next().and_then(|text| text.parse().ok());
    let timeline = fields.next().and_then(|text| text.parse().ok());
    system
        .zip(timeline)
        .ok_or_else(|| Error::Io(std::io::Error::other("the server does not say which it is")))
}
