//! What goes on beside the reading: telling the server how far we are, and looking after the slot.

use std::sync::Arc;

use streamer_events::{
    change::Lsn,
    clock::Clock,
    failpoint::{self, Step},
    source::SlotLag,
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    connection::{Connection, Sender},
    error::Result,
    settings::Settings,
    slot,
    stream::{EPOCH_2000_MICROS, Shared},
};

/// Beats as long as a session lasts.
pub(crate) struct Heart {
    pub(crate) control: Connection,
    pub(crate) settings: Arc<Settings>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The half of the stream's connection that writes, once it streams.
    pub(crate) senders: mpsc::Receiver<Sender>,
    pub(crate) sender: Option<Sender>,
    /// The furthest position that is written down; none beyond it is told to the server.
    pub(crate) reported: Lsn,
    pub(crate) has_warned: bool,
}

impl Heart {
    /// Beats until `stop`; then tells the server what is confirmed and says goodbye. An error ends the session.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<()> {
        let ticks = |every| {
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let shared = Arc::clone(&self.shared);
        let mut confirms = ticks(self.settings.confirm_interval);
        let mut heartbeats = ticks(self.settings.heartbeat_interval);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.end().await,
                Some(sender) = self.senders.recv(), if self.sender.is_none() => self.sender = Some(sender),
                () = shared.asked.notified() => self.tell().await?,
                _ = confirms.tick() => {
                    let confirmed = self.shared.progress.lock().flushed_by_changes();
                    self.write_down(confirmed).await?;
                    self.tell().await?;
                }
                _ = heartbeats.tick() => self.beat().await?,
            }
        }
    }

    /// Writes down how far the server will be told.
    async fn write_down(&mut self, upto: Lsn) -> Result<()> {
        if upto > self.reported {
            slot::report(&mut self.control, &self.settings, upto).await?;
            self.reported = upto;
        }
        Ok(())
    }

    async fn tell(&mut self) -> Result<()> {
        let Some(sender) = &mut self.sender else { return Ok(()) };
        let flushed = self.shared.progress.lock().flushed().min(self.reported);
        let now = self.clock.now().as_micros().saturating_sub(EPOCH_2000_MICROS);
        failpoint::around(Step::Confirm, sender.confirm(flushed, now)).await
    }

    /// Moves an idle slot on, and looks how far it is behind.
    async fn beat(&mut self) -> Result<()> {
        let flushed = self.shared.progress.lock().flushed();
        self.write_down(flushed).await?;
        self.tell().await?;
        self.control.query("SELECT pg_logical_emit_message(false, 'streamer', '')").await?;
        let Some(lag) = slot::lag(&mut self.control, &self.settings).await? else { return Ok(()) };
        metrics::gauge!("streamer_events_slot_lag_bytes").set(lag.bytes as f64);
        metrics::gauge!("streamer_events_slot_retained_bytes").set(lag.retained_bytes as f64);
        let waits_since = self.shared.progress.lock().waits_since();
        let waits = waits_since.map_or(0, |since| self.clock.now().micros_since(since).max(0));
        metrics::gauge!("streamer_events_slot_lag_seconds").set(waits as f64 / 1e6);
        *self.shared.lag.lock() = Some(SlotLag {
            bytes: lag.bytes,
            seconds: waits as f64 / 1e6,
            retained_bytes: lag.retained_bytes,
            wal_status: lag.wal_status.clone(),
        });
        let is_much =
            lag.retained_bytes > self.settings.retained_bytes_warn || lag.wal_status == "unreserved";
        match (is_much, self.has_warned) {
            (true, false) => warn!(
                slot = %self.settings.slot,
                retained_bytes = lag.retained_bytes,
                wal_status = %lag.wal_status,
                "the slot keeps much of the server's log"
            ),
            (false, true) => {
                info!(slot = %self.settings.slot, "the slot keeps little of the server's log again")
            }
            _ => {}
        }
        self.has_warned = is_much;
        Ok(())
    }

    async fn end(mut self) -> Result<()> {
        if self.sender.is_none() {
            // It may have come with the word to stop.
            self.sender = self.senders.try_recv().ok();
        }
        let flushed = self.shared.progress.lock().flushed();
        self.write_down(flushed).await?;
        self.tell().await?;
        if let Some(sender) = &mut self.sender {
            sender.end_stream().await?;
        }
        self.control.close().await
    }
}
