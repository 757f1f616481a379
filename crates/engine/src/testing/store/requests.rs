//! Requests in memory.

use std::{cmp::Reverse, collections::HashMap};

use streamer_protocol::{Action, ErrorBody, Json, RequestStatus, TenantId, Timestamp};

use super::{
    page_of, read_cursor,
    request::{Stored, summary_of},
    share::{Kept, Turns},
};
use crate::planted::{self, Bug};
use crate::store::{
    Cancelled, Claimed, Enqueued, EntryBody, Error, ErrorKind, Lease, LogEntry, NewRequest, Outcome, Page,
    PageQuery, Promoted, Quota, Record, Renewed, RequestFilter, RequestKey, Result, RunningMax, Summary,
    WorkerId,
};

const CURSOR: &str = "requests:";

#[derive(Default)]
pub(super) struct StoredRequests {
    /// The number of the next request: they are numbered as they come.
    next: u64,
    pub(super) by_key: HashMap<RequestKey, Stored>,
    turns: Turns,
}

impl StoredRequests {
    pub(super) fn enqueue(&mut self, new: &NewRequest, quota: &Quota, kept: Kept) -> Result<Enqueued> {
        if let Some(known) = self.known(new)? {
            return Ok(Enqueued::Known(known));
        }
        self.insert(new, quota, kept)?;
        Ok(Enqueued::New)
    }

    pub(super) fn promote(
        &mut self,
        new: &NewRequest,
        quota: &Quota,
        kept: Kept,
        worker: &WorkerId,
        lease_until: Timestamp,
    ) -> Result<Promoted> {
        if let Some(known) = self.known(new)? {
            return Ok(Promoted::Known(known));
        }
        let stored = self.insert(new, quota, kept)?;
        Ok(Promoted::Leased(stored.lease_to(worker, new.created_at, lease_until)))
    }

    fn known(&self, new: &NewRequest) -> Result<Option<Summary>> {
        match self.by_key.get(&new.key) {
            None => Ok(None),
            Some(known) if known.fingerprint == new.fingerprint => Ok(Some(known.record.summary.clone())),
            Some(_) => Err(ErrorKind::Conflict.into()),
        }
    }

    /// `kept` are the bytes of what else is kept.
    fn insert(&mut self, new: &NewRequest, quota: &Quota, kept: Kept) -> Result<&mut Stored> {
        let tenant = &new.key.tenant;
        let full = self.open() >= quota.open_max || self.open_of(tenant) >= quota.tenant_open_max;
        if full || self.room(tenant, quota, kept) == 0 {
            return Err(ErrorKind::Full.into());
        }
        self.joins(tenant);
        let number = self.next;
        self.next += 1;
        Ok(self.by_key.entry(new.key.clone()).or_insert(Stored {
            number,
            fingerprint: new.fingerprint,
            record: Record {
                summary: summary_of(new),
                payload: new.payload.clone(),
                permissions: new.permissions.clone(),
                checkpoint: None,
                outcome: None,
            },
            fence: 0,
            holder: None,
            due_at: Some(if planted::is(Bug::RunAtIgnored) { new.created_at } else { new.run_at }),
            covered: 0,
            log: Vec::new(),
            announced: new.announced,
            telling: None,
        }))
    }

    pub(super) fn claim(
        &mut self,
        worker: &WorkerId,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
        running_max: &RunningMax,
    ) -> Claimed {
        let next_due = self.by_key.values().filter_map(|stored| stored.due_at).filter(|due| *due > now).min();
        let (mut of_tenant, mut of_action) = (HashMap::new(), HashMap::new());
        let mut places: HashMap<TenantId, u32> = HashMap::new();
        for stored in self.by_key.values().filter(|stored| stored.runs(now)) {
            let Summary { key, action, .. } = &stored.record.summary;
            *of_tenant.entry(key.tenant.clone()).or_default() += 1;
            *of_action.entry(action.clone()).or_default() += 1;
        }
        let mut due: Vec<&mut Stored> =
            self.by_key.values_mut().filter(|stored| stored.due_at.is_some_and(|due| due <= now)).collect();
        let mut claims = Vec::new();
        while claims.len() < usize::try_from(limit).unwrap_or(usize::MAX) {
            let has_room = |stored: &Stored| {
                let Summary { key, action, .. } = &stored.record.summary;
                let runs = |action: &Action| of_action.get(action).copied().unwrap_or(0);
                let taken = places.get(&key.tenant).copied().unwrap_or(0);
                running_max.places_left(&key.tenant) > taken
                    && (running_max.has_room(action, runs) || planted::is(Bug::BoundIgnored))
            };
            let rank = |stored: &Stored| {
                let Summary { key, priority, .. } = &stored.record.summary;
                let running: u64 = of_tenant.get(&key.tenant).copied().unwrap_or(0);
                let turn = self.turns.of[&key.tenant];
                (running, turn, key.tenant.clone(), Reverse(*priority), stored.due_at, stored.number)
            };
            let eligible = due.iter().enumerate().filter(|(_, stored)| has_room(stored));
            let Some((first, _)) = eligible.min_by_key(|(_, stored)| rank(stored)) else { break };
            let stored = due.swap_remove(first);
            let Summary { key, action, .. } = &stored.record.summary;
            *of_tenant.entry(key.tenant.clone()).or_default() += 1;
            *of_action.entry(action.clone()).or_default() += 1;
            *places.entry(key.tenant.clone()).or_default() += 1;
            self.turns.take(&key.tenant);
            claims.push(stored.claim(worker, now, lease_until));
        }
        Claimed { claims, next_due }
    }

    /// A tenant that had nothing open begins behind those that wait.
    fn joins(&mut self, tenant: &TenantId) {
        if self.open_of(tenant) == 0 {
            self.turns.of.insert(tenant.clone(), self.turns.now + 1);
        }
    }

    pub(super) fn renew(&mut self, leases: &[Lease], lease_until: Timestamp) -> Vec<Renewed> {
        let renew = |lease| match self.held(lease) {
            Ok(stored) => {
                stored.due_at = Some(lease_until);
                Renewed::Held { cancel_asked: stored.record.summary.cancel_asked }
            }
            Err(_) => Renewed::Lost,
        };
        leases.iter().map(renew).collect()
    }

    pub(super) fn reclaim(&mut self, worker: &WorkerId, now: Timestamp) -> u64 {
        let mut reclaimed = 0;
        for stored in self.by_key.values_mut() {
            if stored.holder.as_ref() == Some(worker) && stored.due_at.is_some_and(|until| until > now) {
                stored.due_at = Some(now);
                reclaimed += 1;
            }
        }
        reclaimed
    }

    pub(super) fn append(
        &mut self,
        lease: &Lease,
        entries: &[LogEntry],
        checkpoint: Option<&Json>,
        quota: &Quota,
        kept: Kept,
    ) -> Result<bool> {
        let room = self.room(&lease.key.tenant, quota, kept);
        self.held(lease)?.append(entries, checkpoint, room)
    }

    pub(super) fn finish(
        &mut self,
        lease: &Lease,
        outcome: &Outcome,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<u64> {
        let stored = self.under(lease)?;
        if stored.holder.is_none() {
            return Err(ErrorKind::LeaseLost.into());
        }
        if !stored.record.summary.status.is_final() || planted::is(Bug::DoubleFinish) {
            stored.end(outcome, now, expires_at);
        }
        Ok(stored.record.summary.last_seq)
    }

    pub(super) fn retry(&mut self, lease: &Lease, run_at: Timestamp, error: &ErrorBody) -> Result<()> {
        let stored = self.under(lease)?;
        match stored.record.summary.status {
            RequestStatus::Processing => {}
            RequestStatus::Retrying => return Ok(()),
            _ => return Err(ErrorKind::LeaseLost.into()),
        }
        stored.wait(RequestStatus::Retrying, run_at);
        stored.record.summary.retry_after = Some(run_at);
        stored.record.summary.retry_count += 1;
        stored.record.outcome = Some(Outcome::Failed(error.clone()));
        Ok(())
    }

    pub(super) fn release(&mut self, lease: &Lease, run_at: Timestamp) -> Result<()> {
        let stored = self.under(lease)?;
        match stored.record.summary.status {
            RequestStatus::Processing => stored.wait(RequestStatus::Pending, run_at),
            RequestStatus::Pending => {}
            _ => return Err(ErrorKind::LeaseLost.into()),
        }
        Ok(())
    }

    pub(super) fn cancel(
        &mut self,
        key: &RequestKey,
        outcome: &Outcome,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Cancelled> {
        if !matches!(outcome, Outcome::Cancelled(_)) {
            return Err(Error::new(ErrorKind::Invalid, "a cancel ends as cancelled"));
        }
        let stored = self.by_key.get_mut(key).ok_or(ErrorKind::NotFound)?;
        Ok(match stored.record.summary.status {
            RequestStatus::Pending | RequestStatus::Retrying => {
                Cancelled::Ended(stored.end(outcome, now, expires_at))
            }
            RequestStatus::Processing => {
                stored.record.summary.cancel_asked = true;
                Cancelled::Asked(stored.record.summary.clone())
            }
            RequestStatus::Completed | RequestStatus::Failed | RequestStatus::Cancelled => {
                Cancelled::Already(stored.record.summary.clone())
            }
        })
    }

    pub(super) fn replay(&mut self, key: &RequestKey, now: Timestamp) -> Result<Summary> {
        let stored = self.by_key.get(key).ok_or(ErrorKind::NotFound)?;
        if stored.record.summary.status != RequestStatus::Failed {
            return Err(ErrorKind::Conflict.into());
        }
        self.joins(&key.tenant);
        let stored = self.by_key.get_mut(key).expect("was there just now");
        stored.wait(RequestStatus::Pending, now);
        stored.record.outcome = None;
        stored.telling = None;
        stored.log.retain(|entry| !matches!(entry.body, EntryBody::Outcome(_)));
        let summary = &mut stored.record.summary;
        (summary.retry_count, summary.takeovers, summary.cancel_asked) = (0, 0, false);
        (summary.ended_at, summary.expires_at) = (None, None);
        Ok(summary.clone())
    }

    pub(super) fn get(&self, key: &RequestKey) -> Option<Record> {
        self.by_key.get(key).map(|stored| stored.record.clone())
    }

    pub(super) fn list(&self, filter: &RequestFilter, page: &PageQuery) -> Result<Page<Summary>> {
        let before = match &page.cursor {
            None => u64::MAX,
            Some(cursor) => read_cursor(cursor, CURSOR)?
                .parse()
                .map_err(|_| Error::new(ErrorKind::Invalid, "a foreign cursor"))?,
        };
        let mut matching: Vec<_> = self
            .by_key
            .values()
            .filter(|stored| stored.number < before && matches(filter, &stored.record.summary))
            .map(|stored| (stored.number, &stored.record.summary))
            .collect();
        matching.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        let page = page_of(matching.into_iter(), page.limit, |(number, _)| format!("{CURSOR}{number}"))?;
        let items = page.items.into_iter().map(|(_, summary)| summary.clone()).collect();
        Ok(Page { items, cursor: page.cursor })
    }

    pub(super) fn log(&self, key: &RequestKey, after: u64, limit: u32) -> Vec<LogEntry> {
        let Some(stored) = self.by_key.get(key) else { return Vec::new() };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        stored.log.iter().filter(|entry| entry.seq > after).take(limit).cloned().collect()
    }

    pub(super) fn open(&self) -> u64 {
        self.by_key.values().filter(|stored| stored.is_open()).count() as u64
    }

    /// The bytes that are kept, of a tenant or of all.
    pub(super) fn bytes(&self, tenant: Option<&TenantId>) -> u64 {
        let of_it = self.by_key.iter().filter(|(key, _)| tenant.is_none_or(|tenant| key.tenant == *tenant));
        of_it.map(|(_, stored)| stored.bytes()).sum()
    }

    /// How many more bytes of this tenant's have room. `kept` are those of what else is kept.
    fn room(&self, tenant: &TenantId, quota: &Quota, kept: Kept) -> u64 {
        let (all, of_tenant) = (self.bytes(None), self.bytes(Some(tenant)));
        Kept { all: all + kept.all, tenant: of_tenant + kept.tenant }.room(quota)
    }

    pub(super) fn running_of(&self, tenant: &TenantId, now: Timestamp) -> u64 {
        let runs = |(key, stored): &(&RequestKey, &Stored)| key.tenant == *tenant && stored.runs(now);
        self.by_key.iter().filter(runs).count() as u64
    }

    pub(super) fn running_of_action(&self, action: &Action, now: Timestamp) -> u64 {
        let runs = |stored: &&Stored| stored.record.summary.action == *action && stored.runs(now);
        self.by_key.values().filter(runs).count() as u64
    }

    pub(super) fn open_of(&self, tenant: &TenantId) -> u64 {
        let open = |(key, stored): &(&RequestKey, &Stored)| key.tenant == *tenant && stored.is_open();
        self.by_key.iter().filter(open).count() as u64
    }

    pub(super) fn purge(&mut self, now: Timestamp, limit: u32) -> u64 {
        let before = self.by_key.len();
        let mut left = limit;
        self.by_key.retain(|_, stored| {
            let expired = stored.record.summary.expires_at.is_some_and(|at| at <= now);
            let goes = left > 0 && expired;
            left -= u32::from(goes);
            !goes
        });
        (before - self.by_key.len()) as u64
    }

    /// The request whose newest fence is the lease's.
    fn under(&mut self, lease: &Lease) -> Result<&mut Stored> {
        let newest = |stored: &&mut Stored| stored.fence == lease.fence || planted::is(Bug::NoFencing);
        Ok(self.by_key.get_mut(&lease.key).filter(newest).ok_or(ErrorKind::LeaseLost)?)
    }

    /// The request that runs under the lease.
    fn held(&mut self, lease: &Lease) -> Result<&mut Stored> {
        let runs = |stored: &&mut Stored| stored.record.summary.status == RequestStatus::Processing;
        Ok(Some(self.under(lease)?).filter(runs).ok_or(ErrorKind::LeaseLost)?)
    }
}

fn matches(filter: &RequestFilter, summary: &Summary) -> bool {
    filter.tenant.as_ref().is_none_or(|tenant| *tenant == summary.key.tenant)
        && filter.user.as_ref().is_none_or(|user| *user == summary.key.user)
        && filter.status.is_none_or(|status| status == summary.status)
        && filter.action.as_ref().is_none_or(|action| *action == summary.action)
}
