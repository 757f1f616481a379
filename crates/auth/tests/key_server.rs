//! An issuer's HTTP server, which answers what it is told to and counts how often it is asked.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use streamer_auth::jwks::Address;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

/// What is sent back, byte by byte, and whether the connection is then kept open.
#[derive(Clone)]
struct Answer {
    bytes: Vec<u8>,
    stays_open: bool,
}

pub(crate) struct KeyServer {
    url: String,
    served: Arc<Served>,
    _task: AbortOnDropHandle<()>,
}

struct Served {
    answer: Mutex<Answer>,
    asked: AtomicUsize,
    last_request: Mutex<String>,
}

impl KeyServer {
    /// Publishes `body` by plain HTTP.
    pub(crate) async fn publishing(body: &str) -> Self {
        Self::start("http://127.0.0.1", None, body).await
    }

    /// The same by HTTPS, for `localhost`; with the configuration of a client that trusts it.
    pub(crate) async fn publishing_by_tls(body: &str) -> (Self, Arc<ClientConfig>) {
        let (server, client) = private_authority();
        let acceptor = TlsAcceptor::from(Arc::new(server));
        (Self::start("https://localhost", Some(acceptor), body).await, Arc::new(client))
    }

    async fn start(origin: &str, tls: Option<TlsAcceptor>, body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let served = Arc::new(Served {
            answer: Mutex::new(ok(body)),
            asked: AtomicUsize::new(0),
            last_request: Mutex::default(),
        });
        let task = tokio::spawn(serve(listener, tls, Arc::clone(&served)));
        let url = format!("{origin}:{port}/keys?code=hush");
        Self { url, served, _task: AbortOnDropHandle::new(task) }
    }

    pub(crate) fn address(&self) -> Address {
        self.url.parse().expect("an address")
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.served.asked.load(Ordering::SeqCst)
    }

    /// The head of the last request.
    pub(crate) fn last_request(&self) -> String {
        self.served.last_request.lock().clone()
    }

    pub(crate) fn publish(&self, body: &str) {
        *self.served.answer.lock() = ok(body);
    }

    /// From now on answers exactly this.
    pub(crate) fn answer(&self, bytes: impl Into<Vec<u8>>) {
        *self.served.answer.lock() = Answer { bytes: bytes.into(), stays_open: false };
    }

    /// From now on answers this and then says no more.
    pub(crate) fn answer_and_hang(&self, bytes: impl Into<Vec<u8>>) {
        *self.served.answer.lock() = Answer { bytes: bytes.into(), stays_open: true };
    }
}

fn ok(body: &str) -> Answer {
    let bytes = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes();
    Answer { bytes, stays_open: false }
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, served: Arc<Served>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("accepts");
        connections.spawn(connection(stream, tls.clone(), Arc::clone(&served)));
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, served: Arc<Served>) {
    match tls {
        None => exchange(stream, &served).await,
        // A client that does not trust it leaves.
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                exchange(stream, &served).await;
            }
        }
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, served: &Served) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    *served.last_request.lock() = String::from_utf8_lossy(&head).into_owned();
    served.asked.fetch_add(1, Ordering::SeqCst);
    let Answer { bytes, stays_open } = served.answer.lock().clone();
    // The client may leave early: that is what some tests are about.
    let _ = stream.write_all(&bytes).await;
    let _ = stream.flush().await;
    if stays_open {
        let _ = stream.read_u8().await;
    }
    let _ = stream.shutdown().await;
}

/// A certificate authority of one's own, a server with its certificate for localhost, and a client that trusts it.
fn private_authority() -> (ServerConfig, ClientConfig) {
    let authority_key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).expect("a certificate");
    let issuer = rcgen::Issuer::new(params, authority_key);

    let server_key = rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
        .and_then(|params| params.signed_by(&server_key, &issuer))
        .expect("a certificate");

    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let key = PrivateKeyDer::try_from(server_key.serialize_der()).expect("a key");
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate and its key");
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).expect("an authority");
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    (server, client)
}
