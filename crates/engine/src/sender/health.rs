//! A circuit breaker per connection.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use serde::Serialize;
use streamer_protocol::ConnectionId;
use tokio::time::Instant;

/// When a connection's circuit opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// So many failures in a row open the circuit.
    pub failures_max: u32,
    /// So long an open circuit lets nothing through; then one send tries the connection.
    pub open_for: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures_max: 3, open_for: Duration::from_secs(30) }
    }
}

/// Whether sends to a connection go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// They do; some have failed of late.
    Closed,
    /// They do not.
    Open,
    /// The next one tries.
    HalfOpen,
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

/// The health of connections. Holds only those that are unwell; well ones cost nothing.
#[derive(Debug)]
pub(super) struct Health {
    settings: BreakerSettings,
    unwell: Mutex<HashMap<ConnectionId, Unwell>>,
}

#[derive(Debug)]
struct Unwell {
    failures: u32,
    /// When the circuit lets one send through again; `None` while it is closed.
    try_at: Option<Instant>,
}

impl Health {
    pub(super) fn new(settings: BreakerSettings) -> Self {
        Self { settings, unwell: Mutex::default() }
    }

    /// Whether a send may go through. An open circuit whose time has come lets one through, and none beside it.
    pub(super) fn may_try(&self, id: &ConnectionId) -> bool {
        let mut all = self.unwell.lock();
        let Some(unwell) = all.get_mut(id) else { return true };
        match unwell.try_at {
            None => true,
            Some(at) if Instant::now() >= at => {
                unwell.try_at = Some(Instant::now() + self.settings.open_for);
                true
            }
            Some(_) => false,
        }
    }

    pub(super) fn succeeded(&self, id: &ConnectionId) {
        let mut all = self.unwell.lock();
        let Some(unwell) = all.remove(id) else { return };
        if unwell.try_at.is_some() {
            metrics::counter!("streamer_breaker_transitions_total", "to" => "closed").increment(1);
        }
        show(&all);
    }

    pub(super) fn failed(&self, id: &ConnectionId) {
        let mut all = self.unwell.lock();
        let unwell = all.entry(id.clone()).or_insert(Unwell { failures: 0, try_at: None });
        unwell.failures += 1;
        if unwell.failures >= self.settings.failures_max {
            if unwell.try_at.is_none() {
                metrics::counter!("streamer_breaker_transitions_total", "to" => "open").increment(1);
            }
            unwell.try_at = Some(Instant::now() + self.settings.open_for);
        }
        show(&all);
    }

    pub(super) fn forget(&self, id: &ConnectionId) {
        let mut all = self.unwell.lock();
        if all.remove(id).is_some() {
            show(&all);
        }
    }

    pub(super) fn measure(&self) {
        show(&self.unwell.lock());
    }

    pub(super) fn unwell(&self) -> Vec<ConnectionHealth> {
        let now = Instant::now();
        let all = self.unwell.lock();
        all.iter()
            .map(|(id, unwell)| ConnectionHealth {
                connection_id: id.clone(),
                failures: unwell.failures,
                breaker: match unwell.try_at {
                    None => BreakerState::Closed,
                    Some(at) if now >= at => BreakerState::HalfOpen,
                    Some(_) => BreakerState::Open,
                },
            })
            .collect()
    }
}

fn show(all: &HashMap<ConnectionId, Unwell>) {
    let open = all.values().filter(|unwell| unwell.try_at.is_some()).count();
    metrics::gauge!("streamer_breakers_open").set(open as f64);
    metrics::gauge!("streamer_connections_unwell").set(all.len() as f64);
}
