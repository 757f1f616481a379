//! Who is on the other end: of a connection, or of a call.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;
use streamer_protocol::{ConnectionId, ErrorBody, RequestId, TenantId, Timestamp, Topic, UserId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    handlers::Started,
    push::Push,
    store::{RequestKey, TopicKey},
    topics::Rights,
};

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Inside the tenant.
    pub user: UserId,
    /// Whose data it is.
    pub tenant: TenantId,
}

impl Caller {
    /// The name of a request of this caller: there is no way to name another's.
    #[must_use]
    pub fn key(&self, id: RequestId) -> RequestKey {
        RequestKey::new(self.tenant.clone(), self.user.clone(), id)
    }

    /// The name of a topic of this caller's tenant: there is no way to name another's.
    #[must_use]
    pub fn topic(&self, topic: Topic) -> TopicKey {
        TopicKey::new(self.tenant.clone(), topic)
    }
}

/// Takes a connection's fresh token.
pub trait Credentials: Send + Sync {
    /// What the newest token allows.
    fn rights(&self) -> Arc<Rights>;

    /// Checks the token: it must be valid, and of the same user and tenant. Answers until when it holds.
    fn refresh(&self, token: &str) -> Result<Timestamp, ErrorBody>;
}

/// A live connection, as the engine knows it; or somebody who has none, but calls and is answered.
pub struct Session {
    /// Its name.
    pub connection: ConnectionId,
    /// Who is on its other end.
    pub caller: Caller,
    in_flight: Arc<Semaphore>,
    credentials: Arc<dyn Credentials>,
    /// The way to whoever has no connection.
    own_way: Option<Arc<dyn Push>>,
    /// The requests that it follows, until it has ended; see `live`.
    pub(crate) follows: Mutex<Option<HashSet<RequestId>>>,
    /// The start of the short request that came last; see `handlers`.
    pub(crate) turn: Mutex<Option<Started>>,
    /// The topics that it is subscribed to, or about to be, until it has ended, each with its newest subscription; see
    /// `topics`.
    pub(crate) subscriptions: Mutex<Option<BTreeMap<Topic, u64>>>,
}

/// The connection is subscribed to as many topics as it may be.
#[derive(Debug)]
pub(crate) struct TooManySubscriptions;

impl Session {
    pub(crate) fn new(
        connection: ConnectionId,
        caller: Caller,
        in_flight_max: usize,
        credentials: Arc<dyn Credentials>,
    ) -> Arc<Self> {
        let in_flight = Arc::new(Semaphore::new(in_flight_max));
        let follows = Mutex::new(Some(HashSet::new()));
        let turn = Mutex::default();
        let subscriptions = Mutex::new(Some(BTreeMap::new()));
        let own_way = None;
        Arc::new(Self { connection, caller, in_flight, credentials, own_way, follows, turn, subscriptions })
    }

    pub(crate) fn rights(&self) -> Arc<Rights> {
        self.credentials.rights()
    }

    /// Notes a subscription, in the place of an earlier one. That of a session which has ended comes to nothing.
    pub(crate) fn subscribe(
        &self,
        topic: &Topic,
        serial: u64,
        max: usize,
    ) -> Result<(), TooManySubscriptions> {
        if let Some(subscriptions) = &mut *self.subscriptions.lock() {
            if !subscriptions.contains_key(topic) && subscriptions.len() >= max {
                return Err(TooManySubscriptions);
            }
            subscriptions.insert(topic.clone(), serial);
        }
        Ok(())
    }

    /// Whether it subscribes to nothing any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.subscriptions.lock().is_none()
    }

    /// Whether this is the newest subscription to the topic.
    pub(crate) fn is_subscribed(&self, topic: &Topic, serial: u64) -> bool {
        self.subscriptions.lock().as_ref().is_some_and(|known| known.get(topic) == Some(&serial))
    }

    /// Forgets the subscription to a topic. Whether there was one.
    pub(crate) fn unsubscribe(&self, topic: &Topic) -> bool {
        self.subscriptions.lock().as_mut().is_some_and(|known| known.remove(topic).is_some())
    }

    /// Forgets this subscription to a topic, if it is the newest. Whether it was.
    pub(crate) fn unsubscribe_if(&self, topic: &Topic, serial: u64) -> bool {
        let mut subscriptions = self.subscriptions.lock();
        let Some(known) = subscriptions.as_mut().filter(|known| known.get(topic) == Some(&serial)) else {
            return false;
        };
        known.remove(topic).is_some()
    }

    /// That of somebody who has no connection. `name` is no connection's.
    pub(crate) fn visiting(
        name: ConnectionId,
        caller: Caller,
        way: Arc<dyn Push>,
        credentials: Arc<dyn Credentials>,
    ) -> Arc<Self> {
        Arc::new(Self {
            connection: name,
            caller,
            // Whoever opens it counts what is worked on for all of the caller's together.
            in_flight: Arc::new(Semaphore::new(0)),
            credentials,
            own_way: Some(way),
            follows: Mutex::new(Some(HashSet::new())),
            turn: Mutex::default(),
            // It has nowhere to hear of topics.
            subscriptions: Mutex::new(None),
        })
    }

    /// Whether there is a connection on its other end.
    pub(crate) fn is_connection(&self) -> bool {
        self.own_way.is_none()
    }

    /// The way to its other end: its own, or the one to connections.
    pub(crate) fn way<'a>(&'a self, to_connections: &'a dyn Push) -> &'a dyn Push {
        self.own_way.as_deref().unwrap_or(to_connections)
    }

    pub(crate) fn refresh(&self, token: &str) -> Result<Timestamp, ErrorBody> {
        self.credentials.refresh(token)
    }

    /// Room for one more message to be worked on. Waits until there is some: whoever reads the connection
    /// waits here before it reads on.
    pub async fn room(&self) -> OwnedSemaphorePermit {
        let room = Arc::clone(&self.in_flight).acquire_owned().await;
        room.expect("the semaphore is never closed")
    }

    /// Room for one more message, if there is some now.
    #[must_use]
    pub fn try_room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.in_flight).try_acquire_owned().ok()
    }
}
