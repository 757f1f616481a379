//! What the application said of calls a moment ago.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use streamer_auth::Identity;
use streamer_protocol::Timestamp;
use tokio::time::Instant;

use super::{Entry, Knock};

/// Who was let in by what they presented, for a short while. Refusals are not remembered: who logs in now is let in.
pub(crate) struct Remembered {
    span: Duration,
    max: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    known: HashMap<Presented, Known>,
    /// Each of them once, in the order in which they came.
    order: VecDeque<Presented>,
}

/// All that somebody presented, as a hash: cookies and keys are not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Presented([u8; 32]);

struct Known {
    identity: Identity,
    until: Instant,
}

impl Presented {
    /// Everything that the application is shown, as its word may hang on any of it; each part with its length before it.
    pub(crate) fn of(knock: &Knock) -> Self {
        let Knock { entry, path, query, headers, ip_address } = knock;
        let entry = match entry {
            Entry::Connection(connection) => ["connection", connection.as_str()],
            Entry::Call(method) => ["call", method.as_str()],
        };
        let mut hash = Sha256::new();
        let mut add = |part: &str| {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        };
        entry.into_iter().chain([path.as_str(), ip_address]).for_each(&mut add);
        for fields in [query, headers] {
            add(&fields.len().to_string());
            fields.iter().flat_map(|(name, value)| [name, value]).for_each(|part| add(part));
        }
        Self(hash.finalize().into())
    }
}

impl Remembered {
    /// Each for so long, and so many of them.
    pub(crate) fn new(span: Duration, max: usize) -> Self {
        Self { span, max, table: Mutex::default() }
    }

    /// Who it was, if that still holds.
    pub(crate) fn find(&self, presented: &Presented, now: Timestamp) -> Option<Identity> {
        let table = self.table.lock();
        let known = table.known.get(presented)?;
        (Instant::now() < known.until && now < known.identity.expires_at).then(|| known.identity.clone())
    }

    /// Remembers who it is, from the moment when it was asked.
    pub(crate) fn note(&self, presented: Presented, identity: &Identity, asked_at: Instant) {
        if self.span.is_zero() || self.max == 0 {
            return;
        }
        let until = asked_at + self.span;
        let mut table = self.table.lock();
        table.sweep(Instant::now());
        if let Some(known) = table.known.get_mut(&presented) {
            // Asked twice at once: the newer word counts, for no longer than the older.
            known.identity = identity.clone();
            return;
        }
        if table.known.len() >= self.max {
            table.drop_first();
        }
        table.known.insert(presented, Known { identity: identity.clone(), until });
        table.order.push_back(presented);
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        let mut table = self.table.lock();
        table.sweep(Instant::now());
        table.known.len()
    }
}

impl Table {
    fn sweep(&mut self, now: Instant) {
        let is_past = |table: &Self| {
            let first = table.order.front().and_then(|first| table.known.get(first));
            first.is_some_and(|known| known.until <= now)
        };
        while is_past(self) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.order.pop_front() {
            self.known.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use streamer_protocol::ConnectionId;

    use super::*;

    const SPAN: Duration = Duration::from_secs(5);

    fn identity(user: &str) -> Identity {
        let expires_at = Timestamp::from_millis(1000);
        Identity::of(user, "acme", Vec::new(), Vec::new(), expires_at).expect("names")
    }

    fn knock(cookie: &str) -> Knock {
        Knock {
            entry: Entry::Call(Method::GET),
            path: "/v1/requests".to_owned(),
            query: [("limit".to_owned(), "7".to_owned())].into(),
            headers: [("cookie".to_owned(), cookie.to_owned())].into(),
            ip_address: "192.0.2.7".to_owned(),
        }
    }

    fn of(cookie: &str) -> Presented {
        Presented::of(&knock(cookie))
    }

    const NOW: Timestamp = Timestamp::from_millis(0);

    #[test]
    fn whatever_is_shown_makes_a_difference() {
        let same = knock("a");
        assert_eq!(Presented::of(&same), of("a"));
        let entry = Entry::Connection(ConnectionId::new("GET"));
        for other in [
            Knock { entry, ..same.clone() },
            Knock { entry: Entry::Call(Method::POST), ..same.clone() },
            Knock { path: "/v1/usage".to_owned(), ..same.clone() },
            Knock { query: [("limit".to_owned(), "8".to_owned())].into(), ..same.clone() },
            Knock { query: [("limi".to_owned(), "t7".to_owned())].into(), ..same.clone() },
            Knock { headers: [].into(), ..same.clone() },
            Knock { query: same.headers.clone(), headers: same.query.clone(), ..same.clone() },
            Knock { ip_address: "192.0.2.8".to_owned(), ..same.clone() },
        ] {
            assert_ne!(Presented::of(&other), Presented::of(&same), "{other:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_is_forgotten_in_time_and_with_the_session() {
        let remembered = Remembered::new(SPAN, 10);
        remembered.note(of("a"), &identity("ada"), Instant::now());
        assert_eq!(remembered.find(&of("a"), NOW), Some(identity("ada")));
        assert_eq!(remembered.find(&of("b"), NOW), None);
        assert_eq!(remembered.find(&of("a"), Timestamp::from_millis(1000)), None, "the session has ended");
        tokio::time::advance(SPAN - Duration::from_millis(1)).await;
        assert!(remembered.find(&of("a"), NOW).is_some());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(remembered.find(&of("a"), NOW), None);
        assert_eq!(remembered.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_is_old_when_it_comes() {
        let remembered = Remembered::new(SPAN, 10);
        let asked_at = Instant::now();
        tokio::time::advance(SPAN).await;
        remembered.note(of("a"), &identity("ada"), asked_at);
        assert_eq!(remembered.find(&of("a"), NOW), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_make_room() {
        let remembered = Remembered::new(SPAN, 3);
        for n in 0..1000 {
            remembered.note(of(&n.to_string()), &identity("ada"), Instant::now());
            tokio::time::advance(Duration::from_millis(1)).await;
            remembered.note(of("again"), &identity("bob"), Instant::now());
            assert!(remembered.len() <= 3);
            let table = remembered.table.lock();
            assert_eq!(table.order.len(), table.known.len());
        }
        assert_eq!(remembered.find(&of("again"), NOW), Some(identity("bob")));
        assert_eq!(remembered.find(&of("0"), NOW), None);
    }

    #[tokio::test]
    async fn without_a_span_nothing_is_remembered() {
        let remembered = Remembered::new(Duration::ZERO, 10);
        remembered.note(of("a"), &identity("ada"), Instant::now());
        assert_eq!((remembered.len(), remembered.find(&of("a"), NOW)), (0, None));
    }
}
