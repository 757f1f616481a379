//! How many connections there may be: in all, and of each tenant.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use streamer_protocol::TenantId;

/// The places for connections. Holds only tenants that have one.
pub(crate) struct Places {
    max: usize,
    tenant_max: usize,
    taken: usize,
    of_tenants: HashMap<TenantId, usize>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// There are as many connections as there may be.
    Server,
    /// The tenant has as many as it may have.
    Tenant,
}

/// One connection's place, from before it is stored until after it is forgotten.
pub(crate) struct Place {
    places: Arc<Mutex<Places>>,
    tenant: TenantId,
}

impl Places {
    pub(crate) fn new(max: usize, tenant_max: usize) -> Self {
        Self { max, tenant_max, taken: 0, of_tenants: HashMap::new() }
    }

    /// How many places this tenant has taken.
    pub(crate) fn of(&self, tenant: &TenantId) -> usize {
        self.of_tenants.get(tenant).copied().unwrap_or(0)
    }

    /// How many tenants have taken one.
    pub(crate) fn tenants(&self) -> usize {
        self.of_tenants.len()
    }

    /// The tenants with the most places, at most so many; and how many places the others have together.
    pub(crate) fn largest(&self, count: usize) -> (Vec<(TenantId, usize)>, usize) {
        let mut all: Vec<_> = self.of_tenants.iter().collect();
        // Of equals always the same ones.
        let order =
            |a: &(&TenantId, &usize), b: &(&TenantId, &usize)| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0));
        if count < all.len() {
            all.select_nth_unstable_by(count, order);
            all.truncate(count);
        }
        all.sort_by(order);
        let largest: Vec<_> = all.into_iter().map(|(tenant, count)| (tenant.clone(), *count)).collect();
        let others = self.taken - largest.iter().map(|(_, count)| count).sum::<usize>();
        (largest, others)
    }
}

impl Full {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "connections",
            Self::Tenant => "tenant_connections",
        }
    }

    /// For whoever asked for a place.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::Server => "the server has as many connections as it may have: connect elsewhere, or later",
            Self::Tenant => "your tenant has as many connections as it may have: close one first",
        }
    }
}

impl Place {
    /// Takes a place for a connection of this tenant, if there is one.
    pub(crate) fn take(places: &Arc<Mutex<Places>>, tenant: &TenantId) -> Result<Self, Full> {
        let mut all = places.lock();
        if all.taken >= all.max {
            return Err(Full::Server);
        }
        if all.of(tenant) >= all.tenant_max {
            return Err(Full::Tenant);
        }
        all.taken += 1;
        *all.of_tenants.entry(tenant.clone()).or_default() += 1;
        Ok(Self { places: Arc::clone(places), tenant: tenant.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.places.lock();
        all.taken -= 1;
        if let Some(count) = all.of_tenants.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                all.of_tenants.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let places = Arc::new(Mutex::new(Places::new(4, 3)));
        let [a, b] = ["a", "b"].map(TenantId::new);
        let mut held: Vec<_> = (0..3).map(|_| Place::take(&places, &a).expect("room")).collect();
        assert_eq!(Place::take(&places, &a).err(), Some(Full::Tenant));
        held.push(Place::take(&places, &b).expect("room"));
        assert_eq!(Place::take(&places, &b).err(), Some(Full::Server));
        assert_eq!([&a, &b].map(|tenant| places.lock().of(tenant)), [3, 1]);
        held.remove(0);
        held.push(Place::take(&places, &b).expect("room again"));
        drop(held);
        assert_eq!(places.lock().taken, 0);
        assert_eq!(places.lock().tenants(), 0);
    }

    #[test]
    fn the_largest_are_named_and_the_others_added_up() {
        let places = Arc::new(Mutex::new(Places::new(100, 100)));
        let take = |tenant: &str, count: usize| {
            let tenant = TenantId::new(tenant);
            (0..count).map(|_| Place::take(&places, &tenant).expect("room")).collect::<Vec<_>>()
        };
        let _held = [take("c", 2), take("a", 5), take("d", 2), take("b", 1)];
        let named = |count| {
            let (largest, others) = places.lock().largest(count);
            (largest.iter().map(|(tenant, count)| format!("{tenant}{count}")).collect::<Vec<_>>(), others)
        };
        assert_eq!(named(2), (vec!["a5".to_owned(), "c2".to_owned()], 3));
        assert_eq!(named(0), (vec![], 10));
        assert_eq!(named(9).1, 0);
    }
}
