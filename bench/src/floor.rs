//! What the product cannot be faster than: the same WebSocket library, with the same buffers and on the same
//! runtime, which checks the token and has nothing behind it.
//!
//! It sends every message back, but for those that ask it to reach others or to read a log.

use std::{
    collections::VecDeque,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use anyhow::Result;
use futures_util::{Sink, Stream, task::AtomicWaker};
use parking_lot::Mutex;
use rusqlite::Connection;
use streamer_auth::Verifier;
use streamer_engine::clock::{Clock as _, SystemClock};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config,
    tungstenite::{
        Message, Utf8Bytes,
        handshake::server::{ErrorResponse, Request, Response},
        http::StatusCode,
        protocol::WebSocketConfig,
    },
};
use tokio_util::task::TaskTracker;

use crate::{contender, product::NOTICE};

/// As in the product.
const READ_BUFFER_BYTES: usize = 3072;
const WRITE_BUFFER_BYTES: usize = 8192;

/// How many logs there are to be read.
pub(crate) const LOGS: u64 = 256;

/// How many entries each has.
pub(crate) const LOG_ENTRIES: u64 = 16;

/// Serves until the process is killed.
pub(crate) async fn serve(folder: &Path, public_key: &Path, listener: TcpListener) -> Result<()> {
    let shared = Arc::new(Shared {
        verifier: crate::product::verifier(public_key)?,
        everybody: Mutex::default(),
        logs: Mutex::new(logs(&folder.join("floor.db"))?),
        followers: Mutex::default(),
        kept: vec![Utf8Bytes::from(contender::message()); contender::KEPT],
    });
    let tasks = TaskTracker::new();
    loop {
        let (stream, _) = listener.accept().await?;
        tasks.spawn(connection(Arc::clone(&shared), stream));
    }
}

struct Shared {
    verifier: Verifier,
    everybody: Mutex<Vec<Arc<Link>>>,
    logs: Mutex<Connection>,
    followers: Mutex<Vec<Arc<Link>>>,
    /// What is sent again to whoever asks.
    kept: Vec<Utf8Bytes>,
}

/// What waits for one connection's peer.
#[derive(Default)]
struct Link {
    waiting: Mutex<VecDeque<Message>>,
    task: AtomicWaker,
}

impl Link {
    fn push(&self, text: Utf8Bytes) {
        self.waiting.lock().push_back(Message::Text(text));
        self.task.wake();
    }
}

/// A table with nothing but what is read of it.
fn logs(path: &Path) -> Result<Connection> {
    let conn = Connection::open(path)?;
    conn.execute_batch(
        "CREATE TABLE log (request INTEGER, seq INTEGER, json TEXT, PRIMARY KEY (request, seq)) WITHOUT ROWID; BEGIN",
    )?;
    let entry = serde_json::to_string(&NOTICE)?;
    for request in 0..LOGS {
        for seq in 1..=LOG_ENTRIES {
            let row = (i64::try_from(request)?, i64::try_from(seq)?, &entry);
            conn.prepare_cached("INSERT INTO log VALUES (?1, ?2, ?3)")?.execute(row)?;
        }
    }
    conn.execute_batch("COMMIT")?;
    Ok(conn)
}

#[expect(clippy::result_large_err, reason = "the library's own callback")]
async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    let config =
        WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES).write_buffer_size(WRITE_BUFFER_BYTES);
    let checked = |request: &Request, response| check(&shared.verifier, request, response);
    // Whoever leaves or has no token is not served: nothing else is lost by that.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Ok(mut socket) = accept_hdr_async_with_config(stream, checked, Some(config)).await else { return };
    let link = Arc::<Link>::default();
    shared.everybody.lock().push(Arc::clone(&link));
    let _ = std::future::poll_fn(|cx| poll(&shared, &link, &mut socket, cx)).await;
}

#[expect(clippy::result_large_err, reason = "the library's own callback")]
fn check(verifier: &Verifier, request: &Request, response: Response) -> Result<Response, ErrorResponse> {
    let header = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let token = header.and_then(|header| header.strip_prefix("Bearer "));
    match token.map(|token| verifier.verify(token, SystemClock.now())) {
        Some(Ok(_)) => Ok(response),
        _ => {
            let mut refused = ErrorResponse::new(None);
            *refused.status_mut() = StatusCode::UNAUTHORIZED;
            Err(refused)
        }
    }
}

/// Writes what waits, answers all there is to read, and flushes once. Ready when the connection ends.
fn poll(
    shared: &Shared,
    link: &Arc<Link>,
    socket: &mut WebSocketStream<TcpStream>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), tokio_tungstenite::tungstenite::Error>> {
    link.task.register(cx.waker());
    loop {
        std::task::ready!(Pin::new(&mut *socket).poll_ready(cx))?;
        let next = link.waiting.lock().pop_front();
        if let Some(message) = next {
            Pin::new(&mut *socket).start_send(message)?;
            continue;
        }
        match Pin::new(&mut *socket).poll_next(cx) {
            Poll::Ready(Some(Ok(Message::Text(text)))) => match text.strip_prefix('!') {
                None => Pin::new(&mut *socket).start_send(Message::Text(text))?,
                Some(command) => obey(shared, link, command),
            },
            Poll::Ready(Some(Ok(Message::Close(_))) | None) => return Poll::Ready(Ok(())),
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(Some(Err(e))) => return Poll::Ready(Err(e)),
            Poll::Pending => {
                let _ = Pin::new(&mut *socket).poll_flush(cx)?;
                return Poll::Pending;
            }
        }
    }
}

fn obey(shared: &Shared, link: &Arc<Link>, command: &str) {
    let encoded = || Utf8Bytes::from(serde_json::to_string(&NOTICE).expect("it prints"));
    let (name, rest) = command.split_once(' ').unwrap_or((command, "0"));
    let number: u64 = rest.parse().unwrap_or(0);
    match name {
        // Encoded once.
        "broadcast" => {
            let text = encoded();
            shared.everybody.lock().iter().for_each(|link| link.push(text.clone()));
        }
        // Each on its own.
        "sends" => {
            let count = usize::try_from(number).unwrap_or(usize::MAX);
            shared.everybody.lock().iter().take(count).for_each(|link| link.push(encoded()));
        }
        "follow" => {
            shared.followers.lock().push(Arc::clone(link));
            link.push(Utf8Bytes::from_static("following"));
        }
        "publish" => {
            let text = Utf8Bytes::from(rest);
            shared.followers.lock().iter().for_each(|link| link.push(text.clone()));
            link.push(Utf8Bytes::from_static("published"));
        }
        "replay" => shared.kept.iter().for_each(|text| link.push(text.clone())),
        "log" => {
            let logs = shared.logs.lock();
            let mut log =
                logs.prepare_cached("SELECT json FROM log WHERE request = ?1").expect("it is there");
            let mut rows = log.query([i64::try_from(number % LOGS).unwrap_or(0)]).expect("it is a number");
            while let Ok(Some(row)) = rows.next() {
                link.push(row.get::<_, String>(0).expect("it is text").into());
            }
            link.push(Utf8Bytes::from_static("end"));
        }
        _ => {}
    }
}
