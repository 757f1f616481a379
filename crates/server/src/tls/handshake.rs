//! Handshakes: each within its time, and so many at once.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use parking_lot::Mutex;
use streamer_protocol::{ErrorBody, ErrorCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Tls;
use crate::{answer, line::Line, stream::Stream};

/// A handshake takes two round trips. One that takes longer than this makes room for another if there are too many.
const SLOW: Duration = Duration::from_secs(1);

/// The first byte of a TLS record that begins a handshake.
const HANDSHAKE: u8 = 0x16;

/// What a client that speaks plain HTTP may still send while it is told so.
const LINGER_BYTES_MAX: u64 = 64 * 1024;

/// The handshakes of one listener.
pub(crate) struct Handshakes {
    tls: Tls,
    patience: Duration,
    max: usize,
    open: Mutex<VecDeque<Arc<Open>>>,
    /// Rung when one has ended.
    ended: Notify,
}

/// A handshake under way.
struct Open {
    began: Instant,
    give_up: CancellationToken,
}

/// A handshake's place among those that may be under way.
pub(crate) struct Turn {
    handshakes: Arc<Handshakes>,
    open: Arc<Open>,
}

impl Handshakes {
    pub(crate) fn new(tls: Tls, patience: Duration, max: usize) -> Arc<Self> {
        Arc::new(Self { tls, patience, max, open: Mutex::default(), ended: Notify::new() })
    }

    /// How many are under way.
    pub(crate) fn len(&self) -> usize {
        self.open.lock().len()
    }

    /// Waits until there is a place for one more. The oldest makes room if it is slow, so that those who never come
    /// to an end keep out nobody else.
    pub(crate) async fn turn(self: &Arc<Self>) -> Turn {
        loop {
            let ended = self.ended.notified();
            let wait = {
                let mut open = self.open.lock();
                if open.len() < self.max {
                    let fresh = Arc::new(Open { began: Instant::now(), give_up: CancellationToken::new() });
                    open.push_back(Arc::clone(&fresh));
                    return Turn { handshakes: Arc::clone(self), open: fresh };
                }
                let oldest = open.front().expect("there is at least one place");
                let wait = SLOW.saturating_sub(oldest.began.elapsed());
                if wait.is_zero() {
                    oldest.give_up.cancel();
                }
                wait
            };
            if wait.is_zero() {
                ended.await;
            } else {
                let _ = timeout(wait, ended).await;
            }
        }
    }
}

impl Turn {
    /// Speaks TLS with the peer; `None` if that comes to nothing.
    pub(crate) async fn shake(self, line: Line) -> Option<Stream> {
        let Handshakes { tls, patience, .. } = &*self.handshakes;
        let shaking = timeout(*patience, shake(tls, line));
        let (outcome, stream) = match self.open.give_up.run_until_cancelled(shaking).await {
            Some(Ok(Ok(stream))) => ("done", stream),
            Some(Ok(Err(e))) => {
                debug!(error = %e, "a TLS handshake failed");
                ("failed", None)
            }
            Some(Err(_)) => ("timeout", None),
            None => ("displaced", None),
        };
        let outcome = if outcome == "done" && stream.is_none() { "not_tls" } else { outcome };
        metrics::counter!("streamer_tls_handshakes_total", "outcome" => outcome).increment(1);
        stream
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.handshakes.open.lock().retain(|open| !Arc::ptr_eq(open, &self.open));
        self.handshakes.ended.notify_one();
    }
}

/// `None`: the peer does not speak TLS, and was told so.
async fn shake(tls: &Tls, mut line: Line) -> io::Result<Option<Stream>> {
    match line.peek().await? {
        Some(HANDSHAKE) => {}
        Some(_) => {
            tell_plain(&mut line).await?;
            return Ok(None);
        }
        None => return Err(io::ErrorKind::UnexpectedEof.into()),
    }
    let stream = TlsAcceptor::from(tls.config()).accept(line).await?;
    Ok(Some(Stream::Tls(Box::new(stream))))
}

/// Whoever speaks HTTP in the clear gets to read that this is the wrong way.
async fn tell_plain(line: &mut Line) -> io::Result<()> {
    let error = ErrorBody::new(ErrorCode::ValidationError, "this address speaks TLS: use https or wss");
    let body = answer::body(error);
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    line.write_all(&[head.into_bytes(), body].concat()).await?;
    line.shutdown().await?;
    // Closed with unread input it would be reset, and the answer lost.
    tokio::io::copy(&mut line.take(LINGER_BYTES_MAX), &mut tokio::io::sink()).await.map(drop)
}
