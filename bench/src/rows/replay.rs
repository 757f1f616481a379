//! Reading what a topic keeps in memory, against sending as many texts that lie ready.

use std::ops::ControlFlow;

use anyhow::Result;
use serde_json::json;

use super::{Bench, Pair, to_the_last};
use crate::{
    contender::{self, KEPT},
    crowd::Crowd,
    frame,
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
    let read = to_the_last(server, one, &order, KEPT, READINGS)?;
    Ok(Sample { value: KEPT as f64 / read.value, ..read })
}
