//! What is open, in memory: when each request is due, who runs how many, and whose turn it is.
//!
//! Read from the file once at start, then kept by the writer, which alone changes it. A claim finds its requests here,
//! so that the file needs no index over due times, which every step of a request would have to rewrite. An open request
//! costs some hundred bytes; the quota bounds how many there are.
//!
//! The turns are start-time fair queueing (Goyal, Vin and Cheng, 1996) with one unit of work per request.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rusqlite::{Connection, Result};
use streamer_engine::store::{Priority, RunningMax};
use streamer_protocol::{Action, TenantId, Timestamp};

use crate::value::Columns;

/// An open request, as the running transaction leaves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) tenant: TenantId,
    pub(crate) action: Action,
    pub(crate) priority: Priority,
    /// When it may be claimed: its start, its retry or the end of its lease.
    pub(crate) due_at: Timestamp,
    /// Whether somebody has its lease.
    pub(crate) leased: bool,
}

/// Its place among the ready requests of its tenant and action.
type Place = (Reverse<Priority>, Timestamp, i64);

/// A tenant's place among those that have ready requests: how many it runs, then its turn.
type Standing = (u64, u64, TenantId);

/// The open requests. Those whose time had come at `now` are ready, the others wait.
pub(crate) struct Agenda {
    entries: HashMap<i64, Entry>,
    waiting: BTreeSet<(Timestamp, i64)>,
    tenants: HashMap<TenantId, Share>,
    /// The tenants that have ready requests.
    order: BTreeSet<Standing>,
    running: HashMap<Action, u32>,
    now: Timestamp,
    /// The newest turn that was taken.
    turn: u64,
    /// What the running transaction changed, as it was before.
    before: Before,
    /// How many there are, as committed last, for readers.
    committed: Arc<AtomicU64>,
}

#[derive(Default)]
struct Before {
    entries: Vec<(i64, Option<Entry>)>,
    turns: Vec<(TenantId, u64)>,
    turn: u64,
}

/// What a tenant has of it.
#[derive(Default)]
struct Share {
    open: u64,
    running: u64,
    turn: u64,
    ready: BTreeMap<Action, BTreeSet<Place>>,
}

impl Agenda {
    /// Reads what the file holds.
    pub(crate) fn read(conn: &Connection) -> Result<Self> {
        let mut agenda = Self {
            entries: HashMap::new(),
            waiting: BTreeSet::new(),
            tenants: HashMap::new(),
            order: BTreeSet::new(),
            running: HashMap::new(),
            now: Timestamp::from_millis(i64::MIN),
            turn: 0,
            before: Before::default(),
            committed: Arc::default(),
        };
        let mut actions = BTreeSet::new();
        let mut open = conn.prepare(
            "SELECT number, tenant, action, priority, due_at, status = 'PROCESSING' \
             FROM request INDEXED BY request_open WHERE expires_at IS NULL",
        )?;
        let mut rows = open.query([])?;
        while let Some(row) = rows.next()? {
            let columns = &mut Columns::of(row);
            let number = columns.get()?;
            let mut entry = Entry {
                tenant: columns.text(TenantId::new)?,
                action: columns.checked(Action::parse)?,
                priority: columns.priority()?,
                due_at: columns.time()?,
                leased: columns.get()?,
            };
            // One text for all that have the same.
            if let Some((known, _)) = agenda.tenants.get_key_value(&entry.tenant) {
                entry.tenant = known.clone();
            }
            match actions.get(&entry.action) {
                Some(known) => entry.action = Action::clone(known),
                None => drop(actions.insert(entry.action.clone())),
            }
            agenda.put(number, Some(entry));
        }
        agenda.commit();
        Ok(agenda)
    }

    /// How many are open, as committed last.
    pub(crate) fn committed(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.committed)
    }

    /// How many are open, in all tenants.
    pub(crate) fn open(&self) -> u64 {
        self.entries.len() as u64
    }

    /// How many are open, in one tenant.
    pub(crate) fn open_of(&self, tenant: &TenantId) -> u64 {
        self.tenants.get(tenant).map_or(0, |share| share.open)
    }

    /// How many run at `now`, in one tenant.
    pub(crate) fn running_of(&mut self, tenant: &TenantId, now: Timestamp) -> u64 {
        self.turn_to(now);
        self.tenants.get(tenant).map_or(0, |share| share.running)
    }

    /// The request is open, as this says.
    pub(crate) fn set(&mut self, number: i64, entry: Entry) {
        let before = self.put(number, Some(entry));
        self.before.entries.push((number, before));
    }

    /// The request is due at another time, or its lease was taken or given up.
    pub(crate) fn reschedule(&mut self, number: i64, due_at: Timestamp, leased: bool) {
        if let Some(entry) = self.entries.get(&number).cloned() {
            self.set(number, Entry { due_at, leased, ..entry });
        }
    }

    /// The request has ended.
    pub(crate) fn end(&mut self, number: i64) {
        let before = self.put(number, None);
        self.before.entries.push((number, before));
    }

    /// What the transaction changed stays.
    pub(crate) fn commit(&mut self) {
        self.before = Before { turn: self.turn, ..Before::default() };
        self.committed.store(self.open(), Ordering::Release);
    }

    /// All is as it was before the transaction.
    pub(crate) fn roll_back(&mut self) {
        let Before { entries, turns, turn } = std::mem::take(&mut self.before);
        for (number, before) in entries.into_iter().rev() {
            self.put(number, before);
        }
        for (tenant, turn) in turns.into_iter().rev() {
            if self.tenants.contains_key(&tenant) {
                self.restand(&tenant, |share| share.turn = turn);
            }
        }
        self.turn = turn;
        self.before = Before { turn, ..Before::default() };
    }

    /// Leases at most `limit` ready requests until `lease_until`, by the rules of the port. Answers them, and when the
    /// next one will be ready that was not.
    pub(crate) fn claim(
        &mut self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
        running_max: &RunningMax,
    ) -> (Vec<i64>, Option<Timestamp>) {
        self.turn_to(now);
        let next_due = self.waiting.first().map(|(due, _)| *due);
        let (mut taken, mut passed_over) = (Vec::new(), Vec::new());
        let mut of_tenant: HashMap<TenantId, u32> = HashMap::new();
        while taken.len() < limit
            && let Some(standing) = self.order.first().cloned()
        {
            let tenant = &standing.2;
            let has_place =
                running_max.places_left(tenant) > of_tenant.get(tenant).copied().unwrap_or_default();
            let Some(number) = has_place.then(|| self.best_of(tenant, running_max)).flatten() else {
                // Nor will it have any later in this claim, which only adds to what runs.
                self.order.remove(&standing);
                passed_over.push(standing);
                continue;
            };
            let entry = self.entries[&number].clone();
            self.detach(number, &entry);
            self.count(&entry, true);
            self.take_turn(&entry.tenant);
            *of_tenant.entry(entry.tenant).or_default() += 1;
            taken.push(number);
        }
        self.order.extend(passed_over);
        for number in &taken {
            let before = self.entries[number].clone();
            self.count(&before, false);
            let entry = Entry { due_at: lease_until, leased: true, ..before.clone() };
            self.attach(*number, &entry);
            self.entries.insert(*number, entry);
            self.before.entries.push((*number, Some(before)));
        }
        (taken, next_due)
    }

    /// The first of a tenant's ready requests whose action has room.
    fn best_of(&self, tenant: &TenantId, running_max: &RunningMax) -> Option<i64> {
        let running = |action: &Action| self.running.get(action).copied().unwrap_or(0);
        let has_room = |action: &Action| running_max.has_room(action, running);
        let heads = self.tenants[tenant].ready.iter().filter(|(action, _)| has_room(action));
        heads.filter_map(|(_, places)| places.first()).min().map(|(_, _, number)| *number)
    }

    fn take_turn(&mut self, tenant: &TenantId) {
        let taken = self.tenants[tenant].turn;
        self.before.turns.push((tenant.clone(), taken));
        self.turn = self.turn.max(taken);
        let next = self.turn + 1;
        self.restand(tenant, |share| share.turn = next);
    }

    /// Makes this the request's entry, or none. Answers the one before.
    fn put(&mut self, number: i64, entry: Option<Entry>) -> Option<Entry> {
        // First in, then out: a tenant that has one request keeps its turn.
        if let Some(entry) = &entry {
            let behind = self.turn + 1;
            let share = self.tenants.entry(entry.tenant.clone());
            share.or_insert_with(|| Share { turn: behind, ..Share::default() }).open += 1;
        }
        let before = self.entries.remove(&number);
        if let Some(before) = &before {
            self.detach(number, before);
        }
        if let Some(entry) = entry {
            self.attach(number, &entry);
            self.entries.insert(number, entry);
        }
        if let Some(before) = &before {
            let share = self.tenants.get_mut(&before.tenant).expect("had a request open");
            share.open -= 1;
            if share.open == 0 {
                self.before.turns.push((before.tenant.clone(), share.turn));
                self.tenants.remove(&before.tenant);
            }
        }
        before
    }

    /// Puts an entry where its time and its lease say.
    fn attach(&mut self, number: i64, entry: &Entry) {
        if entry.due_at <= self.now {
            let place = entry.place(number);
            self.restand(&entry.tenant, |share| {
                share.ready.entry(entry.action.clone()).or_default().insert(place);
            });
            return;
        }
        self.waiting.insert((entry.due_at, number));
        if entry.leased {
            self.count(entry, true);
        }
    }

    /// Takes an entry from where [`attach`](Self::attach) put it.
    fn detach(&mut self, number: i64, entry: &Entry) {
        if entry.due_at <= self.now {
            let place = entry.place(number);
            self.restand(&entry.tenant, |share| {
                let places = share.ready.get_mut(&entry.action).expect("has a ready request");
                places.remove(&place);
                if places.is_empty() {
                    share.ready.remove(&entry.action);
                }
            });
            return;
        }
        self.waiting.remove(&(entry.due_at, number));
        if entry.leased {
            self.count(entry, false);
        }
    }

    /// One more of its tenant and action runs, or one less.
    fn count(&mut self, entry: &Entry, begins: bool) {
        let of_action = self.running.entry(entry.action.clone()).or_default();
        *of_action = if begins { *of_action + 1 } else { *of_action - 1 };
        if *of_action == 0 {
            self.running.remove(&entry.action);
        }
        self.restand(&entry.tenant, |share| {
            share.running = if begins { share.running + 1 } else { share.running - 1 };
        });
    }

    /// Changes a tenant's share, and its standing with it.
    fn restand(&mut self, tenant: &TenantId, change: impl FnOnce(&mut Share)) {
        let share = self.tenants.get_mut(tenant).expect("has a request open");
        if !share.ready.is_empty() {
            self.order.remove(&(share.running, share.turn, tenant.clone()));
        }
        change(share);
        if !share.ready.is_empty() {
            self.order.insert((share.running, share.turn, tenant.clone()));
        }
    }

    /// It is now this late; the clock may have been set back.
    fn turn_to(&mut self, now: Timestamp) {
        if now < self.now {
            let ready = self.tenants.values().flat_map(|share| share.ready.values().flatten());
            let early: Vec<i64> =
                ready.filter(|(_, due, _)| *due > now).map(|(_, _, number)| *number).collect();
            let early: Vec<(i64, Entry)> =
                early.into_iter().map(|number| (number, self.entries[&number].clone())).collect();
            for (number, entry) in &early {
                self.detach(*number, entry);
            }
            self.now = now;
            for (number, entry) in &early {
                self.attach(*number, entry);
            }
            return;
        }
        let mut due = Vec::new();
        while let Some((at, number)) = self.waiting.first().copied().filter(|(at, _)| *at <= now) {
            let entry = self.entries[&number].clone();
            debug_assert_eq!(entry.due_at, at, "an entry waits for its own time");
            self.detach(number, &entry);
            due.push((number, entry));
        }
        self.now = now;
        for (number, entry) in &due {
            self.attach(*number, entry);
        }
    }
}

impl Entry {
    fn place(&self, number: i64) -> Place {
        (Reverse(self.priority), self.due_at, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn entry(tenant: &str, due_at: i64) -> Entry {
        let action = Action::parse("a").expect("valid");
        let tenant = TenantId::new(tenant);
        Entry { tenant, action, priority: Priority::default(), due_at: at(due_at), leased: false }
    }

    fn empty() -> Agenda {
        let conn = Connection::open_in_memory().expect("opens");
        conn.execute_batch(
            "CREATE TABLE request (number INTEGER PRIMARY KEY, tenant, action, priority, due_at, status, expires_at); \
             CREATE INDEX request_open ON request (number) WHERE expires_at IS NULL",
        )
        .expect("creates");
        Agenda::read(&conn).expect("reads")
    }

    fn claim(agenda: &mut Agenda, now: i64, limit: usize) -> Vec<i64> {
        agenda.claim(at(now), at(now + 100), limit, &RunningMax::default()).0
    }

    #[test]
    fn a_rollback_leaves_all_as_it_was() {
        let mut agenda = empty();
        agenda.set(1, entry("t", 0));
        agenda.set(2, entry("t", 50));
        agenda.commit();
        agenda.set(3, entry("u", 0));
        assert_eq!(claim(&mut agenda, 60, 2), [1, 3]);
        agenda.reschedule(1, at(70), false);
        agenda.end(2);
        agenda.roll_back();
        let (t, u) = (TenantId::new("t"), TenantId::new("u"));
        assert_eq!((agenda.open(), agenda.open_of(&t), agenda.open_of(&u)), (2, 2, 0));
        assert_eq!((agenda.running_of(&t, at(60)), agenda.committed().load(Ordering::Acquire)), (0, 2));
        let turns: Vec<u64> = agenda.tenants.values().map(|share| share.turn).collect();
        assert_eq!((agenda.turn, turns), (0, vec![1]), "no turn was taken");
        assert_eq!(claim(&mut agenda, 60, 9), [1, 2]);
        assert_eq!((agenda.running_of(&t, at(159)), agenda.running_of(&t, at(160))), (2, 0));
    }

    #[test]
    fn what_was_ready_waits_again_when_the_clock_is_set_back() {
        let mut agenda = empty();
        agenda.set(1, entry("t", 50));
        let mut claim = |now, limit| agenda.claim(at(now), at(now + 100), limit, &RunningMax::default());
        assert_eq!(claim(60, 0), (vec![], None));
        assert_eq!(claim(40, 9), (vec![], Some(at(50))));
        assert_eq!(claim(50, 9), (vec![1], None));
    }

    #[test]
    fn nothing_is_left_of_a_tenant_that_has_nothing_open() {
        let mut agenda = empty();
        for number in 0..10 {
            agenda.set(number, entry(&format!("t{number}"), 0));
        }
        assert_eq!(claim(&mut agenda, 0, 9).len(), 9);
        for number in 0..10 {
            agenda.end(number);
        }
        agenda.commit();
        assert!(agenda.tenants.is_empty() && agenda.order.is_empty() && agenda.running.is_empty());
        assert!(agenda.entries.is_empty() && agenda.waiting.is_empty());
    }
}
