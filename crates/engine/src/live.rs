//! Who follows which request, and how a log becomes a live stream without a gap or a double.
//!
//! A listener begins *held*: what is published is kept for it, within a bound, while its log is read. When
//! the log's head is reached, what lies above it is released and the listener *follows*: entries go straight
//! to its connection. If more was published meanwhile than the bound holds, the log is read again from where
//! the reading had come to. The same holds for a listener that follows and finds that something is missing between
//! what it has and what is published: it was stored by another node, or its writer never learned that it was.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use streamer_protocol::CloseCode;
use tracing::debug;

use crate::{
    Frame,
    planted::{self, Bug},
    push::{self, Push},
    session::Session,
    store::{EntryBody, LogEntry, RequestKey, Requests},
};

/// How many entries of a log are read at once.
const LOG_PAGE: u32 = 64;

/// The listeners of this process.
pub(crate) struct Live {
    push: Arc<dyn Push>,
    listeners: Mutex<HashMap<RequestKey, Vec<Arc<Listener>>>>,
    buffer_max: usize,
    listeners_max: usize,
}

/// A connection that follows a request.
pub(crate) struct Listener {
    session: Arc<Session>,
    key: RequestKey,
    state: tokio::sync::Mutex<State>,
}

impl Listener {
    /// What it follows.
    pub(crate) fn key(&self) -> &RequestKey {
        &self.key
    }
}

enum State {
    Held {
        above: VecDeque<Told>,
        missed: bool,
    },
    Following {
        after: u64,
    },
    /// It hears nothing more: its request ended, its connection is gone, or a newer listener took its place.
    Ended,
}

/// An entry of the log, ready to be sent.
#[derive(Clone)]
struct Told {
    seq: u64,
    frame: Frame,
    /// Nothing follows it.
    ends: bool,
}

impl Told {
    fn of(entry: LogEntry, key: &RequestKey) -> Self {
        let (seq, ends) = (entry.seq, matches!(entry.body, EntryBody::Outcome(_)));
        Self { seq, frame: entry.into_frame(&key.id).into(), ends }
    }
}

/// The connection follows as many requests as it may.
#[derive(Debug)]
pub(crate) struct TooMany;

impl Live {
    pub(crate) fn new(push: Arc<dyn Push>, buffer_max: usize, listeners_max: usize) -> Self {
        Self { push, listeners: Mutex::default(), buffer_max, listeners_max }
    }

    /// Registers a listener, held. An earlier one of the same connection goes on until this one is to be heard.
    /// That of a session which has ended hears nothing.
    pub(crate) fn hold(&self, session: &Arc<Session>, key: &RequestKey) -> Result<Arc<Listener>, TooMany> {
        let state = tokio::sync::Mutex::new(State::Held { above: VecDeque::new(), missed: false });
        let listener = Arc::new(Listener { session: Arc::clone(session), key: key.clone(), state });
        let mut listeners = self.listeners.lock();
        let mut follows = session.follows.lock();
        // `forget` comes before or after this: it leaves nothing behind.
        if let Some(follows) = &mut *follows {
            if !follows.contains(&key.id) && follows.len() >= self.listeners_max {
                return Err(TooMany);
            }
            follows.insert(key.id.clone());
            listeners.entry(key.clone()).or_default().push(Arc::clone(&listener));
        }
        Ok(listener)
    }

    /// From now on the connection hears of the request by this listener alone; earlier ones end. False if a
    /// newer one was heard already, or the session has ended: then this one is not to be heard at all.
    pub(crate) async fn supersede(&self, listener: &Arc<Listener>) -> bool {
        let earlier: Vec<Arc<Listener>> = {
            let mut listeners = self.listeners.lock();
            let Some(of_key) = listeners.get_mut(&listener.key) else { return false };
            let Some(place) = of_key.iter().position(|other| Arc::ptr_eq(other, listener)) else {
                return false;
            };
            let connection = &listener.session.connection;
            let of_connection = |other: &&Arc<Listener>| other.session.connection == *connection;
            let earlier: Vec<_> = of_key[..place].iter().filter(of_connection).cloned().collect();
            of_key.retain(|other| !earlier.iter().any(|gone| Arc::ptr_eq(gone, other)));
            earlier
        };
        for other in earlier {
            // Whoever publishes or reads a log for it just now stops before its next entry.
            *other.state.lock().await = State::Ended;
        }
        true
    }

    /// Reads the log for a held listener from above `after` to its head and lets it follow from there.
    pub(crate) async fn catch_up(&self, listener: &Arc<Listener>, after: u64, store: &dyn Requests) {
        if !self.supersede(listener).await {
            return;
        }
        let mut after = after;
        loop {
            match self.send_log(listener, &mut after, store).await {
                Ok(Sent::ToTheHead) => {}
                Ok(Sent::ToTheEnd) | Err(Unheard) => return self.remove(listener),
            }
            match self.release(listener, &mut after).await {
                Ok(Released::Follows) => return,
                Ok(Released::Missed) => {}
                Ok(Released::Ended) | Err(Unheard) => return self.remove(listener),
            }
        }
    }

    /// Lets a held listener follow, when its log is known to be empty up to what was published since.
    pub(crate) async fn follow(&self, listener: &Arc<Listener>, store: &dyn Requests) {
        if !self.supersede(listener).await {
            return;
        }
        let mut after = 0;
        match self.release(listener, &mut after).await {
            Ok(Released::Follows) => {}
            Ok(Released::Missed) => self.catch_up(listener, after, store).await,
            Ok(Released::Ended) | Err(Unheard) => self.remove(listener),
        }
    }

    async fn send_log(
        &self,
        listener: &Listener,
        after: &mut u64,
        store: &dyn Requests,
    ) -> Result<Sent, Unheard> {
        loop {
            let page = match store.log(&listener.key, *after, LOG_PAGE).await {
                Ok(page) => page,
                Err(e) => {
                    debug!(error = %e, "a log could not be read for its listener");
                    // The client would wait for ever: let it come back and ask again.
                    let connection = &listener.session.connection;
                    let way = self.way(&listener.session);
                    let _ = way.disconnect(connection, CloseCode::InternalError).await;
                    return Err(Unheard);
                }
            };
            let full = page.len() == LOG_PAGE as usize;
            for entry in page {
                let Told { seq, frame, ends } = Told::of(entry, &listener.key);
                self.send(listener, frame).await?;
                *after = seq;
                if ends {
                    return Ok(Sent::ToTheEnd);
                }
            }
            if !full {
                return Ok(Sent::ToTheHead);
            }
        }
    }

    /// Sends an entry of the log that a listener is reading, waiting until its connection has room. Never waits
    /// with its lock held; under the lock it is certain that no newer listener has taken its place.
    async fn send(&self, listener: &Listener, frame: Frame) -> Result<(), Unheard> {
        let (connection, way) = (&listener.session.connection, self.way(&listener.session));
        loop {
            {
                let state = listener.state.lock().await;
                if matches!(*state, State::Ended) {
                    return Err(Unheard);
                }
                match way.push(connection, frame.clone()).await {
                    Ok(()) => return Ok(()),
                    Err(push::Error::Busy) => {}
                    Err(_) => return Err(Unheard),
                }
            }
            way.drained(connection).await.map_err(|_| Unheard)?;
        }
    }

    /// Sends what was published above `after` while the listener was held. Never waits with its lock held.
    async fn release(&self, listener: &Arc<Listener>, after: &mut u64) -> Result<Released, Unheard> {
        let (connection, way) = (&listener.session.connection, self.way(&listener.session));
        loop {
            {
                let mut state = listener.state.lock().await;
                let State::Held { above, missed } = &mut *state else { return Err(Unheard) };
                if std::mem::take(missed) {
                    return Ok(Released::Missed);
                }
                if planted::is(Bug::DroppedHandOver) {
                    *after = above.drain(..).last().map_or(*after, |told| told.seq);
                }
                let mut busy = false;
                while let Some(told) = above.pop_front() {
                    if told.seq <= *after {
                        continue;
                    }
                    if told.seq > *after + 1 {
                        // Something between was stored, and never published here.
                        above.clear();
                        return Ok(Released::Missed);
                    }
                    match way.push(connection, told.frame.clone()).await {
                        Ok(()) if told.ends => {
                            *state = State::Ended;
                            return Ok(Released::Ended);
                        }
                        Ok(()) => *after = told.seq,
                        Err(push::Error::Busy) => {
                            above.push_front(told);
                            busy = true;
                            break;
                        }
                        Err(_) => {
                            *state = State::Ended;
                            return Err(Unheard);
                        }
                    }
                }
                if !busy {
                    *state = State::Following { after: *after };
                    return Ok(Released::Follows);
                }
            }
            way.drained(connection).await.map_err(|_| Unheard)?;
        }
    }

    /// Sends a frame to one connection, waiting until it has room.
    pub(crate) async fn tell(&self, session: &Session, frame: Frame) -> push::Result<()> {
        let way = self.way(session);
        loop {
            match way.push(&session.connection, frame.clone()).await {
                Err(push::Error::Busy) => way.drained(&session.connection).await?,
                told => return told,
            }
        }
    }

    /// Sends stored entries to whoever follows. Never waits for a peer: one that has no room is closed, and
    /// can resume. The outcome ends the following. Answers those that missed something before these entries, and
    /// what they have: they are held, and must [catch up](Self::catch_up).
    #[must_use]
    pub(crate) async fn publish(
        &self,
        key: &RequestKey,
        entries: Vec<LogEntry>,
    ) -> Vec<(Arc<Listener>, u64)> {
        let mut behind = Vec::new();
        let Some(listeners) = self.of(key) else { return behind };
        let told: Vec<Told> = entries.into_iter().map(|entry| Told::of(entry, key)).collect();
        let ends = told.iter().any(|told| told.ends);
        for listener in listeners {
            let mut state = listener.state.lock().await;
            let mut over = false;
            match &mut *state {
                State::Ended => {}
                State::Held { above, missed } => {
                    // Once something was missed the log has it, and all that comes after it.
                    if *missed || above.len() + told.len() > self.buffer_max {
                        above.clear();
                        *missed = true;
                    } else {
                        above.extend(told.iter().cloned());
                    }
                    // The reader of its log comes upon the outcome, or releases it.
                    continue;
                }
                State::Following { after } if leaves_a_gap(&told, *after) => {
                    behind.push((Arc::clone(&listener), *after));
                    *state = State::Held { above: VecDeque::new(), missed: true };
                    continue;
                }
                State::Following { after } => {
                    let way = self.way(&listener.session);
                    for Told { seq, frame, .. } in &told {
                        if *seq <= *after {
                            continue;
                        }
                        match way.push(&listener.session.connection, frame.clone()).await {
                            Ok(()) => *after = *seq,
                            Err(e) => {
                                over = true;
                                self.give_up(&listener, e).await;
                                break;
                            }
                        }
                    }
                }
            }
            if over || ends {
                *state = State::Ended;
                drop(state);
                self.remove(&listener);
            }
        }
        behind
    }

    /// Tells whoever follows something that is not in the log. Those who are still reading it go without.
    pub(crate) async fn mention(&self, key: &RequestKey, frame: Frame) {
        for listener in self.of(key).unwrap_or_default() {
            if matches!(*listener.state.lock().await, State::Following { .. }) {
                // Worth no more than an attempt: the log tells all that matters.
                let _ = self.way(&listener.session).push(&listener.session.connection, frame.clone()).await;
            }
        }
    }

    /// Forgets a connection's listeners, for good: none is registered after this.
    pub(crate) fn forget(&self, session: &Session) {
        let mut listeners = self.listeners.lock();
        for id in session.follows.lock().take().unwrap_or_default() {
            let key = session.caller.key(id);
            if let Some(of_key) = listeners.get_mut(&key) {
                of_key.retain(|listener| listener.session.connection != session.connection);
                if of_key.is_empty() {
                    listeners.remove(&key);
                }
            }
        }
    }

    /// Takes a connection's listeners of a request away: it hears nothing of it after this. Whether there were some.
    pub(crate) async fn leave(&self, session: &Session, key: &RequestKey) -> bool {
        let mut of_connection = self.of(key).unwrap_or_default();
        of_connection.retain(|listener| listener.session.connection == session.connection);
        for listener in &of_connection {
            *listener.state.lock().await = State::Ended;
            self.remove(listener);
        }
        !of_connection.is_empty()
    }

    /// Whether anyone here follows the request.
    pub(crate) fn is_followed(&self, key: &RequestKey) -> bool {
        self.listeners.lock().contains_key(key)
    }

    /// Shows in the metrics what is held.
    pub(crate) fn measure(&self) {
        let (mut count, mut held) = (0, 0);
        let listeners = self.listeners.lock();
        for listener in listeners.values().flatten() {
            count += 1;
            // One that is being told something just now has next to nothing held.
            if let Ok(state) = listener.state.try_lock()
                && let State::Held { above, .. } = &*state
            {
                held += above.len();
            }
        }
        metrics::gauge!("streamer_requests_followed").set(listeners.len() as f64);
        metrics::gauge!("streamer_listeners").set(f64::from(count));
        metrics::gauge!("streamer_listeners_held_entries").set(held as f64);
    }

    /// How many requests are followed.
    pub(crate) fn followed(&self) -> usize {
        self.listeners.lock().len()
    }

    fn way<'a>(&'a self, session: &'a Session) -> &'a dyn Push {
        session.way(self.push.as_ref())
    }

    fn of(&self, key: &RequestKey) -> Option<Vec<Arc<Listener>>> {
        self.listeners.lock().get(key).cloned()
    }

    async fn give_up(&self, listener: &Listener, why: push::Error) {
        if why == push::Error::Busy {
            metrics::counter!("streamer_slow_consumers_total").increment(1);
            let way = self.way(&listener.session);
            let _ = way.disconnect(&listener.session.connection, CloseCode::SlowConsumer).await;
        }
    }

    /// Takes a listener away that has heard all up to the end, at `last_seq`.
    pub(crate) async fn remove_at(&self, listener: &Arc<Listener>, last_seq: u64) {
        let mut state = listener.state.lock().await;
        if matches!(*state, State::Following { after } if after >= last_seq) {
            *state = State::Ended;
            drop(state);
            self.remove(listener);
        }
    }

    /// Whether a listener is still registered.
    pub(crate) fn is_there(&self, listener: &Arc<Listener>) -> bool {
        let listeners = self.listeners.lock();
        listeners
            .get(&listener.key)
            .is_some_and(|of_key| of_key.iter().any(|other| Arc::ptr_eq(other, listener)))
    }

    /// Takes a listener away.
    pub(crate) fn remove(&self, listener: &Arc<Listener>) {
        let mut listeners = self.listeners.lock();
        let Some(of_key) = listeners.get_mut(&listener.key) else { return };
        of_key.retain(|other| !Arc::ptr_eq(other, listener));
        let session = &listener.session;
        if !of_key.iter().any(|other| other.session.connection == session.connection)
            && let Some(follows) = &mut *session.follows.lock()
        {
            follows.remove(&listener.key.id);
        }
        if of_key.is_empty() {
            listeners.remove(&listener.key);
        }
    }
}

/// Whether something is missing between `after` and what is told. Entries are published as they are numbered: one
/// after the other.
fn leaves_a_gap(told: &[Told], after: u64) -> bool {
    told.iter().find(|told| told.seq > after).is_some_and(|told| told.seq > after + 1)
}

/// The listener is not to be heard any more.
struct Unheard;

/// How far a log was read.
enum Sent {
    ToTheHead,
    /// With the outcome: nothing follows.
    ToTheEnd,
}

/// What became of a held listener.
enum Released {
    Follows,
    /// The outcome was among what was held.
    Ended,
    /// More was published than could be held: the log has it.
    Missed,
}
