//! One publishes, many follow: when the last one has it, and how many deliveries a second that is when it never stops.

use std::ops::ControlFlow;

use anyhow::Result;

use super::{Bench, rate, to_the_last};
use crate::{
    contender::{self, Contender, Tally, is_message},
    crowd::Crowd,
    process::Server,
    row::{Aim, Row, Sample},
};

/// A row for so many followers, of so many messages in all turns.
const SIZES: [(&str, usize, usize); 3] =
    [("fanout-100", 100, 400), ("fanout-1000", 1000, 100), ("fanout-10000", 10_000, 20)];

/// How many messages are under way where that never stops.
const UNDER_WAY: usize = 16;

/// How many messages that are in all turns.
const SUSTAINED: usize = 640;

/// And in how many turns. Each begins and ends with a window that is not full: in turns of four windows, a fifth of the
/// writes were its end.
const SUSTAINED_TURNS: usize = 2;

/// In so many turns each contender comes to its messages where they go one by one: none has a better hour than the
/// others.
const TURNS: usize = 10;

/// A contender with those who follow.
struct Entrant {
    contender: Contender,
    server: Server,
    crowd: Crowd,
}

impl Entrant {
    fn start(bench: &Bench, contender: Contender) -> Result<Self> {
        let server = contender.start(bench)?;
        // The first one publishes, and does not follow.
        let crowd = Crowd::open(server.address, &bench.tokens, 1)?;
        Ok(Self { contender, server, crowd })
    }
}

pub(crate) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let [mut small, mut medium, mut large, mut deliveries] = <[Tally; 4]>::default();
    let most =
        SIZES.map(|(_, followers, _)| followers).into_iter().max().unwrap_or(0).min(bench.connections - 1);
    // All of them side by side, if so many connections may be open; else fewer.
    let together = (bench.open_files / (most + 1)).max(1);
    for _ in 0..bench.rounds {
        for some in contender::taking_part(bench).chunks(together) {
            let mut entrants =
                some.iter().map(|one| Entrant::start(bench, *one)).collect::<Result<Vec<_>>>()?;
            for ((_, followers, messages), tally) in
                SIZES.into_iter().zip([&mut small, &mut medium, &mut large])
            {
                for Entrant { contender, server, crowd } in &mut entrants {
                    follow(bench, *contender, server, crowd, followers.min(most))?;
                }
                measure(TURNS, &mut entrants, tally, |entrant| heard_by_all(entrant, messages / TURNS))?;
            }
            measure(SUSTAINED_TURNS, &mut entrants, &mut deliveries, |entrant| {
                sustained(entrant, SUSTAINED / SUSTAINED_TURNS)
            })?;
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

/// Each has its turn, again and again.
fn measure(
    turns: usize,
    entrants: &mut [Entrant],
    tally: &mut Tally,
    mut turn: impl FnMut(&mut Entrant) -> Result<Sample>,
) -> Result<()> {
    for _ in 0..turns {
        for entrant in entrants.iter_mut() {
            tally.add(entrant.contender, turn(entrant)?);
        }
    }
    Ok(())
}

/// The median time, in milliseconds, from the publisher's send to the last follower's message.
fn heard_by_all(entrant: &mut Entrant, messages: usize) -> Result<Sample> {
    let Entrant { contender, server, crowd } = entrant;
    let (publish, followers) = (contender.publish(), crowd.len() - 1);
    let heard = to_the_last(server, crowd, &publish, followers, messages)?;
    Ok(Sample { value: heard.value * 1000.0, ..heard })
}

/// Deliveries a second while so many messages are always under way.
fn sustained(entrant: &mut Entrant, messages: usize) -> Result<Sample> {
    let Entrant { contender, server, crowd } = entrant;
    let (publish, followers) = (contender.publish(), crowd.len() - 1);
    let all = followers * messages;
    let (mut arrived, mut sent) = (0, 0);
    let ((), times) = server.timed(|| {
        while arrived < all {
            // As many as have reached everybody, were they delivered in order.
            let wanted = messages.min(arrived / followers + UNDER_WAY);
            crowd.send(0, &publish.repeat(wanted - sent))?;
            sent = wanted;
            let enough = if sent == messages { all } else { followers * (sent + 1 - UNDER_WAY) };
            crowd.await_enough(|heard| {
                arrived += usize::from(is_message(heard.text));
                if arrived >= enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        }
        Ok(())
    })?;
    Ok(rate(all as u64, times))
}
