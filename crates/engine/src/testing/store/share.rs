//! Who has how much, and whose turn it is.

use std::collections::HashMap;

use streamer_protocol::TenantId;

use crate::store::Quota;

/// The bytes that are kept beside requests.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    pub(super) all: u64,
    pub(super) tenant: u64,
}

impl Kept {
    /// How many more bytes have room.
    pub(super) fn room(self, quota: &Quota) -> u64 {
        let in_all = quota.stored_bytes_max.saturating_sub(self.all);
        in_all.min(quota.tenant_stored_bytes_max.saturating_sub(self.tenant))
    }
}

/// Which tenant goes first among those that run as many.
#[derive(Default)]
pub(super) struct Turns {
    pub(super) now: u64,
    pub(super) of: HashMap<TenantId, u64>,
}

impl Turns {
    pub(super) fn take(&mut self, tenant: &TenantId) {
        let turn = self.of.get_mut(tenant).expect("a tenant with open requests has a turn");
        self.now = self.now.max(*turn);
        *turn = self.now + 1;
    }
}
