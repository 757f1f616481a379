//! How much each user does: how often, and how many at once.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use streamer_auth::Identity;
use streamer_protocol::{TenantId, UserId};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::rate::{Rate, Spent};

/// So many users are remembered before those with nothing to remember are looked for.
const SWEEP_FROM: usize = 1024;

/// Of so many users at most it is remembered how often they came. Those who are at work are always remembered: the
/// sockets bound them.
const USERS_MAX: usize = 65_536;

/// An allowance for each user. Cheap for those who come now and then: they are forgotten.
pub(crate) struct Allowances {
    at_once: usize,
    rate: Option<Rate>,
    users: Mutex<Users>,
}

#[derive(Default)]
struct Users {
    of: HashMap<(TenantId, UserId), User>,
    sweep_at: usize,
}

#[derive(Default)]
struct User {
    places: Weak<Semaphore>,
    spent: Spent,
}

impl Allowances {
    /// So many at once for each user, and so often a minute; 0 is any number.
    pub(crate) fn new(at_once: usize, per_minute: u32) -> Self {
        let rate = Rate::per_minute(per_minute);
        Self { at_once: at_once.min(Semaphore::MAX_PERMITS), rate, users: Mutex::default() }
    }

    /// Counts that a user comes; or tells how long it has to wait.
    pub(crate) fn admit(&self, identity: &Identity) -> Result<(), Duration> {
        let Some(rate) = self.rate else { return Ok(()) };
        let now = Instant::now();
        let mut users = self.users.lock();
        users.sweep(now);
        let key = (identity.tenant.clone(), identity.user.clone());
        if users.of.len() >= USERS_MAX && !users.of.contains_key(&key) {
            return Ok(());
        }
        users.of.entry(key).or_default().spent.spend(1, rate, now)
    }

    /// Takes one of a user's places, for as long as the permit lives; `None` if all are in use.
    pub(crate) fn take(&self, identity: &Identity) -> Option<OwnedSemaphorePermit> {
        let mut users = self.users.lock();
        users.sweep(Instant::now());
        let user = users.of.entry((identity.tenant.clone(), identity.user.clone())).or_default();
        let places = user.places.upgrade().unwrap_or_else(|| {
            let fresh = Arc::new(Semaphore::new(self.at_once));
            user.places = Arc::downgrade(&fresh);
            fresh
        });
        places.try_acquire_owned().ok()
    }

    /// How many places are in use, and of how many users something is remembered.
    pub(crate) fn measure(&self) -> (usize, usize) {
        let users = self.users.lock();
        let in_use =
            |user: &User| user.places.upgrade().map_or(0, |places| self.at_once - places.available_permits());
        (users.of.values().map(in_use).sum(), users.of.len())
    }
}

impl Users {
    /// Forgets those with nothing to remember, once there are many; not more often than their number doubles.
    fn sweep(&mut self, now: Instant) {
        if self.of.len() >= self.sweep_at.max(SWEEP_FROM) {
            self.of.retain(|_, user| user.places.strong_count() > 0 || !user.spent.is_forgotten(now));
            self.sweep_at = 2 * self.of.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use streamer_protocol::Timestamp;

    use super::*;

    fn identity(user: &str, tenant: &str) -> Identity {
        Identity {
            user: UserId::new(user),
            tenant: TenantId::new(tenant),
            permissions: [""; 0].into_iter().collect(),
            topics: Vec::new(),
            expires_at: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn each_user_of_each_tenant_has_own_places_and_gets_them_back() {
        let allowances = Allowances::new(2, 0);
        let ada = identity("ada", "acme");
        let held = [allowances.take(&ada), allowances.take(&ada)];
        assert!(held.iter().all(Option::is_some));
        assert!(allowances.take(&ada).is_none());
        assert_eq!(allowances.measure(), (2, 1));
        for other in [identity("bob", "acme"), identity("ada", "globex")] {
            assert!(allowances.take(&other).is_some());
        }
        drop(held);
        assert!(allowances.take(&ada).is_some());
        assert_eq!(allowances.measure().0, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn each_user_comes_so_often_a_minute() {
        let allowances = Allowances::new(1, 2);
        let ada = identity("ada", "acme");
        assert_eq!([allowances.admit(&ada), allowances.admit(&ada)], [Ok(()), Ok(())]);
        assert_eq!(allowances.admit(&ada), Err(Duration::from_secs(30)));
        assert_eq!(allowances.admit(&identity("ada", "globex")), Ok(()));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(allowances.admit(&ada), Ok(()));
        assert!(allowances.admit(&ada).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_nothing_is_forgotten() {
        let allowances = Allowances::new(1, 1);
        let busy = identity("busy", "acme");
        let held = allowances.take(&busy);
        for n in 0..10 * SWEEP_FROM {
            let passing = identity(&n.to_string(), "acme");
            assert!(allowances.take(&passing).is_some());
            assert_eq!(allowances.admit(&passing), Ok(()));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(allowances.measure().1 <= 2 * SWEEP_FROM);
        assert!(allowances.take(&busy).is_none(), "who is busy is not forgotten");
        drop(held);
    }
}
