//! A PostgreSQL cluster.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    Kept, Lifetime, Missing,
    child::{Child, Program, command},
    folder,
    unprivileged::Account,
};

pub(crate) const WHAT: &str = "PostgreSQL";

/// The superuser of every cluster.
pub const USER: &str = "streamer";
/// Their password unless another is set: connections over TCP are asked for it, by SCRAM.
pub const PASSWORD: &str = "streamer";

/// A running cluster. Its data is gone when this is dropped.
pub struct Postgres {
    programs: PathBuf,
    account: Option<Account>,
    folder: TempDir,
    port: u16,
    child: Option<Child>,
    settings: Vec<(String, String)>,
    password: String,
    lifetime: Lifetime,
}

/// What a cluster is started with.
#[derive(Clone, Default)]
pub struct Settings {
    /// Further lines of `postgresql.conf`, such as `("max_slot_wal_keep_size", "1MB")`.
    pub settings: Vec<(String, String)>,
    /// A certificate and its key, both PEM, if the server is to offer TLS.
    pub certificate: Option<(String, String)>,
    /// The superuser's password, if it is not to be [`PASSWORD`].
    pub password: Option<String>,
    /// How long it lives.
    pub lifetime: Lifetime,
}

impl Postgres {
    /// A new cluster with logical decoding and without `fsync`; ready for connections when this returns.
    pub fn start(settings: &Settings) -> Result<Self, Missing> {
        let programs =
            programs().ok_or_else(|| Missing::new(WHAT, "not found; cargo xtask setup postgres"))?;
        Self::start_from(programs, settings).map_err(|e| Missing::new(WHAT, e))
    }

    fn start_from(programs: PathBuf, settings: &Settings) -> io::Result<Self> {
        let account = Account::needed()?;
        let folder = folder::make("postgres", settings.lifetime)?;
        if let Some(account) = account {
            account.own(folder.path())?;
        }
        let mut cluster = Self {
            programs,
            account,
            folder,
            port: 0,
            child: None,
            settings: settings.settings.clone(),
            password: settings.password.clone().unwrap_or_else(|| PASSWORD.into()),
            lifetime: settings.lifetime,
        };
        cluster.init()?;
        if let Some((certificate, key)) = &settings.certificate {
            cluster.write("server.crt", certificate)?;
            cluster.write("server.key", key)?;
            cluster.settings.push(("ssl".into(), "on".into()));
        }
        cluster.resume()?;
        Ok(cluster)
    }

    /// Where it listens, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs SQL in a database, by `psql`, and returns what it prints: rows as lines, columns separated by `|`.
    pub fn sql(&self, database: &str, sql: &str) -> io::Result<String> {
        let output = Command::new(self.programs.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", USER])
            .args(["-p", &self.port.to_string(), "-d", database, "-c", sql])
            .env("PGPASSWORD", &self.password)
            .stdin(Stdio::null())
            .output()?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned()),
            false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())),
        }
    }

    /// The file that holds the superuser's password.
    #[must_use]
    pub fn password_file(&self) -> PathBuf {
        self.folder.path().join("password")
    }

    /// Lets it live on, if it runs; only one that is [keepable](Lifetime) does, once this process ends.
    #[must_use]
    pub fn keep(mut self) -> Option<Kept> {
        let child = self.child.take()?;
        self.folder.disable_cleanup(true);
        Some(Kept { folder: self.folder.path().to_owned(), pid: child.keep() })
    }

    /// Ends it as a crash of the server's processes would, with its data as it is.
    pub fn crash(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.end(Signal::QUIT);
        }
    }

    /// Ends it in good order.
    pub fn stop(&mut self) {
        self.child = None;
    }

    /// Starts it again, at the port where it was.
    pub fn resume(&mut self) -> io::Result<()> {
        for attempt in 0.. {
            if self.port == 0 {
                self.port = free_port()?;
            }
            match self.try_resume() {
                Ok(()) => return Ok(()),
                // Somebody else took the port meanwhile.
                Err(e) if attempt < 3 && self.log().contains("Address already in use") => {
                    self.port = 0;
                    drop(e);
                }
                Err(e) => return Err(io::Error::other(format!("{e}: {}", self.log()))),
            }
        }
        Ok(())
    }

    fn try_resume(&mut self) -> io::Result<()> {
        let mut args = vec!["-D".to_owned(), self.data().display().to_string()];
        let port = self.port.to_string();
        let fixed = [
            ("port", port.as_str()),
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", ""),
            ("wal_level", "logical"),
            ("max_wal_senders", "64"),
            ("max_replication_slots", "64"),
            ("max_connections", "200"),
            ("fsync", "off"),
            ("shared_buffers", "64MB"),
            ("autovacuum", "off"),
            ("log_min_messages", "warning"),
        ];
        let own = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in fixed.into_iter().chain(own) {
            args.extend(["-c".to_owned(), format!("{name}={value}")]);
        }
        let program = Program {
            path: self.programs.join("postgres"),
            args,
            stops_by: Signal::INT,
            log: self.folder.path().join("log"),
        };
        let child = Child::start(&program, self.account, self.lifetime)?;
        self.await_ready(&child)?;
        self.child = Some(child);
        Ok(())
    }

    fn await_ready(&self, child: &Child) -> io::Result<()> {
        const PATIENCE: Duration = Duration::from_secs(60);
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let ready = Command::new(self.programs.join("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
                .status()?;
            if ready.success() {
                return Ok(());
            }
            if child.has_ended() {
                return Err(io::Error::other("the server ended"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(io::Error::other("the server is not ready"))
    }

    fn init(&self) -> io::Result<()> {
        // Readable by the server's account, and by nobody else.
        self.write("password", &self.password)?;
        let output = command(&self.programs.join("initdb"), self.account, Lifetime::OfStarter)
            .arg("-D")
            .arg(self.data())
            .args(["-U", USER, "-A", "scram-sha-256", "--no-sync", "-E", "UTF8", "--locale=C", "--pwfile"])
            .arg(self.password_file())
            .stdin(Stdio::null())
            .output()?;
        match output.status.success() {
            true => Ok(()),
            false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())),
        }
    }

    /// A file of the server, beside its data or, once that is there, in it.
    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = if self.data().exists() { self.data() } else { self.folder.path().to_owned() };
        let path = folder.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        self.account.map_or(Ok(()), |account| account.own(&path))
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Before its folder goes. Nobody needs the data: no reason to wait for a checkpoint.
        self.crash();
    }
}

/// The folder of PostgreSQL's programs: the newest of Debian's, or the one on the search path.
#[must_use]
pub fn programs() -> Option<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let mut versions: Vec<_> =
        debian.map(|entry| entry.path()).filter_map(|path| Some((version(&path)?, path))).collect();
    versions.sort();
    let newest_first = versions.into_iter().rev().map(|(_, path)| path.join("bin"));
    let on_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    newest_first.chain(on_path.unwrap_or_default()).find(|folder| {
        ["postgres", "initdb", "psql", "pg_isready"].iter().all(|program| folder.join(program).exists())
    })
}

pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
