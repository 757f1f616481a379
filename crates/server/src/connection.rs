//! The life of one WebSocket: reads its messages, writes what waits for it, watches its pulse.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{Sink, SinkExt, Stream};
use streamer_engine::{Engine, Session};
use streamer_protocol::{CloseCode, ErrorBody, ErrorCode, Retry};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        error::CapacityError,
        protocol::{CloseFrame, frame::coding::CloseCode as WireCode},
    },
};

use crate::{
    Settings,
    credentials::TokenState,
    link::Link,
    rate::{Rate, Spent},
    volley::text,
    wire::Wire,
};

/// Read and thrown away at most, after a close, so that a peer which is still writing gets to read why. Time is
/// bounded too: by the settings.
const LINGER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// So often as fast as it may a peer can send messages, and read that they are refused, before it is closed.
const FLOOD_FACTOR: u32 = 10;

/// How many control frames and small fragments a peer may send in a minute. A ping a second is 60, and nobody has a
/// reason to cut a message into crumbs.
const SMALL_FRAMES_PER_MINUTE: u32 = 1000;

pub(crate) type Socket = WebSocketStream<Wire>;

/// Why a connection ended, in a word, for its log line and metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The client closed.
    Client,
    /// The client vanished.
    Lost,
    /// The server closed, with this code.
    Server(CloseCode),
}

impl Ending {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client_closed",
            Self::Lost => "connection_lost",
            Self::Server(CloseCode::Normal) => "closed",
            Self::Server(CloseCode::GoingAway) => "draining",
            Self::Server(CloseCode::ProtocolError) => "protocol_error",
            Self::Server(CloseCode::Unsupported) => "binary_frame",
            Self::Server(CloseCode::InvalidText) => "invalid_text",
            Self::Server(CloseCode::TooLarge) => "message_too_large",
            Self::Server(CloseCode::InternalError) => "internal_error",
            Self::Server(CloseCode::TokenExpired) => "token_expired",
            Self::Server(CloseCode::Disconnected) => "disconnected_by_server",
            Self::Server(CloseCode::SlowConsumer) => "slow_consumer",
            Self::Server(CloseCode::Silent) => "silent",
            Self::Server(CloseCode::Unfinished) => "message_unfinished",
            Self::Server(CloseCode::RateLimited) => "rate_limited",
        }
    }
}

pub(crate) struct Connection {
    socket: Socket,
    link: Arc<Link>,
    session: Arc<Session>,
    token: Arc<TokenState>,
    engine: Engine,
    settings: Arc<Settings>,
    /// A ping came whose answer may still be held. Until that has left nothing is read: the library would hold
    /// one answer more for each further ping.
    pong_owed: bool,
    /// The peer takes nothing just now, while something waits.
    stalled: Option<Stall>,
    /// Nothing is read just now, so that a silence says nothing.
    deaf: bool,
    /// All that has come is read. To ask the library again would have it clear its buffer for nothing, each time
    /// that something is written.
    read_up: bool,
    /// Since the last flush.
    gave_way: bool,
    next_ping: Instant,
    alarm: Pin<Box<Sleep>>,
    room: Room,
    spent: Spending,
}

/// What the peer has spent of what it may send.
#[derive(Default)]
struct Spending {
    messages: Spent,
    refusals: Spent,
    small_frames: Spent,
}

/// A time in which the peer takes nothing.
struct Stall {
    since: Instant,
    /// What it had taken by then.
    taken: u64,
}

/// Room for one more message to be worked on.
enum Room {
    Wanted,
    Awaited(Pin<Box<dyn Future<Output = OwnedSemaphorePermit> + Send>>),
    Held(OwnedSemaphorePermit),
}

enum Event {
    Message(Message),
    Failed(Error),
    Ended,
    Close(CloseCode),
    Alarm,
}

impl Connection {
    pub(crate) fn new(
        socket: Socket,
        link: Arc<Link>,
        session: Arc<Session>,
        token: Arc<TokenState>,
        engine: Engine,
        settings: Arc<Settings>,
    ) -> Self {
        let now = Instant::now();
        let next_ping = now + settings.heartbeat;
        Self {
            socket,
            link,
            session,
            token,
            engine,
            settings,
            pong_owed: false,
            stalled: None,
            deaf: false,
            read_up: false,
            gave_way: false,
            next_ping,
            alarm: Box::pin(sleep_until(now)),
            room: Room::Wanted,
            spent: Spending::default(),
        }
    }

    /// Serves the connection until it ends.
    pub(crate) async fn serve(mut self) -> Ending {
        // From here on: before, the answer to the upgrade may not have left.
        self.link.write_to(self.socket.get_ref().plain_output().cloned());
        self.set_alarm();
        let ending = loop {
            match std::future::poll_fn(|cx| self.poll_event(cx)).await {
                Event::Message(message) => {
                    if let Some(ending) = self.take(message) {
                        break ending;
                    }
                    // A peer that never stops talking does not outlive its token.
                    if self.socket.get_ref().heard() >= self.alarm.deadline()
                        && let Some(code) = self.alarm()
                    {
                        break Ending::Server(code);
                    }
                }
                Event::Failed(e) => match code_of(&e) {
                    Some(code) => break Ending::Server(code),
                    None => return Ending::Lost,
                },
                Event::Ended => return Ending::Lost,
                Event::Close(code) => break Ending::Server(code),
                Event::Alarm => {
                    if let Some(code) = self.alarm() {
                        break Ending::Server(code);
                    }
                }
            }
        };
        // However it goes, it ends in time.
        let _ = timeout(self.settings.close_timeout, self.close(ending)).await;
        ending
    }

    /// What happens next. Writes what waits, reads while there is room, and flushes once there is nothing to
    /// read: so that the answers to a burst of messages leave together.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        self.link.register(cx.waker());
        if let Some(code) = self.link.asked_to_close() {
            return Poll::Ready(Event::Close(code));
        }
        if let Poll::Ready(Err(e)) = self.poll_write(cx) {
            return Poll::Ready(Event::Failed(e));
        }
        if self.pong_owed {
            match Pin::new(&mut self.socket).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.flushed(),
                Poll::Ready(Err(e)) => return Poll::Ready(Event::Failed(e)),
                Poll::Pending => self.stall(),
            }
        }
        if !self.pong_owed && self.link.has_room() && self.poll_room(cx).is_ready() {
            if std::mem::take(&mut self.deaf) {
                self.socket.get_mut().listen_again();
            }
            let read = self.poll_read(cx);
            if let Some(code) = self.overrun() {
                return Poll::Ready(Event::Close(code));
            }
            match read {
                Poll::Ready(Some(Ok(message))) => return Poll::Ready(Event::Message(message)),
                Poll::Ready(Some(Err(e))) => return Poll::Ready(Event::Failed(e)),
                Poll::Ready(None) => return Poll::Ready(Event::Ended),
                Poll::Pending => {}
            }
        } else {
            self.deaf = true;
        }
        if self.link.is_held() {
            if self.gives_way(cx) {
                return Poll::Pending;
            }
            match Pin::new(&mut self.socket).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.flushed(),
                Poll::Ready(Err(e)) => return Poll::Ready(Event::Failed(e)),
                Poll::Pending => self.stall(),
            }
        }
        self.alarm.as_mut().poll(cx).map(|()| Event::Alarm)
    }

    /// Lets all that can go on now go on first, once before each flush: what a group of stored requests, or several
    /// publishers, have for this peer comes in one moment, and leaves in one write. Whoever is alone loses nothing.
    fn gives_way(&mut self, cx: &Context<'_>) -> bool {
        let gives_way = !std::mem::replace(&mut self.gave_way, true);
        if gives_way {
            cx.waker().wake_by_ref();
        }
        gives_way
    }

    /// Hands what waits to the socket, as far as it takes it.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if Pin::new(&mut self.socket).poll_ready(cx)?.is_pending() {
                self.stall();
                return Poll::Pending;
            }
            let Some(message) = self.link.next() else { return Poll::Ready(Ok(())) };
            Pin::new(&mut self.socket).start_send(message)?;
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        if self.read_up {
            ready!(self.socket.get_ref().poll_readable(cx));
        }
        let read = Pin::new(&mut self.socket).poll_next(cx);
        self.read_up = read.is_pending();
        read
    }

    /// Looks at how the peer sends, each time that something was read: a peer that never pauses leaves no other
    /// moment for it. Gives the code with which to close, if it has come to that.
    fn overrun(&mut self) -> Option<CloseCode> {
        let wire = self.socket.get_mut();
        let (small, heard) = (wire.take_small_frames(), wire.heard());
        if small > 0 {
            let rate = Rate::per_minute(SMALL_FRAMES_PER_MINUTE).expect("is not 0");
            if self.spent.small_frames.spend(small, rate, heard).is_err() {
                metrics::counter!("streamer_rate_limited_total", "what" => "frames").increment(1);
                return Some(CloseCode::RateLimited);
            }
        }
        let finish_by = self.unfinished_at()?;
        if heard >= finish_by {
            return Some(CloseCode::Unfinished);
        }
        if finish_by < self.alarm.deadline() {
            self.alarm.as_mut().reset(finish_by);
        }
        None
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Room::Wanted = self.room {
            self.room = match self.session.try_room() {
                Some(room) => Room::Held(room),
                None => {
                    let session = Arc::clone(&self.session);
                    Room::Awaited(Box::pin(async move { session.room().await }))
                }
            };
        }
        if let Room::Awaited(room) = &mut self.room {
            self.room = Room::Held(ready!(room.as_mut().poll(cx)));
        }
        Poll::Ready(())
    }

    fn flushed(&mut self) {
        self.link.release();
        self.gave_way = false;
        self.pong_owed = false;
        self.stalled = None;
    }

    /// Notes that the socket takes nothing more just now: since when, unless it took something meanwhile.
    fn stall(&mut self) {
        let taken = self.socket.get_ref().taken();
        if self.stalled.as_ref().is_none_or(|stall| stall.taken != taken) {
            self.stalled = Some(Stall { since: Instant::now(), taken });
            self.set_alarm();
        }
    }

    /// Takes one message of the peer. Gives how the connection ends, if that ends it.
    fn take(&mut self, message: Message) -> Option<Ending> {
        self.link.hear();
        match message {
            Message::Text(message) => {
                self.link.count_received();
                if let Some(wait) = self.over_rate() {
                    return self.refuse(message.as_str(), wait);
                }
                let Room::Held(room) = std::mem::replace(&mut self.room, Room::Wanted) else {
                    unreachable!("messages are read only while there is room")
                };
                if let Some(answer) = self.engine.accept(&self.session, room, message.as_str()) {
                    self.link.reply(text(&answer));
                }
                None
            }
            Message::Binary(_) => Some(Ending::Server(CloseCode::Unsupported)),
            // The library answers a ping; its answer leaves with the next flush.
            Message::Ping(_) => {
                self.link.hold();
                self.pong_owed = true;
                None
            }
            Message::Pong(_) => None,
            Message::Close(_) => Some(Ending::Client),
            Message::Frame(_) => unreachable!("the library reads whole messages"),
        }
    }

    /// Counts a message. Gives how long to wait before the next one, if this one is over the rate.
    fn over_rate(&mut self) -> Option<Duration> {
        let rate = Rate::per_minute(self.settings.messages_per_minute)?;
        self.spent.messages.spend(1, rate, self.socket.get_ref().heard()).err()
    }

    /// Answers a message that is over the rate; or closes, if even the refusals are too many.
    fn refuse(&mut self, message: &str, wait: Duration) -> Option<Ending> {
        metrics::counter!("streamer_rate_limited_total", "what" => "messages").increment(1);
        let rate = Rate::per_minute(self.settings.messages_per_minute)?.times(FLOOD_FACTOR);
        if self.spent.refusals.spend(1, rate, self.socket.get_ref().heard()).is_err() {
            return Some(Ending::Server(CloseCode::RateLimited));
        }
        let after = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let again = Retry { retryable: true, after: Some(after), attempt: None, max_tries: None };
        let error = ErrorBody::new(ErrorCode::RateLimited, "too many messages: send fewer").retry(again);
        self.link.reply(text(&self.engine.refuse(message, error)));
        None
    }

    /// A time has come. Gives the code with which to close, if it has come to that.
    fn alarm(&mut self) -> Option<CloseCode> {
        let now = Instant::now();
        if self.stalled.as_ref().is_some_and(|stall| now >= stall.since + self.settings.stall_timeout) {
            metrics::counter!("streamer_slow_consumers_total").increment(1);
            return Some(CloseCode::SlowConsumer);
        }
        if self.token_left().is_zero() {
            return Some(CloseCode::TokenExpired);
        }
        if now >= self.silent_at() {
            return Some(CloseCode::Silent);
        }
        if self.unfinished_at().is_some_and(|at| now >= at) {
            return Some(CloseCode::Unfinished);
        }
        if now >= self.next_ping {
            // A peer that takes nothing gets no pings on top.
            if self.stalled.is_none() {
                self.link.hold();
                // If it cannot be sent, reading tells why.
                let _ = Pin::new(&mut self.socket).start_send(Message::Ping(Default::default()));
            }
            self.next_ping = now + self.settings.heartbeat;
        }
        self.set_alarm();
        None
    }

    fn set_alarm(&mut self) {
        let expires = Instant::now() + self.token_left();
        let mut at = self.next_ping.min(expires).min(self.silent_at());
        if let Some(stall) = &self.stalled {
            at = at.min(stall.since + self.settings.stall_timeout);
        }
        if let Some(unfinished_at) = self.unfinished_at() {
            at = at.min(unfinished_at);
        }
        self.alarm.as_mut().reset(at);
    }

    fn token_left(&self) -> Duration {
        self.token.left(self.engine.clock().now(), self.settings.token_grace)
    }

    /// When the peer has been silent for too long, if it says nothing until then.
    fn silent_at(&self) -> Instant {
        let heard = if self.deaf { Instant::now() } else { self.socket.get_ref().heard() };
        heard + 2 * self.settings.heartbeat
    }

    /// By when the message that has begun must be finished. While nobody listens it cannot be.
    fn unfinished_at(&self) -> Option<Instant> {
        let since = self.socket.get_ref().unfinished_since()?;
        let since = if self.deaf { Instant::now() } else { since };
        Some(since + self.settings.message_timeout)
    }

    /// Says why, and waits until the peer has read it: a socket that is closed with unread input would be reset,
    /// and the reason lost.
    async fn close(&mut self, ending: Ending) -> Result<(), Error> {
        match ending {
            Ending::Server(code) => {
                // Nothing is added to what waits, unless whoever asked for the close has seen to it already.
                let _ = self.link.close(code);
                while let Some(message) = self.link.next() {
                    self.socket.feed(message).await?;
                }
                let frame = CloseFrame { code: WireCode::from(code.as_u16()), reason: code.reason().into() };
                self.socket.send(Message::Close(Some(frame))).await?;
            }
            // The library has the answer to the peer's close ready, and nothing else may follow that.
            Ending::Client | Ending::Lost => {
                self.link.end();
                self.socket.flush().await?;
            }
        }
        let stream = self.socket.get_mut();
        stream.shutdown().await?;
        // On the heap, so that a connection holds it only now.
        let mut dropped = vec![0; 4096];
        let mut bytes = 0;
        while bytes < LINGER_BYTES_MAX {
            match stream.read(&mut dropped).await? {
                0 => break,
                n => bytes += n,
            }
        }
        Ok(())
    }
}

/// The code with which a failure is answered, if the peer may still hear it.
fn code_of(e: &Error) -> Option<CloseCode> {
    match e {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => Some(CloseCode::TooLarge),
        Error::Utf8(_) => Some(CloseCode::InvalidText),
        Error::Protocol(
            tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        ) => None,
        Error::Protocol(_) => Some(CloseCode::ProtocolError),
        _ => None,
    }
}
