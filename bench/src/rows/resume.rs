//! `resume` of ended requests with a log of sixteen chunks, against reading as many rows of a bare table and
//! sending them.

use std::{ops::ControlFlow, time::Instant};

use anyhow::Result;

use super::{Bench, Pair, TURN, rate};
use crate::{
    crowd::Crowd,
    floor::{LOG_ENTRIES, LOGS},
    frame,
    process::{Server, Side},
    row::{Aim, Row, Sample},
};

const CLIENTS: usize = 64;

pub(crate) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    // All of one user: only its owner may resume a request.
    let token = &bench.tokens[..1];
    let mut resume = Pair::default();
    let servers =
        Side::BOTH.map(|side| Server::start(side, &bench.folder)).into_iter().collect::<Result<Vec<_>>>()?;
    for server in servers.iter().filter(|server| server.side == Side::Product) {
        fill(&mut Crowd::open(server.address, token, 1)?)?;
    }
    for _ in 0..bench.rounds {
        for server in &servers {
            let mut crowd = Crowd::open(server.address, token, CLIENTS)?;
            resume.add(server.side, throughput(server, &mut crowd)?);
        }
    }
    Ok(vec![Row::of("resume", "resumes/s", Aim::None, &resume.product, &resume.floor)])
}

/// Leaves the requests behind that are resumed.
fn fill(one: &mut Crowd) -> Result<()> {
    for number in 0..LOGS {
        let request =
            format!(r#"{{"id":"log-{number}","action":"bench.chunks","payload":{{"count":{LOG_ENTRIES}}}}}"#);
        one.send(0, &frame::text(&request))?;
    }
    let mut left = LOGS;
    one.await_enough(|heard| {
        left -= u64::from(is_end(heard.text));
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

fn is_end(text: &[u8]) -> bool {
    text == b"end" || text.starts_with(br#"{"type":"complete""#)
}

fn order(side: Side, number: u64) -> Vec<u8> {
    let number = number % LOGS;
    frame::text(&match side {
        Side::Product => {
            format!(r#"{{"action":"resume","payload":{{"request_id":"log-{number}","after_seq":0}}}}"#)
        }
        Side::Floor => format!("!log {number}"),
    })
}

/// Logs a second, each connection with one under way.
fn throughput(server: &Server, crowd: &mut Crowd) -> Result<Sample> {
    let mut number = 0;
    let (read, times) = server.timed(|| {
        for peer in 0..crowd.len() {
            number += 1;
            crowd.send(peer, &order(server.side, number))?;
        }
        let mut read = 0;
        crowd.hear(Instant::now() + TURN, |heard| {
            if is_end(heard.text) {
                read += 1;
                number += 1;
                heard.answer.extend(order(server.side, number));
            }
            ControlFlow::Continue(())
        })?;
        Ok(read)
    })?;
    Ok(rate(read, times))
}
