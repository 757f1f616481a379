//! The processes that are measured: this program once more, on the server's core.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::machine;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Side {
    /// Streamer: door, tokens, engine, hub and store; of events, source, handlers and pipeline.
    Product,
    /// The same libraries with nothing behind them.
    Floor,
}

impl Side {
    /// Both, in the order in which they are measured.
    pub(crate) const BOTH: [Self; 2] = [Self::Product, Self::Floor];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Floor => "floor",
        }
    }
}

/// A server process. Dropping it kills it.
pub(crate) struct Server {
    pub(crate) side: Side,
    pub(crate) address: SocketAddr,
    process: Child,
}

impl Server {
    /// Starts one with a fresh store in `folder`, which has the issuer's public key.
    pub(crate) fn start(side: Side, folder: &Path) -> Result<Self> {
        Self::start_with(side, folder, &[])
    }

    /// As [`start`](Self::start), with further arguments.
    pub(crate) fn start_with(side: Side, folder: &Path, arguments: &[&str]) -> Result<Self> {
        let store = tempfile::Builder::new().prefix(side.as_str()).tempdir_in(folder)?.keep();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", side.as_str(), "--folder"]).arg(&store);
        command.arg("--public-key").arg(folder.join("public.pem")).args(arguments);
        Self::spawn(side, command, &store)
    }

    /// Starts what says its address in its first line; its errors go to a file in `folder`.
    pub(crate) fn spawn(side: Side, mut command: Command, folder: &Path) -> Result<Self> {
        let log = File::create(folder.join("log"))?;
        output(&["touch"])?;
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("it is piped")?).read_line(&mut line)?;
        let address = line.trim().parse();
        let address =
            address.with_context(|| format!("the server did not start: see {}", folder.display()))?;
        Ok(Self { side, address, process })
    }

    /// How much memory it has resident, in bytes.
    pub(crate) fn resident(&self) -> Result<u64> {
        machine::resident(self.process.id())
    }

    /// Does `work`; gives how much of the server's time on its core went by, and how long it took.
    pub(crate) fn timed<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(T, Times)> {
        let (started, cpu) = (Instant::now(), machine::cpu_time(self.process.id())?);
        let done = work()?;
        let wall = started.elapsed();
        Ok((done, Times { wall, cpu: machine::cpu_time(self.process.id())?.saturating_sub(cpu) }))
    }
}

/// How long something took, by the clock and on the server's core.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It keeps nothing that matters. One that has ended already needs no killing.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs this program on something short, and gives what it prints.
pub(crate) fn output(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.args(arguments).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{}: {}", arguments.join(" "), output.status);
    Ok(String::from_utf8(output.stdout)?)
}
