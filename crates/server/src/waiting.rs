//! Sockets that wait for their peer to ask for something. Where there is no place for a new one, the one that has
//! waited longest makes room: those who never ask keep out nobody who does.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::stage::Stages;

/// So long a peer may take, also where others wait for its place.
const SLOW: Duration = Duration::from_secs(1);

/// The sockets of one address that wait. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Waiting(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    next: u64,
    /// In the order in which they began to wait.
    sockets: BTreeMap<u64, Waiter>,
}

impl Queue {
    fn add(&mut self, waiter: Waiter) -> u64 {
        let number = self.next;
        self.next += 1;
        self.sockets.insert(number, waiter);
        number
    }
}

struct Waiter {
    since: Instant,
    make_room: Arc<Notify>,
}

/// What came of asking for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// A socket was asked to go.
    Asked,
    /// The one that has waited longest may do so for this long.
    In(Duration),
    /// None waits: all are at something.
    None,
}

impl Waiting {
    /// A new socket, which waits.
    pub(crate) fn socket(&self) -> Arc<Socket> {
        let socket = Socket {
            waiting: self.clone(),
            make_room: Arc::default(),
            place: Mutex::default(),
            held: AtomicBool::new(false),
            stages: Stages::default(),
        };
        socket.wait();
        Arc::new(socket)
    }

    /// Has the socket that has waited longest go, if it is slow.
    pub(crate) fn make_room(&self) -> Room {
        let mut queue = self.0.lock();
        let Some(oldest) = queue.sockets.first_entry() else { return Room::None };
        let left = SLOW.saturating_sub(oldest.get().since.elapsed());
        if !left.is_zero() {
            return Room::In(left);
        }
        oldest.remove().make_room.notify_one();
        metrics::counter!("streamer_sockets_displaced_total").increment(1);
        Room::Asked
    }
}

/// A socket of HTTP, until it is closed or becomes a WebSocket.
pub(crate) struct Socket {
    waiting: Waiting,
    /// Told once, to the one task of the socket.
    make_room: Arc<Notify>,
    /// Its place among those that wait, if it does.
    place: Mutex<Option<u64>>,
    /// Whether the peer has not taken all of the answer yet.
    held: AtomicBool,
    /// How far its peer has come.
    pub(crate) stages: Stages,
}

impl Socket {
    /// Ready when it is to make room, and nothing of an answer is left to be sent. Who sends is of the task that
    /// awaits this.
    pub(crate) async fn displaced(&self) {
        self.make_room.notified().await;
        poll_fn(|_| if self.held.load(Ordering::Relaxed) { Poll::Pending } else { Poll::Ready(()) }).await;
    }

    /// Whether something of an answer is left to be sent.
    pub(crate) fn hold(&self, held: bool) {
        self.held.store(held, Ordering::Relaxed);
    }

    /// It is our turn, as something was asked for: it keeps its place until all of the answer is on its way.
    pub(crate) fn ask(self: &Arc<Self>) -> Asked {
        self.leave();
        Asked(Arc::clone(self))
    }

    fn wait(&self) {
        let waiter = Waiter { since: Instant::now(), make_room: Arc::clone(&self.make_room) };
        let number = self.waiting.0.lock().add(waiter);
        *self.place.lock() = Some(number);
    }

    fn leave(&self) {
        let place = self.place.lock().take();
        if let Some(number) = place {
            self.waiting.0.lock().sockets.remove(&number);
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Held while a request is answered.
pub(crate) struct Asked(Arc<Socket>);

impl Asked {
    /// Whose request it is.
    pub(crate) fn socket(&self) -> &Socket {
        &self.0
    }

    /// The answer's body, with which the answer ends.
    pub(crate) fn until_the_end_of(self, body: Body) -> Answer {
        Answer { body, _asked: self }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.wait();
    }
}

/// The body of an answer.
pub(crate) struct Answer {
    body: Body,
    _asked: Asked,
}

impl HttpBody for Answer {
    type Data = <Body as HttpBody>::Data;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_has_waited_longest_goes_and_who_is_answered_stays() {
        let waiting = Waiting::default();
        assert_eq!(waiting.make_room(), Room::None);
        let (first, second) = (waiting.socket(), waiting.socket());
        assert_eq!(waiting.make_room(), Room::In(SLOW));
        tokio::time::advance(SLOW / 4).await;
        assert_eq!(waiting.make_room(), Room::In(SLOW / 4 * 3));
        let asked = first.ask();
        tokio::time::advance(SLOW).await;
        assert_eq!(waiting.make_room(), Room::Asked);
        assert!(second.displaced().now_or_never().is_some() && first.displaced().now_or_never().is_none());
        assert_eq!(waiting.make_room(), Room::None);
        let answer = asked.until_the_end_of(Body::empty());
        tokio::time::advance(SLOW * 2).await;
        assert_eq!(waiting.make_room(), Room::None, "it is still being answered");
        drop(answer);
        assert_eq!(waiting.make_room(), Room::In(SLOW), "it waits anew");
        drop(first);
        assert_eq!(waiting.make_room(), Room::None, "it is gone");
    }
}
