//! The topics of this process by tenant and name, within their bounds.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use streamer_protocol::{TenantId, Topic};
use tokio::time::Instant;

use super::{TopicSettings, live_topic::LiveTopic, ring::Usage};
use crate::store::TopicKey;

/// A full tenant's topics are looked through at most so often.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Directory {
    tenants: Mutex<Tenants>,
    memory_bytes: Arc<AtomicU64>,
}

#[derive(Default)]
struct Tenants {
    by_id: HashMap<TenantId, Tenant>,
    topics: u64,
}

#[derive(Default)]
struct Tenant {
    topics: HashMap<Topic, Arc<LiveTopic>>,
    memory_bytes: Arc<AtomicU64>,
    swept_at: Option<Instant>,
}

impl Directory {
    pub(super) fn find(&self, key: &TopicKey) -> Option<Arc<LiveTopic>> {
        self.tenants.lock().by_id.get(&key.tenant)?.topics.get(&key.topic).cloned()
    }

    /// The topic, or the one that begins; `None` if there are as many as there may be.
    pub(super) fn find_or_insert(
        &self,
        key: &TopicKey,
        settings: &TopicSettings,
        begin: impl FnOnce(Usage) -> LiveTopic,
    ) -> Option<Arc<LiveTopic>> {
        let mut tenants = self.tenants.lock();
        let Tenants { by_id, topics } = &mut *tenants;
        if let Some(topic) = by_id.get(&key.tenant).and_then(|tenant| tenant.topics.get(&key.topic)) {
            return Some(Arc::clone(topic));
        }
        let of_tenant = by_id.get(&key.tenant).map_or(0, |tenant| tenant.topics.len());
        if *topics >= settings.topics_max || of_tenant as u64 >= settings.tenant_topics_max {
            return None;
        }
        let tenant = by_id.entry(key.tenant.clone()).or_default();
        let usage = Usage { tenant: Arc::clone(&tenant.memory_bytes), all: Arc::clone(&self.memory_bytes) };
        let topic = Arc::new(begin(usage));
        tenant.topics.insert(key.topic.clone(), Arc::clone(&topic));
        *topics += 1;
        Some(topic)
    }

    /// Takes a topic out.
    pub(super) fn remove(&self, topic: &Arc<LiveTopic>) {
        let mut tenants = self.tenants.lock();
        let Tenants { by_id, topics } = &mut *tenants;
        let Some(tenant) = by_id.get_mut(&topic.key.tenant) else { return };
        if tenant.topics.get(&topic.key.topic).is_some_and(|there| Arc::ptr_eq(there, topic)) {
            tenant.topics.remove(&topic.key.topic);
            *topics -= 1;
        }
        if tenant.topics.is_empty() {
            by_id.remove(&topic.key.tenant);
        }
    }

    /// All of them, in no order.
    pub(super) fn all(&self) -> Vec<Arc<LiveTopic>> {
        self.tenants.lock().by_id.values().flat_map(|tenant| tenant.topics.values()).cloned().collect()
    }

    /// The topics of a tenant that is full, to see which may go: none if that was looked for a moment ago.
    pub(super) fn sweepable(&self, tenant: &TenantId) -> Vec<Arc<LiveTopic>> {
        let mut tenants = self.tenants.lock();
        let Some(tenant) = tenants.by_id.get_mut(tenant) else { return Vec::new() };
        let now = Instant::now();
        if tenant.swept_at.is_some_and(|swept_at| now < swept_at + SWEEP_INTERVAL) {
            return Vec::new();
        }
        tenant.swept_at = Some(now);
        tenant.topics.values().cloned().collect()
    }

    pub(super) fn len(&self) -> u64 {
        self.tenants.lock().topics
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes.load(Ordering::Relaxed)
    }
}
