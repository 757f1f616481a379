//! Reading an outbox in a process of its own: its turn, and what it came to.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::{
    machine,
    outbox::Outbox,
    process::{Side, Times},
};

const READY: &str = "ready";
const GO: &str = "go";
const READING: &str = "reading";

/// What one who reads is told, and tells, over its standard input and output.
pub(crate) struct Turn;

impl Turn {
    /// Says that whatever is committed from now on will be read, and waits until it is to be.
    pub(crate) fn await_go(&self) -> Result<()> {
        println!("{READY}");
        std::io::stdout().flush()?;
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)?;
        ensure!(line.trim() == GO, "whoever started this has left");
        Ok(())
    }

    /// Says that it reads.
    pub(crate) fn say_reading(&self) -> Result<()> {
        println!("{READING}");
        Ok(std::io::stdout().flush()?)
    }
}

/// What reading came to.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Reading {
    rows: u64,
    /// From when the first row was received until the last was done.
    took: Duration,
    cpu: Duration,
    /// The most memory that the process had resident, in bytes.
    pub(crate) resident_max: u64,
    /// From the commit, in milliseconds; where it was measured.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Reading {
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn times(&self) -> Times {
        Times { wall: self.took, cpu: self.cpu }
    }
}

/// What the process has used since.
pub(crate) struct Stopwatch {
    cpu: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Result<Self> {
        Ok(Self { cpu: machine::cpu_time(std::process::id())? })
    }

    pub(crate) fn stop(&mut self, rows: u64, took: Duration, micros: &Histogram<u64>) -> Result<Reading> {
        let us = std::process::id();
        let cpu = machine::cpu_time(us)?.saturating_sub(self.cpu);
        let quantile = |quantile| micros.value_at_quantile(quantile) as f64 / 1000.0;
        let (p50_ms, p99_ms) = (quantile(0.5), quantile(0.99));
        Ok(Reading { rows, took, cpu, resident_max: machine::resident_max(us)?, p50_ms, p99_ms })
    }
}

/// A process that reads. Dropping it kills it.
pub(crate) struct Reader {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Reader {
    /// Starts the product, before a sink that counts, or its floor; ready when this returns.
    pub(crate) fn start(side: Side, outbox: &Outbox<'_>, rows: u64) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["read", side.as_str(), "--port", &outbox.port().to_string()]);
        command.args(["--database", outbox.database(), "--rows", &rows.to_string()]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = BufReader::new(process.stdout.take().context("it is piped")?);
        let mut reader = Self { process, output };
        reader.hear(READY)?;
        Ok(reader)
    }

    /// Has it read.
    pub(crate) fn go(&mut self) -> Result<()> {
        let input = self.process.stdin.as_mut().context("it is piped")?;
        writeln!(input, "{GO}")?;
        self.hear(READING)
    }

    /// What it came to, once it has read everything.
    pub(crate) fn finish(mut self) -> Result<Reading> {
        let line = self.line()?;
        serde_json::from_str(&line).with_context(|| format!("one who reads ended: {line}"))
    }

    /// Has it read what is committed already; with how long that took, from the word to the last row.
    pub(crate) fn read_all(mut self) -> Result<(Reading, Duration)> {
        let began = Instant::now();
        self.go()?;
        let reading = self.finish()?;
        Ok((reading, began.elapsed()))
    }

    fn hear(&mut self, word: &str) -> Result<()> {
        let line = self.line()?;
        ensure!(line == word, "one who reads says {line:?} instead of {word:?}");
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It keeps nothing. One that has ended already needs no killing.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
