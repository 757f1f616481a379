//! TLS at the door.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName},
};
use serde_json::json;
use streamer_engine::{
    Frame,
    clock::{Clock as _, SystemClock},
    push::Push as _,
};
use streamer_server::{Refreshed, Tls};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::client::IntoClientRequest};

use crate::harness::{Client, Http, Raw, SECRET, Server, Setup, Token, in_time, until};

/// A private authority, and the files of the server's certificate and key.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("made");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("made");
        let authority = Self { issuer, folder: tempfile::tempdir().expect("a folder") };
        authority.issue();
        authority
    }

    /// Writes a fresh certificate, and gives it.
    fn issue(&self) -> CertificateDer<'static> {
        let key = KeyPair::generate().expect("made");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("valid");
        let made = params.signed_by(&key, &self.issuer).expect("made");
        std::fs::write(self.file("cert.pem"), pem("CERTIFICATE", made.der())).expect("written");
        std::fs::write(self.file("key.pem"), pem("PRIVATE KEY", &key.serialize_der())).expect("written");
        made.der().clone()
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }

    fn tls(&self) -> Tls {
        Tls::load(self.file("cert.pem"), self.file("key.pem"), SystemClock.now()).expect("usable")
    }

    /// A client that trusts it.
    fn client(&self, versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a root");
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    async fn connect(&self, server: &Server) -> TlsStream<TcpStream> {
        connect(server, self.client(rustls::ALL_VERSIONS)).await.expect("a handshake")
    }

    async fn websocket(&self, server: &Server) -> WebSocketStream<TlsStream<TcpStream>> {
        let mut request =
            format!("wss://localhost:{}/ws", server.addr.port()).into_client_request().expect("a request");
        let bearer = format!("Bearer {}", Token::ada()).parse().expect("a value");
        request.headers_mut().insert("authorization", bearer);
        let stream = self.connect(server).await;
        in_time("the upgrade", Box::pin(client_async(request, stream))).await.expect("upgraded").0
    }
}

async fn connect(server: &Server, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server.addr).await.expect("connected");
    let name = ServerName::try_from("localhost").expect("a name");
    in_time("a handshake", TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

fn pem(kind: &str, der: &[u8]) -> String {
    pem::encode(&pem::Pem::new(kind, der))
}

fn shown(connection: &ClientConnection) -> &CertificateDer<'static> {
    connection.peer_certificates().and_then(<[_]>::first).expect("a certificate")
}

async fn start(authority: &Authority) -> (Server, Tls) {
    start_with(authority, Setup::default()).await
}

async fn start_with(authority: &Authority, setup: Setup) -> (Server, Tls) {
    let tls = authority.tls();
    (Setup { tls: Some(tls.clone()), ..setup }.start().await, tls)
}

#[tokio::test]
async fn messages_and_files_go_through_it() {
    let authority = Authority::new();
    let (server, _) = start(&authority).await;
    let mut client = Client { socket: authority.websocket(&server).await };
    client.echo("a").await;
    // Many messages at once, and messages larger than a TLS record.
    for n in 0..500 {
        client.ask(&n.to_string(), "echo", json!(SECRET)).await;
    }
    for n in 0..500 {
        assert_eq!(client.frame().await["request_id"], n.to_string());
    }
    let large = "x".repeat(100_000);
    for _ in 0..10 {
        client.ask("large", "echo", json!(large)).await;
        assert_eq!(client.frame().await["data"]["echo"], large);
    }
    // What is pushed to many is not written beside TLS.
    let to = [server.only_stored().await.id];
    for n in 0..200 {
        let frames = [n, n].map(|n| Frame::message(&json!([SECRET, n])).expect("a message"));
        assert_eq!(server.hub.push_many(&to, &frames).await, [Ok(())]);
    }
    for n in 0..200 {
        assert_eq!((client.frame().await[1].clone(), client.frame().await[1].clone()), (json!(n), json!(n)));
    }
    client.ask("big", "burst", json!(20)).await;
    while client.frame().await["type"] != "complete" {}
    client.ask("k", "keep", json!(1_000_000)).await;
    let url = client.frame().await["data"]["url"].as_str().expect("a link").to_owned();

    let mut stream = authority.connect(&server).await;
    let token = Token::ada();
    let get = format!(
        "GET {url} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(get.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    in_time("the file", stream.read_to_end(&mut answer)).await.expect("it ends properly");
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    assert!(answer.ends_with(&[b'7'; 1_000_000]));
    client.leave().await;
    assert_eq!(server.ending().await, "client_closed");
    server.finish().await;
}

#[tokio::test]
async fn a_close_is_read_to_its_reason() {
    let authority = Authority::new();
    let (server, _) = start(&authority).await;
    let mut client = Client { socket: authority.websocket(&server).await };
    client.send(format!("\"{}\"", "x".repeat(1_000_000))).await;
    assert_eq!(client.closed().await, 1009);
    assert_eq!(server.ending().await, "message_too_large");
    server.finish().await;
}

#[tokio::test]
async fn it_speaks_1_2_and_1_3_and_http_1_1_alone() {
    let authority = Authority::new();
    let (server, _) = start(&authority).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut config = authority.client(&[version]);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = connect(&server, config).await.expect("a handshake");
        let connection = stream.get_ref().1;
        assert_eq!(connection.protocol_version(), Some(version.version));
        assert_eq!(connection.alpn_protocol(), Some(&b"http/1.1"[..]));
    }
    let mut config = authority.client(rustls::ALL_VERSIONS);
    config.alpn_protocols = vec![b"h2".to_vec()];
    assert!(connect(&server, config).await.is_err(), "HTTP/2 is not spoken");
    assert_eq!(
        Http::get(server.admin, "/healthz").send().await.status,
        200,
        "the operators' address is as it was"
    );
    server.finish().await;
}

/// A ClientHello as TLS 1.1 has it: rustls speaks nothing that old.
#[tokio::test]
async fn tls_1_1_is_refused() {
    let authority = Authority::new();
    let (server, _) = start(&authority).await;
    let mut hello = vec![0x03, 0x02];
    hello.extend([7; 32]);
    // No session; TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA and TLS_RSA_WITH_AES_128_CBC_SHA; no compression.
    hello.extend([0, 0, 4, 0xc0, 0x09, 0x00, 0x2f, 1, 0]);
    let mut record = vec![0x16, 0x03, 0x01, 0, u8::try_from(hello.len() + 4).expect("small")];
    record.extend([1, 0, 0, u8::try_from(hello.len()).expect("small")]);
    record.extend(hello);
    let mut raw = Raw::connect(server.addr).await;
    raw.send(&record).await;
    let mut alert = [0; 7];
    in_time("an alert", raw.stream.read_exact(&mut alert)).await.expect("an alert");
    // Fatal: protocol_version, or handshake_failure if what it offers is looked at first.
    assert_eq!((alert[0], alert[5]), (0x15, 2));
    assert!([70, 40].contains(&alert[6]), "{alert:?}");
    raw.ended().await;
    until("it is counted", async || server.counts("streamer_tls_handshakes_total{outcome=\"failed\"}", 1))
        .await;
    server.finish().await;
}

#[tokio::test]
async fn who_speaks_in_the_clear_is_told() {
    let authority = Authority::new();
    let (server, _) = start(&authority).await;
    let answer = Http::get(server.addr, "/ws").bearer(&Token::ada()).send().await;
    assert_eq!(answer.error(), (400, "VALIDATION_ERROR".to_owned()));
    assert!(answer.text().contains("wss"), "{}", answer.text());
    let mut raw = Raw::connect(server.addr).await;
    raw.send(&[0; 100_000]).await;
    raw.ended().await;
    assert!(server.stored().await.is_empty());
    until("they are counted", async || {
        server.counts("streamer_tls_handshakes_total{outcome=\"not_tls\"}", 2)
    })
    .await;
    server.finish().await;
}

#[tokio::test]
async fn who_never_finishes_a_handshake_is_closed_and_holds_up_nobody() {
    let authority = Authority::new();
    let mut setup = Setup::default();
    setup.settings.tls_handshake_timeout = Duration::from_millis(300);
    let (server, _) = start_with(&authority, setup).await;
    let mut silent = Raw::connect(server.addr).await;
    let mut partial = Raw::connect(server.addr).await;
    partial.send(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await;
    let mut dripping = Raw::connect(server.addr).await;
    let drip = async {
        for byte in [0x16, 0x03, 0x01, 0x02].into_iter().chain(std::iter::repeat(0)) {
            if dripping.stream.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut client = Client { socket: authority.websocket(&server).await };
    client.echo("not held up").await;
    in_time("it is closed", drip).await;
    silent.ended().await;
    partial.ended().await;
    until("all are counted", async || server.counts("streamer_tls_handshakes_total{outcome=\"timeout\"}", 3))
        .await;
    client.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn slow_handshakes_make_room_for_others() {
    let authority = Authority::new();
    let mut setup = Setup::default();
    setup.settings.tls_handshakes_max = 3;
    setup.settings.tls_handshake_timeout = Duration::from_secs(600);
    let (server, _) = start_with(&authority, setup).await;
    let mut slow = Vec::new();
    for _ in 0..3 {
        slow.push(Raw::connect(server.addr).await);
    }
    let mut client = Client { socket: authority.websocket(&server).await };
    client.echo("let in").await;
    assert!(server.counts("streamer_tls_handshakes_total{outcome=\"displaced\"}", 1), "{}", server.metrics());
    let mut oldest = slow.remove(0);
    oldest.ended().await;
    drop(slow);
    client.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections() {
    let authority = Authority::new();
    let (server, tls) = start(&authority).await;
    let mut old = Client { socket: authority.websocket(&server).await };
    let first = shown(old.socket.get_ref().get_ref().1).clone();
    assert!(matches!(tls.refresh(SystemClock.now()), Refreshed::Unchanged));

    let second = authority.issue();
    assert!(matches!(tls.refresh(SystemClock.now()), Refreshed::Changed));
    let mut new = Client { socket: authority.websocket(&server).await };
    assert_eq!(shown(new.socket.get_ref().get_ref().1), &second);
    assert_ne!(first, second);
    old.echo("as before").await;
    new.echo("as before").await;

    // A pair that does not fit together, and a file that is gone: told once each, and nothing changes.
    let key = std::fs::read(authority.file("key.pem")).expect("there");
    authority.issue();
    std::fs::write(authority.file("key.pem"), key).expect("written");
    assert!(matches!(tls.refresh(SystemClock.now()), Refreshed::Unusable(_)));
    assert!(matches!(tls.refresh(SystemClock.now()), Refreshed::Unchanged));
    std::fs::remove_file(authority.file("cert.pem")).expect("removed");
    assert!(matches!(tls.refresh(SystemClock.now()), Refreshed::Unusable(_)));
    assert_eq!(shown(authority.connect(&server).await.get_ref().1), &second);
    let told = |line: &serde_json::Value| {
        line["message"].as_str().is_some_and(|text| text.contains("cannot be used"))
    };
    assert_eq!(server.log().iter().filter(|line| told(line)).count(), 2);
    assert!(server.counts("streamer_tls_reloads_total{outcome=\"failed\"}", 2));

    let third = authority.issue();
    assert!(matches!(tls.refresh(SystemClock.now()), Refreshed::Changed));
    assert_eq!(shown(authority.connect(&server).await.get_ref().1), &third);
    assert!(server.metrics().contains("streamer_tls_certificate_not_after_seconds "), "{}", server.metrics());
    old.leave().await;
    new.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_warned_of() {
    let authority = Authority::new();
    let key = KeyPair::generate().expect("made");
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("valid");
    (params.not_before, params.not_after) =
        (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    let made = params.signed_by(&key, &authority.issuer).expect("made");
    let (server, tls) = start(&authority).await;
    std::fs::write(authority.file("cert.pem"), pem("CERTIFICATE", made.der())).expect("written");
    std::fs::write(authority.file("key.pem"), pem("PRIVATE KEY", &key.serialize_der())).expect("written");
    assert!(matches!(tls.refresh(SystemClock.now()), Refreshed::Changed));
    let warned = server
        .log()
        .into_iter()
        .find(|line| line["message"] == "the certificate has expired: clients refuse it");
    assert_eq!(warned.expect("a warning")["not_after"], "2021-01-01T00:00:00.000Z");
    assert!(server.counts("streamer_tls_certificate_not_after_seconds", 1_609_459_200));
    server.finish().await;
}
