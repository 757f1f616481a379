//! The proxies of `deploy/proxies`, in front of a server: the very files that a reader copies, with other addresses.

use std::{
    env,
    fs::{self, OpenOptions},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
};

use tempfile::TempDir;
use tokio::{
    net::{TcpSocket, TcpStream},
    process::{Child, Command},
};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::{
    client::IntoClientRequest as _,
    handshake::client::{Request, Response},
};

use crate::{
    certificate::{self, Certificate},
    http::{self, Answer},
    patience::{until, within},
    peer::{Peer, Refused},
    server::Server,
};

/// Where clients come from, so that they are told from the proxy, which comes from 127.0.0.1.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// How often a port that was free is taken before a proxy listens on it.
const PORTS_TRIED_MAX: usize = 5;

/// What a proxy passes on.
pub type Stream = TlsStream<TcpStream>;

/// A proxy that people run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// nginx.
    Nginx,
    /// HAProxy.
    Haproxy,
    /// Caddy.
    Caddy,
}

impl Kind {
    /// Its program.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
        }
    }

    const fn file(self) -> &'static str {
        match self {
            Self::Nginx => "nginx.conf",
            Self::Haproxy => "haproxy.cfg",
            Self::Caddy => "Caddyfile",
        }
    }

    /// The program, on the search path or as `cargo xtask setup proxies` unpacked it below `tools`.
    #[must_use]
    pub fn find(self, tools: &Path) -> Option<PathBuf> {
        let path = env::var_os("PATH").unwrap_or_default();
        // Servers stand where only root looks by itself.
        let more = ["/usr/local/sbin", "/usr/sbin"].map(PathBuf::from);
        let unpacked = ["usr/sbin", "usr/bin"].map(|folder| tools.join("proxies").join(folder));
        let folders = env::split_paths(&path).chain(more).chain(unpacked);
        folders.map(|folder| folder.join(self.program())).find(|program| program.is_file())
    }

    /// What is other here than where the file is for: (what stands there, what takes its place).
    fn changes(self, server: &Server, port: u16, silence_s: u64, folder: &Path) -> Vec<(String, String)> {
        let (listen, admin) = (server.listen(), server.admin());
        let at = folder.display();
        let changes = match self {
            Self::Nginx => vec![
                // Nothing to change to where it does not run as root, nor any need where its files are root's.
                ("user www-data;", String::new()),
                ("/run/nginx.pid", format!("{at}/nginx.pid")),
                ("/var/log/nginx/error.log", format!("{at}/error.log")),
                ("/var/log/nginx/access.log", format!("{at}/access.log")),
                ("/etc/ssl/streamer/", format!("{at}/")),
                ("http {", format!("http {{\n{}", nginx_folders(folder))),
                ("listen 443 ssl", format!("listen 127.0.0.1:{port} ssl")),
                ("server 127.0.0.1:8080", format!("server {listen}")),
                ("_timeout 90s", format!("_timeout {silence_s}s")),
            ],
            Self::Haproxy => vec![
                // Files for so many may not be had here, and it would not start.
                ("maxconn 20000", "maxconn 1000".to_owned()),
                ("bind :443", format!("bind 127.0.0.1:{port}")),
                ("/etc/ssl/streamer/", format!("{at}/")),
                ("127.0.0.1:8080 check port 8081", format!("{listen} check port {}", admin.port())),
                ("inter 2s", "inter 100ms".to_owned()),
                ("timeout client 60s", format!("timeout client {silence_s}s")),
                ("timeout server 60s", format!("timeout server {silence_s}s")),
                ("timeout tunnel 90s", format!("timeout tunnel {silence_s}s")),
            ],
            Self::Caddy => vec![
                // The address through which it is told a new configuration is one for all on a machine.
                ("{\n\t# Port 80", "{\n\tadmin off\n\t# Port 80".to_owned()),
                (
                    "streamer.example.com {",
                    format!(
                        "{}:{port} {{\n\tbind 127.0.0.1\n\ttls {at}/fullchain.pem {at}/privkey.pem",
                        certificate::NAME
                    ),
                ),
                ("reverse_proxy 127.0.0.1:8080", format!("reverse_proxy {listen}")),
                ("health_port 8081", format!("health_port {}", admin.port())),
                ("health_interval 2s", "health_interval 100ms".to_owned()),
            ],
        };
        changes.into_iter().map(|(from, to)| (from.to_owned(), to)).collect()
    }

    fn command(self, program: &Path, configuration: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        match self {
            // One process, so that none is left behind when it is killed.
            Self::Nginx => command
                .args(["-g", "daemon off; master_process off;", "-e", "stderr", "-p"])
                .arg(folder)
                .arg("-c")
                .arg(configuration),
            Self::Haproxy => command.arg("-db").arg("-f").arg(configuration),
            Self::Caddy => command.args(["run", "--adapter", "caddyfile", "--config"]).arg(configuration),
        };
        command.env("HOME", folder).env_remove("XDG_DATA_HOME").env_remove("XDG_CONFIG_HOME");
        if let Some(libraries) = unpacked_libraries(program) {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command.current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

/// Where nginx keeps bodies for a while, which a package sets to folders of its own.
fn nginx_folders(folder: &Path) -> String {
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    folders.map(|name| format!("{name}_temp_path {}/{name};\n", folder.display())).concat()
}

/// The libraries that were unpacked beside a program, if it was.
fn unpacked_libraries(program: &Path) -> Option<PathBuf> {
    let libraries = program.parent()?.parent()?.join("lib");
    let of_architecture = fs::read_dir(libraries).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    of_architecture
        .filter(|path| path.parent().is_some_and(|lib| lib != Path::new("/usr/lib")))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("-linux-gnu")))
}

/// A proxy in front of a server. Dropping it kills it and removes its folder.
pub struct Proxy {
    kind: Kind,
    program: PathBuf,
    folder: TempDir,
    certificate: Certificate,
    process: Child,
    address: SocketAddr,
}

impl Proxy {
    /// Starts it, by the file in `deploy/proxies`, and waits until it passes on. It ends connections that are silent for
    /// `silence_s` seconds, if it ends any.
    pub async fn start(kind: Kind, program: &Path, server: &Server, silence_s: u64) -> Self {
        let folder = tempfile::Builder::new().prefix("streamer-proxy-").tempdir().expect("a folder");
        let certificate = Certificate::fresh();
        certificate.write(folder.path());
        let deployed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/proxies").join(kind.file());
        let deployed = fs::read_to_string(deployed).expect("the file is there");
        for _ in 0..PORTS_TRIED_MAX {
            let port = free_port();
            let changes = kind.changes(server, port, silence_s, folder.path());
            let configuration = changes.into_iter().fold(deployed.clone(), |text, (from, to)| {
                assert!(text.contains(&from), "{} no longer has {from:?}", kind.file());
                text.replace(&from, &to)
            });
            fs::write(folder.path().join(kind.file()), configuration).expect("the folder is ours");
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            if let Some(process) = listening(kind, program, folder.path(), address).await {
                return Self { kind, program: program.to_owned(), folder, certificate, process, address };
            }
        }
        let said = fs::read_to_string(folder.path().join("output.log")).unwrap_or_default();
        panic!("{} does not start:\n{said}", kind.program());
    }

    /// Kills it, with all that passes through it, and starts it again where it was.
    pub async fn cut(&mut self) {
        self.process.kill().await.expect("it is our child");
        let again = listening(self.kind, &self.program, self.folder.path(), self.address).await;
        self.process = again.expect("its port is free again");
    }

    /// An upgrade of a path, to be sent to this proxy.
    #[must_use]
    pub fn upgrade(&self, path_and_query: &str) -> Request {
        let url = format!("wss://{}:{}{path_and_query}", certificate::NAME, self.address.port());
        url.into_client_request().expect("an address")
    }

    /// The address of a path, for clients of others'; they must find its name on 127.0.0.1, and trust
    /// [`certificate`](Self::certificate).
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("https://{}:{}{path}", certificate::NAME, self.address.port())
    }

    /// The name in its addresses.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        certificate::NAME
    }

    /// The file that has its certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("fullchain.pem")
    }

    /// Connects from [`CLIENT`].
    pub async fn connect(&self) -> Stream {
        let connecting = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind((CLIENT, 0).into())?;
            socket.connect(self.address).await
        };
        let stream = within("the proxy to accept", connecting).await.expect("the proxy listens");
        within("a handshake", self.certificate.talk(stream)).await
    }

    /// Connects and upgrades.
    pub async fn try_peer(&self, request: Request) -> Result<(Peer<Stream>, Response), Refused> {
        Peer::upgrade(self.connect().await, request).await
    }

    /// Gets a path.
    pub async fn get(&self, path: &str, token: Option<&str>) -> Answer {
        http::get_over(self.connect().await, certificate::NAME, path, token).await
    }

    /// What it has logged: (file, text).
    #[must_use]
    pub fn logs(&self) -> Vec<(String, String)> {
        let written = self.written();
        written.into_iter().filter(|(file, _)| file.ends_with(".log")).collect()
    }

    /// Ends it, and gives all that it wrote into its folder: (file, text).
    pub async fn ended(mut self) -> Vec<(String, String)> {
        self.process.kill().await.expect("it is our child");
        self.written()
    }

    fn written(&self) -> Vec<(String, String)> {
        let files = fs::read_dir(self.folder.path()).expect("the folder is ours");
        let files = files.map(|file| file.expect("readable").path()).filter(|path| path.is_file());
        files
            .map(|path| {
                let text = String::from_utf8_lossy(&fs::read(&path).expect("readable")).into_owned();
                (path.file_name().expect("a file").to_string_lossy().into_owned(), text)
            })
            .collect()
    }
}

/// The proxy by the configuration in its folder, once it listens there; `None` if it ends before.
async fn listening(kind: Kind, program: &Path, folder: &Path, address: SocketAddr) -> Option<Child> {
    let output = OpenOptions::new().create(true).append(true).open(folder.join("output.log"));
    let output = output.expect("the folder is ours");
    let mut command = kind.command(program, &folder.join(kind.file()), folder);
    command.stdout(output.try_clone().expect("a second handle")).stderr(Stdio::from(output));
    let mut process = command.spawn().expect("the proxy can be run");
    let listens = until("the proxy to listen", async || {
        if process.try_wait().expect("it is our child").is_some() {
            return Some(false);
        }
        TcpStream::connect(address).await.ok().map(|_| true)
    });
    listens.await.then_some(process)
}

/// A port that nobody listens on just now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("bound").port()
}
