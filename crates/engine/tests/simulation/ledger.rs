//! The oracle: what it knows of every request, and every promise held against what is seen.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    hash::{DefaultHasher, Hasher},
    sync::Arc,
};

use futures_util::FutureExt;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use streamer_engine::{
    Caller,
    clock::Clock,
    protocol::{ConnectionId, RequestId, RequestStatus, Timestamp},
    store::{self, Claim, EntryBody, Lease, LogEntry, Outcome, Record, RequestKey, Requests},
    testing::{MemoryStore, PausedClock},
};

use crate::{
    view::{row, row_is},
    weather::Weather,
    work::{Done, NARROW_MAX, Work},
    world::BEGIN,
};

pub(crate) struct Ledger {
    store: Arc<MemoryStore>,
    clock: PausedClock,
    weather: Arc<Weather>,
    /// Whether everything that happens is printed.
    told: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    requests: BTreeMap<RequestKey, Known>,
    /// Which lives of nodes are over, or about to be.
    lives_over: BTreeSet<u64>,
    /// The first promise that was seen broken.
    broken: Option<String>,
    /// Of everything that happened.
    trace: DefaultHasher,
}

#[derive(Default)]
struct Known {
    /// The newest fence, the life in which its lease is held, and how many leases ran out so far.
    fence: u64,
    holder: u64,
    takeovers: u32,
    /// When it was first sent, with its delay.
    not_before: Option<Timestamp>,
    acknowledged: bool,
    replayed: bool,
    /// The attempt in which a wish to cancel was stored.
    cancelled_in: Option<u32>,
    outcome: Option<Outcome>,
    /// The life of a node in which it ended: who follows it there hears so.
    ended_by: Option<u64>,
    /// By run: the step whose progress was reported last.
    reported: HashMap<String, usize>,
}

/// What of a frame tells where it belongs.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
    request_id: Option<RequestId>,
    seq: Option<u64>,
}

/// A store in memory never waits and never fails.
pub(crate) fn at_once<T>(asked: impl Future<Output = store::Result<T>>) -> T {
    asked.now_or_never().expect("never waits").expect("never fails")
}

impl Ledger {
    pub(crate) fn new(
        store: Arc<MemoryStore>,
        clock: PausedClock,
        weather: Arc<Weather>,
        told: bool,
    ) -> Self {
        Self { store, clock, weather, told, state: Mutex::default() }
    }

    /// Something happened. It belongs to the trace, by which two runs of a seed are compared.
    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        let line = format!("{} {what}", self.clock.now().since(BEGIN).as_millis());
        self.state.lock().trace.write(line.as_bytes());
        if self.told {
            println!("{line}");
        }
    }

    /// A promise is broken.
    pub(crate) fn broken(&self, how: String) {
        self.note(format_args!("BROKEN: {how}"));
        self.state.lock().broken.get_or_insert(how);
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.state.lock().broken.is_some()
    }

    /// The first promise that was broken, or what stands for all that happened.
    pub(crate) fn verdict(&self) -> Result<u64, String> {
        let state = self.state.lock();
        state.broken.clone().map_or_else(|| Ok(state.trace.finish()), Err)
    }

    fn know<T>(&self, key: &RequestKey, change: impl FnOnce(&mut Known) -> T) -> T {
        change(self.state.lock().requests.entry(key.clone()).or_default())
    }

    pub(crate) fn record(&self, key: &RequestKey) -> Option<Record> {
        at_once(self.store.request(key))
    }

    pub(crate) fn log(&self, key: &RequestKey) -> Vec<LogEntry> {
        at_once(self.store.log(key, 0, u32::MAX))
    }

    pub(crate) fn has_ended_in(&self, key: &RequestKey, life: u64) -> bool {
        self.know(key, |known| known.ended_by == Some(life))
    }

    pub(crate) fn was_replayed(&self, key: &RequestKey) -> bool {
        self.know(key, |known| known.replayed)
    }

    /// A client is about to send a request.
    pub(crate) fn sends(&self, key: &RequestKey, not_before: Timestamp) {
        self.know(key, |known| {
            known.not_before.get_or_insert(not_before);
        });
    }

    // What the store does.

    pub(crate) fn life_ends(&self, life: u64) {
        self.note(format_args!("life {life} ends"));
        self.state.lock().lives_over.insert(life);
    }

    pub(crate) fn leased(&self, lease: &Lease, life: u64) {
        let earlier = self.know(&lease.key, |known| {
            known.holder = life;
            std::mem::replace(&mut known.fence, lease.fence)
        });
        if lease.fence <= earlier {
            self.broken(format!("fence {} after {earlier}: {:?}", lease.fence, lease.key));
        }
    }

    pub(crate) fn claimed(&self, claim: &Claim, life: u64) {
        let (key, summary) = (&claim.lease.key, &claim.record.summary);
        self.note(format_args!("claimed {key:?} attempt {}", summary.attempt));
        let (holder, takeovers) = self
            .know(key, |known| (known.holder, std::mem::replace(&mut known.takeovers, summary.takeovers)));
        let holder_lives = !self.state.lock().lives_over.contains(&holder);
        if summary.takeovers > takeovers && holder_lives && self.weather.is_fair() {
            self.broken(format!("taken over from a worker that lives, in fair weather: {key:?}"));
        }
        self.leased(&claim.lease, life);
    }

    /// After a claim so many requests of the action `narrow` have a lease that holds.
    pub(crate) fn runs(&self, narrow: u64) {
        if narrow > u64::from(NARROW_MAX) {
            self.broken(format!("{narrow} requests of an action run at once"));
        }
    }

    /// The holder of a lease had its way.
    pub(crate) fn done_under(&self, lease: &Lease, what: &str) {
        self.note(format_args!("{what} {:?} fence {}", lease.key, lease.fence));
        let newest = self.know(&lease.key, |known| known.fence);
        if lease.fence != newest {
            let fence = lease.fence;
            self.broken(format!("{what} with fence {fence}, but {newest} is out: {:?}", lease.key));
        }
    }

    pub(crate) fn finished(&self, lease: &Lease, outcome: &Outcome, node: u64) {
        self.done_under(lease, outcome.status().as_str());
        self.ended(&lease.key, Some(node));
        let Some(summary) = self.record(&lease.key).map(|record| record.summary) else { return };
        let message = summary.progress.map(|progress| progress.message).unwrap_or_default();
        let Some((run, shown)) = message.split_once(' ') else { return };
        if !run.starts_with(&format!("{}.", summary.attempt)) {
            return; // An earlier attempt's.
        }
        let last = self.know(&lease.key, |known| known.reported.get(run).copied());
        let shown: Option<usize> = shown.parse().ok();
        if shown < last && !self.weather.is_excuse() {
            let key = &lease.key;
            self.broken(format!("the last progress shown is of step {shown:?}, not {last:?}: {key:?}"));
        }
    }

    pub(crate) fn cancelled(&self, key: &RequestKey, node: u64) {
        let attempt = self.record(key).map_or(0, |record| record.summary.attempt);
        self.note(format_args!("cancelled {key:?} attempt {attempt}"));
        self.know(key, |known| {
            known.cancelled_in.get_or_insert(attempt);
        });
        self.ended(key, Some(node));
    }

    pub(crate) fn replayed(&self, key: &RequestKey) {
        self.note(format_args!("replayed {key:?}"));
        self.know(key, |known| {
            (known.replayed, known.outcome, known.ended_by, known.cancelled_in) = (true, None, None, None);
            known.takeovers = 0;
        });
    }

    /// There is one outcome at most, and it stays.
    fn ended(&self, key: &RequestKey, node: Option<u64>) {
        let outcomes = self.log(key).into_iter().filter_map(|entry| match entry.body {
            EntryBody::Outcome(outcome) => Some(outcome),
            _ => None,
        });
        let mut outcomes: Vec<Outcome> = outcomes.collect();
        if outcomes.len() > 1 {
            return self.broken(format!("it has ended {} times: {key:?}", outcomes.len()));
        }
        let Some(outcome) = outcomes.pop() else { return };
        let node = node.filter(|_| !self.weather.is_excuse());
        let other = self.know(key, |known| match &known.outcome {
            Some(earlier) => *earlier != outcome,
            None => {
                (known.outcome, known.ended_by) = (Some(outcome), node);
                false
            }
        });
        if other {
            self.broken(format!("it has ended otherwise before: {key:?}"));
        }
    }

    // What handlers do.

    pub(crate) fn begins(&self, key: &RequestKey, attempt: u32) {
        let now = self.clock.now();
        self.note(format_args!("begins {key:?} attempt {attempt}"));
        let (not_before, cancelled_in) = self.know(key, |known| (known.not_before, known.cancelled_in));
        if not_before.is_some_and(|not_before| now < not_before) {
            self.broken(format!("it begins before its time: {key:?}"));
        }
        if cancelled_in.is_some_and(|cancelled_in| cancelled_in < attempt) {
            self.broken(format!("it begins again after it was cancelled: {key:?}"));
        }
        let Some(summary) = self.record(key).map(|record| record.summary) else { return };
        if summary.attempt == attempt && summary.status == RequestStatus::Processing && now < summary.run_at {
            self.broken(format!("attempt {attempt} begins before its time: {key:?}"));
        }
    }

    pub(crate) fn reported(&self, key: &RequestKey, run: String, step: usize) {
        self.know(key, |known| known.reported.insert(run, step));
    }

    // What connections are told.

    /// A frame is about to be pushed: what it says must be in the store by now.
    pub(crate) fn pushes(&self, to: &ConnectionId, caller: &Caller, frame: &str) {
        self.note(format_args!("push to {to}: {frame}"));
        let Head { kind, request_id, seq } = serde_json::from_str(frame).expect("a frame of the protocol");
        let Some(id) = request_id else { return };
        let key = caller.key(id);
        if kind == "acknowledgment" {
            self.know(&key, |known| known.acknowledged = true);
            if self.record(&key).is_none() {
                self.broken(format!("acknowledged, and not stored: {key:?}"));
            }
        }
        let Some(seq) = seq else { return };
        let last_seq = self.record(&key).map_or(0, |record| record.summary.last_seq);
        if seq > last_seq {
            return self.broken(format!("pushed before it is stored: {key:?}: {frame}"));
        }
        let stored = at_once(self.store.log(&key, seq - 1, 1)).into_iter().find(|entry| entry.seq == seq);
        match stored.map(|entry| entry.into_frame(&key.id).encode()) {
            Some(stored) if stored != frame => {
                self.broken(format!("pushed {frame}, but the log says {stored}: {key:?}"));
            }
            // Newer progress took its place, another attempt made it void, or it was replayed.
            None if matches!(kind.as_str(), "complete" | "error") && !self.was_replayed(&key) => {
                self.broken(format!("an end that is not in the log: {key:?}: {frame}"));
            }
            _ => {}
        }
    }

    // When all is over.

    /// Looks at everything once more.
    pub(crate) fn close(&self) {
        let acknowledged: Vec<RequestKey> = {
            let state = self.state.lock();
            state
                .requests
                .iter()
                .filter(|(_, known)| known.acknowledged)
                .map(|(key, _)| key.clone())
                .collect()
        };
        for key in acknowledged {
            if self.record(&key).is_none() {
                self.broken(format!("acknowledged and lost: {key:?}"));
            }
        }
        let all = store::PageQuery { limit: u32::MAX, cursor: None };
        for summary in at_once(self.store.requests(&store::RequestFilter::default(), &all)).items {
            self.ended(&summary.key, None);
            if let Err(how) = self.settled(&summary.key) {
                self.broken(format!("{how}: {:?}", summary.key));
            }
        }
    }

    /// Whether a request that has ended is what its handler's script makes of it.
    fn settled(&self, key: &RequestKey) -> Result<(), String> {
        let record = self.record(key).ok_or("not stored")?;
        let work: Work = record.payload.get().map_err(|e| e.to_string())?;
        let owner = format!("{}/{}", key.tenant, key.user);
        if work.owner != owner {
            return Err(format!("it is the work of {}", work.owner));
        }
        let log = self.log(key);
        if log.windows(2).any(|pair| pair[0].seq >= pair[1].seq) {
            return Err("its log is out of order".to_owned());
        }
        let rows: Vec<Value> = log.iter().filter_map(row).collect();
        for (n, data) in (0..).zip(&rows) {
            row_is(data, n, &owner)?;
        }
        let status = record.summary.status;
        match (log.last().map(|entry| &entry.body), record.outcome) {
            (Some(EntryBody::Outcome(told)), Some(kept)) if *told == kept && kept.status() == status => {}
            (last, kept) => {
                return Err(format!("{status}: its log ends with {last:?}, its outcome is {kept:?}"));
            }
        }
        if let Some(EntryBody::Outcome(Outcome::Completed(result))) = log.last().map(|entry| &entry.body) {
            let done: Done = result.get().map_err(|e| e.to_string())?;
            let expected = Done { owner, rows: work.rows(), cut: done.cut };
            if !done.cut && (done != expected || rows.len() as u64 != expected.rows) {
                return Err(format!("{} rows and {done:?} instead of {expected:?}", rows.len()));
            }
        }
        Ok(())
    }
}
