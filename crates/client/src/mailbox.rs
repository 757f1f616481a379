//! Between the connection and the reader of one call: bounded, and the connection never waits for it.

use std::collections::VecDeque;

use parking_lot::Mutex;
use streamer_protocol::Json;
use tokio::sync::Notify;

use crate::{CallError, Update};

/// Holds the updates that the reader has not taken yet.
#[derive(Debug)]
pub(crate) struct Mailbox {
    updates_max: usize,
    inside: Mutex<Inside>,
    reader: Notify,
}

#[derive(Debug, Default)]
struct Inside {
    updates: VecDeque<Update>,
    end: Option<Result<Json, CallError>>,
    lag: Lag,
    abandoned: bool,
}

/// Whether updates were turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Lag {
    #[default]
    None,
    /// They were, and the reader still has some to take.
    Behind,
    /// The reader has taken all and waits for more.
    Asking,
}

impl Mailbox {
    pub(crate) fn new(updates_max: usize) -> Self {
        Self { updates_max, inside: Mutex::default(), reader: Notify::new() }
    }

    /// Leaves an update. False if it was turned away: from then on, none is taken until [`catch_up`](Self::catch_up).
    pub(crate) fn push(&self, update: Update) -> bool {
        let mut inside = self.inside.lock();
        if inside.lag != Lag::None {
            return false;
        }
        if inside.updates.len() >= self.updates_max {
            inside.collapse(&update);
        }
        if inside.updates.len() >= self.updates_max {
            if !matches!(update, Update::AttemptFailed(_)) {
                inside.lag = Lag::Behind;
            }
            return false;
        }
        inside.updates.push_back(update);
        drop(inside);
        self.reader.notify_one();
        true
    }

    /// Leaves the end: there is always room for it.
    pub(crate) fn end(&self, end: Result<Json, CallError>) {
        self.inside.lock().end.get_or_insert(end);
        self.reader.notify_one();
    }

    /// Whether updates were turned away and must be fetched again.
    pub(crate) fn is_behind(&self) -> bool {
        self.inside.lock().lag != Lag::None
    }

    /// Whether the reader waits for updates that were turned away.
    pub(crate) fn is_asking(&self) -> bool {
        self.inside.lock().lag == Lag::Asking
    }

    /// Takes updates again.
    pub(crate) fn catch_up(&self) {
        self.inside.lock().lag = Lag::None;
    }

    /// Whether nobody will read any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.inside.lock().abandoned
    }

    /// The reader goes away.
    pub(crate) fn abandon(&self) {
        self.inside.lock().abandoned = true;
    }

    /// The next update; `None` once the call has ended. `ask` is woken when the reader has fallen behind and wants
    /// what it missed. Safe to cancel.
    pub(crate) async fn next(&self, ask: &Notify) -> Option<Update> {
        loop {
            {
                let mut inside = self.inside.lock();
                if let Some(update) = inside.updates.pop_front() {
                    return Some(update);
                }
                if inside.end.is_some() {
                    return None;
                }
                if inside.lag == Lag::Behind {
                    inside.lag = Lag::Asking;
                    ask.notify_one();
                }
            }
            self.reader.notified().await;
        }
    }

    /// How it ended, once it has.
    pub(crate) fn take_end(&self) -> Option<Result<Json, CallError>> {
        self.inside.lock().end.take()
    }
}

impl Inside {
    /// Leaves out what later updates, `newest` among them, make superfluous.
    fn collapse(&mut self, newest: &Update) {
        let mut later = newest.is_fleeting();
        for at in (0..self.updates.len()).rev() {
            if self.updates[at].is_fleeting() {
                if later {
                    self.updates.remove(at);
                }
                later = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;
    use streamer_protocol::{Chunk, Progress, RequestId, Timestamp};

    use super::*;

    fn id() -> RequestId {
        RequestId::parse("r").expect("valid")
    }

    fn chunk(index: u64) -> Update {
        let (data, timestamp) = (Json::null(), Timestamp::default());
        Update::Chunk(Chunk { request_id: id(), seq: index + 1, index, data, timestamp })
    }

    fn progress(seq: u64) -> Update {
        let (message, timestamp) = (String::new(), Timestamp::default());
        Update::Progress(Progress {
            request_id: id(),
            seq,
            percentage: 1.0,
            message,
            metadata: None,
            timestamp,
        })
    }

    async fn drain(mailbox: &Mailbox, ask: &Notify) -> Vec<Option<u64>> {
        let mut seqs = Vec::new();
        while !mailbox.inside.lock().updates.is_empty() {
            seqs.push(mailbox.next(ask).await.expect("not empty").seq());
        }
        seqs
    }

    #[tokio::test]
    async fn a_full_mailbox_keeps_the_newest_progress_and_all_chunks() {
        let (mailbox, ask) = (Mailbox::new(4), Notify::new());
        for update in [progress(1), chunk(1), progress(3), chunk(3), progress(5)] {
            assert!(mailbox.push(update));
        }
        assert!(!mailbox.is_behind());
        assert_eq!(drain(&mailbox, &ask).await, [Some(2), Some(4), Some(5)]);
    }

    #[tokio::test]
    async fn what_does_not_fit_is_asked_for_once_the_reader_is_back() {
        let (mailbox, ask) = (Mailbox::new(2), Notify::new());
        assert!(mailbox.push(chunk(0)));
        assert!(mailbox.push(chunk(1)));
        assert!(!mailbox.push(chunk(2)));
        assert!(!mailbox.push(progress(4)), "nothing is taken out of order");
        assert_eq!(drain(&mailbox, &ask).await, [Some(1), Some(2)]);
        assert!(mailbox.is_behind() && !mailbox.is_asking());
        assert!(!mailbox.push(chunk(3)), "room does not close the gap");

        let mut reading = pin!(mailbox.next(&ask));
        assert!(reading.as_mut().now_or_never().is_none(), "the reader waits");
        assert!(mailbox.is_asking());
        ask.notified().await;
        mailbox.catch_up();
        assert!(mailbox.push(chunk(2)));
        assert_eq!(reading.await.and_then(|update| update.seq()), Some(3));
    }

    #[tokio::test]
    async fn the_end_fits_always_and_comes_last() {
        let (mailbox, ask) = (Mailbox::new(1), Notify::new());
        assert!(mailbox.push(chunk(0)));
        mailbox.end(Ok(Json::null()));
        assert!(mailbox.next(&ask).await.is_some());
        assert!(mailbox.next(&ask).await.is_none());
        assert!(matches!(mailbox.take_end(), Some(Ok(_))));
    }
}
