//! Random histories, told to the store and to the one in memory, must end alike after every step.

use std::sync::Arc;

use streamer_engine::{
    random::Random,
    store::{
        ErrorKind, Lease, LogEntry, PageQuery, Priority, Quota, RequestFilter, RequestKey, RunningMax,
        SharedStore,
    },
    testing::{MemoryStore, SeededRandom},
};
use streamer_protocol::TenantId;

use crate::given::*;

const HISTORIES: u64 = 12;
const STEPS: u32 = 120;
const QUOTA: Quota =
    Quota { open_max: 9, tenant_open_max: 5, stored_bytes_max: 180, tenant_stored_bytes_max: 100 };
const TENANTS: [&str; 3] = ["t1", "t2", "t3"];

/// Each history is told by its seed; a failure names it, its step and what was called.
pub async fn agrees_on_random_histories(store: SharedStore) {
    let mut now = 0;
    for seed in 0..HISTORIES {
        let mut history =
            History { store: store.clone(), model: Arc::new(MemoryStore::new()), dice: Dice::new(seed), now };
        let mut leases = Vec::new();
        for step in 0..STEPS {
            let called = history.step(&mut leases).await;
            history.compare(&format!("seed {seed}, step {step}: {called}")).await;
        }
        now = history.clear().await;
    }
}

struct Dice(SeededRandom);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(SeededRandom::new(seed))
    }

    fn below(&self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    fn key(&self) -> RequestKey {
        let (tenant, id) = (TENANTS[self.below(3) as usize], format!("r{}", self.below(5)));
        key_of(tenant, "u", &id)
    }
}

struct History {
    store: SharedStore,
    model: SharedStore,
    dice: Dice,
    now: i64,
}

/// Calls both and expects the same answer.
macro_rules! both {
    ($history:ident, $method:ident($($argument:expr),*)) => {{
        let ours = $history.store.$method($($argument),*).await.map_err(|e| e.kind());
        let models = $history.model.$method($($argument),*).await.map_err(|e| e.kind());
        let called = format!(concat!(stringify!($method), "{:?}"), ($(&$argument,)*));
        assert_eq!(format!("{ours:?}"), format!("{models:?}"), "{called}");
        (ours, called)
    }};
}

impl History {
    async fn step(&mut self, leases: &mut Vec<Lease>) -> String {
        let dice = &self.dice;
        self.now += dice.below(4).cast_signed();
        let (now, soon) = (at(self.now), at(self.now + dice.below(12).cast_signed()));
        let (key, me) = (dice.key(), worker(["w1", "w2"][dice.below(2) as usize]));
        // A lease of any age, or one that never was.
        let lease = match leases.len() {
            0 => Lease { key: key.clone(), fence: dice.below(3), place: dice.below(9) },
            n => leases[n - 1 - dice.below(n.min(4) as u64) as usize].clone(),
        };
        match dice.below(16) {
            0..=2 => {
                let mut wanted = with_payload(new(key), ["1", "2"][(dice.below(8) / 7) as usize]);
                (wanted.created_at, wanted.run_at) = (now, soon);
                wanted.priority = Priority::new(dice.below(3).cast_signed()).expect("valid");
                wanted.action = action(["wide", "narrow"][dice.below(2) as usize]);
                both!(self, enqueue(&wanted, &QUOTA)).1
            }
            3 => {
                let mut wanted = with_payload(new(key), "1");
                (wanted.created_at, wanted.run_at) = (now, now);
                let (promoted, called) = both!(self, promote(&wanted, &QUOTA, &me, soon));
                if let Ok(streamer_engine::store::Promoted::Leased(lease)) = promoted {
                    leases.push(lease);
                }
                called
            }
            4..=6 => {
                let limit = 1 + dice.below(3) as u32;
                let bounds: RunningMax = [(action("narrow"), 1)].into_iter().collect();
                let (claimed, called) = both!(self, claim(&me, now, soon, limit, &bounds));
                leases.extend(claimed.expect("claims").claims.into_iter().map(|claim| claim.lease));
                called
            }
            7..=9 => {
                let entries = self.entries(&lease.key).await;
                let checkpoint = (self.dice.below(3) == 0).then(|| json(&self.now.to_string()));
                both!(self, append(&lease, &entries, checkpoint.as_ref(), &QUOTA)).1
            }
            10 | 11 => {
                let outcome = [completed(), failed(), cancelled()][dice.below(3) as usize].clone();
                both!(self, finish(&lease, &outcome, now, soon)).1
            }
            12 => match dice.below(2) {
                0 => both!(self, retry(&lease, soon, &error("e"))).1,
                _ => both!(self, release(&lease, now)).1,
            },
            13 => both!(self, cancel(&key, &cancelled(), now, soon)).1,
            14 => match dice.below(2) {
                0 => both!(self, replay(&key, now)).1,
                _ => both!(self, purge_requests(now, 10)).1,
            },
            _ => match dice.below(3) {
                0 => both!(self, reclaim(&me, now)).1,
                _ => both!(self, renew(std::slice::from_ref(&lease), soon)).1,
            },
        }
    }

    /// Entries that continue the log, repeat its end, or leave a gap.
    async fn entries(&self, key: &RequestKey) -> Vec<LogEntry> {
        let Some(kept) = self.model.request(key).await.expect("reads") else { return vec![chunk(1, 0)] };
        let (mut seq, mut index) = (kept.summary.last_seq, kept.summary.chunks);
        if self.dice.below(6) == 0 {
            (seq, index) = (seq.saturating_sub(2), index.saturating_sub(1));
        }
        let count = self.dice.below(4);
        let mut entries = Vec::new();
        for _ in 0..count {
            seq += 1;
            if self.dice.below(3) == 0 {
                entries.push(progress(seq, self.dice.below(101) as f64));
            } else {
                entries.push(chunk(seq, index));
                index += 1;
            }
        }
        entries
    }

    async fn compare(&self, called: &str) {
        let (ours, models) = (&self.store, &self.model);
        assert_eq!(ours.open_requests().await.ok(), models.open_requests().await.ok(), "open after {called}");
        assert_eq!(ours.stored_bytes().await.ok(), models.stored_bytes().await.ok(), "bytes after {called}");
        for tenant in TENANTS.map(TenantId::new) {
            let now = at(self.now);
            let (our, model) = (ours.usage(&tenant, now).await, models.usage(&tenant, now).await);
            assert_eq!(our.ok(), model.ok(), "{tenant}'s usage after {called}");
        }
        let page = PageQuery { limit: 100, cursor: None };
        let ours_listed = ours.requests(&RequestFilter::default(), &page).await.expect("lists").items;
        let models_listed = models.requests(&RequestFilter::default(), &page).await.expect("lists").items;
        assert_eq!(ours_listed, models_listed, "the list after {called}");
        for summary in models_listed {
            let key = &summary.key;
            assert_eq!(record(ours, key).await, record(models, key).await, "the record after {called}");
            assert_eq!(log(ours, key).await, log(models, key).await, "the log after {called}");
        }
    }

    /// Ends and removes what is left, so that the next history begins with an empty store.
    async fn clear(self) -> i64 {
        let now = self.now + 100;
        for claim in claim_all(&self.store, now).await {
            self.store.finish(&claim.lease, &completed(), at(now), at(now)).await.expect("ends");
        }
        while self.store.purge_requests(at(now), 100).await.expect("purges") > 0 {}
        assert_eq!(self.store.open_requests().await.map_err(|e| e.kind()), Ok::<_, ErrorKind>(0));
        now
    }
}
