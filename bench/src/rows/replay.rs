//! Reading what a topic keeps in memory, against sending as many texts that lie ready.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::json;

use super::{Bench, Pair};
use crate::{
    contender::{self, KEPT, is_message},
    crowd::Crowd,
    frame, machine,
    process::{Server, Side},
    row::{Aim, Row, Sample},
};

const TOPIC: &str = "kept.bench";

/// How often all of it is read in a turn.
const READINGS: usize = 200;

pub(crate) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let mut replay = Pair::default();
    for _ in 0..bench.rounds {
        for side in Side::BOTH {
            let server = Server::start(side, &bench.folder)?;
            let mut one = Crowd::open(server.address, &bench.tokens, 1)?;
            if side == Side::Product {
                fill(&mut one)?;
            }
            replay.add(side, read(&server, &mut one)?);
        }
    }
    let row = Row::of("replay", "messages/s", Aim::ValueAtLeast(200_000.0), &replay.product, &replay.floor);
    Ok(vec![row])
}

fn fill(one: &mut Crowd) -> Result<()> {
    let publish = frame::text(&contender::publish(TOPIC));
    for _ in 0..KEPT {
        one.send(0, &publish)?;
        one.await_enough(|_| ControlFlow::Break(()))?;
    }
    Ok(())
}

/// The median rate at which one subscriber gets all that is kept.
fn read(server: &Server, one: &mut Crowd) -> Result<Sample> {
    let order = frame::text(&match server.side {
        Side::Product => {
            let since = json!({ "epoch": "", "offset": 0 });
            json!({ "id": "replay", "action": "subscribe", "payload": { "topic": TOPIC, "since": since } })
                .to_string()
        }
        Side::Floor => "!replay".to_owned(),
    });
    let mut nanos = machine::latencies();
    let ((), times) = server.timed(|| {
        for _ in 0..READINGS {
            let (sent, mut left) = (Instant::now(), KEPT);
            one.send(0, &order)?;
            one.await_enough(|heard| {
                left -= usize::from(is_message(heard.text));
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            nanos.saturating_record(u64::try_from(sent.elapsed().as_nanos())?);
        }
        Ok(())
    })?;
    let median = Duration::from_nanos(nanos.value_at_quantile(0.5));
    let cpu_micros = Some(times.cpu.as_secs_f64() * 1e6 / (READINGS * KEPT) as f64);
    Ok(Sample { value: KEPT as f64 / median.as_secs_f64(), cpu_micros })
}
