//! The server of the walk: a process of its own, as a user would run it.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::serve::Addresses;

/// A server that is not ready by then has failed.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

/// How much of the log is shown when a step failed, in lines.
const LOG_LINES: usize = 12;

pub(super) struct Server {
    folder: PathBuf,
    admin_token: String,
    process: Child,
    addresses: Addresses,
}

impl Server {
    /// Starts the server on free ports.
    pub(super) async fn start(folder: &Path, admin_token: String) -> anyhow::Result<Self> {
        let (process, addresses) = spawn(folder, &admin_token, "127.0.0.1:0").await?;
        Ok(Self { folder: folder.to_owned(), admin_token, process, addresses })
    }

    /// Where clients connect.
    pub(super) fn listen(&self) -> SocketAddr {
        self.addresses.listen
    }

    /// Where operators are served.
    pub(super) fn admin(&self) -> SocketAddr {
        self.addresses.admin.unwrap_or(self.addresses.listen)
    }

    pub(super) fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// SIGKILL: it has no moment to put anything in order.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await.context("the server could not be killed")
    }

    /// Starts it again, at the same address and on the same database.
    pub(super) async fn restart(&mut self) -> anyhow::Result<()> {
        let listen = self.addresses.listen.to_string();
        (self.process, self.addresses) = spawn(&self.folder, &self.admin_token, &listen).await?;
        Ok(())
    }

    /// SIGTERM, and waits until it has drained.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(id) = self.process.id() else { return Ok(()) };
        let asked = Command::new("kill").args(["-TERM", &id.to_string()]).status().await?;
        anyhow::ensure!(asked.success(), "the server could not be asked to stop");
        let ended = tokio::time::timeout(READY_TIMEOUT, self.process.wait()).await;
        let status = ended.context("the server did not stop in time")??;
        anyhow::ensure!(status.success(), "the server stopped with {status}");
        Ok(())
    }

    /// Its whole log.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }

    pub(super) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

async fn spawn(folder: &Path, admin_token: &str, listen: &str) -> anyhow::Result<(Child, Addresses)> {
    let ready = folder.join("ready.json");
    if ready.exists() {
        std::fs::remove_file(&ready)?;
    }
    let log = File::options().create(true).append(true).open(folder.join("server.log"))?;
    let mut command = Command::new(std::env::current_exe()?);
    for (name, _) in std::env::vars_os() {
        // The walk has its own configuration, whatever the caller's is.
        let text = name.to_string_lossy();
        if text.starts_with(crate::config::PREFIX) || text.starts_with("JWT_") {
            command.env_remove(&name);
        }
    }
    let mut process = command
        .args(["serve", "--demo", "--listen", listen, "--admin", "127.0.0.1:0"])
        .args(["--store", "streamer.db", "--public-key-file", "public.pem", "--ready-file", "ready.json"])
        .args(["--set", "demo.data_dir=data", "--set", "logs.format=json"])
        // The walk is in a hurry, and all of it comes from one address.
        .args(["--set", "listen.address_connections_per_minute=0"])
        .args(["--set", "connections.messages_per_minute=0"])
        // Small bounds, so that a peer that stops reading shows within seconds.
        .args(["--set", "engine.progress_interval_ms=50"])
        .args(["--set", "connections.breaker_open_ms=1000", "--set", "connections.outbound_bytes_max=262144"])
        .env("STREAMER_ADMIN__TOKEN", admin_token)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .context("the server could not be started")?;
    let deadline = Instant::now() + READY_TIMEOUT;
    loop {
        if let Ok(text) = std::fs::read(&ready) {
            return Ok((process, serde_json::from_slice(&text)?));
        }
        if let Some(status) = process.try_wait()? {
            let log = std::fs::read_to_string(folder.join("server.log")).unwrap_or_default();
            anyhow::bail!("the server stopped with {status}:\n{log}");
        }
        anyhow::ensure!(Instant::now() < deadline, "the server was not ready within {READY_TIMEOUT:?}");
        sleep(Duration::from_millis(5)).await;
    }
}
