//! A server behind a URL, in the test itself: what it is asked is kept, and what it answers is the test's to say.

use std::{net::SocketAddr, sync::Arc};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Mutex, Notify},
    task::{JoinHandle, JoinSet},
};

use crate::patience::within;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Counts all requests, from 0 on.
    pub number: usize,
    /// Its first lines, in lower case.
    pub head: String,
    /// What was posted.
    pub body: Value,
}

impl Asked {
    /// The path, with its query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// A header's value, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &'_ str| line.split_once(": ").is_some_and(|(given, _)| given == name);
        self.head.lines().find(|line| named(line)).and_then(|line| Some(line.split_once(": ")?.1))
    }
}

/// An answer. The connection is closed after it.
#[derive(Debug, Clone)]
pub enum Reply {
    /// With this status and this JSON.
    Json(u16, Value),
    /// A stream of these lines; it then stays open, with nothing to come, until the other side is gone.
    Unfinished(Vec<Value>),
    /// A stream of these lines.
    Lines(Vec<Value>),
}

type Answer = dyn Fn(&Asked) -> Reply + Send + Sync;

/// The server. It ends with this.
pub struct Origin {
    address: SocketAddr,
    told: Arc<Told>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Told {
    asked: Mutex<Vec<Asked>>,
    more: Notify,
}

impl Origin {
    /// Answers on a free port.
    pub async fn answering(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (told, answer): (Arc<Told>, Arc<Answer>) = (Arc::default(), Arc::new(answer));
        let serving = tokio::spawn(serve(listener, Arc::clone(&told), answer));
        Self { address, told, serving }
    }

    /// Where a path is.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What it was asked, once that was so often.
    pub async fn asked(&self, count: usize) -> Vec<Asked> {
        let asked = async {
            loop {
                let more = self.told.more.notified();
                let asked = self.told.asked.lock().await.clone();
                if asked.len() >= count {
                    return asked;
                }
                more.await;
            }
        };
        within(&format!("{count} requests"), asked).await
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, told: Arc<Told>, answer: Arc<Answer>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (told, answer) = (Arc::clone(&told), Arc::clone(&answer));
        connections.spawn(async move {
            // Who leaves early has a reason.
            let _ = exchange(stream, &told, answer.as_ref()).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn exchange(mut stream: TcpStream, told: &Told, answer: &Answer) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|n| n.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let asked = {
        let mut all = told.asked.lock().await;
        let asked = Asked { number: all.len(), head, body };
        all.push(asked.clone());
        asked
    };
    told.more.notify_waiters();
    match answer(&asked) {
        Reply::Json(status, value) => {
            let body = value.to_string();
            let head = format!(
                "HTTP/1.1 {status} Answer\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).await?;
        }
        Reply::Lines(lines) => write_lines(&mut stream, &lines).await?,
        Reply::Unfinished(lines) => {
            write_lines(&mut stream, &lines).await?;
            let _ = stream.read(&mut [0]).await;
        }
    }
    stream.shutdown().await
}

async fn write_lines(stream: &mut TcpStream, lines: &[Value]) -> std::io::Result<()> {
    let mut text =
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\nconnection: close\r\n\r\n".to_owned();
    for line in lines {
        text.push_str(&format!("{line}\n"));
    }
    stream.write_all(text.as_bytes()).await
}
