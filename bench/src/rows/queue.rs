//! Long requests: stored before they are acknowledged, run in the background, delivered to their end. The floor
//! is a durable write.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use anyhow::Result;
use hdrhistogram::Histogram;

use super::{Bench, Pair, TURN, after_micros, rate};
use crate::{
    commit::{Committed, PAYLOAD_BYTES},
    crowd::Crowd,
    frame, machine,
    process::{self, Server, Side},
    row::{Aim, Row, Sample},
};

pub(super) const CLIENTS: usize = 64;
const IN_FLIGHT: usize = 16;

/// For how latencies behave when nothing is saturated.
const CALM_PER_SECOND: u64 = 500;

/// Long enough for the write-ahead log to be copied into the file more than once.
const CALM: Duration = Duration::from_secs(8);

pub(crate) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let [mut accept, mut accept_own, mut life, mut p50, mut p99] = <[Pair; 5]>::default();
    for _ in 0..bench.rounds {
        let bare = Sample::from(committed(bench, "bare", "saturate")?);
        let own = Sample::from(committed(bench, "own", "saturate")?);
        let calm = committed(bench, "bare", "pace")?;
        for (pair, floor) in [(&mut accept, bare), (&mut accept_own, own), (&mut life, bare)] {
            pair.add(Side::Floor, floor);
        }
        p50.add(Side::Floor, calm.p50_micros / 1000.0);
        p99.add(Side::Floor, calm.p99_micros / 1000.0);

        // Each on a store of its own: what waits there must not hold the others up.
        let server = Server::start(Side::Product, &bench.folder)?;
        let accepted = throughput(bench, &server, &Asked::Accept)?;
        accept.add(Side::Product, accepted);
        accept_own.add(Side::Product, accepted);
        drop(server);
        let server = Server::start(Side::Product, &bench.folder)?;
        life.add(Side::Product, throughput(bench, &server, &Asked::Life)?);
        // What was written so far is on the disk: it would be in the way of what is written now.
        rustix::fs::sync();
        let started = start_latency(bench, &server)?;
        p50.add(Side::Product, started.value_at_quantile(0.5) as f64 / 1000.0);
        p99.add(Side::Product, started.value_at_quantile(0.99) as f64 / 1000.0);
    }
    Ok(vec![
        Row::of("accept", "requests/s", Aim::AtLeast(0.35), &accept.product, &accept.floor),
        Row::of("accept-own-schema", "requests/s", Aim::None, &accept_own.product, &accept_own.floor),
        Row::of("life", "requests/s", Aim::AtLeast(0.12), &life.product, &life.floor),
        Row::of("start-latency", "ms p50", Aim::Below(1.0), &p50.product, &p50.floor),
        Row::of("start-latency-p99", "ms p99", Aim::Below(5.0), &p99.product, &p99.floor),
    ])
}

impl From<Committed> for Sample {
    fn from(committed: Committed) -> Self {
        Self { value: committed.per_second, cpu_micros: Some(committed.cpu_micros) }
    }
}

pub(super) fn committed(bench: &Bench, table: &str, how: &str) -> Result<Committed> {
    let folder = tempfile::tempdir_in(&bench.folder)?;
    // As many callers as there are clients, each waiting for its answer.
    let in_flight = CLIENTS.to_string();
    let (per_second, seconds) = (CALM_PER_SECOND.to_string(), TURN.as_secs_f64().to_string());
    let folder = folder.path().to_string_lossy();
    let load = if how == "pace" { ["--per-second", &per_second] } else { ["--in-flight", &in_flight] };
    let mut arguments = vec!["commit", table, "--folder", &folder, "--seconds", &seconds];
    arguments.extend(load);
    Ok(serde_json::from_str(&process::output(&arguments)?)?)
}

/// What is asked for, and what answers it.
enum Asked {
    /// To be run much later: answered by its acknowledgment.
    Accept,
    /// To be run now: answered by its end.
    Life,
}

impl Asked {
    fn append_to(&self, out: &mut Vec<u8>, text: &mut String, number: u64) {
        use std::fmt::Write as _;
        let metadata = match self {
            Self::Accept => r#","metadata":{"delay_ms":86400000}"#,
            Self::Life => "",
        };
        // Ids in no order, as clients make them.
        let id = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        text.clear();
        write!(text, r#"{{"id":"{id:016x}","action":"bench.life","payload":{{"text":"{:x<PAYLOAD_BYTES$}"}}{metadata}}}"#, "")
            .expect("a text takes everything");
        frame::append_text(out, text.as_bytes());
    }

    fn is_answered_by(&self, frame: &[u8]) -> bool {
        match self {
            Self::Accept => frame.starts_with(br#"{"type":"acknowledgment""#),
            Self::Life => frame.starts_with(br#"{"type":"complete""#),
        }
    }
}

fn throughput(bench: &Bench, server: &Server, asked: &Asked) -> Result<Sample> {
    let mut crowd = Crowd::open(server.address, &bench.tokens, CLIENTS)?;
    let (mut text, mut number, mut answered) = (String::new(), 0, 0);
    let ((), times) = server.timed(|| {
        for peer in 0..crowd.len() {
            let mut frames = Vec::new();
            for _ in 0..IN_FLIGHT {
                number += 1;
                asked.append_to(&mut frames, &mut text, number);
            }
            crowd.send(peer, &frames)?;
        }
        crowd.hear(Instant::now() + TURN, |heard| {
            if asked.is_answered_by(heard.text) {
                answered += 1;
                number += 1;
                asked.append_to(heard.answer, &mut text, number);
            }
            ControlFlow::Continue(())
        })?;
        Ok(())
    })?;
    if let Asked::Life = asked {
        // Those under way come to their end, so that the next measurement has the server for itself.
        let mut left = CLIENTS * IN_FLIGHT;
        crowd.await_enough(|heard| {
            left -= usize::from(asked.is_answered_by(heard.text));
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
    }
    Ok(rate(answered, times))
}

/// From the client's send to the handler's first line, in microseconds.
fn start_latency(bench: &Bench, server: &Server) -> Result<Histogram<u64>> {
    let mut one = Crowd::open(server.address, &bench.tokens, 1)?;
    let mut micros = machine::latencies();
    let gap = Duration::from_secs(1) / u32::try_from(CALM_PER_SECOND)?;
    let (started, wanted) = (Instant::now(), CALM.as_secs() * CALM_PER_SECOND);
    let mut sent = 0_u32;
    while micros.len() < wanted {
        if u64::from(sent) < wanted && started.elapsed() >= gap * sent {
            sent += 1;
            let at = machine::micros();
            let request = format!(r#"{{"action":"bench.start","payload":{{"sent_at_micros":{at}}}}}"#);
            one.send(0, &frame::text(&request))?;
        }
        let next = started + gap * sent;
        one.hear(next.max(Instant::now() + Duration::from_micros(100)), |heard| {
            if let Some(after) = after_micros(heard.text) {
                micros.saturating_record(after);
            }
            ControlFlow::Break(())
        })?;
        anyhow::ensure!(started.elapsed() < 5 * CALM, "the server does not keep up with {CALM_PER_SECOND}/s");
    }
    Ok(micros)
}
