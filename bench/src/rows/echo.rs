//! `echo`, through door, router and handler, against a socket that sends back what it got.

use std::{ops::ControlFlow, time::Instant};

use anyhow::Result;

use super::{Bench, Pair, TURN, rate};
use crate::{
    crowd::Crowd,
    frame, machine,
    process::{Server, Side},
    row::{Aim, Row, Sample},
};

const CLIENTS: usize = 64;
const IN_FLIGHT: usize = 16;

const ECHO: &str =
    r#"{"id":"request-1","action":"echo","payload":{"text":"the quick brown fox jumps over it"}}"#;

pub(crate) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let servers =
        Side::BOTH.map(|side| Server::start(side, &bench.folder)).into_iter().collect::<Result<Vec<_>>>()?;
    let (mut rtt, mut saturation, mut pipelined) = (Pair::default(), Pair::default(), Pair::default());
    for _ in 0..bench.rounds {
        for server in &servers {
            let mut one = Crowd::open(server.address, &bench.tokens, 1)?;
            rtt.add(server.side, round_trip(&mut one)?);
        }
        for (pair, in_flight) in [(&mut saturation, 1), (&mut pipelined, IN_FLIGHT)] {
            for server in &servers {
                let mut crowd = Crowd::open(server.address, &bench.tokens, CLIENTS)?;
                pair.add(server.side, throughput(server, &mut crowd, in_flight)?);
            }
        }
    }
    Ok(vec![
        Row::of("rtt", "us p50", Aim::AtMost(1.25), &rtt.product, &rtt.floor),
        Row::of("saturation", "messages/s", Aim::AtLeast(0.7), &saturation.product, &saturation.floor),
        Row::of("pipelined", "messages/s", Aim::AtLeast(0.3), &pipelined.product, &pipelined.floor),
    ])
}

/// The median, in microseconds, of one message at a time.
fn round_trip(one: &mut Crowd) -> Result<Sample> {
    let echo = frame::text(ECHO);
    let mut nanos = machine::latencies();
    let until = Instant::now() + TURN;
    while Instant::now() < until {
        let sent = Instant::now();
        one.send(0, &echo)?;
        one.await_enough(|_| ControlFlow::Break(()))?;
        nanos.saturating_record(u64::try_from(sent.elapsed().as_nanos())?);
    }
    Ok((nanos.value_at_quantile(0.5) as f64 / 1000.0).into())
}

/// Messages a second, each connection with so many under way.
fn throughput(server: &Server, crowd: &mut Crowd, in_flight: usize) -> Result<Sample> {
    let echo = frame::text(ECHO);
    let (answered, times) = server.timed(|| {
        for peer in 0..crowd.len() {
            crowd.send(peer, &echo.repeat(in_flight))?;
        }
        let mut answered = 0;
        crowd.hear(Instant::now() + TURN, |heard| {
            answered += 1;
            heard.answer.extend(&echo);
            ControlFlow::Continue(())
        })?;
        Ok(answered)
    })?;
    Ok(rate(answered, times))
}
