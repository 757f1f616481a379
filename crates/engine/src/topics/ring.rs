//! A history in memory: the newest messages of a topic, encoded as they were sent.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use streamer_protocol::Timestamp;

use crate::{Frame, store::Keep};

/// What a message costs beside its frame.
const OVERHEAD_BYTES: u64 = 64;

/// How many bytes histories hold, in one tenant and in all.
#[derive(Debug, Clone, Default)]
pub(super) struct Usage {
    pub(super) tenant: Arc<AtomicU64>,
    pub(super) all: Arc<AtomicU64>,
}

/// How many they may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct UsageMax {
    pub(super) tenant: u64,
    pub(super) all: u64,
}

impl Usage {
    fn add(&self, bytes: u64) {
        self.tenant.fetch_add(bytes, Ordering::Relaxed);
        self.all.fetch_add(bytes, Ordering::Relaxed);
    }

    fn subtract(&self, bytes: u64) {
        self.tenant.fetch_sub(bytes, Ordering::Relaxed);
        self.all.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn has_room(&self, bytes: u64, max: UsageMax) -> bool {
        self.tenant.load(Ordering::Relaxed) + bytes <= max.tenant
            && self.all.load(Ordering::Relaxed) + bytes <= max.all
    }
}

/// The newest messages of a topic, without a gap among them.
#[derive(Debug)]
pub(super) struct Ring {
    messages: VecDeque<Kept>,
    bytes: u64,
    usage: Usage,
}

#[derive(Debug)]
struct Kept {
    offset: u64,
    at: Timestamp,
    frame: Frame,
}

impl Kept {
    fn bytes(&self) -> u64 {
        self.frame.bytes().len() as u64 + OVERHEAD_BYTES
    }
}

impl Ring {
    pub(super) fn new(usage: Usage) -> Self {
        Self { messages: VecDeque::new(), bytes: 0, usage }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The oldest message that is kept.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.messages.front().map(|kept| kept.offset)
    }

    /// Keeps one more message and lets go what exceeds the bounds. Where others have used up the room, nothing of this
    /// topic is kept rather than that the message is not published.
    pub(super) fn push(&mut self, offset: u64, at: Timestamp, frame: Frame, keep: Keep, max: UsageMax) {
        let kept = Kept { offset, at, frame };
        let bytes = kept.bytes();
        self.expire(at, keep);
        while !self.messages.is_empty()
            && (self.messages.len() as u64 >= keep.messages_max
                || self.bytes + bytes > keep.bytes_max
                || !self.usage.has_room(bytes, max))
        {
            self.drop_oldest();
        }
        if self.usage.has_room(bytes, max) {
            self.bytes += bytes;
            self.usage.add(bytes);
            self.messages.push_back(kept);
        }
    }

    /// Lets go what is too old.
    pub(super) fn expire(&mut self, now: Timestamp, keep: Keep) {
        while self.messages.front().is_some_and(|oldest| oldest.at + keep.age_max <= now) {
            self.drop_oldest();
        }
        if self.messages.is_empty() {
            // A topic that keeps nothing holds no memory for it.
            self.messages = VecDeque::new();
        }
    }

    /// At most `limit` messages above `after`, in order; `None` if the first of them is gone.
    pub(super) fn above(&self, after: u64, limit: usize) -> Option<Vec<Frame>> {
        let oldest = self.oldest().filter(|oldest| *oldest <= after + 1)?;
        let first = usize::try_from(after + 1 - oldest).ok()?;
        Some(self.messages.iter().skip(first).take(limit).map(|kept| kept.frame.clone()).collect())
    }

    fn drop_oldest(&mut self) {
        if let Some(kept) = self.messages.pop_front() {
            self.bytes -= kept.bytes();
            self.usage.subtract(kept.bytes());
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.usage.subtract(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const KEEP: Keep = Keep {
        messages_max: 3,
        bytes_max: 1000,
        age_max: Duration::from_millis(100),
        forget_after: Duration::ZERO,
    };
    const MAX: UsageMax = UsageMax { tenant: 10_000, all: 10_000 };

    fn push(ring: &mut Ring, offset: u64, size: usize, keep: Keep, max: UsageMax) {
        let frame = Frame::message(&"x".repeat(size - 2)).expect("a text");
        ring.push(offset, Timestamp::from_millis(offset.cast_signed()), frame, keep, max);
    }

    fn offsets(ring: &Ring) -> Vec<u64> {
        ring.messages.iter().map(|kept| kept.offset).collect()
    }

    fn used(usage: &Usage) -> (u64, u64) {
        (usage.tenant.load(Ordering::Relaxed), usage.all.load(Ordering::Relaxed))
    }

    #[test]
    fn the_oldest_go_by_number_bytes_and_age() {
        let usage = Usage::default();
        let mut ring = Ring::new(usage.clone());
        for offset in 1..=5 {
            push(&mut ring, offset, 100, KEEP, MAX);
        }
        assert_eq!((offsets(&ring), used(&usage)), (vec![3, 4, 5], (3 * 164, 3 * 164)));
        push(&mut ring, 6, 700, KEEP, MAX);
        assert_eq!((offsets(&ring), used(&usage).0), (vec![5, 6], 164 + 764));
        ring.expire(Timestamp::from_millis(105), KEEP);
        assert_eq!(offsets(&ring), [6]);
        ring.expire(Timestamp::from_millis(106), KEEP);
        assert!(ring.is_empty());
        assert_eq!(used(&usage), (0, 0));
        push(&mut ring, 7, 100, KEEP, MAX);
        drop(ring);
        assert_eq!(used(&usage), (0, 0), "what is dropped is given back");
    }

    #[test]
    fn where_others_have_used_up_the_room_nothing_is_kept() {
        let usage = Usage::default();
        let max = UsageMax { tenant: 400, all: 10_000 };
        let (mut one, mut other) = (Ring::new(usage.clone()), Ring::new(usage.clone()));
        push(&mut one, 1, 100, KEEP, max);
        push(&mut one, 2, 100, KEEP, max);
        push(&mut other, 1, 100, KEEP, max);
        assert!(other.is_empty());
        push(&mut one, 3, 100, KEEP, max);
        assert_eq!(offsets(&one), [2, 3], "its own make room");
        drop(one);
        push(&mut other, 2, 100, KEEP, max);
        assert_eq!(offsets(&other), [2]);
    }

    #[test]
    fn what_is_gone_is_told_from_what_is_not_there_yet() {
        let mut ring = Ring::new(Usage::default());
        for offset in 1..=5 {
            push(&mut ring, offset, 100, KEEP, MAX);
        }
        let above = |after, limit| ring.above(after, limit).map(|page| page.len());
        assert_eq!(above(1, 9), None, "2 is gone");
        assert_eq!(above(2, 9), Some(3));
        assert_eq!(above(2, 2), Some(2));
        assert_eq!(above(4, 2), Some(1));
        assert_eq!(above(5, 2), Some(0));
    }
}
