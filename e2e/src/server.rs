//! A server process in a folder of its own.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
};

use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{
    command::Shell,
    http::{self, Answer},
    issuer::Issuer,
    patience::{until, within},
    peer::Peer,
    scenario::{Place, Wanted},
};

/// What operators present to every server here.
pub const ADMIN_TOKEN: &str = "an-operator-of-the-tests";

/// How much of the log is shown when a test fails, in lines.
const LOG_LINES: usize = 40;

/// A server that is about to be started: on free ports, with the demonstration handlers, on an empty store.
#[derive(Debug)]
pub struct Setup {
    binary: PathBuf,
    settings: Vec<(String, String)>,
    open_files_max: Option<u32>,
    open_files_at_first: Option<u32>,
    keeps_socket: bool,
}

impl Setup {
    /// Runs this binary.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            settings: Vec::new(),
            open_files_max: None,
            open_files_at_first: None,
            keeps_socket: false,
        }
    }

    /// With one more setting.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// With no more than so many open files.
    #[must_use]
    pub fn open_files(mut self, max: u32) -> Self {
        self.open_files_max = Some(max);
        self
    }

    /// With no more than so many open files until it asks the system for more.
    #[must_use]
    pub fn open_files_at_first(mut self, count: u32) -> Self {
        self.open_files_at_first = Some(count);
        self
    }

    /// With a socket that is there before its first life, and goes on listening between them.
    #[must_use]
    pub fn keeping_socket(mut self) -> Self {
        self.keeps_socket = true;
        self
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> Server {
        let mut server = self.prepared();
        server.restart().await;
        server
    }

    /// Has all of it ready, at ports that are free just now: clients may try to connect already.
    #[must_use]
    pub fn prepared(self) -> Server {
        let address = || format!("127.0.0.1:{}", free_port());
        self.at(Addresses { listen: address(), admin: address() })
    }

    fn at(self, addresses: Addresses) -> Server {
        let folder = tempfile::Builder::new().prefix("streamer-e2e-").tempdir().expect("a folder");
        Issuer::shared().write(folder.path());
        let shell = Shell::new(&self.binary, folder.path())
            .variable("STREAMER_ADMIN__TOKEN", ADMIN_TOKEN)
            .open_files(self.open_files_max)
            .open_files_at_first(self.open_files_at_first);
        let socket =
            self.keeps_socket.then(|| TcpListener::bind(&addresses.listen).expect("the port is free"));
        Server { folder, shell, settings: self.settings, socket, process: None, addresses }
    }
}

/// A port that is free just now, and stays so while a server is dead that comes back to it: none of those that the
/// system gives to whoever connects, which begin at 32768.
fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Other processes begin elsewhere.
    let begin = std::process::id().wrapping_mul(97) % u32::from(COUNT);
    let begin = u16::try_from(begin).expect("below the count");
    loop {
        let port = FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A server process. Dropping it kills it and removes its folder.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    shell: Shell,
    settings: Vec<(String, String)>,
    socket: Option<TcpListener>,
    process: Option<Child>,
    addresses: Addresses,
}

#[derive(Debug, Clone, Deserialize)]
struct Addresses {
    listen: String,
    admin: String,
}

/// Starts a server and waits until it is ready; if it ends before, that is its answer.
async fn start(
    shell: &Shell,
    settings: &[(String, String)],
    socket: Option<&TcpListener>,
    at: &Addresses,
) -> Result<(Child, Addresses), ExitStatus> {
    let folder = shell.folder();
    let ready = folder.join("ready.json");
    if ready.exists() {
        std::fs::remove_file(&ready).expect("the folder is ours");
    }
    let log = File::options().create(true).append(true).open(log_path(folder)).expect("the folder is ours");
    let serve = ["serve", "--demo", "--listen", &at.listen, "--admin", &at.admin];
    let mut command = match socket {
        None => shell.command(serve),
        Some(socket) => shell.passing(socket.try_clone().expect("a second handle"), "listen", serve),
    };
    command
        .args(["--store", "streamer.db", "--public-key-file", "public.pem", "--ready-file", "ready.json"])
        .args(["--set", "demo.data_dir=data", "--set", "logs.format=json"]);
    // Tests come often, and all from one address. Those about the rates set them.
    for unlimited in [
        "listen.address_connections_per_minute",
        "listen.address_refusals_per_minute",
        "connections.messages_per_minute",
    ] {
        command.arg("--set").arg(format!("{unlimited}=0"));
    }
    for (name, value) in settings {
        command.arg("--set").arg(format!("{name}={value}"));
    }
    command.stdout(log.try_clone().expect("a second handle")).stderr(Stdio::from(log));
    let mut process = command.spawn().expect("the binary can be run");
    let addresses = until("the server to be ready", async || {
        if let Some(status) = process.try_wait().expect("it is our child") {
            return Some(Err(status));
        }
        Some(Ok(serde_json::from_slice(&std::fs::read(&ready).ok()?).expect("the ready file is whole")))
    })
    .await?;
    Ok((process, addresses))
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("server.log")
}

fn log_tail(folder: &Path) -> String {
    let log = std::fs::read_to_string(log_path(folder)).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

impl Server {
    /// Where clients connect.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.addresses.listen.parse().expect("an address")
    }

    /// Where operators are served.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.addresses.admin.parse().expect("an address")
    }

    /// Its folder: keys, store, data, log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its store's file.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.folder().join("streamer.db")
    }

    /// For commands beside it, in the same folder.
    #[must_use]
    pub fn shell(&self) -> Shell {
        self.shell
            .clone()
            .variable("STREAMER_URL", self.ws_url())
            .variable("STREAMER_ADMIN_URL", format!("http://{}", self.admin()))
            .variable("STREAMER_ADMIN__TOKEN", ADMIN_TOKEN)
    }

    /// The process's id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(Child::id)
    }

    fn process(&mut self) -> &mut Child {
        self.process.as_mut().expect("it was started")
    }

    /// SIGKILL: it has no moment to put anything in order.
    pub async fn kill(&mut self) {
        self.process().kill().await.expect("it is our child");
    }

    /// SIGTERM.
    pub async fn terminate(&self) {
        self.signal("TERM").await;
    }

    /// SIGHUP.
    pub async fn hang_up(&self) {
        self.signal("HUP").await;
    }

    async fn signal(&self, name: &str) {
        let id = self.pid().expect("it runs").to_string();
        let asked = Command::new("kill").args(["-s", name, &id]).status().await;
        assert!(asked.expect("there is a kill").success(), "SIG{name} could not be sent");
    }

    /// How it ends by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        within("the server's end", self.process().wait()).await.expect("it is our child")
    }

    /// SIGTERM, and waits until it has drained; it must end well.
    pub async fn stop(&mut self) {
        self.terminate().await;
        let status = self.ended().await;
        assert!(status.success(), "the server stopped with {status}");
    }

    /// Starts it (again), at the same addresses and on the same store.
    pub async fn restart(&mut self) {
        if let Err(status) = self.try_restart().await {
            panic!("the server stopped with {status}:\n{}", log_tail(self.folder()));
        }
    }

    /// SIGTERM, and a new process at once, while the old one drains. Returns when the new one is ready: how the old one
    /// ended.
    pub async fn hand_over(&mut self) -> ExitStatus {
        self.terminate().await;
        let mut old = self.process.take().expect("it was started");
        self.restart().await;
        within("the old process's end", old.wait()).await.expect("it is our child")
    }

    /// Starts it, if it is not certain that it becomes ready; if it ends before, that is the answer.
    pub async fn try_restart(&mut self) -> Result<(), ExitStatus> {
        let (process, addresses) =
            start(&self.shell, &self.settings, self.socket.as_ref(), &self.addresses).await?;
        (self.process, self.addresses) = (Some(process), addresses);
        Ok(())
    }

    /// Sets a variable of its next life, or takes it away.
    pub fn set_variable(&mut self, name: &str, value: Option<&str>) {
        self.shell.set(name, value);
    }

    /// Its whole log.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(log_path(self.folder())).expect("there is a log")
    }

    /// The log's lines.
    #[must_use]
    pub fn log_lines(&self) -> Vec<Value> {
        self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Connects as a user.
    pub async fn peer(&self, user: &str, tenant: &str) -> Peer {
        Peer::connect(&self.ws_url(), &Issuer::shared().token(user, tenant)).await
    }

    /// Gets a path of the public address as a user.
    pub async fn get(&self, path: &str, user: &str, tenant: &str) -> Answer {
        http::get(self.listen(), path, Some(&Issuer::shared().token(user, tenant))).await
    }

    /// Gets a path of the admin address as an operator.
    pub async fn inspect(&self, path: &str) -> Answer {
        http::get(self.admin(), path, Some(ADMIN_TOKEN)).await
    }

    /// The sum of a metric over the labels that hold all of these texts.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let metrics = self.inspect("/metrics").await.text();
        let lines = metrics.lines().filter_map(|line| line.strip_prefix(name));
        let of_it = lines.filter(|rest| rest.starts_with(['{', ' ']));
        of_it
            .filter(|rest| labels.iter().all(|label| rest.contains(label)))
            .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("The end of the server's log:\n{}", log_tail(self.folder()));
        }
    }
}

impl Place for Server {
    fn name(&self) -> &str {
        "server"
    }

    fn ws_url(&self) -> String {
        format!("ws://{}/ws", self.listen())
    }

    fn http_url(&self) -> Option<String> {
        Some(format!("http://{}", self.listen()))
    }

    fn token(&self, wanted: &Wanted) -> String {
        Issuer::shared().issue(wanted)
    }
}
