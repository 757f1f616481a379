//! Random histories: a sink leaves what `apply` leaves.

use std::collections::BTreeMap;

use streamer_events::{
    Batch, Document, Write,
    apply::{Applied, apply},
    random::Random,
    sink::RefusedWrite,
    testing::{SeededRandom, given},
};

use super::{SharedSink, add, on};

const HISTORIES: u64 = 4;
const BATCHES: u64 = 30;

struct Chance(SeededRandom);

impl Chance {
    fn below(&self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    fn write(&self, id: &str) -> Write {
        let write = on(id);
        match self.below(12) {
            0 | 1 => write.insert(Document::new().with("n", 1).with("text", "t")),
            2 => write.delete(),
            3 => write.set("a.b", self.below(100) as i64),
            4 => write.unset("a"),
            // Refused wherever `text` is text.
            5 => write.increment("text", 1),
            6 | 7 => self.entry(write),
            8 => write.increment("n", 1).set("a.c", "both"),
            _ => write.increment("n", 1).creating(),
        }
    }

    fn entry(&self, write: Write) -> Write {
        let entry = Document::new().with("k", self.below(4) as i64);
        match self.below(3) {
            0 => write.remove("list", "k", entry).counting("count"),
            _ => write.add_once("list", "k", entry).counting("count"),
        }
    }
}

/// Applies every group to documents in memory, as the sink should.
fn expect(documents: &mut BTreeMap<String, Document>, batch: &Batch) -> Vec<RefusedWrite> {
    let mut refused = Vec::new();
    for group in &batch.groups {
        match apply(documents.get(&*group.id).cloned(), group) {
            Applied::Known => {}
            Applied::Document(document) => drop(documents.insert(group.id.to_string(), document)),
            Applied::Refused(writes) => refused.extend(writes.into_iter().map(|write| RefusedWrite {
                author: write.author,
                collection: group.collection.clone(),
                id: group.id.clone(),
                refusal: write.refusal,
            })),
        }
    }
    refused
}

/// Whether they have the same fields; a database may order those of a document in its own way.
fn same(stored: &Document, expected: &Document) -> bool {
    stored.len() == expected.len() && expected.iter().all(|(name, value)| stored.get(name) == Some(value))
}

fn sorted(mut refused: Vec<RefusedWrite>) -> Vec<RefusedWrite> {
    refused.sort_by_key(|r| (r.id.clone(), r.author.event.clone(), r.refusal.to_string()));
    refused
}

/// Batches with all kinds of edits from two partitions, some of them repeated with other boundaries.
pub async fn agrees_on_random_histories(sink: SharedSink) {
    for seed in 0..HISTORIES {
        let chance = Chance(SeededRandom::new(seed));
        let mut documents = BTreeMap::new();
        let mut written: BTreeMap<(u32, u64), Vec<Write>> = BTreeMap::new();
        let mut next = [1_u64, 1];
        for _ in 0..BATCHES {
            let partition = chance.below(2) as u32;
            let head = next[partition as usize];
            let from = head.saturating_sub(chance.below(4)).max(1);
            let to = head + chance.below(6);
            let mut batch = Batch::default();
            for at in from..=to {
                let ids = (0..chance.below(3)).map(|_| format!("s{seed}-{}", chance.below(4)));
                let fresh = || ids.map(|id| chance.write(&id)).collect::<Vec<_>>();
                let writes = written.entry((partition, at)).or_insert_with(fresh).clone();
                add(&mut batch, given::event(partition, at, "Told", "{}"), writes);
            }
            next[partition as usize] = to + 1;
            let mut rest = Some(batch);
            while let Some(batch) = rest.take() {
                let refused = sorted(sink.apply(&batch).await.expect("answers"));
                assert_eq!(refused, sorted(expect(&mut documents, &batch)), "seed {seed}");
                if !refused.is_empty() {
                    rest = Some(batch.without(&refused).expect("was not left out before"));
                }
            }
        }
        for (id, expected) in documents {
            let stored = sink.document("things", &id).await;
            assert!(
                stored.as_ref().is_some_and(|stored| same(stored, &expected)),
                "seed {seed}, {id}: {stored:?} is not {expected:?}"
            );
        }
    }
}
