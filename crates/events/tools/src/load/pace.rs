//! How many events, and when each has its turn.

use std::time::Duration;

/// How many events, how fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// How many.
    pub count: u64,
    /// How fast.
    pub pace: Pace,
}

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// All of them, evenly, in this time.
    Within(Duration),
    /// So many a second.
    Rate(f64),
    /// As fast as PostgreSQL takes them.
    Unpaced,
}

/// The scenarios of the demonstration, by how many events each has.
pub const SCENARIOS: [Plan; 4] = [
    Plan { count: 10, pace: Pace::Within(Duration::from_secs(5)) },
    Plan { count: 100, pace: Pace::Within(Duration::from_secs(15)) },
    Plan { count: 1000, pace: Pace::Within(Duration::from_secs(30)) },
    Plan { count: 10_000, pace: Pace::Within(Duration::from_secs(60)) },
];

impl Plan {
    /// The scenario of so many events, if there is one.
    #[must_use]
    pub fn scenario(count: u64) -> Option<Self> {
        SCENARIOS.into_iter().find(|plan| plan.count == count)
    }

    /// Events a second; none as fast as possible.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        match self.pace {
            Pace::Within(span) if !span.is_zero() => Some(self.count as f64 / span.as_secs_f64()),
            Pace::Rate(rate) if rate > 0.0 => Some(rate),
            _ => None,
        }
    }
}

/// When each event has its turn, counted from the beginning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    count: u64,
    rate: Option<f64>,
}

impl Schedule {
    pub(super) fn new(plan: Plan) -> Self {
        Self { count: plan.count, rate: plan.rate() }
    }

    pub(super) fn is_unpaced(&self) -> bool {
        self.rate.is_none()
    }

    /// How many are due by then.
    pub(super) fn due(&self, elapsed: Duration) -> u64 {
        match self.rate {
            None => self.count,
            // The turn's own rounding must not put it off to the next.
            Some(rate) => ((elapsed.as_secs_f64() * rate + 1e-6) as u64).min(self.count),
        }
    }

    /// When the event numbered from 0 has its turn: the last one at the end of the time.
    pub(super) fn turn(&self, number: u64) -> Duration {
        self.rate.map_or(Duration::ZERO, |rate| {
            Duration::try_from_secs_f64((number + 1) as f64 / rate).unwrap_or(Duration::MAX)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_even_and_the_last_is_at_the_end() {
        let schedule = Schedule::new(SCENARIOS[0]);
        assert_eq!(schedule.turn(0), Duration::from_millis(500));
        assert_eq!(schedule.turn(9), Duration::from_secs(5));
        assert_eq!(schedule.due(Duration::from_millis(499)), 0);
        assert_eq!(schedule.due(Duration::from_secs(60)), 10);
        for plan in SCENARIOS {
            let schedule = Schedule::new(plan);
            for number in 0..plan.count {
                assert!(schedule.due(schedule.turn(number)) > number, "{number} of {plan:?}");
            }
        }
    }

    #[test]
    fn without_a_pace_all_are_due_at_once() {
        for pace in [Pace::Unpaced, Pace::Rate(0.0), Pace::Within(Duration::ZERO)] {
            let schedule = Schedule::new(Plan { count: 7, pace });
            assert!(schedule.is_unpaced());
            assert_eq!(schedule.due(Duration::ZERO), 7);
        }
        assert_eq!(Plan { count: 7, pace: Pace::Rate(2.0) }.rate(), Some(2.0));
    }
}
