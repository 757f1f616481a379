//! What stands between a processor and a server, and fails when a test wants it to.

use std::{
    io::{Error, Result},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use mongodb::bson::{Document, doc};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex, watch},
    task::JoinSet,
};

/// What is done to what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing.
    Pass,
    /// Connections are closed, and whoever comes is turned away.
    Away,
    /// Of a MongoDB server: every command but a greeting is answered with this error, and never gets there.
    Err(i32),
    /// Of a MongoDB server: a write in six is done, and its reply is lost with the connection.
    Forget,
}

/// What passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Any,
    MongoDb,
}

/// A relay to a server on this machine. It ends when it is dropped.
pub(crate) struct Relay {
    port: u16,
    shared: Arc<Shared>,
    mode: watch::Sender<(Mode, u64)>,
    _listening: JoinSet<()>,
}

struct Shared {
    server: u16,
    protocol: Protocol,
    mode: watch::Receiver<(Mode, u64)>,
    refused: AtomicU64,
    lost: AtomicU64,
}

impl Relay {
    /// To whatever listens at this port.
    pub(crate) async fn to(port: u16) -> Self {
        Self::of(port, Protocol::Any).await
    }

    /// To a MongoDB server at this port.
    pub(crate) async fn to_mongodb(port: u16) -> Self {
        Self::of(port, Protocol::MongoDb).await
    }

    async fn of(server: u16, protocol: Protocol) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let (mode, modes) = watch::channel((Mode::Pass, 0));
        let shared = Arc::new(Shared {
            server,
            protocol,
            mode: modes,
            refused: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        });
        let mut listening = JoinSet::new();
        listening.spawn(listen(listener, Arc::clone(&shared)));
        Self { port, shared, mode, _listening: listening }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From now on.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_modify(|(current, _)| *current = mode);
    }

    /// Cuts all connections that there are. Who comes again passes.
    pub(crate) fn cut(&self) {
        self.mode.send_modify(|(_, cuts)| *cuts += 1);
    }

    /// How many commands were answered with an error.
    pub(crate) fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// How many replies were lost.
    pub(crate) fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    let mut passing = JoinSet::new();
    loop {
        tokio::select! {
            come = listener.accept() => {
                let Ok((client, _)) = come else { return };
                passing.spawn(pass(client, Arc::clone(&shared)));
            }
            Some(_) = passing.join_next() => {}
        }
    }
}

/// One connection, until either side closes it or it is cut.
async fn pass(client: TcpStream, shared: Arc<Shared>) {
    let mut mode = shared.mode.clone();
    let cuts = mode.borrow_and_update().1;
    let cut = mode.wait_for(|(mode, now)| *mode == Mode::Away || *now != cuts);
    let connected = async {
        let server = TcpStream::connect(("127.0.0.1", shared.server)).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        let (to_client, loses) = (Mutex::new(to_client), AtomicBool::new(false));
        tokio::select! {
            done = up(from_client, to_server, &to_client, &loses, &shared) => done,
            done = down(from_server, &to_client, &loses, &shared) => done,
        }
    };
    tokio::select! {
        _ = cut => {}
        // Closed by either side, which sees it on the other too.
        _ = connected => {}
    }
}

async fn up(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    back: &Mutex<OwnedWriteHalf>,
    loses: &AtomicBool,
    shared: &Shared,
) -> Result<()> {
    loop {
        let piece = shared.protocol.read(&mut from).await?;
        let mode = shared.mode.borrow().0;
        let command = match shared.protocol {
            Protocol::MongoDb => command(&piece),
            Protocol::Any => None,
        };
        match (mode, command.as_deref()) {
            (Mode::Err(code), Some(name)) if !["hello", "isMaster", "ismaster"].contains(&name) => {
                shared.refused.fetch_add(1, Ordering::Relaxed);
                back.lock().await.write_all(&error(&piece, code)).await?;
                continue;
            }
            // By chance: one call makes several, and always the same ones.
            (Mode::Forget, Some("update" | "insert")) if rand::random_ratio(1, 6) => {
                loses.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
        to.write_all(&piece).await?;
    }
}

async fn down(
    mut from: OwnedReadHalf,
    to: &Mutex<OwnedWriteHalf>,
    loses: &AtomicBool,
    shared: &Shared,
) -> Result<()> {
    loop {
        let piece = shared.protocol.read(&mut from).await?;
        if loses.load(Ordering::Relaxed) {
            // It is done: the server has said so.
            shared.lost.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        to.lock().await.write_all(&piece).await?;
    }
}

/// A MongoDB message's length, request, answered request and kind: four numbers.
const HEADER: usize = 16;

/// The kind of message that commands and their replies are: OP_MSG.
const MESSAGE: i32 = 2013;

fn number(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_le_bytes)
}

impl Protocol {
    /// What comes next: a message, or what there is.
    async fn read(self, from: &mut OwnedReadHalf) -> Result<Vec<u8>> {
        if self == Self::Any {
            let mut piece = Vec::with_capacity(64 * 1024);
            return match from.read_buf(&mut piece).await? {
                0 => Err(Error::other("closed")),
                _ => Ok(piece),
            };
        }
        let mut piece = vec![0; 4];
        from.read_exact(&mut piece).await?;
        let length = number(&piece, 0).and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        piece.resize(length.max(HEADER), 0);
        from.read_exact(&mut piece[4..]).await?;
        Ok(piece)
    }
}

/// A command's name: the first field of the document after the header, the flags, and the section's kind.
fn command(message: &[u8]) -> Option<String> {
    if number(message, 12)? != MESSAGE {
        return None;
    }
    let document = Document::from_reader(message.get(HEADER + 5..)?).ok()?;
    document.keys().next().cloned()
}

/// The reply that a command failed.
fn error(asked: &[u8], code: i32) -> Vec<u8> {
    let body = doc! { "ok": 0.0, "code": code, "errmsg": "by the test's wish", "codeName": "Wished" };
    let body = body.to_vec().expect("is small");
    let length = i32::try_from(HEADER + 5 + body.len()).expect("is small");
    let mut message = Vec::new();
    for field in [length, 0, number(asked, 4).unwrap_or(0), MESSAGE, 0] {
        message.extend(field.to_le_bytes());
    }
    message.push(0);
    message.extend(body);
    message
}
