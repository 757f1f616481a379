//! Calls over HTTP whose tokens are refused: how often that may be for each client address, and what the log says of it.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::info;

use crate::{
    addresses::counted_as,
    rate::{Rate, Spent},
};

/// The log has at most one line for each address in so long.
const LOG_SPAN: Duration = Duration::from_secs(60);

/// And so many lines for single addresses in that time; the others share one.
const LINES_MAX: u32 = 100;

/// A full table is searched for what can be forgotten at most so often.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// The rate of refusals per address. Holds only addresses that were refused within the last minutes.
pub(crate) struct Refusals {
    rate: Option<Rate>,
    places: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    of: HashMap<IpAddr, Refused>,
    /// What is told of those for whom there is no place, or no line.
    others: Told,
    lines: Lines,
    swept_at: Option<Instant>,
}

#[derive(Default)]
struct Refused {
    spent: Spent,
    told: Told,
}

/// What the log was told of an address.
#[derive(Default)]
struct Told {
    at: Option<Instant>,
    /// How many there were since.
    untold: u64,
    /// Why, the last time.
    reason: &'static str,
}

/// How many lines of single addresses the log has had since `since`.
#[derive(Default)]
struct Lines {
    since: Option<Instant>,
    count: u32,
}

/// What is to be written to the log.
struct Line {
    /// `None`: of several.
    address: Option<IpAddr>,
    reason: &'static str,
    count: u64,
}

impl Refusals {
    /// So many a minute (0: any number), for so many addresses at once.
    pub(crate) fn new(per_minute: u32, places: usize) -> Self {
        Self { rate: Rate::per_minute(per_minute), places, table: Mutex::default() }
    }

    /// Counts a refusal; or tells how long this address has to wait before it is told why again. Either is noted in the
    /// log, soon.
    pub(crate) fn note(&self, address: IpAddr, reason: &'static str) -> Result<(), Duration> {
        let mut lines = Vec::new();
        let admitted = self.table.lock().note(self, counted_as(address), reason, &mut lines);
        write(lines);
        admitted
    }

    /// Tells the log what it was not told yet, and forgets the addresses of which there is nothing to remember.
    pub(crate) fn sweep(&self) {
        let lines = self.table.lock().sweep(Instant::now());
        write(lines);
    }

    /// How many addresses are counted.
    pub(crate) fn len(&self) -> usize {
        self.table.lock().of.len()
    }
}

/// Never while others wait for the table.
fn write(lines: Vec<Line>) {
    for Line { address, reason, count } in lines {
        let ip_address = address.map(tracing::field::display);
        info!(operation = "authenticate", reason, count, ip_address, "tokens of calls were refused");
    }
}

impl Table {
    fn note(
        &mut self,
        bounds: &Refusals,
        address: IpAddr,
        reason: &'static str,
        lines: &mut Vec<Line>,
    ) -> Result<(), Duration> {
        let now = Instant::now();
        let is_full = |table: &Self| !table.of.contains_key(&address) && table.of.len() >= bounds.places;
        if is_full(self) && self.swept_at.is_none_or(|at| now >= at + SWEEP_PAUSE) {
            lines.extend(self.sweep(now));
        }
        if is_full(self) {
            // As for connections: whoever was never here before is not locked out by that many others.
            lines.extend(self.others.note(None, reason, now));
            return Ok(());
        }
        let refused = self.of.entry(address).or_default();
        let line = refused.told.note(Some(address), reason, now);
        let admitted = bounds.rate.map_or(Ok(()), |rate| refused.spent.spend(1, rate, now));
        lines.extend(line.and_then(|line| self.lines.admit(line, &mut self.others, now)));
        admitted
    }

    fn sweep(&mut self, now: Instant) -> Vec<Line> {
        let Self { of, others, lines, swept_at } = self;
        let mut told = Vec::new();
        of.retain(|address, refused| {
            let line = refused.told.rest(Some(*address), now);
            told.extend(line.and_then(|line| lines.admit(line, others, now)));
            !(refused.told.is_over(now) && refused.spent.is_forgotten(now))
        });
        of.shrink_to(2 * of.len());
        *swept_at = Some(now);
        told.extend(others.rest(None, now));
        told
    }
}

impl Lines {
    /// The line, if the log may have it now; else it is told with those of the others, which may be due.
    fn admit(&mut self, line: Line, others: &mut Told, now: Instant) -> Option<Line> {
        if self.since.is_none_or(|since| now >= since + LOG_SPAN) {
            *self = Self { since: Some(now), count: 0 };
        }
        if self.count < LINES_MAX {
            self.count += 1;
            return Some(line);
        }
        others.untold += line.count;
        others.reason = line.reason;
        others.rest(None, now)
    }
}

impl Told {
    /// One more. The first is told at once.
    fn note(&mut self, address: Option<IpAddr>, reason: &'static str, now: Instant) -> Option<Line> {
        self.untold += 1;
        self.reason = reason;
        self.rest(address, now)
    }

    /// What was not told yet, if it may be told now.
    fn rest(&mut self, address: Option<IpAddr>, now: Instant) -> Option<Line> {
        if self.untold == 0 || !self.is_over(now) {
            return None;
        }
        self.at = Some(now);
        Some(Line { address, reason: self.reason, count: std::mem::take(&mut self.untold) })
    }

    /// Whether the span since the last line is over.
    fn is_over(&self, now: Instant) -> bool {
        self.at.is_none_or(|at| now >= at + LOG_SPAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn told(refusals: &Refusals) -> (Option<Instant>, u64) {
        let table = refusals.table.lock();
        (table.of[&ONE].told.at, table.of[&ONE].told.untold)
    }

    #[tokio::test(start_paused = true)]
    async fn each_address_is_told_so_often_why_and_then_to_wait() {
        let refusals = Refusals::new(2, 100);
        for _ in 0..2 {
            assert_eq!(refusals.note(ONE, "expired"), Ok(()));
        }
        assert_eq!(refusals.note(ONE, "expired"), Err(Duration::from_secs(30)));
        assert_eq!(refusals.note("192.0.2.2".parse().expect("an address"), "expired"), Ok(()));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(refusals.note(ONE, "expired"), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_has_the_first_at_once_and_the_rest_once_in_a_span() {
        let (refusals, begin) = (Refusals::new(0, 100), Instant::now());
        for untold in 0..10 {
            assert_eq!(refusals.note(ONE, "expired"), Ok(()), "no rate");
            assert_eq!(told(&refusals), (Some(begin), untold));
        }
        tokio::time::advance(LOG_SPAN / 2).await;
        refusals.sweep();
        assert_eq!(told(&refusals), (Some(begin), 9), "the span is not over");
        tokio::time::advance(LOG_SPAN / 2).await;
        refusals.sweep();
        assert_eq!(told(&refusals), (Some(begin + LOG_SPAN), 0));
        tokio::time::advance(LOG_SPAN).await;
        refusals.sweep();
        assert_eq!(refusals.len(), 0, "there is nothing more to tell");
    }

    #[tokio::test(start_paused = true)]
    async fn many_addresses_share_a_line() {
        let refusals = Refusals::new(0, 10_000);
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        let noted = |n: u32| {
            let mut lines = Vec::new();
            let mut table = refusals.table.lock();
            table.note(&refusals, address(n), "malformed", &mut lines).expect("no rate");
            lines.into_iter().map(|line| (line.address, line.count)).collect::<Vec<_>>()
        };
        for n in 0..LINES_MAX {
            assert_eq!(noted(n), [(Some(address(n)), 1)]);
        }
        assert_eq!(noted(LINES_MAX), [(None, 1)], "the first of the others");
        for n in 1..1000 {
            assert_eq!(noted(LINES_MAX + n), []);
        }
        tokio::time::advance(LOG_SPAN).await;
        let told: Vec<_> = refusals.table.lock().sweep(Instant::now());
        let told: Vec<_> = told.into_iter().map(|line| (line.address, line.count)).collect();
        assert_eq!(told, [(None, 999)], "all are told, and by one line");
        assert_eq!(noted(5000), [(Some(address(5000)), 1)], "another span");
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_stays_within_its_bound_and_nobody_new_is_locked_out() {
        let refusals = Refusals::new(1, 100);
        for n in 0..1000_u32 {
            assert_eq!(refusals.note(IpAddr::from(n.to_be_bytes()), "malformed"), Ok(()));
        }
        assert_eq!(refusals.len(), 100);
        assert_eq!(refusals.table.lock().others.untold, 899, "they share a line");
        assert!(refusals.note(IpAddr::from(7_u32.to_be_bytes()), "malformed").is_err());
        tokio::time::advance(2 * LOG_SPAN).await;
        assert_eq!(refusals.note(IpAddr::from(5000_u32.to_be_bytes()), "malformed"), Ok(()));
        assert_eq!(refusals.len(), 2, "the new one, and the one of which there was something left to tell");
        assert_eq!(refusals.table.lock().others.untold, 0);
    }
}
