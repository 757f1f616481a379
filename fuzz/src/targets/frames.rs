//! What comes through a WebSocket's door after the handshake.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use streamer_auth::{Algorithm, Grant, KeyPair, Keys, PublicKey, Settings as AuthSettings, Signer, Verifier};
use streamer_engine::{
    Engine, Ports, Router, Settings as EngineSettings,
    clock::{Clock as _, SystemClock},
    store::WorkerId,
    testing::MemoryStore,
};
use streamer_protocol::{ServerFrame, TenantId, UserId};
use streamer_server::{Hub, Settings};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{Target, examples};

/// How long anything that must come may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a connection may be left in the middle of a frame, before its client says that nothing more comes.
const LULL: Duration = Duration::from_millis(10);

/// A client's ping with this payload, masked with zeros, and the answer.
const PING: &[u8] = b"\x89\x85\0\0\0\0alive";
const PONG: &[u8] = b"alive";

/// Somebody who serves WebSockets.
pub trait Door {
    /// Serves on this listener, in tasks of the runtime that it is called in.
    fn serve(&self, listener: TcpListener);

    /// What a client presents.
    fn token(&self) -> &str;

    /// How many connections there are, if it knows.
    fn connections(&self) -> Option<usize>;
}

/// The product's own, over a store in memory.
struct Product {
    hub: Hub,
    engine: Engine,
    verifier: Verifier,
    settings: Settings,
    token: String,
}

impl Product {
    fn new() -> Self {
        // It comes and speaks as often as it can.
        let settings = Settings {
            close_timeout: PATIENCE,
            address_connections_per_minute: 0,
            address_refusals_per_minute: 0,
            messages_per_minute: 0,
            ..Settings::default()
        };
        let hub = Hub::new(&settings);
        let ports = Ports::new(Arc::new(MemoryStore::new()), Arc::new(hub.clone()));
        let engine = Engine::new(ports, Router::new(), WorkerId::new("fuzz"), EngineSettings::default());
        let pair = KeyPair::generate(Algorithm::EdDsa).expect("a key can be made");
        let key = PublicKey::from_pem(Algorithm::EdDsa, pair.public_pem()).expect("a key");
        let verifier = Verifier::new(AuthSettings::new(Keys::new([key]).expect("a key")));
        let signer = Signer::from_pem(Algorithm::EdDsa, pair.private_pem()).expect("a key");
        let day = Duration::from_secs(24 * 60 * 60);
        let grant = Grant { ttl: day, ..Grant::new(UserId::new("ada"), TenantId::new("acme")) };
        let token = signer.issue(&grant, SystemClock.now()).expect("a token").as_str().to_owned();
        Self { hub, engine, verifier, settings, token }
    }
}

impl Door for Product {
    fn serve(&self, listener: TcpListener) {
        let (engine, hub) = (self.engine.clone(), self.hub.clone());
        let door = streamer_server::Door::new(engine, hub, self.verifier.clone(), self.settings.clone());
        tokio::spawn(async move { door.accept(listener, CancellationToken::new(), Duration::ZERO).await });
    }

    fn token(&self) -> &str {
        &self.token
    }

    fn connections(&self) -> Option<usize> {
        Some(self.hub.len())
    }
}

/// Connections that say anything.
pub struct Frames {
    runtime: Runtime,
    door: Box<dyn Door>,
    address: SocketAddr,
    /// One that says only what it should.
    bystander: TcpStream,
}

impl Default for Frames {
    fn default() -> Self {
        Self::through(Box::new(Product::new()))
    }
}

impl Frames {
    /// Through another door than the product's.
    #[must_use]
    pub fn through(door: Box<dyn Door>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (address, bystander) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("bound");
            door.serve(listener);
            (address, upgraded(address, door.token()).await.expect("it takes its own token"))
        });
        Self { runtime, door, address, bystander }
    }
}

impl Target for Frames {
    fn name(&self) -> &'static str {
        "frames"
    }

    fn examples(&self) -> Vec<Vec<u8>> {
        let messages = examples::golden("crates/protocol/golden/request/valid");
        let one_by_one = messages.iter().map(|message| frame(0x81, message));
        let burst = messages.iter().take(5).flat_map(|message| frame(0x81, message)).collect();
        // In two parts, with a ping between.
        let parts = [frame(0x01, b"{\"action\":"), PING.to_vec(), frame(0x80, b"\"echo\"}")].concat();
        let controls = [
            frame(0x88, &[0x03, 0xe8]),
            frame(0x88, b""),
            frame(0x88, &[0x0f, 0xa0, b'b', b'y', b'e']),
            frame(0x8a, b""),
            frame(0x82, b"binary"),
            frame(0x81, "\u{e9}".as_bytes()),
            frame(0x81, &vec![b' '; 70_000]),
            b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0".to_vec(),
            b"\x81\x05hello".to_vec(),
        ];
        let committed = examples::read("fuzz/corpus/frames");
        one_by_one.chain([burst, parts]).chain(controls).chain(committed).collect()
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "\u{1}",
            "\0\0\0\0",
            "\x7f",
            "{\"action\":\"echo\"}",
            "{\"action\":\"requests\"}",
            "\"payload\":",
            "\"resume\"",
            "\"cancel\"",
            "\"refresh\"",
            "[",
            "{\"a\":",
            "\"",
        ]
    }

    fn take(&mut self, input: &[u8]) -> Result<(), String> {
        let Self { runtime, door, address, bystander } = self;
        runtime.block_on(async {
            let mut stream = upgraded(*address, door.token()).await?;
            let heard = say(&mut stream, input).await?;
            is_lawful(&heard)?;
            drop(stream);
            is_untouched(bystander).await?;
            // Nobody else is left.
            let gone = async {
                while door.connections().is_some_and(|count| count > 1) {
                    tokio::task::yield_now().await;
                }
            };
            timeout(PATIENCE, gone).await.map_err(|_| "a connection is left behind".to_owned())
        })
    }
}

/// A client's frame, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..126 => bytes.push(0x80 | len as u8),
        len @ 126..65536 => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

async fn upgraded(address: SocketAddr, token: &str) -> Result<TcpStream, String> {
    let request = format!(
        "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         authorization: Bearer {token}\r\n\r\n"
    );
    let upgrading = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        std::io::Result::Ok((stream, head))
    };
    match timeout(PATIENCE, upgrading).await {
        Ok(Ok((stream, head))) if head.starts_with(b"HTTP/1.1 101") => Ok(stream),
        Ok(Ok((_, head))) => Err(format!("no upgrade: {}", String::from_utf8_lossy(&head))),
        Ok(Err(e)) => Err(format!("no upgrade: {e}")),
        Err(_) => Err("no upgrade in time".to_owned()),
    }
}

/// What a connection said, and how it ended.
struct Heard {
    /// (first byte, payload)
    frames: Vec<(u8, Vec<u8>)>,
    /// The server ended it, and not its client.
    ended: bool,
}

/// Says these bytes and then a ping, listens until that is answered or nothing comes any more, and takes leave without a
/// word, which the server must notice.
async fn say(stream: &mut TcpStream, input: &[u8]) -> Result<Heard, String> {
    let (mut reading, mut writing) = stream.split();
    let mut bytes = Vec::new();
    let saying = async {
        // Whoever has closed takes nothing more.
        let _ = writing.write_all(input).await;
        let _ = writing.write_all(PING).await;
    };
    let mut ended = false;
    let listening = async {
        let mut part = vec![0; 16 * 1024];
        loop {
            match timeout(LULL, reading.read(&mut part)).await {
                Err(_) => break,
                Ok(Ok(0) | Err(_)) => {
                    ended = true;
                    break;
                }
                Ok(Ok(count)) => bytes.extend_from_slice(&part[..count]),
            }
            let (frames, _) = split(&bytes);
            if frames.iter().any(|(first, payload)| *first == 0x88 || (*first == 0x8a && payload == PONG)) {
                break;
            }
        }
    };
    timeout(PATIENCE, async { tokio::join!(saying, listening) })
        .await
        .map_err(|_| "it neither reads nor ends".to_owned())?;
    if !ended {
        let leaving = async {
            let _ = writing.shutdown().await;
            reading.read_to_end(&mut bytes).await
        };
        // A reset is an end too.
        let _ = timeout(PATIENCE, leaving).await.map_err(|_| "it does not end with its client".to_owned())?;
    }
    let (frames, rest) = split(&bytes);
    if !rest.is_empty() {
        return Err(format!("it broke off inside a frame: {:?}", String::from_utf8_lossy(rest)));
    }
    Ok(Heard { frames, ended })
}

/// Whole frames of a server, and what is left.
fn split(mut bytes: &[u8]) -> (Vec<(u8, Vec<u8>)>, &[u8]) {
    let mut frames = Vec::new();
    while let [first, len, rest @ ..] = bytes {
        let (len, rest) = match (len, rest) {
            (126, [a, b, rest @ ..]) => (usize::from(u16::from_be_bytes([*a, *b])), rest),
            (127, [a, b, c, d, e, f, g, h, rest @ ..]) => {
                let len = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
                (usize::try_from(len).unwrap_or(usize::MAX), rest)
            }
            (126 | 127, _) => break,
            (len, rest) => (usize::from(*len), rest),
        };
        if rest.len() < len {
            break;
        }
        frames.push((*first, rest[..len].to_vec()));
        bytes = &rest[len..];
    }
    (frames, bytes)
}

/// Whole messages that a client can read, pongs, and one close that says why.
fn is_lawful(heard: &Heard) -> Result<(), String> {
    let mut closed = false;
    for (first, payload) in &heard.frames {
        if closed {
            return Err("something follows the close".to_owned());
        }
        match first {
            0x81 => {
                let text = std::str::from_utf8(payload).map_err(|e| format!("a message is no text: {e}"))?;
                ServerFrame::parse(text).map_err(|e| format!("{text} is no frame: {e}"))?;
            }
            0x89 | 0x8a => {}
            0x88 => {
                closed = true;
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                let lawful = code.is_none_or(|code| matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999));
                if !lawful {
                    return Err(format!("it closes with {code:?}"));
                }
            }
            first => return Err(format!("a frame begins with {first:#x}")),
        }
    }
    if heard.ended && !closed { Err("it broke off without a close".to_owned()) } else { Ok(()) }
}

/// Another connection is served as ever.
async fn is_untouched(bystander: &mut TcpStream) -> Result<(), String> {
    let asking = async {
        bystander.write_all(&frame(0x81, b"{\"id\":\"b\",\"action\":\"echo\",\"payload\":7}")).await?;
        let mut bytes = Vec::new();
        loop {
            let mut part = [0; 1024];
            let count = bystander.read(&mut part).await?;
            if count == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            bytes.extend_from_slice(&part[..count]);
            let (frames, rest) = split(&bytes);
            if rest.is_empty() && frames.iter().any(|(first, _)| *first == 0x81) {
                return std::io::Result::Ok(frames);
            }
        }
    };
    let frames = match timeout(PATIENCE, asking).await {
        Ok(Ok(frames)) => frames,
        Ok(Err(e)) => return Err(format!("another connection broke: {e}")),
        Err(_) => return Err("another connection is not served".to_owned()),
    };
    let answered = frames.iter().any(|(_, payload)| String::from_utf8_lossy(payload).contains("\"echo\":7"));
    if answered { Ok(()) } else { Err(format!("another connection heard {frames:?}")) }
}
