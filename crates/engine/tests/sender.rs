//! Messages of the application to connections.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use streamer_engine::{
    BreakerSettings, BreakerState, Frame, SendError, Sender,
    protocol::{CloseCode, ConnectionId, TenantId, UserId},
    push::{self, Push},
    store::{ConnectionRecord, Connections},
    testing::{FakeConnections, MemoryStore, SeededRandom},
};
use tokio::{
    sync::Semaphore,
    time::{Instant, advance},
};

use crate::support::BEGIN;

struct Post {
    sender: Sender,
    fake: Arc<FakeConnections>,
    store: Arc<MemoryStore>,
}

impl Post {
    fn new() -> Self {
        let (fake, store) = (Arc::new(FakeConnections::new()), Arc::new(MemoryStore::new()));
        let random = Arc::new(SeededRandom::new(1));
        let sender = Sender::new(store.clone(), fake.clone(), random, BreakerSettings::default());
        Self { sender, fake, store }
    }

    async fn connect(&self, name: &str) -> ConnectionId {
        let id = ConnectionId::new(name);
        self.fake.open(&id);
        let record = ConnectionRecord {
            id: id.clone(),
            user: UserId::new("ada"),
            tenant: TenantId::new("acme"),
            endpoint: "here".to_owned(),
            connected_at: BEGIN,
            last_ping: BEGIN,
            user_agent: None,
            ip_address: None,
            expires_at: BEGIN + Duration::from_secs(60),
        };
        self.store.connect(&record).await.expect("works");
        id
    }

    async fn is_stored(&self, id: &ConnectionId) -> bool {
        self.store.connection(id).await.expect("works").is_some()
    }

    /// Three sends that fail.
    async fn make_unwell(&self, id: &ConnectionId) {
        self.fake.hold_up(id);
        for _ in 0..3 {
            assert_eq!(self.sender.send(id, "x").await, Err(SendError::Unavailable));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_passing_fault_is_tried_again_with_growing_waits() {
    let post = Post::new();
    let id = post.connect("a").await;
    for (busy, waits) in [(0, 0), (1, 100), (2, 300), (3, 700)] {
        post.fake.busy_for(&id, busy);
        let begun = Instant::now();
        post.sender.send(&id, &json!({ "n": busy })).await.expect("at last");
        let waited = begun.elapsed().as_millis();
        assert!((waits * 3 / 4..=waits * 5 / 4 + 3).contains(&waited), "{busy}: {waited}");
    }
    assert_eq!(post.fake.take(&id).len(), 4, "each once");
    post.fake.busy_for(&id, 4);
    assert_eq!(post.sender.send(&id, "x").await, Err(SendError::Unavailable));
    post.sender.send(&id, "y").await.expect("one failure closes nothing");
    assert!(post.sender.unwell().is_empty());
}

#[tokio::test(start_paused = true)]
async fn errors_say_what_is_wrong_and_what_is_gone_is_removed() {
    let post = Post::new();
    let id = post.connect("a").await;
    assert_eq!(post.sender.send(&ConnectionId::new("nobody"), "x").await, Err(SendError::NotFound));
    post.fake.limit_bytes(&id, 10);
    assert_eq!(post.sender.send(&id, "longer than ten").await, Err(SendError::TooLarge));
    let unprintable = std::collections::BTreeMap::from([((1, 2), 3)]);
    assert_eq!(post.sender.send(&id, &unprintable).await, Err(SendError::Unencodable));
    assert!(post.is_stored(&id).await && post.sender.unwell().is_empty(), "the connection is well");
    post.fake.hang_up(&id);
    assert_eq!(post.sender.send(&id, "x").await, Err(SendError::Stale));
    assert!(!post.is_stored(&id).await);
    assert_eq!(post.sender.send(&id, "x").await, Err(SendError::NotFound));
    post.fake.shut_down();
    assert_eq!(post.sender.send(&id, "x").await, Err(SendError::ShuttingDown));
}

#[tokio::test(start_paused = true)]
async fn three_failures_open_the_circuit_and_one_try_after_a_while_closes_it() {
    let post = Post::new();
    let id = post.connect("a").await;
    post.make_unwell(&id).await;
    let unwell = post.sender.unwell();
    assert_eq!((unwell[0].failures, unwell[0].breaker), (3, BreakerState::Open));
    post.fake.release(&id);
    let begun = Instant::now();
    assert_eq!(post.sender.send(&id, "x").await, Err(SendError::CircuitOpen));
    assert_eq!((begun.elapsed(), post.fake.take(&id)), (Duration::ZERO, vec![]), "not even tried");

    advance(Duration::from_secs(29)).await;
    assert_eq!(post.sender.send(&id, "x").await, Err(SendError::CircuitOpen));
    advance(Duration::from_secs(1)).await;
    assert_eq!(post.sender.unwell()[0].breaker, BreakerState::HalfOpen);
    post.fake.hold_up(&id);
    let (tried, beside) = tokio::join!(post.sender.send(&id, "x"), post.sender.send(&id, "y"));
    assert_eq!((tried, beside), (Err(SendError::Unavailable), Err(SendError::CircuitOpen)), "one tries");
    post.fake.release(&id);
    assert_eq!(post.sender.send(&id, "x").await, Err(SendError::CircuitOpen), "open again");
    advance(Duration::from_secs(30)).await;
    post.sender.send(&id, "x").await.expect("it is well again");
    post.sender.send(&id, "y").await.expect("closed");
    assert!(post.sender.unwell().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_reaches_all_it_can_and_tells_of_the_rest() {
    let post = Post::new();
    let (well, gone, busy) =
        (post.connect("well").await, post.connect("gone").await, post.connect("busy").await);
    let (unwell, small) = (post.connect("unwell").await, post.connect("small").await);
    post.make_unwell(&unwell).await;
    post.fake.release(&unwell);
    post.fake.hang_up(&gone);
    post.fake.hold_up(&busy);
    post.fake.limit_bytes(&small, 5);
    let nobody = ConnectionId::new("nobody");
    let to = [&gone, &busy, &unwell, &small, &nobody, &well].map(Clone::clone);
    let begun = Instant::now();
    let broadcast = post.sender.broadcast(&to, &json!({ "to": "all" })).await.expect("prints");
    assert_eq!(begun.elapsed(), Duration::ZERO, "nobody is waited for");
    assert_eq!(broadcast.delivered, 1);
    let mut failed = broadcast.failed;
    failed.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        failed,
        [
            (busy.clone(), SendError::Unavailable),
            (gone.clone(), SendError::Stale),
            (nobody, SendError::NotFound),
            (small, SendError::TooLarge),
            (unwell.clone(), SendError::CircuitOpen),
        ]
    );
    assert_eq!(post.fake.take(&well), [json!({ "to": "all" })]);
    assert!(!post.is_stored(&gone).await);
    advance(Duration::from_secs(30)).await;
    let broadcast = post.sender.broadcast(std::slice::from_ref(&unwell), "again").await.expect("prints");
    assert_eq!((broadcast.delivered, post.fake.take(&unwell)), (1, vec![json!("again")]));
}

#[tokio::test(start_paused = true)]
async fn broadcasts_alone_open_a_circuit_too() {
    let post = Post::new();
    let id = post.connect("a").await;
    post.fake.hold_up(&id);
    for expected in [SendError::Unavailable; 3].into_iter().chain([SendError::CircuitOpen]) {
        let broadcast = post.sender.broadcast(std::slice::from_ref(&id), &Value::Null).await.expect("prints");
        assert_eq!(broadcast.failed, [(id.clone(), expected)]);
    }
}

/// Connections that note what is handed to many at once, and let that go on only with a permit.
struct Noted {
    inner: FakeConnections,
    permits: Semaphore,
    at_once: AtomicUsize,
    behind: AtomicUsize,
}

#[async_trait]
impl Push for Noted {
    async fn push(&self, to: &ConnectionId, frame: Frame) -> push::Result<()> {
        self.inner.push(to, frame).await
    }

    async fn push_many(&self, to: &[ConnectionId], frames: &[Frame]) -> Vec<push::Result<()>> {
        self.at_once.fetch_add(1, Ordering::Relaxed);
        self.permits.acquire().await.expect("open").forget();
        self.inner.push_many(to, frames).await
    }

    async fn drained(&self, to: &ConnectionId) -> push::Result<()> {
        self.inner.drained(to).await
    }

    fn behind(&self) -> usize {
        self.behind.load(Ordering::Relaxed)
    }

    async fn is_active(&self, to: &ConnectionId) -> bool {
        self.inner.is_active(to).await
    }

    async fn disconnect(&self, to: &ConnectionId, why: CloseCode) -> push::Result<()> {
        self.inner.disconnect(to, why).await
    }
}

#[tokio::test]
async fn a_broadcast_is_queued_beside_another_and_while_many_are_behind() {
    let noted = Noted {
        inner: FakeConnections::new(),
        permits: Semaphore::new(0),
        at_once: AtomicUsize::new(0),
        behind: AtomicUsize::new(0),
    };
    let to = ["a", "b", "c", "d"].map(ConnectionId::new);
    to.iter().for_each(|id| noted.inner.open(id));
    let noted = Arc::new(noted);
    let (store, random) = (Arc::new(MemoryStore::new()), Arc::new(SeededRandom::new(1)));
    let sender = Sender::new(store, noted.clone(), random, BreakerSettings::default());
    let at_once = || noted.at_once.load(Ordering::Relaxed);

    let alone = sender.broadcast(&to, "first");
    tokio::pin!(alone);
    assert!(futures_util::poll!(alone.as_mut()).is_pending());
    let beside = sender.broadcast(&to, "second").await.expect("prints");
    assert_eq!((beside.delivered, at_once()), (4, 1), "the first waits for its permit");
    noted.permits.add_permits(1);
    assert_eq!(alone.await.expect("prints").delivered, 4);
    assert_eq!(noted.inner.take(&to[3]), ["second", "first"]);

    noted.behind.store(2, Ordering::Relaxed);
    assert_eq!(sender.broadcast(&to, "third").await.expect("prints").delivered, 4);
    assert_eq!(at_once(), 1);
    noted.behind.store(1, Ordering::Relaxed);
    noted.permits.add_permits(1);
    assert_eq!(sender.broadcast(&to, "fourth").await.expect("prints").delivered, 4);
    assert_eq!((at_once(), noted.inner.take(&to[0]).len()), (2, 4));
}
