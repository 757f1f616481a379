//! Who may have how much: quotas, and what they are held against.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use streamer_protocol::{Action, TenantId};

/// How much may be open and kept at once.
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    /// Requests that have not ended, in all tenants.
    pub open_max: u64,
    /// Requests that have not ended, in the request's tenant.
    pub tenant_open_max: u64,
    /// See [`Usage::stored_bytes`], in all tenants. Only a payload that begins below it, and outcomes, may end above.
    pub stored_bytes_max: u64,
    /// The same, in the request's tenant.
    pub tenant_stored_bytes_max: u64,
}

/// What a tenant has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Requests that have not ended.
    pub open: u64,
    /// Requests whose lease holds.
    pub running: u64,
    /// Payloads, chunks that are not void, checkpoints, outcomes and artifacts, until they are removed.
    pub stored_bytes: u64,
}

/// What may run at once: so many requests of an action, so many of several actions together, and as many of one tenant
/// as may have places in this process. What it does not name has no bound. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RunningMax {
    of_action: Arc<BTreeMap<Action, u32>>,
    shared: Arc<BTreeMap<Action, Arc<SharedMax>>>,
    places: Option<Arc<TenantPlaces>>,
}

/// Actions with one bound for all of them.
#[derive(Debug)]
struct SharedMax {
    actions: Vec<Action>,
    most: u32,
}

/// How many of this process's places each tenant has.
#[derive(Debug)]
struct TenantPlaces {
    most: u32,
    taken: Mutex<HashMap<TenantId, u32>>,
}

impl RunningMax {
    /// With bounds that several actions share. Each action shares with one group at most.
    #[must_use]
    pub fn sharing(self, groups: impl IntoIterator<Item = (Vec<Action>, u32)>) -> Self {
        let mut shared = BTreeMap::new();
        for (actions, most) in groups {
            let group = Arc::new(SharedMax { actions, most });
            shared.extend(group.actions.iter().map(|action| (action.clone(), Arc::clone(&group))));
        }
        Self { shared: Arc::new(shared), ..self }
    }

    /// With so many places for each tenant, of which none is taken.
    #[must_use]
    pub fn per_tenant(self, most: u32) -> Self {
        Self { places: Some(Arc::new(TenantPlaces { most, taken: Mutex::default() })), ..self }
    }

    /// Whether another request of the action may run; `running` says how many of an action do.
    pub fn has_room(&self, action: &Action, running: impl Fn(&Action) -> u32) -> bool {
        self.of_action.get(action).is_none_or(|most| running(action) < *most)
            && self.shared.get(action).is_none_or(|group| {
                group.actions.iter().map(running).fold(0_u32, u32::saturating_add) < group.most
            })
    }

    /// How many more places the tenant may take in this process.
    #[must_use]
    pub fn places_left(&self, tenant: &TenantId) -> u32 {
        self.places.as_ref().map_or(u32::MAX, |places| {
            places.most.saturating_sub(places.taken.lock().get(tenant).copied().unwrap_or(0))
        })
    }

    /// Whether the action has a bound, of its own or a shared one.
    pub(crate) fn bounds(&self, action: &Action) -> bool {
        self.of_action.contains_key(action) || self.shared.contains_key(action)
    }

    /// The tenant has one more place.
    pub(crate) fn take_place(&self, tenant: &TenantId) {
        if let Some(places) = &self.places {
            *places.taken.lock().entry(tenant.clone()).or_default() += 1;
        }
    }

    /// The tenant has one place less. Whether it had as many as it may.
    pub(crate) fn give_place_back(&self, tenant: &TenantId) -> bool {
        let Some(places) = &self.places else { return false };
        let mut taken = places.taken.lock();
        let Some(of_tenant) = taken.get_mut(tenant) else { return false };
        let was_full = *of_tenant >= places.most;
        *of_tenant -= 1;
        if *of_tenant == 0 {
            taken.remove(tenant);
        }
        was_full
    }
}

impl FromIterator<(Action, u32)> for RunningMax {
    fn from_iter<Bounds: IntoIterator<Item = (Action, u32)>>(bounds: Bounds) -> Self {
        Self { of_action: Arc::new(bounds.into_iter().collect()), ..Self::default() }
    }
}

/// A request's rank among those of its tenant: -10 to 10, the highest first. 0 unless said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Priority(i8);

impl Priority {
    /// The last to run.
    pub const MIN: Self = Self(-10);
    /// The first to run.
    pub const MAX: Self = Self(10);

    /// A rank within the bounds.
    #[must_use]
    pub const fn new(rank: i64) -> Option<Self> {
        if rank >= Self::MIN.0 as i64 && rank <= Self::MAX.0 as i64 { Some(Self(rank as i8)) } else { None }
    }

    /// As a number.
    #[must_use]
    pub const fn rank(self) -> i8 {
        self.0
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Priority {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Priority".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (last, first) = (Self::MIN.0, Self::MAX.0);
        schemars::json_schema!({ "type": "integer", "minimum": last, "maximum": first })
    }
}

impl From<Priority> for i64 {
    fn from(priority: Priority) -> Self {
        priority.0.into()
    }
}

impl TryFrom<i64> for Priority {
    type Error = InvalidPriority;

    fn try_from(rank: i64) -> Result<Self, InvalidPriority> {
        Self::new(rank).ok_or(InvalidPriority)
    }
}

/// A number is no rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidPriority;

impl fmt::Display for InvalidPriority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a priority is between {} and {}", Priority::MIN.0, Priority::MAX.0)
    }
}

impl std::error::Error for InvalidPriority {}
