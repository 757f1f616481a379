//! What goes wrong between the nodes and their store.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use streamer_engine::testing::Fault;
use tokio::time::Instant;

use crate::dice::Dice;

/// A call fails at most so often in a row, unless the store is away: the engine gives up after more.
const IN_A_ROW_MAX: u32 = 3;

/// How long after the store was away it may still show in what was given up.
const AFTERMATH: Duration = Duration::from_secs(8);

pub(crate) struct Weather {
    dice: Dice,
    begun: Instant,
    /// Of a hundred calls.
    refused: u64,
    replies_lost: u64,
    slow: u64,
    slow_max_ms: u64,
    /// When the store is away: from, for how long.
    away: Option<(Duration, Duration)>,
    in_a_row: Mutex<HashMap<&'static str, u32>>,
    over: AtomicBool,
}

impl Weather {
    pub(crate) fn of(dice: Dice) -> Self {
        let rate = |dice: &Dice, max| if dice.percent(50) { dice.below(max) } else { 0 };
        let (refused, replies_lost, slow) = (rate(&dice, 8), rate(&dice, 12), rate(&dice, 15));
        // Seldom slower than a lease.
        let slow_max_ms = *dice.one_of(&[5, 50, 50, 400, 400, 7_000]);
        let away = dice.percent(15).then(|| {
            (Duration::from_millis(500 + dice.below(8_000)), Duration::from_millis(500 + dice.below(7_000)))
        });
        let in_a_row = Mutex::default();
        let over = AtomicBool::new(false);
        Self { dice, begun: Instant::now(), refused, replies_lost, slow, slow_max_ms, away, in_a_row, over }
    }

    /// What strikes the next call of `method`.
    pub(crate) fn strikes(&self, method: &'static str) -> Option<Fault> {
        if self.over.load(Ordering::Relaxed) {
            return None;
        }
        let now = self.begun.elapsed();
        if self.away.is_some_and(|(from, span)| from <= now && now < from + span) {
            return Some(if self.dice.percent(20) { Fault::LoseReply } else { Fault::Refuse });
        }
        let span = self.dice.millis(self.slow_max_ms);
        let thrown = self.dice.below(100);
        let fails = self.refused + self.replies_lost;
        let mut in_a_row = self.in_a_row.lock();
        let failed = in_a_row.entry(method).or_default();
        if thrown < fails && *failed < IN_A_ROW_MAX {
            *failed += 1;
            return Some(if thrown < self.refused { Fault::Refuse } else { Fault::LoseReply });
        }
        *failed = 0;
        let slow = (fails..fails + self.slow).contains(&thrown);
        slow.then(|| if self.dice.percent(50) { Fault::Delay(span) } else { Fault::DelayReply(span) })
    }

    /// Whether the engine may have given up something just now because the store was away.
    pub(crate) fn is_excuse(&self) -> bool {
        let now = self.begun.elapsed();
        self.away.is_some_and(|(from, span)| from <= now && now < from + span + AFTERMATH)
    }

    /// Whether nothing ever went wrong.
    pub(crate) fn is_fair(&self) -> bool {
        self.refused + self.replies_lost + self.slow == 0 && self.away.is_none()
    }

    /// Nothing goes wrong from here on.
    pub(crate) fn clear_up(&self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
