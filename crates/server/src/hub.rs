//! The connections of this process, and the way to them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use streamer_engine::{
    Engine, Frame,
    push::{Error, Push, Result},
};
use streamer_protocol::{CloseCode, ConnectionId, Draining, ServerFrame, TenantId};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Settings,
    link::{Behind, Bounds, Link},
    places::{Full, Place, Places},
    volley::{Volley, text},
};

/// At most so many are stored in one step.
const TOUCH_MAX: usize = 500;

/// Messages go to at most so many connections in one go: less than a millisecond, at some microseconds for each.
const PUSH_MAX: usize = 128;

/// The connections of this process. Implements [`Push`]; cheap to clone.
#[derive(Clone)]
pub struct Hub {
    links: Arc<RwLock<Links>>,
    places: Arc<Mutex<Places>>,
    bounds: Bounds,
    behind: Behind,
    /// How often it is stored who was heard from.
    touch_interval: Duration,
    /// The connections' own tasks.
    pub(crate) tasks: TaskTracker,
}

#[derive(Default)]
struct Links {
    open: HashMap<ConnectionId, Arc<Link>>,
    /// Whoever comes now is sent away again.
    closing: bool,
}

impl Hub {
    /// No connections yet.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let bounds =
            Bounds { bytes_max: settings.outbound_bytes_max, messages_max: settings.outbound_messages_max };
        let places = Places::new(settings.connections_max, settings.tenant_connections_max);
        Self {
            links: Arc::default(),
            places: Arc::new(Mutex::new(places)),
            bounds,
            behind: Behind::default(),
            touch_interval: settings.heartbeat / 2,
            tasks: TaskTracker::new(),
        }
    }

    /// How many connections there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.links.read().open.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many connections of this tenant there are, or are about to be, on this node.
    #[must_use]
    pub fn connections_of(&self, tenant: &TenantId) -> usize {
        self.places.lock().of(tenant)
    }

    /// The tenants with the most connections, at most so many; and how many connections the others have together.
    pub(crate) fn largest_tenants(&self, count: usize) -> (Vec<(TenantId, usize)>, usize) {
        self.places.lock().largest(count)
    }

    /// Shows in the metrics what the hub holds in memory just now.
    pub(crate) fn measure(&self) {
        let (mut bytes, mut messages) = (0, 0);
        for link in self.all() {
            let (more_bytes, more_messages) = link.waiting();
            bytes += more_bytes;
            messages += more_messages;
        }
        metrics::gauge!("streamer_connections_active").set(self.len() as f64);
        metrics::gauge!("streamer_tenants_connected").set(self.places.lock().tenants() as f64);
        metrics::gauge!("streamer_connections_behind").set(self.behind.count() as f64);
        metrics::gauge!("streamer_outbound_waiting_bytes").set(bytes as f64);
        metrics::gauge!("streamer_outbound_waiting_messages").set(messages as f64);
    }

    /// A place for one more connection of this tenant, if there is one.
    pub(crate) fn place(&self, tenant: &TenantId) -> std::result::Result<Place, Full> {
        Place::take(&self.places, tenant)
    }

    pub(crate) fn add(&self, id: ConnectionId) -> Arc<Link> {
        let link = Arc::new(Link::new(id.clone(), self.bounds, self.behind.clone()));
        let mut links = self.links.write();
        if links.closing {
            let _ = link.close(CloseCode::GoingAway);
        }
        links.open.insert(id, Arc::clone(&link));
        metrics::gauge!("streamer_connections_active").set(links.open.len() as f64);
        link
    }

    pub(crate) fn remove(&self, link: &Link) {
        link.end();
        let mut links = self.links.write();
        links.open.remove(&link.id);
        metrics::gauge!("streamer_connections_active").set(links.open.len() as f64);
    }

    /// Stores who was heard from, until `stop`; then closes every connection and waits until all are gone.
    pub async fn run(&self, engine: &Engine, stop: CancellationToken) {
        let mut interval = tokio::time::interval(self.touch_interval);
        loop {
            tokio::select! {
                _ = interval.tick() => {}
                () = stop.cancelled() => break,
            }
            let heard: Vec<_> =
                self.all().into_iter().filter(|link| link.take_heard()).map(|link| link.id.clone()).collect();
            for ids in heard.chunks(TOUCH_MAX) {
                engine.touch(ids).await;
            }
        }
        self.tasks.close();
        self.links.write().closing = true;
        for link in self.all() {
            // One that closes already needs no asking.
            let _ = link.close(CloseCode::GoingAway);
        }
        self.tasks.wait().await;
    }

    /// Tells every client to reconnect elsewhere, each at another moment within `spread`.
    pub(crate) fn tell_draining(&self, engine: &Engine, spread: Duration) {
        for link in self.all() {
            tell_draining(&link, engine, spread);
        }
    }

    fn all(&self) -> Vec<Arc<Link>> {
        self.links.read().open.values().cloned().collect()
    }

    fn link(&self, id: &ConnectionId) -> Result<Arc<Link>> {
        self.links.read().open.get(id).cloned().ok_or(Error::Gone)
    }
}

/// Tells one client to reconnect elsewhere, at some moment within `spread`.
pub(crate) fn tell_draining(link: &Link, engine: &Engine, spread: Duration) {
    let timestamp = engine.clock().now();
    let wait = spread.mul_f64(engine.random().fraction());
    let retry_after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let frame = Frame::of(&ServerFrame::Draining(Draining { retry_after_ms, timestamp }));
    // Who has no room learns it by the close.
    let _ = link.push(text(&frame), None);
}

#[async_trait]
impl Push for Hub {
    async fn push(&self, to: &ConnectionId, frame: Frame) -> Result<()> {
        self.link(to)?.push(text(&frame), frame.collapses())
    }

    async fn push_many(&self, to: &[ConnectionId], frames: &[Frame]) -> Vec<Result<()>> {
        let volley = Volley::new(frames);
        let mut pushed = Vec::with_capacity(to.len());
        for some in to.chunks(PUSH_MAX) {
            if !pushed.is_empty() {
                // Everybody else on this core goes on.
                tokio::task::yield_now().await;
            }
            // Not written under the lock: whoever connects meanwhile would wait.
            let links: Vec<_> = {
                let links = self.links.read();
                some.iter().map(|id| links.open.get(id).cloned()).collect()
            };
            let push = |link: Option<Arc<Link>>| link.ok_or(Error::Gone)?.push_at_once(&volley);
            pushed.extend(links.into_iter().map(push));
        }
        pushed
    }

    async fn drained(&self, to: &ConnectionId) -> Result<()> {
        self.link(to)?.drained().await
    }

    fn behind(&self) -> usize {
        self.behind.count()
    }

    async fn is_active(&self, to: &ConnectionId) -> bool {
        self.link(to).is_ok_and(|link| link.is_open())
    }

    async fn disconnect(&self, to: &ConnectionId, why: CloseCode) -> Result<()> {
        self.link(to)?.close(why)
    }
}

#[cfg(test)]
mod tests {
    use streamer_engine::{
        Ports, Router,
        clock::Clock as _,
        store::{ConnectionRecord, Connections as _, WorkerId},
        testing::{ManualClock, MemoryStore},
    };
    use streamer_protocol::{TenantId, Timestamp, UserId};

    use super::*;

    fn record(id: &ConnectionId, at: Timestamp) -> ConnectionRecord {
        ConnectionRecord {
            id: id.clone(),
            user: UserId::new("u"),
            tenant: TenantId::new("t"),
            endpoint: "here".to_owned(),
            connected_at: at,
            last_ping: at,
            user_agent: None,
            ip_address: None,
            expires_at: at + Duration::from_secs(3600),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_stored_who_was_heard_from_and_whoever_comes_late_is_sent_away() {
        let (hub, store) = (Hub::new(&Settings::default()), Arc::new(MemoryStore::new()));
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1)));
        let push = Arc::new(hub.clone());
        let ports = Ports { clock: Arc::clone(&clock) as _, ..Ports::new(Arc::clone(&store) as _, push) };
        let settings = streamer_engine::Settings::default();
        let engine = Engine::new(ports, Router::new(), WorkerId::new("w"), settings);
        let ids = ["heard", "silent"].map(ConnectionId::new);
        for id in &ids {
            store.connect(&record(id, clock.now())).await.expect("stored");
        }
        let [heard, silent] = ids.clone().map(|id| hub.add(id));
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let (hub, stop) = (hub.clone(), stop.clone());
            async move { hub.run(&engine, stop).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        heard.hear();
        let later = clock.advance(Duration::from_secs(9));
        tokio::time::sleep(Settings::default().heartbeat / 2).await;
        let expected = [
            ConnectionRecord {
                last_ping: later,
                expires_at: later + streamer_engine::Settings::default().connection_ttl,
                ..record(&ids[0], Timestamp::from_millis(1))
            },
            record(&ids[1], Timestamp::from_millis(1)),
        ];
        for (id, expected) in ids.iter().zip(expected) {
            assert_eq!(store.connection(id).await.expect("works"), Some(expected));
        }

        stop.cancel();
        running.await.expect("no panic");
        for link in [heard, silent, hub.add(ConnectionId::new("late"))] {
            assert_eq!(link.asked_to_close(), Some(CloseCode::GoingAway));
        }
    }
}
