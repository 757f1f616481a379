//! What a pipeline has measured, as one document: what the metrics file holds, what operators are shown, and what a
//! dashboard or a report is made of, in this process or in another.

use serde::{Deserialize, Serialize};

use super::{Pipeline, Recent};
use crate::{clock::Moment, latency::Report, source::SlotLag};

/// What a pipeline has measured so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// When this was written down.
    pub at: Moment,
    /// Since when it counts.
    pub since: Moment,
    /// `opening`, `snapshot` or `streaming`; `stopped` or `failed` once it has ended.
    pub state: String,
    /// Events that are done.
    pub events: u64,
    /// Events that were read before and came again, around a snapshot.
    pub again: u64,
    /// How fast they came.
    pub pace: Pace,
    /// Writes that their handlers wanted.
    pub writes: u64,
    /// Changes that are no events.
    pub passed_over: u64,
    /// Dead letters written.
    pub dead_letters: u64,
    /// Attempts of a sink that failed.
    pub retries: u64,
    /// How far the source's slot is behind, if that is known.
    #[serde(default)]
    pub slot: Option<SlotLag>,
    /// The last events, the newest first.
    #[serde(default)]
    pub recent: Vec<Recent>,
    /// How long events took, by stage, in all and by event type.
    pub latency: Report,
}

/// How fast events came, by the seconds of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pace {
    /// Events in the last second that is over.
    pub last_second: u64,
    /// Seconds in which there were any.
    pub active_seconds: u64,
    /// The most in one second.
    pub per_second_max: u64,
}

impl Pace {
    /// Events a second, over those seconds in which there were any.
    #[must_use]
    pub fn sustained(&self, events: u64) -> f64 {
        if self.active_seconds == 0 { 0.0 } else { events as f64 / self.active_seconds as f64 }
    }
}

impl Pipeline {
    /// What it has measured so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let (core, tally) = (&*self.core, self.tally());
        let at = core.parts.clock.now();
        Figures {
            at,
            since: core.since,
            state: core.state.borrow().as_str().to_owned(),
            events: tally.events(),
            again: tally.again(),
            pace: tally.pace(at),
            writes: tally.writes(),
            passed_over: tally.passed_over(),
            dead_letters: tally.letters(),
            retries: tally.retries(),
            slot: core.parts.source.last_lag(),
            recent: tally.recent(),
            latency: core.latency.report(),
        }
    }
}
