//! Random events, faults, crashes and rebalances, by a seed: in the end the documents are what the events, folded one
//! by one, make of them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use streamer_events::{
    Change, Document, Outbox, Registry,
    apply::{Applied, apply, waiting},
    batch::Group,
    random::Random,
    sink::DeadLetters as _,
    testing::{Fault, FaultySink, FaultySource, MemoryLog, MemorySink, SeededRandom, given},
};
use tokio_util::sync::CancellationToken;

use crate::bed::{pipeline, told, user};

const SEEDS: u64 = 24;
const EVENTS: u64 = 160;

struct Chance(SeededRandom);

impl Chance {
    fn below(&self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    /// An event of a small world, so that they meet; some before what they are about, some that do not fit.
    fn event(&self, n: u64) -> Change {
        let id = format!("e{n}");
        let (who, what) = (format!("u{}", self.below(12)), format!("a{}", self.below(8)));
        match self.below(10) {
            0..=2 => user(n),
            3 => told(&id, "UserUpdated", &format!("u{}", self.below(EVENTS)), json!({ "bio": id })),
            4 | 5 => told(&id, "ActivityCreated", &what, json!({ "title": "t", "creator_id": who })),
            6 => told(&id, "ActivityUpdated", &what, json!({ "updates": { "status": id } })),
            7 => told(&id, "UserCreated", &id, json!({ "email": false })),
            _ => told(&id, "ParticipantJoined", &what, json!({ "user_id": who })),
        }
    }
}

/// What one document of one event's handler becomes: the fold, without batches.
fn fold(documents: &mut BTreeMap<(String, String), Document>, registry: &Registry, change: &Change) {
    let Some(Ok(event)) = Outbox::default().event(change) else { return };
    for (handler, write) in registry.project(&event).writes {
        let key = (write.collection.to_string(), write.id.to_string());
        let author = streamer_events::batch::Author { event: event.id.clone(), handler };
        let placed = streamer_events::batch::Placed {
            offset: event.position.offset,
            author,
            known_at: Arc::default(),
            missing: write.missing,
            edits: write.edits,
        };
        let group = Group {
            collection: write.collection,
            id: write.id,
            // Each event is its own partition: the fold knows no positions.
            partition: format!("e{}", event.id.as_str().trim_start_matches('e')).parse().expect("fits"),
            writes: vec![placed],
            void: Vec::new(),
        };
        if let Applied::Document(document) = apply(documents.get(&key).cloned(), &group) {
            documents.insert(key, document);
        }
    }
}

fn without_positions(
    documents: BTreeMap<(String, String), Document>,
) -> BTreeMap<(String, String), Document> {
    let strip = |mut document: Document| {
        document.remove("pos");
        document
    };
    documents
        .into_iter()
        .map(|(key, document)| (key, strip(document)))
        .filter(|(_, d)| waiting(d) == 0)
        .collect()
}

/// A faulty sink that can be shared by processes, and a log of two partitions.
struct World {
    log: Arc<MemoryLog>,
    sink: Arc<FaultySink<MemorySink>>,
    calm: Arc<AtomicBool>,
    chance: Arc<Chance>,
}

impl World {
    fn new(seed: u64) -> Self {
        let chance = Arc::new(Chance(SeededRandom::new(seed)));
        let calm = Arc::new(AtomicBool::new(false));
        let plan = {
            let (chance, calm) = (Arc::clone(&chance), Arc::clone(&calm));
            move |_| match (calm.load(Ordering::Relaxed), chance.below(12)) {
                (true, _) => None,
                (_, 0) => Some(Fault::Refuse),
                (_, 1) => Some(Fault::LoseReply),
                (_, 2 | 3) => Some(Fault::DoPart),
                (_, 4) => Some(Fault::Delay(Duration::from_millis(chance.below(50)))),
                _ => None,
            }
        };
        let sink = Arc::new(FaultySink::new(MemorySink::new(), plan));
        Self { log: MemoryLog::new(given::epoch()), sink, calm, chance }
    }

    /// A process that reads these partitions for a while, and then dies or stops; some of its confirmations are lost.
    async fn live(&self, partitions: &[u32]) {
        let chance = Arc::clone(&self.chance);
        let source = FaultySource::new(self.log.source(partitions), move |_| chance.below(4) == 0);
        let pipeline = pipeline(source, self.sink.clone());
        let stop = CancellationToken::new();
        let span = Duration::from_millis(5 + self.chance.below(200));
        // Dropped in the middle of whatever it does: that is a crash, but for what its tasks do meanwhile.
        let crashes = self.chance.below(2) == 0;
        let running = pipeline.run(stop.clone());
        tokio::pin!(running);
        if tokio::time::timeout(span, &mut running).await.is_err() && !crashes {
            stop.cancel();
            running.await.expect("stops");
        }
    }

    async fn finish(&self) {
        self.calm.store(true, Ordering::Relaxed);
        let pipeline = pipeline(self.log.source(&[0, 1]), self.sink.clone());
        crate::bed::run_until(&pipeline, || self.log.is_confirmed()).await.expect("ends well");
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_the_documents_are_the_fold_of_the_events() {
    let registry = streamer_events::projections::registry();
    let mut repeated = 0;
    for seed in 0..SEEDS {
        let world = World::new(seed);
        let mut fold_of = BTreeMap::new();
        let mut number = 0;
        while number < EVENTS {
            for _ in 0..world.chance.below(40) {
                number += 1;
                let change = world.chance.event(number);
                fold(&mut fold_of, &registry, &change);
                // What is about one aggregate is in one partition, as by its key.
                let event = Outbox::default().event(&change).expect("is an event").expect("is whole");
                let partition = u32::from(event.aggregate_id.bytes().map(u32::from).sum::<u32>() % 2 == 1);
                world.log.append(partition, change);
            }
            match world.chance.below(3) {
                0 => world.live(&[0, 1]).await,
                // Two processes share the partitions, then one takes the other's.
                1 => drop(tokio::join!(world.live(&[0]), world.live(&[1]))),
                // One that believes it still has what another took over.
                _ => drop(tokio::join!(world.live(&[0, 1]), world.live(&[1]))),
            }
        }
        world.finish().await;
        let found = without_positions(world.sink.inner().documents());
        let expected = without_positions(fold_of);
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "seed {seed}");
        for (key, document) in &expected {
            let (found, expected) = (&found[key], document);
            let text = |document| serde_json::to_string(document).expect("prints");
            assert!(same(found, expected), "seed {seed}, {key:?}: {} is not {}", text(found), text(expected));
        }
        assert!(world.sink.count_letters().await.expect("answers") > 0, "seed {seed}");
        repeated += world.sink.inner().repeated();
    }
    assert!(repeated > 100, "events came again: {repeated}");
}

/// Two partitions have no order between them, so only what depends on none is compared where they meet: all of it,
/// but for the time of the last change of a document of counts, which is the same here.
fn same(found: &Document, expected: &Document) -> bool {
    found.len() == expected.len() && expected.iter().all(|(name, value)| found.get(name) == Some(value))
}
