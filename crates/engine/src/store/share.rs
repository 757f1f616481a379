//! Who may have how much: quotas, and what they are held against.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use streamer_protocol::Action;

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

/// How many requests of an action may run at once; the actions that it does not name have no bound. Cheap to
/// clone.
#[derive(Debug, Clone, Default)]
pub struct RunningMax(Arc<BTreeMap<Action, u32>>);

impl RunningMax {
    /// The action's bound, if it has one.
    #[must_use]
    pub fn of(&self, action: &Action) -> Option<u32> {
        self.0.get(action).copied()
    }
}

impl FromIterator<(Action, u32)> for RunningMax {
    fn from_iter<Bounds: IntoIterator<Item = (Action, u32)>>(bounds: Bounds) -> Self {
        Self(Arc::new(bounds.into_iter().collect()))
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
