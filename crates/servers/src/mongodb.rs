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

use rustix::process::{Signal, kill_process};
use tempfile::TempDir;

use crate::{
    Missing,
    child::{Child, Program},
    folder,
    postgres::free_port,
};

const WHAT: &str = "the stand-in for MongoDB";

/// The environment variable that names the folder with the stand-in's classes; without it, the one that
/// `cargo xtask setup mongodb` makes is used.
pub const CLASSES_VARIABLE: &str = "STREAMER_MONGODB_STAND_IN";

/// A running stand-in. Its documents are gone when it ends.
pub struct Mongodb {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Mongodb {
    /// Starts it, with a heap of so many megabytes; ready for connections when this returns.
    pub fn start(heap_mb: u32) -> Result<Self, Missing> {
        let classes = classes().ok_or_else(|| Missing::new(WHAT, "not found; cargo xtask setup mongodb"))?;
        Self::start_from(&classes, heap_mb).map_err(|e| Missing::new(WHAT, e))
    }

    fn start_from(classes: &std::path::Path, heap_mb: u32) -> io::Result<Self> {
        let folder = folder::make("mongodb")?;
        let port = free_port()?;
        let class_path = format!("{0}:{0}/*", classes.display());
        let program = Program {
            path: java(),
            args: vec![
                format!("-Xmx{heap_mb}m"),
                "-XX:+UseSerialGC".into(),
                "-cp".into(),
                class_path,
                "StandIn".into(),
                port.to_string(),
            ],
            stops_by: Signal::KILL,
            log: folder.path().join("log"),
        };
        let child = Child::start(&program, None)?;
        let server = Self { child, port, _folder: folder };
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

    /// Answers nothing from here on, with its connections open: as a server that hangs.
    pub fn pause(&self) -> io::Result<()> {
        Ok(kill_process(self.child.pid(), Signal::STOP)?)
    }

    /// Goes on after [`pause`](Self::pause).
    pub fn unpause(&self) -> io::Result<()> {
        Ok(kill_process(self.child.pid(), Signal::CONT)?)
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

fn java() -> PathBuf {
    std::env::var_os("JAVA_HOME").map_or_else(|| "java".into(), |home| PathBuf::from(home).join("bin/java"))
}

/// Where the stand-in's classes are.
#[must_use]
pub fn classes() -> Option<PathBuf> {
    let named = std::env::var_os(CLASSES_VARIABLE).map(PathBuf::from);
    // A target folder has many levels: `target/debug/deps/main-…` for tests.
    let program = std::env::current_exe().ok()?;
    let beside = program.ancestors().map(|folder| folder.join("tools").join(FOLDER));
    named.into_iter().chain(beside).find(|folder| folder.join("StandIn.class").exists())
}

/// The folder's name under the target folder's `tools`: another one whenever what is in it changes.
pub const FOLDER: &str = "mongo-java-server-1.47.0-by-id";
