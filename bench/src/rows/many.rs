//! Ten thousand connections: how fast they come, what they weigh, and how fast all are reached.

use std::ops::ControlFlow;

use anyhow::Result;

use super::{Bench, Pair, rate};
use crate::{
    crowd::Crowd,
    frame,
    process::{Server, Side},
    row::{Aim, Row, Sample},
};

/// How many broadcasts one turn has.
const BROADCASTS: usize = 10;

/// How many single sends run at once.
const SENDS: usize = 1000;

pub(crate) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let [mut storm, mut memory, mut last, mut deliveries, mut sends] = <[Pair; 5]>::default();
    for _ in 0..bench.rounds {
        for side in Side::BOTH {
            // Fresh each time: memory that was used once is not given back.
            let server = Server::start(side, &bench.folder)?;
            // The first ones pay for caches that all share.
            let first = bench.connections / 20;
            let mut crowd = Crowd::open(server.address, &bench.tokens, first)?;
            let (before, rest) = (server.resident()?, bench.connections - first);
            let ((), times) = server.timed(|| crowd.open_more(server.address, &bench.tokens, rest))?;
            storm.add(side, rate(rest as u64, times));
            let weight = server.resident()?.saturating_sub(before) as f64 / rest as f64;
            memory.add(side, weight / 1024.0);

            if side == Side::Product {
                crowd.send(0, &frame::text(r#"{"action":"bench.census"}"#))?;
                crowd.await_enough(|_| ControlFlow::Break(()))?;
            }
            for _ in 0..BROADCASTS {
                last.add(side, broadcast(&server, &mut crowd)?);
            }
            deliveries.add(side, sustained(&server, &mut crowd)?);
            for _ in 0..BROADCASTS {
                sends.add(side, thousand_sends(&server, &mut crowd)?);
            }
        }
    }
    Ok(vec![
        Row::of("storm", "connects/s", Aim::AtLeast(0.7), &storm.product, &storm.floor),
        Row::of("memory", "KiB/connection", Aim::AtMost(1.5), &memory.product, &memory.floor),
        Row::of("broadcast", "ms to the last", Aim::AtMost(1.2), &last.product, &last.floor),
        Row::of("broadcast-rate", "deliveries/s", Aim::AtLeast(0.7), &deliveries.product, &deliveries.floor),
        Row::of("sends-1000", "ms to the last", Aim::None, &sends.product, &sends.floor),
    ])
}

fn order(side: Side, command: &str) -> Vec<u8> {
    match (side, command) {
        (Side::Product, "sends") => {
            frame::text(&format!(r#"{{"action":"bench.sends","payload":{{"count":{SENDS}}}}}"#))
        }
        (Side::Product, command) => frame::text(&format!(r#"{{"action":"bench.{command}"}}"#)),
        (Side::Floor, "sends") => frame::text(&format!("!sends {SENDS}")),
        (Side::Floor, command) => frame::text(&format!("!{command}")),
    }
}

fn is_notice(text: &[u8]) -> bool {
    text.starts_with(br#"{"notice""#)
}

/// Until the last one has it.
fn broadcast(server: &Server, crowd: &mut Crowd) -> Result<Sample> {
    let everybody = crowd.len();
    reach(server, crowd, "broadcast", everybody)
}

fn thousand_sends(server: &Server, crowd: &mut Crowd) -> Result<Sample> {
    reach(server, crowd, "sends", SENDS)
}

fn reach(server: &Server, crowd: &mut Crowd, command: &str, count: usize) -> Result<Sample> {
    let mut left = count;
    let ((), times) = server.timed(|| {
        crowd.send(0, &order(server.side, command))?;
        crowd.await_enough(|heard| {
            left -= usize::from(is_notice(heard.text));
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    })?;
    let cpu_micros = Some(times.cpu.as_secs_f64() * 1e6 / count as f64);
    Ok(Sample { value: times.wall.as_secs_f64() * 1000.0, cpu_micros })
}

/// Deliveries a second while there is always something to deliver: the next broadcast begins when half of the
/// one before has arrived.
fn sustained(server: &Server, crowd: &mut Crowd) -> Result<Sample> {
    let all = crowd.len() * BROADCASTS;
    let begin = order(server.side, "broadcast");
    let (mut arrived, mut begun) = (0, 0);
    let ((), times) = server.timed(|| {
        while arrived < all {
            if begun < BROADCASTS {
                begun += 1;
                crowd.send(0, &begin)?;
            }
            let enough = if begun == BROADCASTS { all } else { crowd.len() * begun - crowd.len() / 2 };
            crowd.await_enough(|heard| {
                arrived += usize::from(is_notice(heard.text));
                if arrived >= enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        }
        Ok(())
    })?;
    Ok(rate(all as u64, times))
}
