//! One connection as the rest of the process sees it: what waits for its peer, and whether it is to close.
//!
//! Whoever pushes to many writes to the socket itself, while nothing waits and nothing is *held*: what the
//! connection's task has taken, and may not have written to its last byte. So all goes out in the order in which it
//! was pushed, and no frame within another. All of that is decided under the queue's lock.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use streamer_engine::push::{Error, Result};
use streamer_protocol::{CloseCode, ConnectionId, RequestId};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::{
    output::{Output, Written},
    volley::Volley,
};

/// The bounds of what may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) bytes_max: usize,
    pub(crate) messages_max: usize,
}

/// For how many connections something waits. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Behind(Arc<AtomicUsize>);

impl Behind {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection's way to its peer. Whoever pushes never waits.
pub(crate) struct Link {
    pub(crate) id: ConnectionId,
    bounds: Bounds,
    behind: Behind,
    queue: Mutex<Queue>,
    /// The connection's task.
    task: AtomicWaker,
    /// Those who wait for room.
    drained: Notify,
    heard: AtomicBool,
    sent: AtomicU64,
    received: AtomicU64,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Where those who push may write, while nothing is held.
    output: Option<Arc<Output>>,
    held: bool,
    close: Option<CloseCode>,
    ended: bool,
    /// Whether this one counts among those for which something waits.
    is_behind: bool,
}

struct Waiting {
    text: Utf8Bytes,
    collapses: Option<RequestId>,
}

impl Link {
    pub(crate) fn new(id: ConnectionId, bounds: Bounds, behind: Behind) -> Self {
        Self {
            id,
            bounds,
            behind,
            queue: Mutex::default(),
            task: AtomicWaker::new(),
            drained: Notify::new(),
            heard: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        }
    }

    /// Queues a message for the peer. A message that collapses takes the place of an older one of its request.
    pub(crate) fn push(&self, text: Utf8Bytes, collapses: Option<&RequestId>) -> Result<()> {
        let mut queue = self.queue.lock();
        queue.open()?;
        queue.push(text, collapses, self.bounds)?;
        queue.count(&self.behind);
        drop(queue);
        self.task.wake();
        Ok(())
    }

    /// Writes messages to the socket at once if that keeps their order, and queues them otherwise. After an error the
    /// first ones may have been taken.
    pub(crate) fn push_at_once(&self, volley: &Volley<'_>) -> Result<()> {
        let mut queue = self.queue.lock();
        queue.open()?;
        let written = match &queue.output {
            Some(output) if !queue.held && queue.waiting.is_empty() => output.write_at_once(volley.wire()),
            _ => Written::Nothing,
        };
        let pushed = match written {
            Written::All => {
                drop(queue);
                self.sent.fetch_add(volley.len() as u64, Ordering::Relaxed);
                return Ok(());
            }
            Written::Part => {
                // The task writes the rest.
                queue.held = true;
                self.sent.fetch_add(volley.len() as u64, Ordering::Relaxed);
                Ok(())
            }
            Written::Nothing => {
                volley.texts().try_for_each(|(text, collapses)| queue.push(text, collapses, self.bounds))
            }
        };
        queue.count(&self.behind);
        drop(queue);
        self.task.wake();
        pushed
    }

    /// From now on those who push may write to `output`, whenever nothing is held.
    pub(crate) fn write_to(&self, output: Option<Arc<Output>>) {
        self.queue.lock().output = output;
    }

    /// The task has something to write that nobody may overtake.
    pub(crate) fn hold(&self) {
        self.queue.lock().held = true;
    }

    /// Whether the task has something that it may not have written.
    pub(crate) fn is_held(&self) -> bool {
        self.queue.lock().held
    }

    /// All that the task has taken is written.
    pub(crate) fn release(&self) {
        let mut queue = self.queue.lock();
        queue.held = false;
    }

    /// Queues the answer to a message of the peer itself, whose reading stops while too much waits.
    pub(crate) fn reply(&self, text: Utf8Bytes) {
        let mut queue = self.queue.lock();
        queue.add(text, None);
        queue.count(&self.behind);
    }

    /// Whether the peer's messages may be read: not while it takes no answers.
    pub(crate) fn has_room(&self) -> bool {
        let queue = self.queue.lock();
        queue.bytes < self.bounds.bytes_max && queue.waiting.len() < self.bounds.messages_max
    }

    /// The next message for the peer.
    pub(crate) fn next(&self) -> Option<Message> {
        let mut queue = self.queue.lock();
        let Waiting { text, .. } = queue.waiting.pop_front()?;
        queue.bytes -= text.len();
        queue.held = true;
        let roomy =
            queue.bytes <= self.bounds.bytes_max / 2 && queue.waiting.len() <= self.bounds.messages_max / 2;
        if queue.waiting.is_empty() {
            // An idle connection holds no memory for its queue.
            queue.waiting = VecDeque::new();
        }
        queue.count(&self.behind);
        drop(queue);
        if roomy {
            self.drained.notify_waiters();
        }
        self.sent.fetch_add(1, Ordering::Relaxed);
        Some(Message::Text(text))
    }

    /// How many bytes and messages wait for the peer.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let queue = self.queue.lock();
        (queue.bytes, queue.waiting.len())
    }

    /// Returns once at most half of what may wait does.
    pub(crate) async fn drained(&self) -> Result<()> {
        loop {
            let room = self.drained.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            {
                let queue = self.queue.lock();
                if queue.ended || queue.close.is_some() {
                    return Err(Error::Gone);
                }
                if queue.bytes <= self.bounds.bytes_max / 2
                    && queue.waiting.len() <= self.bounds.messages_max / 2
                {
                    return Ok(());
                }
            }
            room.await;
        }
    }

    /// Asks the connection to close. Only the first code counts.
    pub(crate) fn close(&self, code: CloseCode) -> Result<()> {
        let mut queue = self.queue.lock();
        if queue.ended || queue.close.is_some() {
            return Err(Error::Gone);
        }
        queue.close = Some(code);
        if code == CloseCode::SlowConsumer {
            queue.waiting = VecDeque::new();
            queue.bytes = 0;
            queue.count(&self.behind);
        }
        drop(queue);
        self.drained.notify_waiters();
        self.task.wake();
        Ok(())
    }

    /// The code with which the connection is asked to close.
    pub(crate) fn asked_to_close(&self) -> Option<CloseCode> {
        self.queue.lock().close
    }

    /// Whether it is there and stays.
    pub(crate) fn is_open(&self) -> bool {
        let queue = self.queue.lock();
        !queue.ended && queue.close.is_none()
    }

    /// Nothing more can be pushed.
    pub(crate) fn end(&self) {
        let mut queue = self.queue.lock();
        queue.ended = true;
        // The socket is its task's alone, and goes with it.
        queue.output = None;
        queue.waiting = VecDeque::new();
        queue.bytes = 0;
        queue.count(&self.behind);
        drop(queue);
        self.drained.notify_waiters();
    }

    /// Whom to wake when something is pushed.
    pub(crate) fn register(&self, waker: &Waker) {
        self.task.register(waker);
    }

    /// Notes a message of the peer.
    pub(crate) fn count_received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that the peer was heard from.
    pub(crate) fn hear(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// Whether the peer was heard from since this was last asked.
    pub(crate) fn take_heard(&self) -> bool {
        self.heard.swap(false, Ordering::Relaxed)
    }

    /// How many messages went to the peer, and came from it.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed))
    }
}

impl Queue {
    fn open(&self) -> Result<()> {
        if self.ended || self.close.is_some() { Err(Error::Gone) } else { Ok(()) }
    }

    fn push(&mut self, text: Utf8Bytes, collapses: Option<&RequestId>, bounds: Bounds) -> Result<()> {
        if let Some(request) = collapses {
            let older = self.waiting.iter().rposition(|waiting| waiting.collapses.as_ref() == Some(request));
            if let Some(older) = older.and_then(|at| self.waiting.remove(at)) {
                self.bytes -= older.text.len();
            }
        }
        let full = self.bytes + text.len() > bounds.bytes_max || self.waiting.len() >= bounds.messages_max;
        if full && !self.waiting.is_empty() {
            return Err(Error::Busy);
        }
        self.add(text, collapses.cloned());
        Ok(())
    }

    /// Called whenever something came to wait, or left.
    fn count(&mut self, behind: &Behind) {
        let is_behind = !self.waiting.is_empty() && !self.ended;
        match (std::mem::replace(&mut self.is_behind, is_behind), is_behind) {
            (false, true) => behind.0.fetch_add(1, Ordering::Relaxed),
            (true, false) => behind.0.fetch_sub(1, Ordering::Relaxed),
            (true, true) | (false, false) => return,
        };
    }

    fn add(&mut self, text: Utf8Bytes, collapses: Option<RequestId>) {
        self.bytes += text.len();
        self.waiting.push_back(Waiting { text, collapses });
    }
}

#[cfg(test)]
mod tests {
    use streamer_engine::Frame;

    use super::*;

    fn link(bytes_max: usize, messages_max: usize) -> Link {
        Link::new(ConnectionId::new("c"), Bounds { bytes_max, messages_max }, Behind::default())
    }

    fn texts(link: &Link) -> Vec<String> {
        std::iter::from_fn(|| link.next()).map(|message| message.to_string()).collect()
    }

    #[test]
    fn full_is_busy_but_a_single_large_message_passes() {
        let link = link(10, 3);
        link.push("a message that is larger than the bound".into(), None).expect("nothing waits");
        assert_eq!(link.push("b".into(), None), Err(Error::Busy));
        assert!(!link.has_room());
        link.next();
        for text in ["1", "2", "3"] {
            link.push(text.into(), None).expect("room");
        }
        assert_eq!(link.push("4".into(), None), Err(Error::Busy));
        assert_eq!(texts(&link), ["1", "2", "3"]);
    }

    #[test]
    fn it_is_behind_for_as_long_as_something_waits() {
        let behind = Behind::default();
        let link =
            || Link::new(ConnectionId::new("c"), Bounds { bytes_max: 10, messages_max: 3 }, behind.clone());
        let (a, b, c) = (link(), link(), link());
        for link in [&a, &b, &c] {
            link.push("1".into(), None).expect("room");
            link.push("2".into(), None).expect("room");
        }
        assert_eq!(behind.count(), 3);
        assert_eq!((a.next().is_some(), behind.count()), (true, 3), "one more waits");
        assert_eq!((a.next().is_some(), behind.count()), (true, 2));
        b.close(CloseCode::SlowConsumer).expect("open");
        assert_eq!(behind.count(), 1, "nothing waits for who takes nothing");
        c.end();
        a.reply("answer".into());
        assert_eq!(behind.count(), 1);
        c.reply("too late".into());
        assert_eq!(behind.count(), 1, "who is gone is not behind");
        b.end();
        a.end();
        assert_eq!(behind.count(), 0);
    }

    #[test]
    fn progress_collapses_to_the_newest_in_order() {
        let link = link(100, 3);
        let (a, b) = (RequestId::parse("a").expect("valid"), RequestId::parse("b").expect("valid"));
        link.push("a1".into(), Some(&a)).expect("room");
        link.push("chunk".into(), None).expect("room");
        link.push("b1".into(), Some(&b)).expect("room");
        link.push("a2".into(), Some(&a)).expect("an older one makes room");
        assert_eq!(texts(&link), ["chunk", "b1", "a2"]);
    }

    /// A link that writes to a socket, and the socket's other end.
    async fn connected() -> (Link, std::net::TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let peer = std::net::TcpStream::connect(listener.local_addr().expect("has one")).expect("connected");
        let (_input, output) = listener.accept().await.expect("accepted").0.into_split();
        output.writable().await.expect("open");
        let link = link(1000, 100);
        link.write_to(Some(Arc::new(Output::new(output))));
        (link, peer)
    }

    #[tokio::test]
    async fn messages_are_written_at_once_unless_something_waits_or_is_held() {
        use std::io::Read as _;

        let (link, mut peer) = connected().await;
        let frames = ["a", "b"].map(Frame::text);
        let volley = Volley::new(&frames);
        let mut read = vec![0; volley.wire().len()];
        link.push_at_once(&volley).expect("open");
        peer.read_exact(&mut read).expect("it came");
        assert_eq!((read.as_slice(), link.waiting(), link.counts().0), (&volley.wire()[..], (0, 0), 2));

        link.push("waits".into(), None).expect("room");
        link.push_at_once(&volley).expect("room");
        assert_eq!(texts(&link), ["waits", "a", "b"], "in order");
        link.push_at_once(&volley).expect("room");
        assert_eq!(texts(&link), ["a", "b"], "what was taken may not be written yet");
        link.release();
        link.push_at_once(&volley).expect("open");
        assert_eq!((link.waiting(), link.counts().0), ((0, 0), 9));
        link.hold();
        link.push_at_once(&volley).expect("room");
        assert_eq!(link.waiting().1, 2);
        link.end();
        assert_eq!(link.push_at_once(&volley), Err(Error::Gone));
        read.clear();
        peer.read_to_end(&mut read).expect("the socket went with the link");
        assert_eq!(read, &volley.wire()[..], "and only what was written at once came through it");
    }

    #[tokio::test]
    async fn what_does_not_fit_is_held_until_its_rest_is_written() {
        let (link, _peer) = connected().await;
        let frames = [Frame::text("x".repeat(64 * 1024 * 1024))];
        link.push_at_once(&Volley::new(&frames)).expect("nothing waits");
        assert!(link.is_held());
        assert_eq!((link.waiting(), link.counts().0), ((0, 0), 1), "its rest is the socket's");
        let frames = [Frame::text("after")];
        link.push_at_once(&Volley::new(&frames)).expect("room");
        assert_eq!(texts(&link), ["after"]);
    }

    #[tokio::test]
    async fn waiting_for_room_ends_with_the_connection() {
        let link = std::sync::Arc::new(link(10, 1));
        link.push("a".into(), None).expect("room");
        let waiting = tokio::spawn({
            let link = std::sync::Arc::clone(&link);
            async move { link.drained().await }
        });
        tokio::task::yield_now().await;
        link.close(CloseCode::SlowConsumer).expect("open");
        assert_eq!(waiting.await.expect("no panic"), Err(Error::Gone));
        assert_eq!(link.push("b".into(), None), Err(Error::Gone));
        assert_eq!(link.close(CloseCode::Normal), Err(Error::Gone));
        assert_eq!(link.asked_to_close(), Some(CloseCode::SlowConsumer));
    }
}
