//! `wss://`.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer};
use serde_json::{Value, json};
use streamer_client::{Client, ConnectError, Settings};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::{accept_async, tungstenite::Message};

use crate::fake::soon;

/// A certificate for localhost: what a server shows, and what a client that trusts it is told.
fn certificate() -> (ServerConfig, ClientConfig) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (server, client)
}

#[tokio::test]
async fn a_trusted_server_is_talked_to_and_a_stranger_is_not() {
    let (server, trusting) = certificate();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://localhost:{}/ws", listener.local_addr().unwrap().port());
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let accept = async || acceptor.accept(listener.accept().await.unwrap().0).await;

    let trusted = Client::connect(Settings::new(&url).tls(Arc::new(trusting)));
    let serving = async { accept_async(accept().await.unwrap()).await.unwrap() };
    let connecting = Box::pin(async { tokio::join!(trusted, serving) });
    let (client, mut socket) = soon("a connection", connecting).await;
    let client = client.unwrap();
    let answering = async {
        let Some(Ok(Message::Text(text))) = socket.next().await else { panic!("no request") };
        let request: Value = serde_json::from_str(&text).unwrap();
        let answer = json!({
            "type": "response", "request_id": request["id"], "success": true, "data": 1,
            "timestamp": "2026-01-31T12:00:00Z",
        });
        socket.send(Message::text(answer.to_string())).await.unwrap();
    };
    let (echoed, ()) = soon("an answer", async { tokio::join!(client.echo(&1), answering) }).await;
    assert_eq!(echoed.unwrap().as_str(), "1");

    // By default the platform's roots count, and this certificate is nobody's there.
    let (refused, accepted) =
        soon("a refusal", async { tokio::join!(Client::connect(Settings::new(&url)), accept()) }).await;
    assert!(matches!(refused, Err(ConnectError::Network(_))), "{refused:?}");
    assert!(accepted.is_err());
}
