//! The task that owns the connection.

use std::{pin::pin, sync::Arc, time::Duration};

use streamer_protocol::{CloseCode, PartJoiner, Reconnect, ServerFrame, UnreadableFrame};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    Closed, ConnectError, ConnectionState, SendError, Settings,
    backoff::patient,
    book::Book,
    dial::{Socket, dial},
    line::{Heard, Line, Lost},
    open_call::NewCall,
    topic_book::NewTopic,
};

/// A connection that lasted so long was a good one: the backoff begins anew after it.
const STABLE_AFTER: Duration = Duration::from_secs(5);

/// Something to take, and where to say whether it was taken.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) new: Opened,
    pub(crate) answer: oneshot::Sender<Result<(), SendError>>,
}

/// What a caller has just made.
#[derive(Debug)]
pub(crate) enum Opened {
    Call(NewCall),
    Topic(NewTopic),
}

pub(crate) struct Driver {
    settings: Arc<Settings>,
    openings: mpsc::Receiver<Open>,
    ask: Arc<Notify>,
    stop: CancellationToken,
    states: watch::Sender<ConnectionState>,
    book: Book,
    /// Attempts to connect since the last good connection.
    attempt: u32,
}

/// Why a connection ended.
enum End {
    Stopped,
    /// The server asked us to leave.
    Asked,
    Lost(Lost),
}

/// What to do next.
enum Next {
    Reconnect {
        /// Not before this, whatever the backoff says.
        not_before: Instant,
    },
    Close(Closed),
}

impl Driver {
    pub(crate) fn new(
        settings: Arc<Settings>,
        openings: mpsc::Receiver<Open>,
        ask: Arc<Notify>,
        stop: CancellationToken,
        states: watch::Sender<ConnectionState>,
    ) -> Self {
        let book = Book::new(settings.calls_max);
        Self { settings, openings, ask, stop, states, book, attempt: 0 }
    }

    pub(crate) async fn run(mut self, first: Socket) {
        let mut socket = first;
        let why = loop {
            let next = Box::pin(self.serve(socket)).await;
            self.book.disconnected();
            let not_before = match next {
                Next::Close(why) => break why,
                Next::Reconnect { not_before } => not_before,
            };
            socket = match Box::pin(self.reconnect(not_before)).await {
                Ok(socket) => socket,
                Err(why) => break why,
            };
            self.states.send_replace(ConnectionState::Connected);
        };
        debug!(reason = %why, "closed");
        self.book.close(&why);
        self.openings.close();
        while let Ok(open) = self.openings.try_recv() {
            // A caller who no longer waits needs no answer.
            let _ = open.answer.send(Err(SendError::Closed(why.clone())));
        }
        self.states.send_replace(ConnectionState::Closed(why));
    }

    /// Uses a connection as long as it lasts.
    async fn serve(&mut self, socket: Socket) -> Next {
        let since = Instant::now();
        let mut line = Line::new(socket);
        let mut leave_at = None;
        self.book.connected();
        let end = self.converse(&mut line, &mut leave_at).await;
        if since.elapsed() >= STABLE_AFTER {
            self.attempt = 0;
        }
        let not_before = leave_at.unwrap_or_else(Instant::now);
        match end {
            End::Stopped => {
                line.close().await;
                Next::Close(Closed::ByUs)
            }
            End::Asked => {
                line.close().await;
                Next::Reconnect { not_before }
            }
            End::Lost(Lost::Closed { code, reason }) => {
                debug!(code, "the server closed the connection");
                line.hang_up().await;
                match CloseCode::reconnect(code) {
                    Reconnect::Yes => Next::Reconnect { not_before },
                    Reconnect::WithFreshToken if self.settings.token.is_fresh_each_time() => {
                        Next::Reconnect { not_before }
                    }
                    Reconnect::WithFreshToken | Reconnect::No => {
                        Next::Close(Closed::ByServer { code, reason })
                    }
                }
            }
            End::Lost(Lost::TooLarge) => {
                Next::Close(Closed::MessageTooLarge { bytes_max: self.settings.message_bytes_max })
            }
            End::Lost(lost) => {
                debug!(%lost, "the connection was lost");
                Next::Reconnect { not_before }
            }
        }
    }

    /// Says what there is to say and takes what comes. `leave_at` is set when the server drains.
    async fn converse(&mut self, line: &mut Line, leave_at: &mut Option<Instant>) -> End {
        let mut joiner = PartJoiner::new(self.settings.joined_bytes_max);
        let mut silent_at = Instant::now() + self.settings.heartbeat;
        let mut pinged = false;
        loop {
            while let Some(text) = self.book.next_message() {
                line.send(text);
            }
            let has_room = line.has_room();
            let due = self.book.next_due();
            tokio::select! {
                heard = line.next() => {
                    (silent_at, pinged) = (Instant::now() + self.settings.heartbeat, false);
                    match heard {
                        Ok(Heard::Text(text)) => {
                            if let Err(lost) = self.hear(&text, &mut joiner, leave_at) {
                                return End::Lost(lost);
                            }
                        }
                        Ok(Heard::Other) => {}
                        Err(lost) => return End::Lost(lost),
                    }
                }
                open = self.openings.recv(), if has_room => match open {
                    Some(open) => self.open(open),
                    None => return End::Stopped,
                },
                () = self.ask.notified() => self.book.attend(),
                () = at(due) => self.book.retry_due(Instant::now()),
                () = at(*leave_at) => return End::Asked,
                () = sleep_until(silent_at) => {
                    if pinged {
                        return End::Lost(Lost::Silent);
                    }
                    line.ping();
                    (silent_at, pinged) = (Instant::now() + self.settings.heartbeat, true);
                }
                () = self.stop.cancelled() => return End::Stopped,
            }
        }
    }

    fn hear(
        &mut self,
        text: &str,
        joiner: &mut PartJoiner,
        leave_at: &mut Option<Instant>,
    ) -> Result<(), Lost> {
        match ServerFrame::parse(text) {
            Ok(ServerFrame::Part(part)) => {
                if let Some(whole) = joiner.add(part).map_err(Lost::Unjoinable)? {
                    match ServerFrame::parse(&whole) {
                        Ok(frame) => self.book.take(frame),
                        Err(e) => unreadable(&e),
                    }
                }
            }
            Ok(ServerFrame::Draining(draining)) => {
                debug!(retry_after_ms = draining.retry_after_ms, "the server drains");
                self.book.hold();
                leave_at
                    .get_or_insert(Instant::now() + patient(Duration::from_millis(draining.retry_after_ms)));
            }
            Ok(frame) => self.book.take(frame),
            Err(e) => unreadable(&e),
        }
        Ok(())
    }

    fn open(&mut self, Open { new, answer }: Open) {
        // A caller who no longer waits has dropped the call.
        let _ = answer.send(match new {
            Opened::Call(call) => self.book.open(call),
            Opened::Topic(topic) => self.book.open_topic(topic),
        });
    }

    /// Tries until there is a connection, or none will be.
    async fn reconnect(&mut self, not_before: Instant) -> Result<Socket, Closed> {
        let mut not_before = not_before;
        let mut refused_before = false;
        let mut last_error: Option<Arc<ConnectError>> = None;
        loop {
            self.attempt += 1;
            if self.settings.backoff.is_exhausted(self.attempt)
                && let Some(e) = last_error
            {
                return Err(Closed::Unreachable(e));
            }
            let backoff = self.settings.backoff.delay(self.attempt, rand::random());
            let wait = backoff.max(not_before.saturating_duration_since(Instant::now()));
            self.states.send_replace(ConnectionState::Reconnecting { attempt: self.attempt, wait });
            self.meanwhile(sleep(wait)).await.ok_or(Closed::ByUs)?;

            let settings = self.settings.clone();
            let e = match self.meanwhile(Box::pin(dial(&settings))).await.ok_or(Closed::ByUs)? {
                Ok(socket) => return Ok(socket),
                Err(e) => e,
            };
            debug!(attempt = self.attempt, error = %e, "could not connect");
            if let ConnectError::Refused(refusal) = &e {
                not_before = Instant::now() + patient(refusal.retry_after.unwrap_or_default());
            }
            // A second token that is refused says that a third would be, too.
            let unauthorized = e.status() == Some(401);
            let another_token = unauthorized && !refused_before && self.settings.token.is_fresh_each_time();
            refused_before = unauthorized;
            let e = Arc::new(e);
            if !e.is_transient() && !another_token {
                return Err(Closed::Unreachable(e));
            }
            last_error = Some(e);
        }
    }

    /// Waits for `work` while calls are still taken; `None` when the client stops.
    async fn meanwhile<F: Future>(&mut self, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                open = self.openings.recv() => self.open(open?),
                () = self.ask.notified() => self.book.attend(),
                () = self.stop.cancelled() => return None,
            }
        }
    }
}

/// Waits for a moment; for ever, if there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn unreadable(e: &UnreadableFrame) {
    match e {
        // A later version's: nothing that this one needs.
        UnreadableFrame::UnknownType(_) => debug!("unknown frame type"),
        UnreadableFrame::Malformed(_) => warn!("malformed frame"),
    }
}
