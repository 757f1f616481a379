//! What is measured: each file some rows that share their servers.

pub(crate) mod browser;
pub(crate) mod durable;
pub(crate) mod echo;
pub(crate) mod fanout;
pub(crate) mod idle;
pub(crate) mod latency;
pub(crate) mod many;
pub(crate) mod models;
pub(crate) mod queue;
pub(crate) mod replay;
pub(crate) mod resume;
pub(crate) mod share;
pub(crate) mod stream;
pub(crate) mod url;

use std::{
    ops::ControlFlow,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    contender::{Peers, is_message},
    crowd::Crowd,
    machine,
    process::{Server, Side},
    row::Sample,
};

/// What every row is measured with.
pub(crate) struct Bench {
    /// Holds the issuer's public key and the stores: on a disk, as its syncs are a part of it.
    pub(crate) folder: PathBuf,
    pub(crate) tokens: Vec<String>,
    /// A token of another tenant than all of these.
    pub(crate) guest: String,
    /// How often each side has its turn.
    pub(crate) rounds: usize,
    /// How many connections the rows about many have.
    pub(crate) connections: usize,
    /// How many there may be at most.
    pub(crate) open_files: usize,
    /// Whom else the rows about topics are measured beside.
    pub(crate) peers: Peers,
}

impl Bench {
    /// A folder for one more process.
    fn subfolder(&self, name: &str) -> Result<PathBuf> {
        Ok(tempfile::Builder::new().prefix(name).tempdir_in(&self.folder)?.keep())
    }
}

/// How long one side's turn takes, where that is to be chosen.
const TURN: Duration = Duration::from_secs(1);

/// What both sides came to, round by round.
#[derive(Default)]
struct Pair {
    product: Vec<Sample>,
    floor: Vec<Sample>,
}

impl Pair {
    fn add(&mut self, side: Side, sample: impl Into<Sample>) {
        match side {
            Side::Product => self.product.push(sample.into()),
            Side::Floor => self.floor.push(sample.into()),
        }
    }
}

/// `count` things in this time.
fn rate(count: u64, times: crate::process::Times) -> Sample {
    let cpu_micros = (count > 0).then(|| times.cpu.as_secs_f64() * 1e6 / count as f64);
    Sample { value: count as f64 / times.wall.as_secs_f64(), cpu_micros }
}

/// The median time, in seconds, from the first connection's order to the last of the messages that it brings.
fn to_the_last(
    server: &Server,
    crowd: &mut Crowd,
    order: &[u8],
    messages: usize,
    orders: usize,
) -> Result<Sample> {
    let mut nanos = machine::latencies();
    let ((), times) = server.timed(|| {
        for _ in 0..orders {
            let (sent, mut left) = (Instant::now(), messages);
            crowd.send(0, order)?;
            crowd.await_enough(|heard| {
                left -= usize::from(is_message(heard.text));
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            nanos.saturating_record(u64::try_from(sent.elapsed().as_nanos())?);
        }
        Ok(())
    })?;
    let value = nanos.value_at_quantile(0.5) as f64 / 1e9;
    let cpu_micros = Some(times.cpu.as_secs_f64() * 1e6 / (orders * messages) as f64);
    Ok(Sample { value, cpu_micros })
}

/// What a frame says of how long after its request was sent the work began.
fn after_micros(frame: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(frame).ok()?;
    let (_, rest) = text.split_once(r#""after_micros":"#)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
