//! A history in memory: the newest messages of a topic, encoded as they were sent.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use streamer_protocol::{Json, Timestamp};

use crate::{
    Frame,
    store::{Fingerprint, Keep, MessageKey, NewMessage, Placed},
};

/// What a message costs beside its frame.
const OVERHEAD_BYTES: u64 = 64;

/// What a key costs beside its texts: an entry of a table, and a fingerprint.
const KEY_OVERHEAD_BYTES: u64 = 192;

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
    /// Where those of them are that have a key.
    keys: HashMap<MessageKey, u64>,
    bytes: u64,
    usage: Usage,
}

/// A message as it is kept.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) offset: u64,
    pub(super) at: Timestamp,
    pub(super) frame: Frame,
    /// Boxed, as few have one.
    pub(super) key: Option<Box<Keyed>>,
}

/// By what a message is known again.
#[derive(Debug)]
pub(super) struct Keyed {
    key: MessageKey,
    fingerprint: Fingerprint,
}

impl Keyed {
    pub(super) fn of(key: MessageKey, data: &Json) -> Box<Self> {
        Box::new(Self { key, fingerprint: Fingerprint::of_message(data) })
    }
}

impl Kept {
    fn bytes(&self) -> u64 {
        let key = self.key.as_ref().map_or(0, |keyed| {
            let MessageKey { user, key } = &keyed.key;
            KEY_OVERHEAD_BYTES + user.as_str().len() as u64 + key.as_str().len() as u64
        });
        self.frame.bytes().len() as u64 + OVERHEAD_BYTES + key
    }
}

impl Ring {
    pub(super) fn new(usage: Usage) -> Self {
        Self { messages: VecDeque::new(), keys: HashMap::new(), bytes: 0, usage }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The oldest message that is kept.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.messages.front().map(|kept| kept.offset)
    }

    /// What a message comes to whose key is that of one that is kept.
    pub(super) fn again(&self, new: &NewMessage) -> Option<Placed> {
        let offset = *self.keys.get(new.key.as_ref()?)?;
        let place = usize::try_from(offset - self.oldest()?).ok()?;
        let keyed = self.messages.get(place)?.key.as_ref()?;
        let is_same = keyed.fingerprint == Fingerprint::of_message(&new.data);
        Some(if is_same { Placed::Known(offset) } else { Placed::Conflict })
    }

    /// Keeps one more message, whose key no other has, and lets go what exceeds the bounds. Where others have used up
    /// the room, nothing of this topic is kept rather than that the message is not published.
    pub(super) fn push(&mut self, kept: Kept, keep: Keep, max: UsageMax) {
        let bytes = kept.bytes();
        self.expire(kept.at, keep);
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
            if let Some(keyed) = &kept.key {
                self.keys.insert(keyed.key.clone(), kept.offset);
            }
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
            (self.messages, self.keys) = (VecDeque::new(), HashMap::new());
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
            if let Some(keyed) = &kept.key {
                self.keys.remove(&keyed.key);
            }
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

    use streamer_protocol::{IdempotencyKey, UserId};

    use super::*;

    const KEEP: Keep = Keep {
        messages_max: 3,
        bytes_max: 1000,
        age_max: Duration::from_millis(100),
        forget_after: Duration::ZERO,
    };
    const MAX: UsageMax = UsageMax { tenant: 10_000, all: 10_000 };

    fn push(ring: &mut Ring, offset: u64, size: usize, keep: Keep, max: UsageMax) {
        push_keyed(ring, offset, size, keep, max, None);
    }

    fn push_keyed(
        ring: &mut Ring,
        offset: u64,
        size: usize,
        keep: Keep,
        max: UsageMax,
        key: Option<MessageKey>,
    ) {
        let frame = Frame::message(&"x".repeat(size - 2)).expect("a text");
        let at = Timestamp::from_millis(offset.cast_signed());
        let key = key.map(|key| Keyed::of(key, &Json::null()));
        ring.push(Kept { offset, at, frame, key }, keep, max);
    }

    fn keyed(key: &str, data: Json) -> NewMessage {
        let key = MessageKey { user: UserId::new("ada"), key: IdempotencyKey::parse(key).expect("a key") };
        let at = Timestamp::default();
        NewMessage { data, at, source: None, known_at: Vec::new(), key: Some(key) }
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
    fn a_key_is_known_as_long_as_its_message_is_kept() {
        let usage = Usage::default();
        let mut ring = Ring::new(usage.clone());
        let same = keyed("a", Json::null());
        push_keyed(&mut ring, 1, 100, KEEP, MAX, same.key.clone());
        assert_eq!(used(&usage).0, 164 + 192 + 4, "a key takes room");
        let other = keyed("a", Json::parse("1".to_owned()).expect("JSON"));
        let answers = [ring.again(&same), ring.again(&other), ring.again(&keyed("b", Json::null()))];
        assert_eq!(answers, [Some(Placed::Known(1)), Some(Placed::Conflict), None]);
        for offset in 2..=3 {
            push(&mut ring, offset, 100, KEEP, MAX);
            assert_eq!(ring.again(&same), Some(Placed::Known(1)));
        }
        push(&mut ring, 4, 100, KEEP, MAX);
        assert_eq!(ring.again(&same), None, "cut by number");
        push_keyed(&mut ring, 5, 100, KEEP, MAX, same.key.clone());
        assert_eq!(ring.again(&same), Some(Placed::Known(5)));
        ring.expire(Timestamp::from_millis(105), KEEP);
        assert_eq!((ring.again(&same), used(&usage)), (None, (0, 0)), "cut by age");
        let nothing = UsageMax { tenant: 0, all: 0 };
        push_keyed(&mut ring, 6, 100, KEEP, nothing, same.key.clone());
        assert_eq!(ring.again(&same), None, "it was never kept");
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
