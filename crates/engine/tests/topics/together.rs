//! What is published while messages go out waits, within a bound, and goes together.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use parking_lot::Mutex;
use serde_json::json;
use streamer_engine::{
    Engine, Frame, Handlers, Ports, Router, Settings,
    protocol::{CloseCode, ConnectionId, ErrorCode},
    push::{Push, Result},
    store::WorkerId,
    testing::{FakeConnections, MemoryStore, SeededRandom},
};
use tokio::{sync::Semaphore, task::yield_now};

use super::{key, settings};
use crate::support::{Node, World, soon};

/// Hands messages to many only once it may.
struct Held {
    fake: Arc<FakeConnections>,
    may: Semaphore,
    /// How many messages went together, each time.
    volleys: Mutex<Vec<usize>>,
}

#[async_trait]
impl Push for Held {
    async fn push(&self, to: &ConnectionId, frame: Frame) -> Result<()> {
        self.fake.push(to, frame).await
    }

    async fn push_many(&self, to: &[ConnectionId], frames: &[Frame]) -> Vec<Result<()>> {
        self.volleys.lock().push(frames.len());
        self.may.acquire().await.expect("open").forget();
        self.fake.push_many(to, frames).await
    }

    async fn drained(&self, to: &ConnectionId) -> Result<()> {
        self.fake.drained(to).await
    }

    async fn is_active(&self, to: &ConnectionId) -> bool {
        self.fake.is_active(to).await
    }

    async fn disconnect(&self, to: &ConnectionId, why: CloseCode) -> Result<()> {
        self.fake.disconnect(to, why).await
    }
}

fn with_pushes_held(change: impl FnOnce(&mut Settings)) -> (Node, Arc<Held>) {
    let fake = Arc::new(FakeConnections::new());
    let held = Arc::new(Held { fake: Arc::clone(&fake), may: Semaphore::new(0), volleys: Mutex::default() });
    let ports = Ports {
        store: Arc::new(MemoryStore::new()),
        push: Arc::clone(&held) as _,
        clock: Arc::clone(&World::new().clock) as _,
        random: Arc::new(SeededRandom::new(1)),
        handlers: Handlers::default(),
    };
    let mut settings = settings();
    change(&mut settings);
    (Node::of(Engine::new(ports, Router::new(), WorkerId::new("w"), settings), fake), held)
}

#[tokio::test(start_paused = true)]
async fn what_is_published_meanwhile_goes_together_within_a_bound() {
    for topic in ["none.a", "memory.a"] {
        let (node, held) = with_pushes_held(|settings| settings.topics.publish_depth_max = 3);
        let ada = node.connect("a", "ada").await;
        ada.subscribe_to(topic).await;

        let publish = |n: i32| {
            let engine = node.engine.clone();
            tokio::spawn(async move { engine.publish(&key(topic), json!(n).into()).await })
        };
        let mut publishing = vec![publish(1)];
        while held.volleys.lock().is_empty() {
            yield_now().await;
        }
        publishing.extend([2, 3, 4].map(publish));
        // Each is polled once before this one.
        let refused =
            soon("the answer", publish(5)).await.expect("no panic").expect_err("three wait already");
        assert_eq!(refused.code, ErrorCode::Overloaded);

        held.may.add_permits(10);
        let published = soon("the answers", join_all(publishing)).await;
        let offsets = published.into_iter().map(|done| done.expect("no panic").expect("published").offset);
        assert_eq!(offsets.collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(*held.volleys.lock(), [1, 3], "{topic}");
        let heard = ada.events_until(json!(4)).await;
        assert_eq!(heard, [1, 2, 3, 4].map(|n: u64| (n, json!(n))));
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_one_moment_goes_together() {
    for followers in [1, 300] {
        let (node, held) = with_pushes_held(|_| {});
        held.may.add_permits(10);
        let mut clients = Vec::new();
        for n in 0..followers {
            let client = node.connect(&format!("c{n}"), "ada").await;
            client.subscribe_to("none.a").await;
            clients.push(client);
        }
        let publish = |n: i32| {
            let engine = node.engine.clone();
            tokio::spawn(async move { engine.publish(&key("none.a"), json!(n).into()).await })
        };
        for published in soon("the answers", join_all([publish(1), publish(2)])).await {
            published.expect("no panic").expect("published");
        }
        assert_eq!(*held.volleys.lock(), [2], "{followers} followers");
        assert_eq!(clients[0].events_until(json!(2)).await, [(1, json!(1)), (2, json!(2))]);
    }
}
