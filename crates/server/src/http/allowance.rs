//! How much each user does at once.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use streamer_auth::Identity;
use streamer_protocol::{TenantId, UserId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many users are remembered before those who do nothing are looked for.
const SWEEP_FROM: usize = 1024;

/// An allowance for each user. Remembers at most about twice as many users as use theirs just now.
pub(crate) struct Allowances {
    each: usize,
    users: Mutex<Users>,
}

struct Users {
    of: HashMap<(TenantId, UserId), Weak<Semaphore>>,
    sweep_at: usize,
}

impl Allowances {
    pub(crate) fn new(each: usize) -> Self {
        let users = Users { of: HashMap::new(), sweep_at: SWEEP_FROM };
        Self { each: each.min(Semaphore::MAX_PERMITS), users: Mutex::new(users) }
    }

    /// Takes one of a user's, for as long as the permit lives; `None` if all are in use.
    pub(crate) fn take(&self, identity: &Identity) -> Option<OwnedSemaphorePermit> {
        let key = (identity.tenant.clone(), identity.user.clone());
        let mut users = self.users.lock();
        if users.of.len() >= users.sweep_at {
            users.of.retain(|_, allowance| allowance.strong_count() > 0);
            users.sweep_at = SWEEP_FROM.max(2 * users.of.len());
        }
        let known = users.of.get(&key).and_then(Weak::upgrade);
        let allowance = known.unwrap_or_else(|| {
            let fresh = Arc::new(Semaphore::new(self.each));
            users.of.insert(key, Arc::downgrade(&fresh));
            fresh
        });
        allowance.try_acquire_owned().ok()
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
    fn each_user_of_each_tenant_has_an_own_one_and_gets_it_back() {
        let allowances = Allowances::new(2);
        let ada = identity("ada", "acme");
        let held = [allowances.take(&ada), allowances.take(&ada)];
        assert!(held.iter().all(Option::is_some));
        assert!(allowances.take(&ada).is_none());
        for other in [identity("bob", "acme"), identity("ada", "globex")] {
            assert!(allowances.take(&other).is_some());
        }
        drop(held);
        assert!(allowances.take(&ada).is_some());
    }

    #[test]
    fn who_does_nothing_is_forgotten() {
        let allowances = Allowances::new(1);
        let busy = identity("busy", "acme");
        let held = allowances.take(&busy);
        for n in 0..10 * SWEEP_FROM {
            assert!(allowances.take(&identity(&n.to_string(), "acme")).is_some());
        }
        assert!(allowances.users.lock().of.len() <= SWEEP_FROM);
        assert!(allowances.take(&busy).is_none(), "who is busy is not forgotten");
        drop(held);
    }
}
