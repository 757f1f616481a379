//! Sends an application's messages to connections: with retries, and without running against a wall.

mod error;

use std::{
    slice,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use streamer_protocol::{CloseCode, ConnectionId};
use tokio::time::Instant;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::{
    Frame,
    backoff::Backoff,
    breaker::{BreakerSettings, BreakerState, Breakers},
    push::{self, Push},
    random::Random,
    store::SharedStore,
};

pub use error::SendError;

/// Between the tries of one send.
const SEND_BACKOFF: Backoff = Backoff { base: Duration::from_millis(100), max: Duration::from_secs(5) };

/// A message to many goes to at most so many in one go: less than a millisecond, at some microseconds for each.
const QUEUE_MAX: usize = 128;

/// If something waits for more than this part of those that a broadcast goes to, it waits too.
const BEHIND_FRACTION: usize = 4;

/// How often a send is tried again when its fault may pass.
const SEND_RETRIES: u32 = 3;

/// Sends to connections. What it does is counted and timed.
pub struct Sender {
    store: SharedStore,
    push: Arc<dyn Push>,
    random: Arc<dyn Random>,
    health: Breakers<ConnectionId>,
    /// How many broadcasts are under way.
    broadcasts: AtomicUsize,
}

/// A connection to which sends have failed of late.
#[derive(Debug, Clone, Serialize)]
pub struct ConnectionHealth {
    /// The connection.
    pub connection_id: ConnectionId,
    /// How often in a row.
    pub failures: u32,
    /// Whether sends go through.
    pub breaker: BreakerState,
}

/// What became of a broadcast.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Broadcast {
    /// How many connections took the message.
    pub delivered: usize,
    /// Which did not, and why. Those with an open circuit were not tried.
    pub failed: Vec<(ConnectionId, SendError)>,
}

impl Sender {
    /// Over the ports it needs.
    #[must_use]
    pub fn new(
        store: SharedStore,
        push: Arc<dyn Push>,
        random: Arc<dyn Random>,
        breaker: BreakerSettings,
    ) -> Self {
        let (health, broadcasts) = (Breakers::new(breaker, "connections"), AtomicUsize::new(0));
        Self { store, push, random, health, broadcasts }
    }

    /// Sends `message` as one JSON text frame. A passing fault is tried again up to three times; a connection
    /// that is gone is removed from the store. After three failures in a row the connection's circuit opens.
    pub async fn send<T: Serialize + ?Sized>(&self, to: &ConnectionId, message: &T) -> Result<(), SendError> {
        let frame = Frame::message(message).map_err(|_| SendError::Unencodable)?;
        self.send_frame(to, frame).await
    }

    /// As [`send`](Self::send), of what is encoded already.
    pub async fn send_frame(&self, to: &ConnectionId, frame: Frame) -> Result<(), SendError> {
        let started = Instant::now();
        let correlation_id = self.correlation_id();
        let sent = self.try_send(to, frame, &correlation_id).await;
        metrics::histogram!("streamer_send_duration_seconds").record(started.elapsed().as_secs_f64());
        match &sent {
            Ok(()) => debug!(%correlation_id, operation = "send", connection_id = %to, "sent"),
            Err(e) => {
                metrics::counter!("streamer_send_errors_total", "type" => e.as_str()).increment(1);
                warn!(%correlation_id, operation = "send", connection_id = %to, error = %e, "could not send");
            }
        }
        sent
    }

    async fn try_send(&self, to: &ConnectionId, frame: Frame, correlation_id: &str) -> Result<(), SendError> {
        if self.health.admit(to).is_err() {
            return Err(SendError::CircuitOpen);
        }
        let mut failures = 0;
        loop {
            match self.push.push(to, frame.clone()).await {
                Ok(()) => {
                    self.health.succeeded(to);
                    return Ok(());
                }
                Err(push::Error::Busy) => {
                    failures += 1;
                    if failures > SEND_RETRIES {
                        self.failed(to).await;
                        return Err(SendError::Unavailable);
                    }
                    debug!(correlation_id, connection_id = %to, failures, "no room: trying again");
                    tokio::time::sleep(SEND_BACKOFF.after(failures, self.random.as_ref())).await;
                }
                Err(push::Error::Gone) => return Err(self.gone(to).await),
                Err(push::Error::TooLarge) => return Err(SendError::TooLarge),
                Err(push::Error::ShuttingDown) => return Err(SendError::ShuttingDown),
            }
        }
    }

    /// Sends `message` to many connections at once, encoded once. Connections with an open circuit are skipped;
    /// no failure holds up the others, and none is tried again.
    pub async fn broadcast<T: Serialize + ?Sized>(
        &self,
        to: &[ConnectionId],
        message: &T,
    ) -> Result<Broadcast, SendError> {
        let frame = Frame::message(message).map_err(|_| SendError::Unencodable)?;
        Ok(self.broadcast_frame(to, frame).await)
    }

    /// A broadcast alone is written at once, as a topic's messages are: it is there sooner. While there is another, or
    /// much of one before still waits, it is queued: what they have for a connection leaves in one write.
    async fn hand_out(&self, to: &[ConnectionId], frame: &Frame) -> Vec<push::Result<()>> {
        let under_way = UnderWay::one_more(&self.broadcasts);
        if under_way.is_alone && self.push.behind() <= to.len() / BEHIND_FRACTION {
            self.push.push_many(to, slice::from_ref(frame)).await
        } else {
            self.queue(to, frame).await
        }
    }

    async fn queue(&self, to: &[ConnectionId], frame: &Frame) -> Vec<push::Result<()>> {
        let mut pushed = Vec::with_capacity(to.len());
        for some in to.chunks(QUEUE_MAX) {
            if !pushed.is_empty() {
                // Those who have it already may write it, and everybody else on this core goes on.
                tokio::task::yield_now().await;
            }
            for id in some {
                pushed.push(self.push.push(id, frame.clone()).await);
            }
        }
        pushed
    }

    /// As [`broadcast`](Self::broadcast), of what is encoded already.
    pub async fn broadcast_frame(&self, to: &[ConnectionId], frame: Frame) -> Broadcast {
        let started = Instant::now();
        let (tried, skipped): (Vec<_>, Vec<_>) =
            to.iter().cloned().partition(|id| self.health.admit(id).is_ok());
        let mut broadcast = Broadcast::default();
        broadcast.failed.extend(skipped.into_iter().map(|id| (id, SendError::CircuitOpen)));
        let pushed = self.hand_out(&tried, &frame).await;
        for (id, pushed) in tried.into_iter().zip(pushed) {
            let failure = match pushed {
                Ok(()) => {
                    self.health.succeeded(&id);
                    broadcast.delivered += 1;
                    continue;
                }
                Err(push::Error::Busy) => {
                    self.failed(&id).await;
                    SendError::Unavailable
                }
                Err(push::Error::Gone) => self.gone(&id).await,
                Err(push::Error::TooLarge) => SendError::TooLarge,
                Err(push::Error::ShuttingDown) => SendError::ShuttingDown,
            };
            broadcast.failed.push((id, failure));
        }
        for (_, failure) in &broadcast.failed {
            metrics::counter!("streamer_send_errors_total", "type" => failure.as_str()).increment(1);
        }
        metrics::histogram!("streamer_broadcast_duration_seconds").record(started.elapsed().as_secs_f64());
        metrics::counter!("streamer_broadcast_deliveries_total").increment(broadcast.delivered as u64);
        debug!(
            correlation_id = self.correlation_id(),
            operation = "broadcast",
            delivered = broadcast.delivered,
            failed = broadcast.failed.len(),
            "broadcast"
        );
        broadcast
    }

    /// Whether the connection is there.
    pub async fn is_active(&self, id: &ConnectionId) -> bool {
        let active = self.push.is_active(id).await;
        let correlation_id = self.correlation_id();
        debug!(correlation_id, operation = "is_active", connection_id = %id, active, "looked");
        active
    }

    /// Closes a connection. Gone already is [`SendError::NotFound`].
    pub async fn disconnect(&self, id: &ConnectionId, why: CloseCode) -> Result<(), SendError> {
        let correlation_id = self.correlation_id();
        let asked = match self.push.disconnect(id, why).await {
            Ok(()) => Ok(()),
            Err(push::Error::Gone) => Err(self.gone(id).await),
            Err(push::Error::ShuttingDown) => Err(SendError::ShuttingDown),
            Err(push::Error::Busy | push::Error::TooLarge) => Err(SendError::Unavailable),
        };
        match &asked {
            Ok(()) => debug!(
                correlation_id,
                operation = "disconnect",
                connection_id = %id,
                code = why.as_u16(),
                "asked to close"
            ),
            Err(e) => {
                warn!(correlation_id, operation = "disconnect", connection_id = %id, error = %e, "could not disconnect");
            }
        }
        asked
    }

    /// The connections to which sends have failed of late.
    #[must_use]
    pub fn unwell(&self) -> Vec<ConnectionHealth> {
        let health =
            |(connection_id, failures, breaker)| ConnectionHealth { connection_id, failures, breaker };
        self.health.unwell().into_iter().map(health).collect()
    }

    /// Shows in the metrics how many connections are unwell.
    pub(crate) fn measure(&self) {
        metrics::gauge!("streamer_connections_unwell").set(self.health.measure() as f64);
    }

    /// Forgets what is known of a connection's health.
    pub(crate) fn forget(&self, id: &ConnectionId) {
        self.health.forget(id);
    }

    /// Counts a failure. Of a connection that has ended meanwhile nothing is kept.
    async fn failed(&self, id: &ConnectionId) {
        self.health.failed(id);
        if !self.push.is_active(id).await {
            self.health.forget(id);
        }
    }

    /// A record without a connection is stale: it is removed.
    async fn gone(&self, id: &ConnectionId) -> SendError {
        self.health.forget(id);
        match self.store.disconnect(id).await {
            Ok(Some(_)) => SendError::Stale,
            Ok(None) => SendError::NotFound,
            Err(e) => {
                warn!(connection_id = %id, error = %e, "a stale connection could not be removed");
                SendError::Stale
            }
        }
    }

    fn correlation_id(&self) -> String {
        Uuid::from_u64_pair(self.random.next_u64(), self.random.next_u64()).to_string()
    }
}

/// One of the broadcasts that are under way, until it is dropped.
struct UnderWay<'a> {
    count: &'a AtomicUsize,
    is_alone: bool,
}

impl<'a> UnderWay<'a> {
    fn one_more(count: &'a AtomicUsize) -> Self {
        let is_alone = count.fetch_add(1, Ordering::Relaxed) == 0;
        Self { count, is_alone }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}
