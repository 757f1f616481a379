//! Who is on the other end of a connection.

use std::{collections::HashSet, sync::Arc};

use parking_lot::Mutex;
use streamer_protocol::{ConnectionId, ErrorBody, RequestId, TenantId, Timestamp, UserId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{handlers::Started, store::RequestKey};

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

/// A live connection, as the engine knows it.
pub struct Session {
    /// Its name.
    pub connection: ConnectionId,
    /// Who is on its other end.
    pub caller: Caller,
    in_flight: Arc<Semaphore>,
    credentials: Arc<dyn Credentials>,
    /// The requests that it follows, until it has ended; see `live`.
    pub(crate) follows: Mutex<Option<HashSet<RequestId>>>,
    /// The start of the short request that came last; see `handlers`.
    pub(crate) turn: Mutex<Option<Started>>,
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
        let turn = Mutex::default();
        Arc::new(Self { connection, caller, in_flight, credentials, follows, turn })
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
