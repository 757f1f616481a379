//! Who is on a topic.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use streamer_protocol::{ConnectionId, PresentUser, Timestamp, UserId};

use crate::Frame;

/// How many changes of presence are held for a subscriber that is still reading the history.
const MISSED_MAX: usize = 256;

/// The subscribers of a topic.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    by_connection: HashMap<ConnectionId, Subscriber>,
    /// Those who have all messages up to the topic's newest, in no order: whom the next one goes to.
    following: Vec<ConnectionId>,
    users: BTreeMap<UserId, Here>,
    /// Those who are told who comes and leaves.
    watching: BTreeSet<ConnectionId>,
}

#[derive(Debug)]
struct Subscriber {
    /// Which of its connection's subscriptions it is.
    serial: u64,
    user: UserId,
    /// Where it stands among those who follow.
    following: Option<usize>,
    /// The changes of presence since it subscribed, while it does not follow yet; only if it watches. `None` once
    /// there were too many.
    missed: Option<Vec<Frame>>,
}

/// A user's connections on a topic.
#[derive(Debug)]
struct Here {
    connections: u32,
    since: Timestamp,
}

/// Whoever watches a topic's presence.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    /// Those to tell now.
    pub(super) now: Vec<ConnectionId>,
    /// Those for whom too much has changed while they were reading.
    pub(super) overrun: Vec<ConnectionId>,
}

impl Subscribers {
    pub(super) fn is_empty(&self) -> bool {
        self.by_connection.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.by_connection.len()
    }

    /// Whom a message goes to.
    pub(super) fn following(&self) -> &[ConnectionId] {
        &self.following
    }

    /// How many users there are.
    pub(super) fn users(&self) -> usize {
        self.users.len()
    }

    pub(super) fn has_user(&self, user: &UserId) -> bool {
        self.users.contains_key(user)
    }

    /// The users by name, at most so many.
    pub(super) fn present(&self, max: usize) -> Vec<PresentUser> {
        let present = |(user, here): (&UserId, &Here)| PresentUser {
            user_id: user.clone(),
            connections: here.connections,
            since: here.since,
        };
        self.users.iter().take(max).map(present).collect()
    }

    /// Adds a subscriber that does not follow yet, in the place of an earlier one of its connection.
    pub(super) fn add(
        &mut self,
        connection: &ConnectionId,
        serial: u64,
        user: &UserId,
        watches: bool,
        now: Timestamp,
    ) {
        self.take(connection);
        let here = self.users.entry(user.clone()).or_insert(Here { connections: 0, since: now });
        here.connections += 1;
        if watches {
            self.watching.insert(connection.clone());
        }
        let subscriber =
            Subscriber { serial, user: user.clone(), following: None, missed: watches.then(Vec::new) };
        self.by_connection.insert(connection.clone(), subscriber);
    }

    /// Removes a connection's subscriber. Gives the user if that was the last of its connections.
    pub(super) fn remove(&mut self, connection: &ConnectionId) -> Option<UserId> {
        let user = self.take(connection)?;
        if self.users.get(&user)?.connections > 0 {
            return None;
        }
        self.users.remove(&user);
        Some(user)
    }

    /// Takes a subscriber out; its user stays, perhaps with no connection.
    fn take(&mut self, connection: &ConnectionId) -> Option<UserId> {
        self.hold(connection);
        let subscriber = self.by_connection.remove(connection)?;
        self.watching.remove(connection);
        if let Some(here) = self.users.get_mut(&subscriber.user) {
            here.connections -= 1;
        }
        if self.by_connection.is_empty() {
            // A topic that nobody is on holds no memory for them.
            (self.by_connection, self.following, self.watching) = Default::default();
        }
        Some(subscriber.user)
    }

    /// Whether this subscription is the connection's newest to the topic, and still there.
    pub(super) fn is_current(&self, connection: &ConnectionId, serial: u64) -> bool {
        self.by_connection.get(connection).is_some_and(|subscriber| subscriber.serial == serial)
    }

    /// From now on messages go to this one.
    pub(super) fn follow(&mut self, connection: &ConnectionId) {
        if let Some(subscriber) = self.by_connection.get_mut(connection)
            && subscriber.following.is_none()
        {
            subscriber.following = Some(self.following.len());
            self.following.push(connection.clone());
        }
    }

    /// The changes of presence that this one has not heard, as it does not follow yet.
    pub(super) fn take_missed(&mut self, connection: &ConnectionId) -> Vec<Frame> {
        let missed = self.by_connection.get_mut(connection).and_then(|subscriber| subscriber.missed.as_mut());
        missed.map(std::mem::take).unwrap_or_default()
    }

    /// No message goes to this one any more; it stays on the topic until it leaves.
    pub(super) fn hold(&mut self, connection: &ConnectionId) {
        let Some(subscriber) = self.by_connection.get_mut(connection) else { return };
        let Some(place) = subscriber.following.take() else { return };
        self.following.swap_remove(place);
        if let Some(moved) = self.following.get(place)
            && let Some(moved) = self.by_connection.get_mut(moved)
        {
            moved.following = Some(place);
        }
    }

    /// Whom to tell of a change of presence. Those who are still reading the history hear of it once they follow.
    pub(super) fn watchers(&mut self, frame: &Frame) -> Watchers {
        let mut watchers = Watchers::default();
        for connection in &self.watching {
            let Some(subscriber) = self.by_connection.get_mut(connection) else { continue };
            match &mut subscriber.missed {
                _ if subscriber.following.is_some() => watchers.now.push(connection.clone()),
                Some(missed) if missed.len() < MISSED_MAX => missed.push(frame.clone()),
                missed => {
                    if missed.take().is_some() {
                        watchers.overrun.push(connection.clone());
                    }
                }
            }
        }
        watchers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(n: u32) -> ConnectionId {
        ConnectionId::new(format!("c{n}"))
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn followers(subscribers: &Subscribers) -> Vec<String> {
        let mut ids: Vec<_> = subscribers.following().iter().map(ToString::to_string).collect();
        ids.sort();
        ids
    }

    #[test]
    fn whoever_leaves_is_found_wherever_it_stands() {
        let mut subscribers = Subscribers::default();
        for n in 0..6 {
            subscribers.add(&connection(n), 1, &UserId::new("ada"), false, at(0));
            subscribers.follow(&connection(n));
        }
        for n in [0, 3, 5] {
            assert_eq!(subscribers.remove(&connection(n)), None);
            assert_eq!(subscribers.remove(&connection(n)), None, "once");
        }
        assert_eq!(followers(&subscribers), ["c1", "c2", "c4"]);
        subscribers.hold(&connection(1));
        assert_eq!(followers(&subscribers), ["c2", "c4"]);
        subscribers.follow(&connection(1));
        subscribers.follow(&connection(1));
        assert_eq!(followers(&subscribers), ["c1", "c2", "c4"]);
        assert_eq!(subscribers.remove(&connection(1)), None);
        assert_eq!(subscribers.remove(&connection(2)), None);
        assert_eq!(subscribers.remove(&connection(4)), Some(UserId::new("ada")), "the last one");
        assert!(subscribers.is_empty() && subscribers.users() == 0);
    }

    #[test]
    fn a_user_is_present_once_however_many_connections() {
        let (ada, bob) = (UserId::new("ada"), UserId::new("bob"));
        let mut subscribers = Subscribers::default();
        subscribers.add(&connection(1), 1, &bob, false, at(1));
        subscribers.add(&connection(2), 1, &ada, false, at(2));
        subscribers.add(&connection(3), 1, &ada, false, at(3));
        let present =
            |user: &UserId, connections, since| PresentUser { user_id: user.clone(), connections, since };
        assert_eq!(subscribers.present(9), [present(&ada, 2, at(2)), present(&bob, 1, at(1))]);
        assert_eq!(subscribers.present(1).len(), 1);
        // The same connection again neither comes nor leaves.
        subscribers.add(&connection(1), 2, &bob, false, at(9));
        assert_eq!(subscribers.present(9)[1], present(&bob, 1, at(1)));
        assert!(subscribers.is_current(&connection(1), 2) && !subscribers.is_current(&connection(1), 1));
    }

    #[test]
    fn changes_of_presence_wait_for_those_who_still_read() {
        let mut subscribers = Subscribers::default();
        let frame = Frame::message("x").expect("a text");
        for (n, watches) in [(1, true), (2, true), (3, false)] {
            subscribers.add(&connection(n), 1, &UserId::new(format!("u{n}")), watches, at(0));
        }
        subscribers.follow(&connection(1));
        subscribers.follow(&connection(3));
        for _ in 0..MISSED_MAX {
            let watchers = subscribers.watchers(&frame);
            assert_eq!((watchers.now, watchers.overrun), (vec![connection(1)], vec![]));
        }
        assert_eq!(subscribers.take_missed(&connection(2)).len(), MISSED_MAX);
        assert!(subscribers.take_missed(&connection(2)).is_empty(), "told once");
        for _ in 0..MISSED_MAX {
            subscribers.watchers(&frame);
        }
        assert_eq!(subscribers.watchers(&frame).overrun, [connection(2)]);
    }
}
