//! Keys that change while the server runs.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::json;
use streamer_auth::{
    Algorithm, Fetched, Grant, KeyPair, KeySource, Keys, PublicKey, Rotation, Settings, Signer, SourceError,
};
use streamer_engine::clock::{Clock as _, SystemClock};
use streamer_protocol::{TenantId, UserId};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::harness::{Client, Server, Setup, until};

/// An issuer with one key at a time.
#[derive(Clone)]
struct Issuer(Arc<Mutex<(String, KeyPair)>>);

impl Issuer {
    fn new(kid: &str) -> Self {
        Self(Arc::new(Mutex::new((kid.to_owned(), fresh()))))
    }

    fn rotate(&self, kid: &str) {
        *self.0.lock() = (kid.to_owned(), fresh());
    }

    fn token(&self) -> String {
        let (kid, pair) = &*self.0.lock();
        let signer = Signer::from_pem(Algorithm::EdDsa, pair.private_pem()).expect("a signer");
        let grant = Grant::new(UserId::new("ada"), TenantId::new("acme"));
        let token = signer.with_id(kid).issue(&grant, SystemClock.now());
        token.expect("a token").as_str().to_owned()
    }
}

fn fresh() -> KeyPair {
    KeyPair::generate(Algorithm::EdDsa).expect("a pair")
}

#[async_trait]
impl KeySource for Issuer {
    async fn fetch(&self) -> Result<Fetched, SourceError> {
        let (kid, pair) = &*self.0.lock();
        let key = PublicKey::from_pem(Algorithm::EdDsa, pair.public_pem()).expect("a key").with_id(kid);
        Ok(Fetched { keys: Keys::new([key]).expect("keys"), max_age: None })
    }

    fn place(&self) -> &str {
        "an issuer"
    }
}

async fn start(issuer: &Issuer) -> (Server, AbortOnDropHandle<()>) {
    let (verifier, rotation) = Rotation::start(Box::new(issuer.clone()), Settings::new).await.expect("keys");
    let running = AbortOnDropHandle::new(tokio::spawn(rotation.run(CancellationToken::new())));
    (Setup { verifier, ..Setup::default() }.start().await, running)
}

#[tokio::test]
async fn an_upgrade_waits_for_the_key_that_it_names() {
    let issuer = Issuer::new("old");
    let (server, _running) = start(&issuer).await;
    let mut early = Client::connect(&server, &issuer.token()).await;
    issuer.rotate("new");
    let mut late = Client::connect(&server, &issuer.token()).await;
    // Who is there stays, whatever became of the key.
    early.echo("a").await;
    late.echo("b").await;
    server.finish().await;
}

#[tokio::test]
async fn a_refresh_has_the_key_that_it_names_fetched() {
    let issuer = Issuer::new("old");
    let (server, _running) = start(&issuer).await;
    let mut client = Client::connect(&server, &issuer.token()).await;
    issuer.rotate("new");
    let token = issuer.token();
    client.ask("first", "refresh", json!({ "token": token })).await;
    assert_eq!(client.frame().await["error"]["code"], "UNAUTHORIZED");
    let unknown = "streamer_authentication_failures_total{reason=\"unknown_key\"}";
    assert!(server.counts(unknown, 1), "{}", server.metrics());

    until("the new key", async || {
        server.log().iter().any(|line| line["message"] == "other keys are in force")
    })
    .await;
    client.ask("second", "refresh", json!({ "token": token })).await;
    assert_eq!(client.frame().await["type"], "response");
    server.finish().await;
}
