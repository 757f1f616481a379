//! What the steps share: the server, the keys, the figures.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use streamer_auth::{Algorithm, Grant, Signer};
use streamer_client::{Backoff, Client, Settings};
use streamer_engine::{
    clock::{Clock as _, SystemClock},
    random::{Random as _, SystemRandom},
};
use streamer_protocol::{TenantId, UserId};
use tempfile::TempDir;

use super::{outcome::Figure, peer::Peer, server::Server};
use crate::http::Http;

/// The tenant of the walk.
pub(super) const TENANT: &str = "demo-tenant";

pub(super) struct Stage {
    folder: TempDir,
    keep: bool,
    signer: Signer,
    pub(super) server: Server,
    pub(super) figures: Vec<Figure>,
}

/// Which token a client presents.
#[derive(Debug, Clone, Copy)]
pub(super) enum TokenKind {
    Valid,
    Expired,
    Forged,
}

impl Stage {
    /// A fresh folder with a fresh key and database, and a server in it.
    pub(super) async fn set(keep: bool) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("streamer-demo-").tempdir()?;
        let (private, _) = crate::token::write_keys(folder.path(), Algorithm::Rs256, false)?;
        let signer = Signer::from_file(Algorithm::Rs256, &private)?;
        write_orders(&folder.path().join("data"))?;
        let server = Server::start(folder.path(), SystemRandom.unguessable()).await?;
        Ok(Self { folder, keep, signer, server, figures: Vec::new() })
    }

    /// Stops the server, and removes the folder unless it is to be kept.
    pub(super) async fn strike(mut self) -> anyhow::Result<()> {
        self.server.stop().await?;
        if self.keep {
            println!("\nKept: {}", self.folder.keep().display());
        }
        Ok(())
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The public key as the server has it.
    pub(super) fn public_pem(&self) -> anyhow::Result<String> {
        std::fs::read_to_string(self.folder().join("public.pem")).context("the public key cannot be read")
    }

    pub(super) fn token(&self, user: &str, kind: TokenKind) -> anyhow::Result<String> {
        let grant = Grant {
            permissions: vec!["read".to_owned(), "write".to_owned()],
            ttl: Duration::from_secs(60 * 60),
            ..Grant::new(UserId::new(user), TenantId::new(TENANT))
        };
        let now = SystemClock.now();
        let token = match kind {
            TokenKind::Valid => self.signer.issue(&grant, now)?,
            TokenKind::Expired => self.signer.issue_expired(&grant, now)?,
            TokenKind::Forged => self.signer.issue_forged(&grant, now)?,
        };
        Ok(token.as_str().to_owned())
    }

    fn url(&self) -> String {
        format!("ws://{}/ws", self.server.listen())
    }

    /// A client as an application would have it: it reconnects and resumes by itself.
    pub(super) async fn client(&self, user: &str) -> anyhow::Result<Client> {
        let backoff = Backoff {
            first: Duration::from_millis(20),
            max: Duration::from_millis(200),
            ..Backoff::default()
        };
        let token = self.token(user, TokenKind::Valid)?;
        Ok(Client::connect(Settings::new(self.url()).token(token).backoff(backoff)).await?)
    }

    /// A bare WebSocket.
    pub(super) async fn peer(&self, user: &str) -> anyhow::Result<Peer> {
        Peer::connect(&self.url(), Some(&self.token(user, TokenKind::Valid)?)).await
    }

    /// A bare WebSocket with another token or none.
    pub(super) async fn peer_with(&self, token: Option<&str>) -> anyhow::Result<Peer> {
        Peer::connect(&self.url(), token).await
    }

    /// The admin address, for an operator.
    pub(super) fn operator(&self) -> Http {
        Http::new(format!("http://{}", self.server.admin()), self.server.admin_token())
    }

    /// The public address over HTTP, for a user.
    pub(super) fn http(&self, user: &str) -> anyhow::Result<Http> {
        Ok(Http::new(format!("http://{}", self.server.listen()), self.token(user, TokenKind::Valid)?))
    }

    /// The ids of a user's connections.
    pub(super) async fn connections(&self, user: &str) -> anyhow::Result<Vec<String>> {
        let path = format!("/v1/connections?tenant={TENANT}&user={user}&limit=500");
        let listed: serde_json::Value = self.operator().get(&path).await?;
        let ids = listed["connections"].as_array().into_iter().flatten();
        Ok(ids.filter_map(|connection| connection["connection_id"].as_str().map(str::to_owned)).collect())
    }

    /// Notes a figure in milliseconds.
    pub(super) fn measured(&mut self, name: &'static str, span: Duration) {
        self.figures.push(Figure { name, value: span.as_secs_f64() * 1000.0, unit: "ms" });
    }
}

/// Enough orders that a report of them takes a moment: those of many companies in one file.
fn write_orders(folder: &Path) -> anyhow::Result<()> {
    const COMPANIES: u64 = 20;
    std::fs::create_dir_all(folder)?;
    let mut all = String::new();
    for seed in 1..=COMPANIES {
        let orders = streamer_demo::data::orders(seed);
        let (head, rows) = orders.split_once('\n').context("the orders have a head")?;
        if all.is_empty() {
            all.push_str(head);
            all.push('\n');
        }
        all.push_str(rows);
    }
    std::fs::write(folder.join(streamer_demo::data::ORDERS_FILE), all)?;
    Ok(())
}

/// The value below which `share` of the spans lie.
pub(super) fn percentile(spans: &mut [Duration], share: f64) -> Duration {
    spans.sort_unstable();
    let last = spans.len().saturating_sub(1);
    spans.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}
