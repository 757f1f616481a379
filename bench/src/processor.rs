//! The product whole, in a process of its own: this program under the name `streamer`.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use streamer_events::Figures;
use streamer_servers::postgres::{PASSWORD, USER};

use crate::{
    machine,
    outbox::{Outbox, until},
};

/// The name under which this program is the product's binary.
pub(crate) const NAME: &str = "streamer";

/// A processor, alone or beside a server. Dropping it kills it.
pub(crate) struct Processor {
    process: Child,
    addresses: Addresses,
}

#[derive(Debug, Clone, Deserialize)]
struct Addresses {
    #[serde(default)]
    listen: Option<SocketAddr>,
    admin: SocketAddr,
}

impl Processor {
    /// Starts `streamer events run`; it reads the outbox when this returns.
    pub(crate) fn start(outbox: &Outbox<'_>, folder: &Path) -> Result<Self> {
        let processor = Self::begin(outbox, folder)?;
        processor.await_reading(outbox)?;
        Ok(processor)
    }

    /// Starts it, and does not wait until it reads.
    pub(crate) fn begin(outbox: &Outbox<'_>, folder: &Path) -> Result<Self> {
        let mut command = streamer(outbox, folder)?;
        command.args(["events", "run"]).env("STREAMER_EVENTS__ADMIN__ADDRESS", "127.0.0.1:0");
        Self::spawn(command, folder)
    }

    /// Starts `streamer serve` with the events' work beside it, and a topic for each thing that they are about.
    pub(crate) fn serve(outbox: &Outbox<'_>, folder: &Path, public_key: &Path, tenant: &str) -> Result<Self> {
        let mut command = streamer(outbox, folder)?;
        command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--store",
            "streamer.db",
        ]);
        command.arg("--public-key-file").arg(public_key);
        command
            .env("STREAMER_ADMIN__TOKEN", "an-operator-of-the-bench")
            .env("STREAMER_EVENTS__ENABLED", "true")
            .env("STREAMER_EVENTS__TOPICS__ENABLED", "true")
            .env("STREAMER_EVENTS__TOPICS__TENANT", tenant)
            .env("STREAMER_TOPICS__HISTORIES", r#"{ "Activity." = { kind = "durable" } }"#);
        let processor = Self::spawn(command, folder)?;
        processor.await_reading(outbox)?;
        Ok(processor)
    }

    fn spawn(mut command: Command, folder: &Path) -> Result<Self> {
        let (ready, log) = (folder.join("ready.json"), folder.join("log"));
        // Of a life before.
        if ready.exists() {
            std::fs::remove_file(&ready)?;
        }
        let to_log = std::fs::File::options().create(true).append(true).open(&log)?;
        command.arg("--ready-file").arg(&ready).stdin(Stdio::piped());
        let mut process = command.stdout(to_log.try_clone()?).stderr(to_log).spawn()?;
        let addresses = until("the ready file", || {
            if let Some(status) = process.try_wait()? {
                bail!("{NAME} ended: {status}: {}", std::fs::read_to_string(&log).unwrap_or_default());
            }
            let Ok(written) = std::fs::read(&ready) else { return Ok(None) };
            Ok(Some(serde_json::from_slice(&written)?))
        })?;
        Ok(Self { process, addresses })
    }

    fn await_reading(&self, outbox: &Outbox<'_>) -> Result<()> {
        until("one who reads the slot", || Ok(outbox.is_read()?.then_some(())))
    }

    /// Where clients connect.
    pub(crate) fn listen(&self) -> Result<SocketAddr> {
        self.addresses.listen.context("it serves no clients")
    }

    /// What it has measured.
    pub(crate) fn figures(&self) -> Result<Figures> {
        let mut stream = TcpStream::connect(self.addresses.admin)?;
        write!(
            stream,
            "GET /v1/events HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.addresses.admin
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer has a body")?;
        ensure!(head.starts_with("HTTP/1.1 200"), "the processor says {head}");
        Ok(serde_json::from_str(body)?)
    }

    /// Waits until it has done so many events.
    pub(crate) fn await_events(&self, events: u64) -> Result<Figures> {
        until("the last event", || {
            let figures = self.figures()?;
            ensure!(figures.dead_letters == 0, "a handler refused an event");
            Ok((figures.events >= events).then_some(figures))
        })
    }

    /// The most memory that it had resident, in bytes.
    pub(crate) fn resident_max(&self) -> Result<u64> {
        machine::resident_max(self.process.id())
    }

    /// How much time it has had on a core.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        machine::cpu_time(self.process.id())
    }

    /// Ends it in good order.
    pub(crate) fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).context("it has an id")?;
        kill_process(pid, Signal::TERM)?;
        let status = self.process.wait()?;
        ensure!(status.success(), "{NAME} ended: {status}");
        Ok(())
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        // What it did not confirm would come again. One that has ended already needs no killing.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The command line, with everything as it is unless told otherwise.
fn streamer(outbox: &Outbox<'_>, folder: &Path) -> Result<Command> {
    let program: PathBuf = std::env::current_exe()?;
    let mut command = Command::new(program);
    command
        .arg0(NAME)
        .current_dir(folder)
        .env("STREAMER_EVENTS__POSTGRES__HOST", "127.0.0.1")
        .env("STREAMER_EVENTS__POSTGRES__PORT", outbox.port().to_string())
        .env("STREAMER_EVENTS__POSTGRES__DATABASE", outbox.database())
        .env("STREAMER_EVENTS__POSTGRES__USER", USER)
        .env("STREAMER_EVENTS__POSTGRES__PASSWORD", PASSWORD)
        .env("STREAMER_EVENTS__MONGODB__URI", outbox.models_uri())
        .env("STREAMER_EVENTS__MONGODB__DATABASE", outbox.database());
    Ok(command)
}
