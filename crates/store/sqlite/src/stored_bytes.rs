//! How many bytes each tenant keeps: rows of `usage`, which change in the same transaction as what they count.
//!
//! A transaction's changes are added up in memory and written before its commit, once per tenant.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rusqlite::{Connection, OptionalExtension, Result};
use streamer_engine::store::Quota;
use streamer_protocol::TenantId;

use crate::value::{Columns, int};

/// How many tenants' sums are remembered at most; the others are read again.
const REMEMBERED_MAX: usize = 4096;

/// The sums as the running transaction leaves them.
pub(crate) struct StoredBytes {
    total: u64,
    /// As committed last.
    of_tenant: HashMap<TenantId, u64>,
    /// What the running transaction adds.
    added: HashMap<TenantId, i64>,
    /// The total as it was committed last, for readers.
    committed: Arc<AtomicU64>,
}

impl StoredBytes {
    /// Reads the total.
    pub(crate) fn read(conn: &Connection) -> Result<Self> {
        let total =
            conn.query_row("SELECT coalesce(sum(bytes), 0) FROM usage", [], |row| Columns::of(row).count())?;
        let committed = Arc::new(AtomicU64::new(total));
        Ok(Self { total, of_tenant: HashMap::new(), added: HashMap::new(), committed })
    }

    /// The total, as committed last.
    pub(crate) fn committed(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.committed)
    }

    /// What a tenant keeps.
    pub(crate) fn of(&mut self, conn: &Connection, tenant: &TenantId) -> Result<u64> {
        let added = self.added.get(tenant).copied().unwrap_or(0);
        if let Some(known) = self.of_tenant.get(tenant) {
            return Ok(known.saturating_add_signed(added));
        }
        let kept = conn
            .prepare_cached("SELECT bytes FROM usage WHERE tenant = ?1")?
            .query_row([tenant.as_str()], |row| Columns::of(row).count())
            .optional()?
            .unwrap_or(0);
        self.of_tenant.insert(tenant.clone(), kept);
        Ok(kept.saturating_add_signed(added))
    }

    /// How many more bytes of this tenant's have room.
    pub(crate) fn room(&mut self, conn: &Connection, tenant: &TenantId, quota: &Quota) -> Result<u64> {
        let total = self.added.values().fold(self.total, |total, added| total.saturating_add_signed(*added));
        let of_tenant = self.of(conn, tenant)?;
        let in_all = quota.stored_bytes_max.saturating_sub(total);
        Ok(in_all.min(quota.tenant_stored_bytes_max.saturating_sub(of_tenant)))
    }

    /// The tenant keeps more, or less.
    pub(crate) fn add(&mut self, tenant: &TenantId, bytes: i64) {
        if bytes == 0 {
            return;
        }
        match self.added.get_mut(tenant) {
            // Saturating: a damaged row may say anything of itself.
            Some(added) => *added = added.saturating_add(bytes),
            None => drop(self.added.insert(tenant.clone(), bytes)),
        }
    }

    /// Writes what the transaction adds, as its last statements.
    pub(crate) fn write(&self, conn: &Connection) -> Result<()> {
        for (tenant, bytes) in self.added.iter().filter(|(_, bytes)| **bytes != 0) {
            let changed = conn
                .prepare_cached("UPDATE usage SET bytes = bytes + ?2 WHERE tenant = ?1")?
                .execute((tenant.as_str(), bytes))?;
            if changed == 0 {
                conn.prepare_cached("INSERT INTO usage (tenant, bytes) VALUES (?1, ?2)")?
                    .execute((tenant.as_str(), bytes))?;
            } else if *bytes < 0 {
                conn.prepare_cached("DELETE FROM usage WHERE tenant = ?1 AND bytes = 0")?
                    .execute([tenant.as_str()])?;
            }
        }
        Ok(())
    }

    /// What the transaction adds is there.
    pub(crate) fn commit(&mut self) {
        for (tenant, added) in self.added.drain() {
            self.total = self.total.saturating_add_signed(added);
            if let Some(known) = self.of_tenant.get_mut(&tenant) {
                *known = known.saturating_add_signed(added);
            }
        }
        if self.of_tenant.len() > REMEMBERED_MAX {
            self.of_tenant.clear();
        }
        self.committed.store(self.total, Ordering::Release);
    }

    /// Nothing was added.
    pub(crate) fn roll_back(&mut self) {
        self.added.clear();
    }
}

/// The length of a text, as a column and a sum take it.
pub(crate) fn bytes_of(text: &str) -> i64 {
    int(text.len() as u64)
}
