//! How many connections each client address asks for.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::rate::{Rate, Spent};

/// A full table is searched for what can be forgotten at most so often.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// The rate of new connections per address. Holds only addresses that were here within the last minute.
pub(crate) struct Addresses {
    rate: Option<Rate>,
    places: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    spent: HashMap<IpAddr, Spent>,
    swept_at: Option<Instant>,
}

impl Addresses {
    /// So many connections a minute, for so many addresses at once.
    pub(crate) fn new(connections_per_minute: u32, places: usize) -> Self {
        Self { rate: Rate::per_minute(connections_per_minute), places, table: Mutex::default() }
    }

    /// Counts a new connection of this address; or tells how long it has to wait.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<(), Duration> {
        let Some(rate) = self.rate else { return Ok(()) };
        let now = Instant::now();
        let mut table = self.table.lock();
        let address = counted_as(address);
        if !table.spent.contains_key(&address) && table.spent.len() >= self.places {
            if table.swept_at.is_none_or(|at| now >= at + SWEEP_PAUSE) {
                table.sweep(now);
            }
            if table.spent.len() >= self.places {
                // A rate per address is no help against that many addresses, and those who were never here before
                // must not be locked out by them. The bounds on connections still hold.
                metrics::counter!("streamer_addresses_uncounted_total").increment(1);
                return Ok(());
            }
        }
        table.spent.entry(address).or_default().spend(1, rate, now)
    }

    /// How long this address has to wait before it is admitted; nothing is counted.
    pub(crate) fn wait(&self, address: IpAddr) -> Option<Duration> {
        let rate = self.rate?;
        let mut spent = self.table.lock().spent.get(&counted_as(address)).copied()?;
        spent.spend(1, rate, Instant::now()).err()
    }

    /// Forgets the addresses that have nothing to wait for.
    pub(crate) fn sweep(&self) {
        self.table.lock().sweep(Instant::now());
    }

    /// How many addresses are counted.
    pub(crate) fn len(&self) -> usize {
        self.table.lock().spent.len()
    }
}

impl Table {
    fn sweep(&mut self, now: Instant) {
        self.spent.retain(|_, spent| !spent.is_forgotten(now));
        self.spent.shrink_to(2 * self.spent.len());
        self.swept_at = Some(now);
    }
}

/// Whoever has an IPv6 address has the 2⁶⁴ of its network.
pub(crate) fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[tokio::test(start_paused = true)]
    async fn each_address_has_its_own_rate_and_a_network_of_ipv6_is_one() {
        let addresses = Addresses::new(2, 100);
        for (one, another) in [("192.0.2.1", "::ffff:192.0.2.1"), ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2")]
        {
            assert_eq!(addresses.admit(address(one)), Ok(()));
            assert_eq!(addresses.wait(address(another)), None);
            assert_eq!(addresses.admit(address(another)), Ok(()));
            assert_eq!(addresses.wait(address(another)), Some(Duration::from_secs(30)));
            assert_eq!(addresses.admit(address(one)), Err(Duration::from_secs(30)));
        }
        assert_eq!(addresses.admit(address("192.0.2.2")), Ok(()));
        assert_eq!(addresses.admit(address("2001:db8:0:2::1")), Ok(()));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(addresses.admit(address("192.0.2.1")), Ok(()));
        assert!(addresses.admit(address("192.0.2.1")).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_stays_within_its_bound_and_forgets() {
        let addresses = Addresses::new(1, 100);
        for n in 0..1000_u32 {
            assert_eq!(addresses.admit(IpAddr::from(n.to_be_bytes())), Ok(()), "nobody new is locked out");
        }
        assert_eq!(addresses.len(), 100);
        assert!(addresses.admit(IpAddr::from(7_u32.to_be_bytes())).is_err(), "who is known is still counted");
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(addresses.admit(IpAddr::from(5000_u32.to_be_bytes())), Ok(()));
        assert_eq!(addresses.len(), 1);
        tokio::time::advance(Duration::from_secs(61)).await;
        addresses.sweep();
        assert_eq!(addresses.len(), 0);
    }

    #[tokio::test]
    async fn no_limit_counts_nobody() {
        let addresses = Addresses::new(0, 1);
        for _ in 0..100 {
            assert_eq!(addresses.admit(address("192.0.2.1")), Ok(()));
        }
        assert_eq!(addresses.len(), 0);
    }
}
