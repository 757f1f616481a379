//! One connection: what is queued to be written, and what is heard.

use std::{
    collections::VecDeque,
    future::poll_fn,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{
    Error, Message, Utf8Bytes,
    error::CapacityError,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use crate::dial::Socket;

/// How many messages may wait to be written before new calls have to wait.
const OUTGOING_MAX: usize = 64;
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// RFC 6455, 7.4.1: a close frame without a code; no close frame at all.
const NO_STATUS: u16 = 1005;

#[derive(Debug)]
pub(crate) struct Line {
    socket: Socket,
    outgoing: VecDeque<Message>,
    unflushed: bool,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Heard {
    Text(Utf8Bytes),
    /// A ping or a pong, or a binary message, which no server sends.
    Other,
}

/// Why nothing more will come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    #[error("closed with {code}: {reason}")]
    Closed { code: u16, reason: String },
    #[error("a message over the bound")]
    TooLarge,
    #[error("nothing was heard")]
    Silent,
    #[error(transparent)]
    Unjoinable(streamer_protocol::JoinError),
    #[error(transparent)]
    Broken(Error),
}

impl Line {
    pub(crate) fn new(socket: Socket) -> Self {
        Self { socket, outgoing: VecDeque::new(), unflushed: false }
    }

    /// Whether another message may be queued.
    pub(crate) fn has_room(&self) -> bool {
        self.outgoing.len() < OUTGOING_MAX
    }

    /// Queues a message; [`next`](Self::next) writes it.
    pub(crate) fn send(&mut self, text: String) {
        self.outgoing.push_back(Message::text(text));
        self.unflushed = true;
    }

    pub(crate) fn ping(&mut self) {
        self.outgoing.push_back(Message::Ping(Default::default()));
        self.unflushed = true;
    }

    /// Writes what is queued while waiting for what comes. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Result<Heard, Lost> {
        poll_fn(|cx| {
            let written = self.poll_write(cx);
            // What was heard counts, even if nothing can be written any more: it may be the reason.
            match self.socket.poll_next_unpin(cx) {
                Poll::Ready(heard) => Poll::Ready(heard),
                Poll::Pending => match written {
                    Err(e) => Poll::Ready(Some(Err(e))),
                    Ok(()) => Poll::Pending,
                },
            }
        })
        .await
        .map_or(Err(Lost::Closed { code: NO_STATUS, reason: String::new() }), |heard| match heard {
            Ok(Message::Text(text)) => Ok(Heard::Text(text)),
            Ok(Message::Close(frame)) => {
                let (code, reason) = frame
                    .map_or((NO_STATUS, String::new()), |f| (f.code.into(), f.reason.as_str().to_owned()));
                Err(Lost::Closed { code, reason })
            }
            Ok(_) => Ok(Heard::Other),
            Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => Err(Lost::TooLarge),
            Err(e) => Err(Lost::Broken(e)),
        })
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        match self.poll_flushed(cx) {
            Poll::Ready(Err(e)) => Err(e),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.outgoing.is_empty() {
            ready!(self.socket.poll_ready_unpin(cx))?;
            if let Some(message) = self.outgoing.pop_front() {
                self.socket.start_send_unpin(message)?;
            }
        }
        if self.unflushed {
            ready!(self.socket.poll_flush_unpin(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what is queued, says goodbye and waits a moment for the answer.
    pub(crate) async fn close(mut self) {
        let farewell = async {
            poll_fn(|cx| self.poll_flushed(cx)).await?;
            let goodbye = CloseFrame { code: CloseCode::Normal, reason: "bye".into() };
            self.socket.send(Message::Close(Some(goodbye))).await?;
            while let Some(heard) = self.socket.next().await {
                if heard?.is_close() {
                    break;
                }
            }
            Ok::<_, Error>(())
        };
        // A peer that does not answer is left all the same.
        let _ = timeout(FAREWELL, Box::pin(farewell)).await;
    }

    /// Answers the peer's goodbye.
    pub(crate) async fn hang_up(mut self) {
        let _ = timeout(FAREWELL, self.socket.flush()).await;
    }
}
