//! The places of stored requests that run: how many do so at once.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// So many places. What is promoted runs already, and takes a place whether or not one is free: what is claimed gives way
/// to it. So that nothing is without a bound, no more may be promoted than there are places.
pub(crate) struct Places {
    max: usize,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    by_claims: usize,
    by_promotions: usize,
}

/// A place, for as long as this lives.
pub(crate) struct Place {
    places: Arc<Places>,
    promoted: bool,
}

/// Places for what is about to be claimed. Those that are not [taken](Self::take) are given back.
pub(crate) struct Reserved {
    places: Arc<Places>,
    count: usize,
}

impl Places {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, taken: Mutex::default(), freed: Notify::new() })
    }

    /// Waits until there are places for claims, and keeps those that are free, at most `wanted`. For one who asks at a time.
    pub(crate) async fn reserve(self: &Arc<Self>, wanted: usize) -> Reserved {
        loop {
            {
                let mut taken = self.taken.lock();
                let free = self.max.saturating_sub(taken.by_claims + taken.by_promotions);
                if free > 0 {
                    let count = free.min(wanted);
                    taken.by_claims += count;
                    return Reserved { places: Arc::clone(self), count };
                }
            }
            self.freed.notified().await;
        }
    }

    /// A place for what runs already; `None` if as many have been promoted as there are places.
    pub(crate) fn promote(self: &Arc<Self>) -> Option<Place> {
        let mut taken = self.taken.lock();
        if taken.by_promotions >= self.max {
            return None;
        }
        taken.by_promotions += 1;
        Some(Place { places: Arc::clone(self), promoted: true })
    }

    fn give_back(&self, count: usize, promoted: bool) {
        let mut taken = self.taken.lock();
        match promoted {
            true => taken.by_promotions -= count,
            false => taken.by_claims -= count,
        }
        self.freed.notify_one();
    }
}

impl Reserved {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// One of them.
    pub(crate) fn take(&mut self) -> Place {
        self.count = self.count.checked_sub(1).expect("no more is claimed than was asked for");
        Place { places: Arc::clone(&self.places), promoted: false }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.give_back(1, self.promoted);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.places.give_back(self.count, false);
    }
}
