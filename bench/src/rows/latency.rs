//! How long it takes from a commit until the read model has it, at paces; and until a bare replication client has received it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use streamer_events_tools::load::{Pace, Plan};

use super::{Bench, Pair};
use crate::{
    block_on,
    outbox::{Outbox, Servers},
    process::Side,
    processor::Processor,
    reading::Reader,
    row::{Aim, Row},
};

/// How fast events are committed, a second, and what is to be reached, in milliseconds.
struct Step {
    per_second: u32,
    names: (&'static str, &'static str),
    p50: Aim,
    p99: Aim,
}

const STEPS: [Step; 3] = [
    Step {
        per_second: 100,
        names: ("latency-100", "latency-100-p50"),
        p50: Aim::Below(3.0),
        p99: Aim::Below(10.0),
    },
    Step {
        per_second: 1000,
        names: ("latency-1000", "latency-1000-p50"),
        p50: Aim::None,
        p99: Aim::Below(20.0),
    },
    Step {
        per_second: 5000,
        names: ("latency-5000", "latency-5000-p50"),
        p50: Aim::None,
        p99: Aim::Below(60.0),
    },
];

/// How long events are committed in one side's turn.
const TURN: Duration = Duration::from_secs(10);

pub(crate) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let servers = Servers::start()?;
    warm_up(bench, &servers)?;
    let mut rows = Vec::new();
    for step in &STEPS {
        let (mut p50, mut p99) = (Pair::default(), Pair::default());
        for _ in 0..bench.rounds {
            for side in Side::BOTH {
                let outbox = servers.outbox()?;
                let spread = match side {
                    Side::Product => of_product(bench, &outbox, plan(step.per_second, TURN))?,
                    Side::Floor => of_floor(&outbox, plan(step.per_second, TURN))?,
                };
                p50.add(side, spread.0);
                p99.add(side, spread.1);
            }
        }
        rows.push(Row::of(step.names.0, "ms, P99", step.p99, &p99.product, &p99.floor));
        rows.push(Row::of(step.names.1, "ms, P50", step.p50, &p50.product, &p50.floor));
    }
    Ok(rows)
}

fn plan(per_second: u32, span: Duration) -> Plan {
    let count = f64::from(per_second) * span.as_secs_f64();
    Plan { count: count as u64, pace: Pace::Rate(per_second.into()) }
}

/// The stand-in for MongoDB runs on a JVM, which compiles what is called often: for as long as it finds more to do, it
/// takes a core from what is measured.
pub(super) fn warm_up(bench: &Bench, servers: &Servers) -> Result<()> {
    const EVENTS: u64 = 100_000;
    of_product(bench, &servers.outbox()?, Plan { count: EVENTS, pace: Pace::Unpaced }).map(drop)
}

/// P50 and P99, in milliseconds.
fn of_product(bench: &Bench, outbox: &Outbox<'_>, plan: Plan) -> Result<(f64, f64)> {
    let folder = bench.subfolder("processor")?;
    let processor = Processor::start(outbox, &folder)?;
    block_on(outbox.load(plan, TRANSACTION_EVENTS_MAX))?;
    let figures = processor.await_events(plan.count)?;
    let total = figures.latency.stages.get("total").context("every event is timed")?;
    processor.stop()?;
    Ok((total.p50_ms, total.p99_ms))
}

fn of_floor(outbox: &Outbox<'_>, plan: Plan) -> Result<(f64, f64)> {
    let mut reader = Reader::start(Side::Floor, outbox, plan.count)?;
    reader.go()?;
    block_on(outbox.load(plan, TRANSACTION_EVENTS_MAX))?;
    let reading = reader.finish()?;
    Ok((reading.p50_ms, reading.p99_ms))
}

/// What falls due while a transaction is under way goes into the next.
const TRANSACTION_EVENTS_MAX: usize = 500;
