//! How many requests are open, in all and by tenant: counted once at start, then kept by the writer.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rusqlite::{Connection, Result};
use streamer_engine::store::{Error, ErrorKind, Quota};
use streamer_protocol::TenantId;

/// The counts as the running transaction leaves them.
pub(crate) struct OpenRequests {
    total: u64,
    by_tenant: HashMap<TenantId, u64>,
    /// What the running transaction changed: whether one more is open.
    changes: Vec<(TenantId, bool)>,
    /// The total as it was committed last, for readers.
    committed: Arc<AtomicU64>,
}

impl OpenRequests {
    /// Counts what the file holds.
    pub(crate) fn count(conn: &Connection) -> Result<Self> {
        let mut counted =
            conn.prepare("SELECT tenant, count(*) FROM request WHERE due_at IS NOT NULL GROUP BY tenant")?;
        let mut by_tenant = HashMap::new();
        let mut rows = counted.query([])?;
        while let Some(row) = rows.next()? {
            let tenant = TenantId::new(row.get::<_, String>(0)?);
            by_tenant.insert(tenant, row.get::<_, i64>(1)?.unsigned_abs());
        }
        let total = by_tenant.values().sum();
        Ok(Self { total, by_tenant, changes: Vec::new(), committed: Arc::new(AtomicU64::new(total)) })
    }

    pub(crate) fn committed(&self) -> Arc<AtomicU64> {
        self.committed.clone()
    }

    /// Refuses one more of this tenant's if it does not fit.
    pub(crate) fn admit(&self, tenant: &TenantId, quota: &Quota) -> Result<(), Error> {
        let of_tenant = self.by_tenant.get(tenant).copied().unwrap_or(0);
        if self.total >= quota.open_max || of_tenant >= quota.tenant_open_max {
            return Err(ErrorKind::Full.into());
        }
        Ok(())
    }

    pub(crate) fn opened(&mut self, tenant: &TenantId) {
        self.changes.push((tenant.clone(), true));
        self.apply(tenant, true);
    }

    pub(crate) fn ended(&mut self, tenant: &TenantId) {
        self.changes.push((tenant.clone(), false));
        self.apply(tenant, false);
    }

    pub(crate) fn commit(&mut self) {
        self.changes.clear();
        self.committed.store(self.total, Ordering::Release);
    }

    pub(crate) fn roll_back(&mut self) {
        for (tenant, opened) in std::mem::take(&mut self.changes) {
            self.apply(&tenant, !opened);
        }
    }

    fn apply(&mut self, tenant: &TenantId, opened: bool) {
        if opened {
            self.total += 1;
            *self.by_tenant.entry(tenant.clone()).or_default() += 1;
            return;
        }
        self.total -= 1;
        let of_tenant = self.by_tenant.get_mut(tenant).expect("what ends was open");
        *of_tenant -= 1;
        if *of_tenant == 0 {
            self.by_tenant.remove(tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollback_leaves_the_counts_as_they_were() {
        let conn = Connection::open_in_memory().expect("opens");
        conn.execute_batch("CREATE TABLE request (tenant TEXT, due_at INTEGER)").expect("creates");
        let mut open = OpenRequests::count(&conn).expect("counts");
        let (a, b) = (TenantId::new("a"), TenantId::new("b"));
        open.opened(&a);
        open.commit();
        open.opened(&b);
        open.ended(&a);
        open.opened(&a);
        open.roll_back();
        let quota = Quota { open_max: 2, tenant_open_max: 1 };
        assert!(open.admit(&a, &quota).is_err(), "one of a's is open");
        assert!(open.admit(&b, &quota).is_ok());
        assert_eq!(open.committed().load(Ordering::Acquire), 1);
    }
}
