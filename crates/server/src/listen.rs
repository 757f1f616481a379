//! Accepts sockets and serves HTTP on them, within bounds.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::ConnectInfo, http::header};
use futures_util::{FutureExt as _, future::BoxFuture};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use crate::{
    line::Line,
    patience::Patient,
    stage::Stage,
    stream::Stream,
    tls::Handshakes,
    waiting::{Room, Waiting},
};

/// The largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// How long to wait after the system refused a socket (no more files, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long to wait before one more is asked to make room.
const ROOM_PATIENCE: Duration = Duration::from_millis(100);

/// How long whoever was accepted just before the end has for its first request: it is owed a word.
const LAST_CALL: Duration = Duration::from_secs(2);

/// How many sockets the system keeps until they are accepted: a whole crowd that comes back at once. The standard 128
/// are full in the blink of an eye, and whoever finds no room waits for seconds without knowing it. The system has a
/// bound of its own, `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// Listens on an address, with room for a crowd.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A server that starts again takes its port back although sockets of its former life linger.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// How an address is served.
pub(crate) struct Listening {
    /// How long a client may take for the head of a request.
    pub(crate) head_timeout: Duration,
    /// How long a client may take nothing of an answer.
    pub(crate) stall_timeout: Duration,
    pub(crate) sockets: Sockets,
    /// Nothing is said in the clear.
    pub(crate) handshakes: Option<Arc<Handshakes>>,
}

/// The places for sockets of one address. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sockets {
    places: Arc<Semaphore>,
    open: Arc<AtomicUsize>,
    waiting: Waiting,
}

/// A socket's place among those that may be open. Goes along when the socket becomes a WebSocket.
#[derive(Clone)]
pub(crate) struct SocketPermit {
    _place: Arc<Place>,
}

struct Place {
    _permit: OwnedSemaphorePermit,
    open: Arc<AtomicUsize>,
}

impl Sockets {
    pub(crate) fn new(max: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(max)), open: Arc::default(), waiting: Waiting::default() }
    }

    /// How many are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Waits for a place. Who only waits for a request makes room.
    async fn room(&self) -> OwnedSemaphorePermit {
        loop {
            if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
                return permit;
            }
            let patience = match self.waiting.make_room() {
                Room::In(left) => left,
                Room::Asked | Room::None => ROOM_PATIENCE,
            };
            if let Ok(permit) = timeout(patience, Arc::clone(&self.places).acquire_owned()).await {
                return permit.expect("never closed");
            }
        }
    }

    fn place(&self, permit: OwnedSemaphorePermit) -> SocketPermit {
        self.open.fetch_add(1, Ordering::Relaxed);
        SocketPermit { _place: Arc::new(Place { _permit: permit, open: Arc::clone(&self.open) }) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves `routes` until `stop`, then lets open requests end within a few seconds.
// Boxed: HTTP is compiled here once, and not by every crate that awaits one of the addresses.
pub(crate) fn serve(
    listener: TcpListener,
    routes: Router,
    listening: Arc<Listening>,
    stop: &CancellationToken,
) -> BoxFuture<'_, ()> {
    accept(listener, routes, listening, stop).boxed()
}

async fn accept(listener: TcpListener, routes: Router, listening: Arc<Listening>, stop: &CancellationToken) {
    let tasks = TaskTracker::new();
    // Shared: a token's own clones are counted under a lock.
    let stopping = Arc::new(stop.clone());
    loop {
        // One is at the door before another makes room for it.
        let accepted = async {
            let accepted = listener.accept().await?;
            io::Result::Ok((accepted, listening.sockets.room().await))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok(((stream, peer), permit)) => {
                let permit = listening.sockets.place(permit);
                let (routes, listening) = (routes.clone(), Arc::clone(&listening));
                tasks.spawn(serve_socket(stream, peer, routes, permit, listening, Arc::clone(&stopping)));
            }
            Err(e) => {
                warn!(error = %e, "a socket could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

async fn serve_socket(
    stream: TcpStream,
    peer: SocketAddr,
    routes: Router,
    permit: SocketPermit,
    listening: Arc<Listening>,
    stop: Arc<CancellationToken>,
) {
    let socket = listening.sockets.waiting.socket();
    // Answers are small and awaited: they do not wait for more to go along.
    if let Err(e) = stream.set_nodelay(true) {
        warn!(error = %e, "a socket could not be set up");
        return;
    }
    let line = Line::new(stream);
    let stream = match &listening.handshakes {
        None => Stream::Plain(line),
        Some(handshakes) => {
            // Boxed, so that what is plain does not hold the room for it.
            let shaking = Box::pin(async {
                // Until its turn it is we who keep it waiting.
                let asked = socket.ask();
                let turn = handshakes.turn().await;
                drop(asked);
                turn.shake(line).await
            });
            let late = async {
                stop.cancelled().await;
                sleep(LAST_CALL).await;
            };
            let shaken = tokio::select! {
                shaken = shaking => shaken,
                () = late => return,
                () = socket.displaced() => return,
            };
            let Some(stream) = shaken else { return };
            stream
        }
    };
    let routes = TowerToHyperService::new(routes);
    let asked_of = Arc::clone(&socket);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        let upgrades = request.headers().contains_key(header::UPGRADE);
        asked_of.stages.set(if upgrades { Stage::Upgrading } else { Stage::Asked });
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(permit.clone());
        let asked = asked_of.ask();
        let answering = routes.call(request);
        async move {
            let answer = answering.await;
            asked.socket().stages.set(Stage::Asked);
            answer.map(|answer| answer.map(|body| asked.until_the_end_of(body)))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(listening.head_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(
            TokioIo::new(Patient::new(stream, listening.stall_timeout, Arc::clone(&socket))),
            service,
        )
        .with_upgrades();
    tokio::pin!(connection);
    let over = async {
        stop.cancelled().await;
        // Whoever has said nothing yet would be closed without an answer.
        let _ = timeout(LAST_CALL, socket.stages.left(Stage::Silent)).await;
        // The HTTP library would answer an upgrade with `Connection: close`.
        socket.stages.left(Stage::Upgrading).await;
    };
    // What goes wrong here is the peer's: it left, or it does not speak HTTP.
    let _ = tokio::select! {
        served = connection.as_mut() => served,
        () = socket.displaced() => return,
        () = over => {
            connection.as_mut().graceful_shutdown();
            let deadline = sleep(listening.head_timeout);
            tokio::select! {
                served = connection => served,
                () = deadline => return,
            }
        }
    };
}
