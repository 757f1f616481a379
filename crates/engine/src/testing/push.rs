//! Connections in memory.

use std::collections::{HashMap, VecDeque};

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::Value;
use streamer_protocol::{CloseCode, ConnectionId};
use tokio::sync::Notify;

use crate::{
    Frame,
    push::{Error, Push, Result},
};

/// How many frames a connection holds unread, unless a test says otherwise.
const ROOM: usize = 10_000;

/// Connections without sockets: keeps what is sent to each until a test reads it, and fails when it is told to.
/// Tests await what they want to see ([`frame`](Self::frame), [`closing`](Self::closing)) and never sleep.
///
/// ```
/// # use std::sync::Arc;
/// # use streamer_engine::{BreakerSettings, SendError, Sender, protocol::ConnectionId};
/// # use streamer_engine::testing::{FakeConnections, MemoryStore, SeededRandom};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), SendError> {
/// let (ada, bob) = (ConnectionId::new("ada"), ConnectionId::new("bob"));
/// let fake = Arc::new(FakeConnections::new());
/// fake.open(&ada);
/// let (store, random) = (Arc::new(MemoryStore::new()), Arc::new(SeededRandom::new(1)));
/// let sender = Sender::new(store, fake.clone(), random, BreakerSettings::default());
///
/// sender.send(&ada, &serde_json::json!({ "hello": "Ada" })).await?;
/// assert_eq!(fake.frame(&ada, |frame| frame["hello"] == "Ada").await["hello"], "Ada");
/// assert_eq!(sender.send(&bob, "nobody is there").await, Err(SendError::NotFound));
/// # Ok(())
/// # }
/// ```
pub struct FakeConnections {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    peers: HashMap<ConnectionId, Peer>,
    shutting_down: bool,
}

struct Peer {
    /// What was sent and not read yet.
    unread: VecDeque<Frame>,
    room: usize,
    busy: usize,
    held_up: bool,
    bytes_max: usize,
    gone: bool,
    closed: Option<CloseCode>,
}

impl Default for FakeConnections {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeConnections {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self { state: Mutex::default(), changed: Notify::new() }
    }

    /// Opens a connection, or opens it anew.
    pub fn open(&self, id: &ConnectionId) {
        self.open_with_room(id, ROOM);
    }

    /// Opens a connection that holds at most `frames` unread: what is more finds it busy.
    pub fn open_with_room(&self, id: &ConnectionId, frames: usize) {
        let peer = Peer {
            unread: VecDeque::new(),
            room: frames,
            busy: 0,
            held_up: false,
            bytes_max: usize::MAX,
            gone: false,
            closed: None,
        };
        self.change(|state| state.peers.insert(id.clone(), peer));
    }

    /// The peer goes away: its connection is gone, and what it has not read stays readable.
    pub fn hang_up(&self, id: &ConnectionId) {
        self.change_peer(id, |peer| peer.gone = true);
    }

    /// The connection has no room for the next `pushes`.
    pub fn busy_for(&self, id: &ConnectionId, pushes: usize) {
        self.change_peer(id, |peer| peer.busy = pushes);
    }

    /// The connection has no room until it is [released](Self::release).
    pub fn hold_up(&self, id: &ConnectionId) {
        self.change_peer(id, |peer| peer.held_up = true);
    }

    /// Ends what [`busy_for`](Self::busy_for) and [`hold_up`](Self::hold_up) began.
    pub fn release(&self, id: &ConnectionId) {
        self.change_peer(id, |peer| (peer.busy, peer.held_up) = (0, false));
    }

    /// The connection takes no frame of more than `bytes`.
    pub fn limit_bytes(&self, id: &ConnectionId, bytes: usize) {
        self.change_peer(id, |peer| peer.bytes_max = bytes);
    }

    /// Nothing is taken any more.
    pub fn shut_down(&self) {
        self.change(|state| state.shutting_down = true);
    }

    /// What was sent and is not taken yet, oldest first.
    #[must_use]
    pub fn unread(&self, id: &ConnectionId) -> Vec<Value> {
        self.state.lock().peers.get(id).map(Peer::read).unwrap_or_default()
    }

    /// Whether something was sent that is not taken yet.
    #[must_use]
    pub fn has_unread(&self, id: &ConnectionId) -> bool {
        self.state.lock().peers.get(id).is_some_and(|peer| !peer.unread.is_empty())
    }

    /// Takes what is unread, oldest first, and makes room.
    pub fn take(&self, id: &ConnectionId) -> Vec<Value> {
        self.take_at_most(id, usize::MAX)
    }

    /// Takes at most `frames` of what is unread, oldest first.
    pub fn take_at_most(&self, id: &ConnectionId, frames: usize) -> Vec<Value> {
        self.change_peer(id, |peer| {
            let taken = peer.unread.drain(..frames.min(peer.unread.len()));
            taken.map(|frame| value(&frame)).collect()
        })
        .unwrap_or_default()
    }

    /// The first unread frame that matches, once there is one. Takes nothing.
    pub async fn frame(&self, id: &ConnectionId, matches: impl Fn(&Value) -> bool) -> Value {
        self.until(|state| state.peers.get(id)?.read().into_iter().find(&matches)).await
    }

    /// With which code the connection was closed, if it was.
    #[must_use]
    pub fn closed(&self, id: &ConnectionId) -> Option<CloseCode> {
        self.state.lock().peers.get(id)?.closed
    }

    /// With which code the connection is closed, once it is.
    pub async fn closing(&self, id: &ConnectionId) -> CloseCode {
        self.until(|state| state.peers.get(id)?.closed).await
    }

    /// Returns once something was sent to the connection that is not taken yet.
    pub async fn something(&self, id: &ConnectionId) {
        self.until(|state| (!state.peers.get(id)?.unread.is_empty()).then_some(())).await;
    }

    async fn until<T>(&self, seen: impl Fn(&State) -> Option<T>) -> T {
        loop {
            // Made before the look: it hears every change from here on.
            let changed = self.changed.notified();
            let found = seen(&self.state.lock());
            match found {
                Some(found) => return found,
                None => changed.await,
            }
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state.lock());
        self.changed.notify_waiters();
        changed
    }

    fn change_peer<T>(&self, id: &ConnectionId, change: impl FnOnce(&mut Peer) -> T) -> Option<T> {
        self.change(|state| state.peers.get_mut(id).map(change))
    }
}

impl Peer {
    fn read(&self) -> Vec<Value> {
        self.unread.iter().map(value).collect()
    }

    fn has_room(&self) -> bool {
        !self.held_up && self.unread.len() < self.room
    }

    fn push(&mut self, frame: Frame) -> Result<()> {
        if self.gone {
            return Err(Error::Gone);
        }
        if frame.bytes().len() > self.bytes_max {
            return Err(Error::TooLarge);
        }
        if self.busy > 0 {
            self.busy -= 1;
            return Err(Error::Busy);
        }
        if !self.has_room() {
            return Err(Error::Busy);
        }
        self.unread.push_back(frame);
        Ok(())
    }
}

fn value(frame: &Frame) -> Value {
    serde_json::from_slice(frame.bytes()).expect("frames are JSON")
}

#[async_trait]
impl Push for FakeConnections {
    async fn push(&self, to: &ConnectionId, frame: Frame) -> Result<()> {
        self.change(|state| {
            if state.shutting_down {
                return Err(Error::ShuttingDown);
            }
            state.peers.get_mut(to).ok_or(Error::Gone)?.push(frame)
        })
    }

    async fn drained(&self, to: &ConnectionId) -> Result<()> {
        self.until(|state| match state.peers.get(to) {
            _ if state.shutting_down => Some(Err(Error::ShuttingDown)),
            None => Some(Err(Error::Gone)),
            Some(peer) if peer.gone => Some(Err(Error::Gone)),
            Some(peer) => peer.has_room().then_some(Ok(())),
        })
        .await
    }

    async fn is_active(&self, to: &ConnectionId) -> bool {
        self.state.lock().peers.get(to).is_some_and(|peer| !peer.gone)
    }

    async fn disconnect(&self, to: &ConnectionId, why: CloseCode) -> Result<()> {
        self.change_peer(to, |peer| {
            if peer.gone {
                return Err(Error::Gone);
            }
            (peer.gone, peer.closed) = (true, Some(why));
            Ok(())
        })
        .unwrap_or(Err(Error::Gone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(n: u32) -> Frame {
        Frame::message(&n).expect("prints")
    }

    #[tokio::test]
    async fn frames_stay_in_order_until_they_are_taken_and_the_room_is_bounded() {
        let (fake, id) = (FakeConnections::new(), ConnectionId::new("a"));
        assert_eq!(fake.push(&id, frame(0)).await, Err(Error::Gone));
        fake.open_with_room(&id, 2);
        for (n, pushed) in [(1, Ok(())), (2, Ok(())), (3, Err(Error::Busy))] {
            assert_eq!(fake.push(&id, frame(n)).await, pushed);
        }
        assert_eq!(fake.take_at_most(&id, 1), [1]);
        assert_eq!(fake.drained(&id).await, Ok(()));
        assert_eq!(fake.take(&id), [2]);
    }

    #[tokio::test]
    async fn it_fails_as_it_is_told() {
        let (fake, id) = (FakeConnections::new(), ConnectionId::new("a"));
        fake.open(&id);
        fake.busy_for(&id, 1);
        assert_eq!(fake.push(&id, frame(1)).await, Err(Error::Busy));
        assert_eq!(fake.push(&id, frame(1)).await, Ok(()));
        fake.limit_bytes(&id, 1);
        assert_eq!(fake.push(&id, frame(10)).await, Err(Error::TooLarge));
        assert_eq!(fake.disconnect(&id, CloseCode::SlowConsumer).await, Ok(()));
        assert_eq!(fake.closing(&id).await, CloseCode::SlowConsumer);
        assert_eq!(fake.push(&id, frame(1)).await, Err(Error::Gone));
        assert_eq!(fake.unread(&id), [1], "what was sent stays readable");
        fake.shut_down();
        assert_eq!(fake.push(&id, frame(1)).await, Err(Error::ShuttingDown));
    }

    #[tokio::test]
    async fn what_is_awaited_comes() {
        let (fake, id) = (FakeConnections::new(), ConnectionId::new("a"));
        fake.open(&id);
        fake.hold_up(&id);
        let sending = async {
            assert_eq!(fake.push(&id, frame(7)).await, Err(Error::Busy));
            fake.drained(&id).await.expect("released");
            fake.push(&id, frame(7)).await.expect("has room");
        };
        let (seen, (), ()) = tokio::join!(fake.frame(&id, |n| *n == 7), sending, async {
            tokio::task::yield_now().await;
            fake.release(&id);
        });
        assert_eq!(seen, 7);
    }
}
