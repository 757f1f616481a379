//! What was heard, and how it changed.

use std::collections::VecDeque;

use streamer_events::{
    Figures,
    latency::{Spread, Stage},
};

/// So many intervals are remembered: as many as a wide terminal has columns.
pub(super) const INTERVALS_MAX: usize = 400;

/// The current rate is over about this long, in microseconds.
const CURRENT_MICROS: i64 = 2_000_000;

/// Figures, one after the other.
#[derive(Debug, Default)]
pub struct History {
    target: Option<u64>,
    /// Events before the ones that are expected.
    before: u64,
    latest: Option<Figures>,
    /// Why there are no newer ones.
    problem: Option<String>,
    /// When, and how many events by then: over [`CURRENT_MICROS`].
    counts: VecDeque<(i64, u64)>,
    /// The average latency of each interval that had events, in milliseconds.
    latencies: VecDeque<f64>,
    /// Events a second in each interval.
    rates: VecDeque<f64>,
}

/// How far an expected number of events is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Goal {
    /// Events that are expected.
    pub target: u64,
    /// Events that are done of them.
    pub processed: u64,
}

impl Goal {
    /// Events that are still to come.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.target.saturating_sub(self.processed)
    }

    /// From 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.target == 0 { 1.0 } else { (self.processed as f64 / self.target as f64).min(1.0) }
    }
}

impl History {
    /// Nothing was heard yet.
    #[must_use]
    pub fn new(target: Option<u64>) -> Self {
        Self { target, ..Self::default() }
    }

    /// Takes in what was heard. Whether that was anything new.
    pub fn hear(&mut self, heard: Result<Figures, String>) -> bool {
        let figures = match heard {
            Ok(figures) => figures,
            Err(problem) => {
                let is_new = self.problem.as_ref() != Some(&problem);
                self.problem = Some(problem);
                return is_new;
            }
        };
        let is_mended = self.problem.take().is_some();
        match &self.latest {
            Some(latest) if latest.at == figures.at => return is_mended,
            // The same process, further on.
            Some(latest) if latest.since == figures.since => self.compare(&figures),
            // Another process counts anew.
            Some(_) => self.begin(0),
            None => self.begin(figures.events),
        }
        let now = figures.at.as_micros();
        self.counts.push_back((now, figures.events));
        while self.counts.len() > 2 && self.counts.get(1).is_some_and(|(at, _)| now - at >= CURRENT_MICROS) {
            self.counts.pop_front();
        }
        self.latest = Some(figures);
        true
    }

    fn begin(&mut self, before: u64) {
        self.before = before;
        self.counts.clear();
        self.latencies.clear();
        self.rates.clear();
    }

    fn compare(&mut self, figures: &Figures) {
        let Some(latest) = &self.latest else { return };
        let seconds = figures.at.micros_since(latest.at) as f64 / 1e6;
        let events = figures.events.saturating_sub(latest.events);
        if seconds > 0.0 {
            remember(&mut self.rates, events as f64 / seconds);
        }
        let sums = |figures: &Figures| {
            let total = figures.latency.stages.get(Stage::Total.as_str());
            total.map_or((0, 0.0), |total| (total.count, total.avg_ms * total.count as f64))
        };
        let ((count, sum), (count_before, sum_before)) = (sums(figures), sums(latest));
        if count > count_before {
            remember(&mut self.latencies, (sum - sum_before).max(0.0) / (count - count_before) as f64);
        }
    }

    /// The last that was heard.
    #[must_use]
    pub fn latest(&self) -> Option<&Figures> {
        self.latest.as_ref()
    }

    /// Why nothing newer is heard.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// How far the expected events are.
    #[must_use]
    pub fn goal(&self) -> Option<Goal> {
        let events = self.latest.as_ref().map_or(0, |latest| latest.events);
        self.target.map(|target| Goal { target, processed: events.saturating_sub(self.before) })
    }

    /// Events a second now.
    #[must_use]
    pub fn rate(&self) -> f64 {
        match (self.counts.front(), self.counts.back()) {
            (Some((first, before)), Some((last, now))) if last > first => {
                now.saturating_sub(*before) as f64 * 1e6 / (last - first) as f64
            }
            _ => 0.0,
        }
    }

    /// Events a second, over the seconds in which there were any.
    #[must_use]
    pub fn rate_average(&self) -> f64 {
        self.latest.as_ref().map_or(0.0, |latest| latest.pace.sustained(latest.events))
    }

    /// The most events in one second.
    #[must_use]
    pub fn rate_peak(&self) -> u64 {
        self.latest.as_ref().map_or(0, |latest| latest.pace.per_second_max)
    }

    /// Dead letters for each event.
    #[must_use]
    pub fn error_rate(&self) -> f64 {
        self.latest.as_ref().map_or(0.0, |latest| match latest.events {
            0 => 0.0,
            events => latest.dead_letters as f64 / events as f64,
        })
    }

    /// From the commit to the read model.
    #[must_use]
    pub fn total(&self) -> Option<&Spread> {
        self.latest.as_ref()?.latency.stages.get(Stage::Total.as_str())
    }

    /// The average latency of each of the last intervals that had events, the newest last, in milliseconds.
    pub fn latencies(&self) -> impl DoubleEndedIterator<Item = f64> + ExactSizeIterator + '_ {
        self.latencies.iter().copied()
    }

    /// Events a second in each of the last intervals, the newest last.
    pub fn rates(&self) -> impl DoubleEndedIterator<Item = f64> + ExactSizeIterator + '_ {
        self.rates.iter().copied()
    }
}

fn remember(values: &mut VecDeque<f64>, value: f64) {
    values.push_back(value);
    while values.len() > INTERVALS_MAX {
        values.pop_front();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use streamer_events::{
        Moment, Pace, Recent,
        change::Passed,
        latency::{Latency, Times},
        source::SlotLag,
    };

    use super::*;

    /// What a pipeline would say after so many milliseconds and events, each of which took so long.
    pub(in crate::monitor) fn figures(at_ms: i64, events: u64, took_ms: i64) -> Figures {
        let began = Moment::from_millis(1_795_254_103_000);
        let at = |ms: i64| Moment::from_millis(began.as_millis() + ms);
        let latency = Latency::new();
        let types = ["UserCreated", "ActivityCreated", "ParticipantJoined", "UserUpdated", "ActivityUpdated"];
        let times = Times {
            created_at: at(0),
            committed_at: Some(at(0)),
            passed: Passed { decoded_at: Some(at(1)), delivered_at: Some(at(2)) },
            taken_at: at(3),
            done_at: at(took_ms),
        };
        latency.record((0..events).map(|n| (types[n as usize % types.len()], times)));
        let recent = (0..Recent::MAX as u64).map(|n| Recent {
            event_type: types[n as usize].to_owned(),
            aggregate_id: format!("0000000{n}-0000-4000-8000-000000000000"),
            done_at: at(at_ms),
            total_micros: 1000 * took_ms,
        });
        Figures {
            at: at(at_ms),
            since: began,
            state: "streaming".to_owned(),
            events,
            again: 0,
            pace: Pace { last_second: 5, active_seconds: 10, per_second_max: 456 },
            writes: events * 2,
            passed_over: 0,
            dead_letters: events / 100,
            retries: 3,
            slot: Some(SlotLag {
                bytes: 12 * 1024,
                seconds: 0.3,
                retained_bytes: 3 * 1024 * 1024,
                wal_status: "reserved".to_owned(),
            }),
            recent: recent.collect(),
            latency: latency.report(),
        }
    }

    #[test]
    fn rates_and_latencies_are_what_changed() {
        let mut history = History::new(Some(500));
        assert!(history.hear(Ok(figures(0, 100, 10))));
        assert_eq!((history.rate(), history.goal().map(|goal| goal.remaining())), (0.0, Some(500)));
        assert!(history.hear(Ok(figures(1000, 400, 10))));
        assert!((history.rate() - 300.0).abs() < 1e-6);
        assert_eq!(history.goal(), Some(Goal { target: 500, processed: 300 }));
        assert!((history.latencies().next_back().expect("one") - 10.0).abs() < 0.2);
        // The average of all is 22 ms then, and of the last 100 alone 70.
        let mut later = figures(2000, 500, 22);
        later.latency.stages.get_mut("total").expect("is there").avg_ms = 22.0;
        history.hear(Ok(later));
        assert!((history.latencies().next_back().expect("one") - 70.0).abs() < 1.0);
        assert!((history.rate() - 200.0).abs() < 1e-6);
        // Nothing happens any more.
        for second in 3..10 {
            history.hear(Ok(figures(second * 1000, 500, 22)));
        }
        assert!(history.rate().abs() < 1e-6);
        assert_eq!(history.rate_peak(), 456);
    }

    #[test]
    fn the_same_figures_twice_are_no_news_and_a_problem_once() {
        let mut history = History::new(None);
        assert!(history.hear(Ok(figures(0, 1, 1))));
        assert!(!history.hear(Ok(figures(0, 1, 1))));
        assert!(history.hear(Err("gone".to_owned())));
        assert!(!history.hear(Err("gone".to_owned())));
        assert_eq!(history.problem(), Some("gone"));
        assert!(history.latest().is_some(), "what was known stays");
        assert!(history.hear(Ok(figures(0, 1, 1))));
        assert_eq!(history.problem(), None);
    }

    #[test]
    fn another_process_counts_anew() {
        let mut history = History::new(Some(10));
        history.hear(Ok(figures(0, 100, 1)));
        history.hear(Ok(figures(1000, 105, 1)));
        let mut other = figures(5000, 3, 1);
        other.since = other.at;
        history.hear(Ok(other));
        assert_eq!(history.goal(), Some(Goal { target: 10, processed: 3 }));
        assert_eq!((history.latencies().len(), history.rate()), (0, 0.0));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut history = History::new(None);
        let mut now = figures(0, 1, 1);
        for n in 0..2000 {
            now.at = Moment::from_millis(now.at.as_millis() + 100);
            now.events += 1;
            now.latency.stages.get_mut("total").expect("is there").count = n + 1;
            history.hear(Ok(now.clone()));
        }
        assert_eq!((history.rates().len(), history.latencies().len()), (INTERVALS_MAX, INTERVALS_MAX));
        assert!(history.counts.len() < 30);
    }
}
