//! Connections to one address that are kept for the next request.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, http::response::Parts};
use parking_lot::Mutex;
use rustls::ClientConfig;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;

use crate::{Address, Connection, Error, Request, Response};

/// A peer that closes a connection just when the next request is written to it has not looked at that request. Later it
/// may have.
const STALE_WITHIN: Duration = Duration::from_secs(1);

/// How a [`Pool`] behaves.
#[derive(Debug, Clone, Copy)]
pub struct PoolSettings {
    /// How many connections are open at once; whoever needs one more waits.
    pub connections_max: usize,
    /// How long one may wait for room, and after that for TCP and TLS together: who waited for long has no less time.
    pub connect_timeout: Duration,
    /// How long a connection is kept that nobody uses. Less than the peer keeps it, so that it is not closed just when
    /// it is used again.
    pub idle_timeout: Duration,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            connections_max: 128,
            connect_timeout: Duration::from_secs(5),
            // Node and uvicorn close after 5 s, nginx after 75 s.
            idle_timeout: Duration::from_secs(4),
        }
    }
}

/// Asks one address, over connections that are kept. Cheap to clone.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    address: Address,
    tls: TlsConnector,
    settings: PoolSettings,
    places: Arc<Semaphore>,
    /// The one that was used last comes last.
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

/// A connection that waits for its request.
pub struct Ready(Taken);

/// An answer whose head has come.
pub struct Answer {
    /// Status and headers.
    pub head: Parts,
    /// The rest.
    pub body: Body,
}

/// The rest of an answer. Dropped before its end, it closes its connection.
pub struct Body {
    incoming: Incoming,
    /// Until the end: then it is free for the next request.
    taken: Option<Taken>,
}

/// A connection in use.
struct Taken {
    connection: Connection,
    pool: Arc<Shared>,
    place: OwnedSemaphorePermit,
    /// Whether it was kept from an earlier request.
    kept: bool,
}

impl Pool {
    /// No connection yet.
    #[must_use]
    pub fn new(address: Address, tls: Arc<ClientConfig>, settings: PoolSettings) -> Self {
        let places = Arc::new(Semaphore::new(settings.connections_max));
        Self {
            shared: Arc::new(Shared { address, tls: tls.into(), settings, places, idle: Mutex::default() }),
        }
    }

    /// Whom it asks.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.shared.address
    }

    /// Waits for a connection.
    pub async fn ready(&self) -> Result<Ready, Error> {
        let Shared { settings, places, .. } = self.shared.as_ref();
        let place = timeout(settings.connect_timeout, Arc::clone(places).acquire_owned())
            .await
            .map_err(|_| Error::Busy)?;
        let (pool, place) = (Arc::clone(&self.shared), place.expect("never closed"));
        match pool.idle() {
            Some(connection) => Ok(Ready(Taken { connection, pool, place, kept: true })),
            None => Ok(Ready(Taken::open(pool, place).await?)),
        }
    }
}

impl Ready {
    /// Sends a request and waits for the head of its answer; how long that may take is the caller's to say.
    ///
    /// A request to which a kept connection was closed instead of an answer is sent once more, over a fresh one: it
    /// must bear to come twice (RFC 9110, section 9.2.2).
    pub async fn send(self, request: Request) -> Result<Answer, Error> {
        let Self(mut taken) = self;
        let sent_at = Instant::now();
        match taken.connection.exchange(request.clone()).await {
            Ok(response) => Ok(taken.answer(response)),
            Err(e) if taken.kept && is_stale(&e) && sent_at.elapsed() < STALE_WITHIN => {
                let Taken { connection, pool, place, .. } = taken;
                drop(connection);
                let mut fresh = Taken::open(pool, place).await?;
                let response = fresh.connection.send(request).await?;
                Ok(fresh.answer(response))
            }
            Err(e) => Err(Error::broken(e)),
        }
    }
}

impl Shared {
    /// The connection that was used last, if it is still good.
    fn idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock();
        let newest = idle.pop()?;
        if newest.connection.is_closed() || newest.since.elapsed() >= self.settings.idle_timeout {
            // The others are older still.
            idle.retain(|kept| {
                !kept.connection.is_closed() && kept.since.elapsed() < self.settings.idle_timeout
            });
            return idle.pop().map(|kept| kept.connection);
        }
        Some(newest.connection)
    }

    fn keep(&self, connection: Connection) {
        if connection.is_closed() {
            return;
        }
        let mut idle = self.idle.lock();
        let old =
            |kept: &Idle| kept.connection.is_closed() || kept.since.elapsed() >= self.settings.idle_timeout;
        // In order of their age.
        let first_good = idle.iter().position(|kept| !old(kept)).unwrap_or(idle.len());
        idle.drain(..first_good);
        idle.push(Idle { connection, since: Instant::now() });
    }
}

impl Taken {
    /// Makes a connection.
    async fn open(pool: Arc<Shared>, place: OwnedSemaphorePermit) -> Result<Self, Error> {
        let Shared { address, tls, settings, .. } = pool.as_ref();
        let opened = timeout(settings.connect_timeout, Connection::open(address, tls)).await;
        let connection = opened.map_err(|_| Error::Timeout(settings.connect_timeout))??;
        Ok(Self { connection, pool, place, kept: false })
    }

    fn answer(self, response: Response) -> Answer {
        let (head, incoming) = response.into_parts();
        Answer { head, body: Body { incoming, taken: Some(self) } }
    }
}

/// Whether a connection was closed instead of an answer.
fn is_stale(e: &hyper::Error) -> bool {
    use std::{error::Error as _, io};

    let reset = e.source().and_then(|source| source.downcast_ref::<io::Error>());
    let reset =
        reset.is_some_and(|e| matches!(e.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe));
    e.is_incomplete_message() || e.is_canceled() || e.is_closed() || reset
}

impl Body {
    /// The next bytes; none at the end. The caller bounds the time. Safe to cancel.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        self.taken.as_ref()?;
        loop {
            match self.incoming.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if bytes.is_empty() => {}
                    Ok(bytes) => return Some(Ok(bytes)),
                    // Trailers say nothing that is asked for.
                    Err(_) => {}
                },
                Some(Err(e)) => {
                    self.taken = None;
                    return Some(Err(Error::broken(e)));
                }
                None => {
                    if let Some(Taken { connection, pool, place, .. }) = self.taken.take() {
                        pool.keep(connection);
                        drop(place);
                    }
                    return None;
                }
            }
        }
    }

    /// How many bytes it has, if its head said so.
    #[must_use]
    pub fn announced(&self) -> Option<u64> {
        hyper::body::Body::size_hint(&self.incoming).exact()
    }
}
