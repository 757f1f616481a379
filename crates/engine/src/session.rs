//! Who is on the other end: of a connection, or of a call.

use std::{collections::HashSet, sync::Arc};

use parking_lot::Mutex;
use streamer_protocol::{ConnectionId, ErrorBody, RequestId, TenantId, Timestamp, UserId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{push::Push, store::RequestKey};

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
}

/// Takes a connection's fresh token.
pub trait Credentials: Send + Sync {
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
}

impl Session {
    pub(crate) fn new(
        connection: ConnectionId,
        caller: Caller,
        in_flight_max: usize,
        credentials: Arc<dyn Credentials>,
    ) -> Arc<Self> {
        let in_flight = Arc::new(Semaphore::new(in_flight_max));
        let follows = Mutex::new(Some(HashSet::new()));
        Arc::new(Self { connection, caller, in_flight, credentials, own_way: None, follows })
    }

    /// That of somebody who has no connection. `name` is no connection's.
    pub(crate) fn visiting(
        name: ConnectionId,
        caller: Caller,
        way: Arc<dyn Push>,
        credentials: Arc<dyn Credentials>,
    ) -> Arc<Self> {
        // Whoever opens it counts what is worked on for all of the caller's together.
        let in_flight = Arc::new(Semaphore::new(0));
        let follows = Mutex::new(Some(HashSet::new()));
        Arc::new(Self { connection: name, caller, in_flight, credentials, own_way: Some(way), follows })
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
