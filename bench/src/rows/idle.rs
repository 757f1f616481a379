//! What a connection weighs that follows a topic on which nothing happens.

use anyhow::Result;

use super::{Bench, fanout::follow};
use crate::{
    contender::{self, Contender, Tally},
    crowd::Crowd,
    row::{Aim, Row},
};

pub(crate) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let mut memory = Tally::default();
    for _ in 0..bench.rounds {
        for contender in contender::taking_part(bench) {
            let server = contender.start(bench)?;
            let mut crowd = Crowd::open(server.address, &bench.tokens, 1)?;
            // The first ones pay for caches that all share.
            let first = bench.connections / 20;
            follow(bench, contender, &server, &mut crowd, first)?;
            let before = server.resident()?;
            follow(bench, contender, &server, &mut crowd, bench.connections - 1)?;
            let rest = bench.connections - 1 - first;
            let weight = server.resident()?.saturating_sub(before) as f64 / rest as f64;
            memory.add(contender, (weight / 1024.0).into());
        }
    }
    let (product, floor) = (memory.of(Contender::Product), memory.of(Contender::Floor));
    let row = Row::of("idle-memory", "KiB/connection", Aim::Below(8.0), product, floor)
        .beside("uWebSockets", memory.of(Contender::UWebSockets))
        .beside("ws", memory.of(Contender::Ws));
    Ok(vec![row])
}
