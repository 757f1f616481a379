//! How fast an outbox is read: the product before a sink that counts, and a bare replication client.
//!
//! What is to be read is committed before; both then read the same rows, one after the other. What counts is the time from
//! when the first row was received until the last was decoded, or counted.

use anyhow::Result;

use super::{Bench, Pair, rate};
use crate::{
    outbox::{Outbox, Servers},
    process::Side,
    reading::Reader,
    row::{Aim, Row},
};

/// Rows as transactions: how many, of how many each.
struct Shape {
    name: &'static str,
    transactions: usize,
    of: usize,
}

const SHAPES: [Shape; 3] = [
    Shape { name: "big-transaction", transactions: 1, of: 100_000 },
    Shape { name: "small-transactions", transactions: 30_000, of: 1 },
    Shape { name: "hundred-row-transactions", transactions: 1000, of: 100 },
];

pub(crate) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let servers = Servers::start()?;
    let mut rows = Vec::new();
    for shape in &SHAPES {
        let mut pair = Pair::default();
        for _ in 0..bench.rounds {
            measure(&servers.outbox()?, shape, &mut pair)?;
        }
        let Pair { product, floor } = &pair;
        rows.push(Row::of(shape.name, "rows/s", Aim::AtLeast(0.6), product, floor));
    }
    Ok(rows)
}

fn measure(outbox: &Outbox<'_>, shape: &Shape, pair: &mut Pair) -> Result<()> {
    let rows = (shape.transactions * shape.of) as u64;
    let readers = Side::BOTH.map(|side| anyhow::Ok((side, Reader::start(side, outbox, rows)?)));
    outbox.commit_users(shape.transactions, shape.of)?;
    for reader in readers {
        let (side, reader) = reader?;
        let (reading, _) = reader.read_all()?;
        pair.add(side, rate(reading.rows(), reading.times()));
    }
    Ok(())
}
