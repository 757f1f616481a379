//! Follows where a peer's frames begin and end (RFC 6455, section 5.2), beside the library that reads them.
//!
//! The library hands over whole messages. What it does not tell: that a message has begun which never comes to its
//! end, and how many frames came that are no message at all.

use tokio::time::Instant;

/// A fragment with fewer bytes, if more are to follow, is small: nobody has a reason to send many of them.
const SMALL_BYTES: u64 = 128;

/// Set in a frame's first byte: it ends its message.
const FIN: u8 = 0x80;

/// Set in a frame's first byte: it is a control frame.
const CONTROL: u8 = 0x08;

/// Where the peer's bytes stand among its frames.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    first: u8,
    /// How many bytes of the frame's head have come.
    seen: u8,
    /// How many bytes of it tell the length, beyond the second.
    length_bytes: u8,
    /// How many bytes it has in all.
    head_bytes: u8,
    /// Of the frame's payload: how many bytes are yet to come.
    left: u64,
    /// A message has begun and not ended.
    amid_message: bool,
    since: Option<Instant>,
    small: u32,
}

impl Frames {
    /// Takes note of what was read at `now`.
    pub(crate) fn follow(&mut self, mut bytes: &[u8], now: Instant) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.head_bytes != 0 && self.seen == self.head_bytes {
                let passed = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                bytes = &bytes[passed..];
                self.left -= passed as u64;
            } else {
                bytes = rest;
                self.take_head(byte, now);
            }
            if self.head_bytes != 0 && self.seen == self.head_bytes && self.left == 0 {
                self.end_frame();
            }
        }
    }

    fn take_head(&mut self, byte: u8, now: Instant) {
        match self.seen {
            0 => {
                self.first = byte;
                self.since.get_or_insert(now);
            }
            1 => {
                let (length_bytes, left) = match byte & 0x7f {
                    126 => (2, 0),
                    127 => (8, 0),
                    len => (0, len),
                };
                let mask_bytes = if byte & 0x80 == 0 { 0 } else { 4 };
                (self.length_bytes, self.left) = (length_bytes, u64::from(left));
                self.head_bytes = 2 + length_bytes + mask_bytes;
            }
            seen if seen < 2 + self.length_bytes => self.left = self.left << 8 | u64::from(byte),
            _mask => {}
        }
        self.seen += 1;
        if self.seen == self.head_bytes && !self.is_worth_it() {
            self.small = self.small.saturating_add(1);
        }
    }

    fn is_worth_it(&self) -> bool {
        self.first & CONTROL == 0 && (self.first & FIN != 0 || self.left >= SMALL_BYTES)
    }

    fn end_frame(&mut self) {
        if self.first & CONTROL == 0 {
            self.amid_message = self.first & FIN == 0;
        }
        (self.seen, self.head_bytes) = (0, 0);
        if !self.amid_message {
            self.since = None;
        }
    }

    /// Since when something has begun that has not come to its end.
    pub(crate) fn unfinished_since(&self) -> Option<Instant> {
        self.since
    }

    /// Begins that time anew, after one in which nobody listened.
    pub(crate) fn listen_again(&mut self, now: Instant) {
        self.since = self.since.map(|_| now);
    }

    /// How many control frames and small fragments have come since this was last asked.
    pub(crate) fn take_small(&mut self) -> u32 {
        std::mem::take(&mut self.small)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn frame(first: u8, len: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match len {
            0..126 => bytes.push(0x80 | u8::try_from(len).expect("small")),
            126..65536 => {
                bytes.push(0x80 | 126);
                bytes.extend(u16::try_from(len).expect("small").to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend((len as u64).to_be_bytes());
            }
        }
        bytes.extend(vec![0xff; 4 + len]);
        bytes
    }

    /// However the bytes are cut, what is known in the end is the same.
    fn follow(bytes: &[u8]) -> (bool, u32) {
        let outcomes = [1, 2, 3, 7, 4096].map(|cut| {
            let mut frames = Frames::default();
            bytes.chunks(cut).for_each(|chunk| frames.follow(chunk, Instant::now()));
            (frames.unfinished_since().is_some(), frames.take_small())
        });
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{outcomes:?}");
        outcomes[0]
    }

    #[test]
    fn whole_messages_leave_nothing_unfinished() {
        for len in [0, 1, 125, 126, 127, 65535, 65536, 100_000] {
            assert_eq!(follow(&frame(0x81, len)), (false, 0), "{len}");
            assert_eq!(follow(&frame(0x81, len).repeat(3)), (false, 0), "{len}");
        }
        assert_eq!(follow(&[frame(0x01, 200), frame(0x00, 200), frame(0x80, 0)].concat()), (false, 0));
    }

    #[test]
    fn what_is_not_ended_is_unfinished() {
        let whole = frame(0x81, 300);
        for cut in 1..whole.len() {
            assert_eq!(follow(&whole[..cut]), (true, 0), "{cut}");
        }
        assert_eq!(follow(&frame(0x01, 200)), (true, 0));
        // A ping amid a message does not end it.
        assert_eq!(follow(&[frame(0x01, 200), frame(0x89, 3)].concat()), (true, 1));
        assert_eq!(follow(&[frame(0x01, 200), frame(0x89, 3), frame(0x80, 1)].concat()), (false, 1));
    }

    #[test]
    fn pings_and_crumbs_are_small() {
        assert_eq!(follow(&frame(0x89, 0).repeat(10)), (false, 10));
        let crumbs = [frame(0x01, 0), frame(0x00, 1), frame(0x00, 127), frame(0x80, 1)];
        assert_eq!(follow(&crumbs.concat()), (false, 3));
        assert_eq!(follow(&frame(0x00, 128).repeat(10)), (true, 0));
    }

    #[test]
    fn an_unfinished_message_counts_from_its_first_byte() {
        let (mut frames, start) = (Frames::default(), Instant::now());
        let later = |seconds| start + Duration::from_secs(seconds);
        frames.follow(&frame(0x81, 10), start);
        frames.follow(&frame(0x01, 200), later(1));
        frames.follow(&frame(0x89, 1), later(2));
        frames.follow(&frame(0x00, 200), later(3));
        assert_eq!(frames.unfinished_since(), Some(later(1)));
        frames.listen_again(later(9));
        assert_eq!(frames.unfinished_since(), Some(later(9)));
        frames.follow(&[frame(0x80, 1), vec![0x81]].concat(), later(10));
        assert_eq!(frames.unfinished_since(), Some(later(10)));
        frames.listen_again(later(11));
        frames.follow(&frame(0x81, 0)[1..], later(12));
        assert_eq!(frames.unfinished_since(), None);
    }
}
