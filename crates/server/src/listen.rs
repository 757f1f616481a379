//! Accepts sockets and serves HTTP on them, within bounds.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
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
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

/// The largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// How long to wait after the system refused a socket (no more files, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket's place among those that may be open. Goes along when the socket becomes a WebSocket.
#[derive(Clone)]
pub(crate) struct SocketPermit {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// Serves `routes` until `stop`, then lets open requests end within a few seconds.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Router,
    head_timeout: Duration,
    sockets_max: usize,
    stop: &CancellationToken,
) {
    let places = Arc::new(Semaphore::new(sockets_max));
    let tasks = TaskTracker::new();
    loop {
        let accepted = async {
            let permit = Arc::clone(&places).acquire_owned().await.expect("never closed");
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let permit = SocketPermit { _permit: Arc::new(permit) };
                tasks.spawn(serve_socket(stream, peer, routes.clone(), permit, head_timeout, stop.clone()));
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
    head_timeout: Duration,
    stop: CancellationToken,
) {
    // Answers are small and awaited: they do not wait for more to go along.
    if let Err(e) = stream.set_nodelay(true) {
        warn!(error = %e, "a socket could not be set up");
        return;
    }
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(permit.clone());
        routes.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    // What goes wrong here is the peer's: it left, or it does not speak HTTP.
    let _ = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let deadline = sleep(head_timeout);
            tokio::select! {
                served = connection => served,
                () = deadline => return,
            }
        }
    };
}
