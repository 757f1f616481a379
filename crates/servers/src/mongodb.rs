//! What speaks MongoDB's protocol: a stand-in in Java, since no registry has the server itself.
//!
//! It is mongo-java-server with its documents in memory, made to answer as MongoDB 4.4 does when it is asked for its
//! version (the official driver asks for that), and to find documents by their ids whatever else is asked of them. Transactions, change streams, TTL and partial indexes are not there.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpStream},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    Kept, Lifetime, Missing,
    child::{Child, Program},
    folder, install,
    postgres::free_port,
};

pub(crate) const WHAT: &str = "the stand-in for MongoDB";

/// The environment variable that names the folder with the stand-in's classes; without it, the one that
/// [`install::mongodb`] makes is used.
pub const CLASSES_VARIABLE: &str = "STREAMER_MONGODB_STAND_IN";

/// A running stand-in. Its documents are gone when it ends.
pub struct Mongodb {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Mongodb {
    /// Starts it, with a heap of so many megabytes; ready for connections when this returns.
    pub fn start(heap_mb: u32) -> Result<Self, Missing> {
        Self::start_for(heap_mb, Lifetime::OfStarter)
    }

    /// The same, for so long.
    pub fn start_for(heap_mb: u32, lifetime: Lifetime) -> Result<Self, Missing> {
        let classes = classes().ok_or_else(|| Missing::new(WHAT, "not found; cargo xtask setup mongodb"))?;
        Self::start_from(&classes, heap_mb, lifetime).map_err(|e| Missing::new(WHAT, e))
    }

    fn start_from(classes: &std::path::Path, heap_mb: u32, lifetime: Lifetime) -> io::Result<Self> {
        let folder = folder::make("mongodb", lifetime)?;
        let port = free_port()?;
        let class_path = format!("{0}:{0}/*", classes.display());
        let program = Program {
            path: java("java"),
            args: vec![
                format!("-Xmx{heap_mb}m"),
                // Short pauses: what is measured beside it should not be the collector. A pause is as long as much is
                // new and stays, so the part for what is new may be smaller than the twentieth of the heap that it is
                // otherwise at least.
                "-XX:+UseG1GC".into(),
                "-XX:MaxGCPauseMillis=10".into(),
                "-XX:+UnlockExperimentalVMOptions".into(),
                "-XX:G1NewSizePercent=1".into(),
                "-cp".into(),
                class_path,
                "StandIn".into(),
                port.to_string(),
            ],
            stops_by: Signal::KILL,
            log: folder.path().join("log"),
        };
        let child = Child::start(&program, None, lifetime)?;
        let server = Self { child, port, folder };
        server.await_ready(&program)?;
        Ok(server)
    }

    /// Where it listens, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, as drivers want it.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}", self.port)
    }

    /// Lets it live on; only one that is [keepable](Lifetime) does, once this process ends.
    #[must_use]
    pub fn keep(mut self) -> Kept {
        self.folder.disable_cleanup(true);
        Kept { folder: self.folder.path().to_owned(), pid: self.child.keep() }
    }

    /// Answers nothing from here on, with its connections open: as a server that hangs.
    pub fn pause(&self) -> io::Result<()> {
        self.child.pause()
    }

    /// Goes on after [`pause`](Self::pause).
    pub fn unpause(&self) -> io::Result<()> {
        self.child.unpause()
    }

    fn await_ready(&self, program: &Program) -> io::Result<()> {
        const PATIENCE: Duration = Duration::from_secs(60);
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return Ok(());
            }
            if self.child.has_ended() {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(io::Error::other(fs::read_to_string(&program.log).unwrap_or_default()))
    }
}

/// A program of Java's.
pub(crate) fn java(program: &str) -> PathBuf {
    let home = std::env::var_os("JAVA_HOME");
    home.map_or_else(|| program.into(), |home| PathBuf::from(home).join("bin").join(program))
}

/// Where the stand-in's classes are.
#[must_use]
pub fn classes() -> Option<PathBuf> {
    let named = std::env::var_os(CLASSES_VARIABLE).map(PathBuf::from);
    // A target folder has many levels: `target/debug/deps/main-…` for tests.
    let program = std::env::current_exe().ok()?;
    let beside = program.ancestors().map(|folder| folder.join("tools").join(FOLDER));
    let cached = install::cache().map(|tools| tools.join(FOLDER));
    named.into_iter().chain(beside).chain(cached).find(|folder| folder.join("StandIn.class").exists())
}

/// The folder's name under the target folder's `tools`: another one whenever what is in it changes.
pub const FOLDER: &str = "mongo-java-server-1.47.0-by-id";
