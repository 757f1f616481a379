//! A server that does as it is told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use streamer_remote::Address;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Mutex,
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

/// What the server does, one step after the other. Then it takes the next request of the connection.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Writes this.
    Write(Vec<u8>),
    /// Writes this again and again, until the other side has enough or so many bytes are written.
    Flood(Vec<u8>, usize),
    /// Does nothing for a while.
    Pause(Duration),
    /// Does nothing until the other side hangs up.
    Hang,
    /// Hangs up.
    Close,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Counts all requests, from 0 on.
    pub(crate) number: usize,
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(given, _)| given == name);
        found.map_or_else(|| panic!("no {name} in {:?}", self.headers), |(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON is posted")
    }
}

type Play = dyn Fn(&Asked) -> Vec<Step> + Send + Sync;

pub(crate) struct Script {
    port: u16,
    told: Arc<Told>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Told {
    asked: Mutex<Vec<Asked>>,
    connections: AtomicUsize,
    hung_up: AtomicUsize,
    written: AtomicUsize,
}

impl Script {
    /// Answers each request by what `play` says.
    pub(crate) async fn play(play: impl Fn(&Asked) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (told, play): (Arc<Told>, Arc<Play>) = (Arc::default(), Arc::new(play));
        let serving = serve(listener, Arc::clone(&told), play);
        Self { port, told, _task: AbortOnDropHandle::new(tokio::spawn(serving)) }
    }

    /// Answers each request by the same steps.
    pub(crate) async fn always(steps: Vec<Step>) -> Self {
        Self::play(move |_| steps.clone()).await
    }

    pub(crate) fn address(&self, target: &str) -> Address {
        format!("http://127.0.0.1:{}{target}", self.port).parse().expect("an address")
    }

    pub(crate) async fn asked(&self) -> Vec<Asked> {
        self.told.asked.lock().await.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.told.connections.load(Ordering::Relaxed)
    }

    /// How often the other side hung up while the server hung.
    pub(crate) fn hung_up(&self) -> usize {
        self.told.hung_up.load(Ordering::Relaxed)
    }

    /// How many bytes of floods were written.
    pub(crate) fn written(&self) -> usize {
        self.told.written.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, told: Arc<Told>, play: Arc<Play>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        told.connections.fetch_add(1, Ordering::Relaxed);
        let (told, play) = (Arc::clone(&told), Arc::clone(&play));
        connections.spawn(async move {
            // The other side may do what it likes.
            let _ = connection(stream, &told, play.as_ref()).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(mut stream: TcpStream, told: &Told, play: &Play) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(asked) = read(&mut stream, told).await? {
        for step in play(&asked) {
            match step {
                Step::Write(bytes) => stream.write_all(&bytes).await?,
                Step::Flood(bytes, most) => {
                    let mut written = 0;
                    while written < most {
                        stream.write_all(&bytes).await?;
                        written += bytes.len();
                        told.written.fetch_add(bytes.len(), Ordering::Relaxed);
                    }
                }
                Step::Pause(span) => tokio::time::sleep(span).await,
                Step::Hang => {
                    // Nothing comes any more but the end.
                    let _ = stream.read(&mut [0]).await;
                    told.hung_up.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Step::Close => return stream.shutdown().await,
            }
        }
    }
    Ok(())
}

async fn read(stream: &mut TcpStream, told: &Told) -> std::io::Result<Option<Asked>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("heads are text");
    let mut lines = head.trim_end().lines();
    let line = lines.next().expect("a request line").to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().expect("a number"))];
    stream.read_exact(&mut body).await?;
    let mut all = told.asked.lock().await;
    let asked = Asked { number: all.len(), line, headers, body };
    all.push(asked.clone());
    Ok(Some(asked))
}

/// A whole answer.
pub(crate) fn raw(status: &str, headers: &str, body: &str) -> Step {
    let length = body.len();
    Step::Write(format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes())
}

/// A good answer.
pub(crate) fn ok(body: &str) -> Step {
    raw("200 OK", "content-type: application/json\r\n", body)
}

/// The beginning of a stream, which lasts until the connection is closed.
pub(crate) fn stream(media_type: &str, beginning: &str) -> Step {
    Step::Write(
        format!("HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\nconnection: close\r\n\r\n{beginning}")
            .into_bytes(),
    )
}
