//! The outbox in memory: a mark on each request.

use std::{cmp::Reverse, collections::BTreeSet};

use streamer_protocol::{Action, Timestamp};

use super::{page_of, read_cursor, request::Stored, requests::StoredRequests};
use crate::store::{
    Announcement, Error, ErrorKind, GivenUp, OutboxDepth, Page, PageQuery, RequestKey, Result, Summary,
    ToAnnounce,
};

const CURSOR: &str = "outbox:";

/// How far the telling of an outcome has come.
pub(super) struct Telling {
    fence: u64,
    failures: u32,
    state: State,
}

enum State {
    Due(Timestamp),
    GivenUp { why: String, at: Timestamp },
}

impl Telling {
    pub(super) fn due(at: Timestamp) -> Self {
        Self { fence: 0, failures: 0, state: State::Due(at) }
    }

    fn due_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Due(at) => Some(at),
            State::GivenUp { .. } => None,
        }
    }
}

impl StoredRequests {
    pub(super) fn take(
        &mut self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
        except: &BTreeSet<Action>,
    ) -> ToAnnounce {
        let due_at = |stored: &Stored| stored.telling.as_ref()?.due_at();
        let next_due = self.by_key.values().filter_map(due_at).filter(|due| *due > now).min();
        let mut due: Vec<&mut Stored> = self
            .by_key
            .values_mut()
            .filter(|stored| due_at(stored).is_some_and(|due| due <= now))
            .filter(|stored| !except.contains(&stored.record.summary.action))
            .collect();
        due.sort_by_key(|stored| (due_at(stored), stored.number));
        due.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let announcements = due.into_iter().filter_map(|stored| stored.announcement(lease_until)).collect();
        ToAnnounce { announcements, next_due }
    }

    pub(super) fn announced(&mut self, key: &RequestKey, fence: u64) {
        if let Some(stored) = self.told(key, fence) {
            stored.telling = None;
        }
    }

    pub(super) fn put_off(&mut self, key: &RequestKey, fence: u64, due_at: Timestamp, failed: bool) {
        if let Some(telling) = self.told(key, fence).and_then(|stored| stored.telling.as_mut()) {
            telling.failures += u32::from(failed);
            telling.state = State::Due(due_at);
            telling.fence += 1;
        }
    }

    pub(super) fn give_up(&mut self, key: &RequestKey, fence: u64, at: Timestamp, why: &str) {
        if let Some(telling) = self.told(key, fence).and_then(|stored| stored.telling.as_mut()) {
            telling.failures += 1;
            telling.state = State::GivenUp { why: why.to_owned(), at };
            telling.fence += 1;
        }
    }

    pub(super) fn given_up(&self, page: &PageQuery) -> Result<Page<GivenUp>> {
        let before = match &page.cursor {
            None => u64::MAX,
            Some(cursor) => read_cursor(cursor, CURSOR)?
                .parse()
                .map_err(|_| Error::new(ErrorKind::Invalid, "a foreign cursor"))?,
        };
        let given_up = |stored: &Stored| match &stored.telling.as_ref()?.state {
            State::Due(_) => None,
            State::GivenUp { why, at } => {
                let Summary { key, action, ended_at, .. } = &stored.record.summary;
                Some((
                    stored.number,
                    GivenUp {
                        key: key.clone(),
                        action: action.clone(),
                        failures: stored.telling.as_ref()?.failures,
                        why: why.clone(),
                        ended_at: (*ended_at)?,
                        given_up_at: *at,
                    },
                ))
            }
        };
        let mut all: Vec<_> =
            self.by_key.values().filter_map(given_up).filter(|(number, _)| *number < before).collect();
        all.sort_by_key(|(number, _)| Reverse(*number));
        let page = page_of(all.into_iter(), page.limit, |(number, _)| format!("{CURSOR}{number}"))?;
        Ok(Page { items: page.items.into_iter().map(|(_, item)| item).collect(), cursor: page.cursor })
    }

    pub(super) fn revive(&mut self, key: &RequestKey, now: Timestamp) -> Result<()> {
        let telling = self.by_key.get_mut(key).and_then(|stored| stored.telling.as_mut());
        let given_up = telling.filter(|telling| telling.due_at().is_none());
        let telling = given_up.ok_or(ErrorKind::NotFound)?;
        telling.failures = 0;
        telling.state = State::Due(now);
        Ok(())
    }

    pub(super) fn outbox_depth(&self) -> OutboxDepth {
        let all = || self.by_key.values().filter_map(|stored| stored.telling.as_ref());
        let waiting = all().filter(|telling| telling.due_at().is_some()).count() as u64;
        OutboxDepth { waiting, given_up: all().count() as u64 - waiting }
    }

    /// The request that was taken under this fence, and not since.
    fn told(&mut self, key: &RequestKey, fence: u64) -> Option<&mut Stored> {
        let stored = self.by_key.get_mut(key)?;
        stored.telling.as_ref().is_some_and(|telling| telling.fence == fence).then_some(stored)
    }
}

impl Stored {
    fn announcement(&mut self, lease_until: Timestamp) -> Option<Announcement> {
        let telling = self.telling.as_mut()?;
        telling.fence += 1;
        telling.state = State::Due(lease_until);
        let Summary { key, action, last_seq, created_at, ended_at, attempt, .. } = &self.record.summary;
        Some(Announcement {
            key: key.clone(),
            action: action.clone(),
            outcome: self.record.outcome.clone()?,
            seq: *last_seq,
            created_at: *created_at,
            ended_at: (*ended_at)?,
            attempt: *attempt,
            failures: telling.failures,
            fence: telling.fence,
        })
    }
}
