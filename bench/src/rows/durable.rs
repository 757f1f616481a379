//! Publishing what must be on disk before anybody gets it, by many to one topic, against as many bare writes.

use std::{ops::ControlFlow, time::Instant};

use anyhow::Result;

use super::{
    Bench, Pair, TURN,
    queue::{CLIENTS, committed},
    rate,
};
use crate::{
    contender,
    crowd::Crowd,
    frame,
    process::{Server, Side},
    row::{Aim, Row, Sample},
};

pub(crate) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let mut publish = Pair::default();
    for _ in 0..bench.rounds {
        publish.add(Side::Floor, committed(bench, "bare", "saturate")?);
        let server = Server::start(Side::Product, &bench.folder)?;
        publish.add(Side::Product, throughput(bench, &server)?);
    }
    Ok(vec![Row::of("durable-publish", "messages/s", Aim::None, &publish.product, &publish.floor)])
}

/// Messages a second that were answered, each publisher with one under way.
fn throughput(bench: &Bench, server: &Server) -> Result<Sample> {
    let publish = frame::text(&contender::publish("durable.bench"));
    let mut crowd = Crowd::open(server.address, &bench.tokens, CLIENTS)?;
    let mut answered = 0;
    let ((), times) = server.timed(|| {
        for peer in 0..crowd.len() {
            crowd.send(peer, &publish)?;
        }
        crowd.hear(Instant::now() + TURN, |heard| {
            if heard.text.windows(14).any(|some| some == br#""success":true"#) {
                answered += 1;
            }
            heard.answer.extend(&publish);
            ControlFlow::Continue(())
        })?;
        Ok(())
    })?;
    anyhow::ensure!(answered > 0, "nothing could be published");
    Ok(rate(answered, times))
}
