//! One publishes, many follow: when the last one has it, and how many deliveries a second that is when it never stops.

use std::{ops::ControlFlow, time::Instant};

use anyhow::Result;

use super::{Bench, rate};
use crate::{
    contender::{self, Contender, Tally, is_message},
    crowd::Crowd,
    machine,
    process::Server,
    row::{Aim, Row, Sample},
};

/// A row for so many followers, of so many messages each turn.
const SIZES: [(&str, usize, usize); 3] =
    [("fanout-100", 100, 400), ("fanout-1000", 1000, 100), ("fanout-10000", 10_000, 20)];

/// How many messages are under way where that never stops.
const UNDER_WAY: usize = 16;

/// How many messages that are in a turn.
const SUSTAINED: usize = 128;

pub(crate) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let [mut small, mut medium, mut large, mut deliveries] = <[Tally; 4]>::default();
    for _ in 0..bench.rounds {
        for contender in contender::taking_part(bench) {
            let server = contender.start(bench)?;
            // The first one publishes, and does not follow.
            let mut crowd = Crowd::open(server.address, &bench.tokens, 1)?;
            for ((_, followers, messages), tally) in
                SIZES.into_iter().zip([&mut small, &mut medium, &mut large])
            {
                let followers = followers.min(bench.connections - 1);
                follow(bench, contender, &server, &mut crowd, followers)?;
                tally.add(contender, to_the_last(contender, &server, &mut crowd, messages)?);
            }
            deliveries.add(contender, sustained(contender, &server, &mut crowd)?);
        }
    }
    let row = |name, unit, aim, tally: &Tally| {
        Row::of(name, unit, aim, tally.of(Contender::Product), tally.of(Contender::Floor))
            .beside("uWebSockets", tally.of(Contender::UWebSockets))
            .beside("ws", tally.of(Contender::Ws))
            .against("uWebSockets")
    };
    let fanouts = SIZES.into_iter().zip([&small, &medium, &large]);
    let mut rows: Vec<_> =
        fanouts.map(|((name, ..), tally)| row(name, "ms to the last", Aim::AtMost(1.1), tally)).collect();
    rows.push(row("deliveries", "deliveries/s", Aim::AtLeast(0.9), &deliveries));
    Ok(rows)
}

/// Opens connections until so many follow, beside the one that publishes.
pub(super) fn follow(
    bench: &Bench,
    contender: Contender,
    server: &Server,
    crowd: &mut Crowd,
    followers: usize,
) -> Result<()> {
    /// So many ask at once.
    const STEP: usize = 500;
    let follow = contender.follow();
    while crowd.len() <= followers {
        let (first, step) = (crowd.len(), STEP.min(followers + 1 - crowd.len()));
        crowd.open_more(server.address, &bench.tokens, step)?;
        for peer in first..first + step {
            crowd.send(peer, &follow)?;
        }
        let mut left = step;
        crowd.await_enough(|heard| {
            left -= usize::from(Contender::follows(heard.text));
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
    }
    Ok(())
}

/// The median time, in milliseconds, from the publisher's send to the last follower's message.
fn to_the_last(contender: Contender, server: &Server, crowd: &mut Crowd, messages: usize) -> Result<Sample> {
    let (publish, followers) = (contender.publish(), crowd.len() - 1);
    let mut nanos = machine::latencies();
    let ((), times) = server.timed(|| {
        for _ in 0..messages {
            let (sent, mut left) = (Instant::now(), followers);
            crowd.send(0, &publish)?;
            crowd.await_enough(|heard| {
                left -= usize::from(is_message(heard.text));
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            nanos.saturating_record(u64::try_from(sent.elapsed().as_nanos())?);
        }
        Ok(())
    })?;
    let value = nanos.value_at_quantile(0.5) as f64 / 1e6;
    let cpu_micros = Some(times.cpu.as_secs_f64() * 1e6 / (messages * followers) as f64);
    Ok(Sample { value, cpu_micros })
}

/// Deliveries a second while so many messages are always under way.
fn sustained(contender: Contender, server: &Server, crowd: &mut Crowd) -> Result<Sample> {
    let (publish, followers) = (contender.publish(), crowd.len() - 1);
    let all = followers * SUSTAINED;
    let (mut arrived, mut sent) = (0, 0);
    let ((), times) = server.timed(|| {
        while arrived < all {
            // As many as have reached everybody, were they delivered in order.
            let wanted = SUSTAINED.min(arrived / followers + UNDER_WAY);
            crowd.send(0, &publish.repeat(wanted - sent))?;
            sent = wanted;
            let enough = if sent == SUSTAINED { all } else { followers * (sent + 1 - UNDER_WAY) };
            crowd.await_enough(|heard| {
                arrived += usize::from(is_message(heard.text));
                if arrived >= enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        }
        Ok(())
    })?;
    Ok(rate(all as u64, times))
}
