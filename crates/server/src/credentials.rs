//! A connection's token, over the time that the connection lasts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use streamer_auth::{Identity, LiveVerifier, Rejected};
use streamer_engine::{Credentials, Rights, clock::Clock};
use streamer_protocol::{ErrorBody, ErrorCode, Timestamp};
use tracing::info;

/// Who connected, until when the newest token holds, and what it allows.
pub(crate) struct TokenState {
    identity: Identity,
    rights: Mutex<Arc<Rights>>,
    expires_at: AtomicI64,
    verifier: LiveVerifier,
    clock: Arc<dyn Clock>,
}

impl TokenState {
    pub(crate) fn new(identity: Identity, verifier: LiveVerifier, clock: Arc<dyn Clock>) -> Self {
        let expires_at = AtomicI64::new(identity.expires_at.as_millis());
        let rights = Mutex::new(Arc::new(rights_of(&identity)));
        Self { identity, rights, expires_at, verifier, clock }
    }

    fn expires_at(&self) -> Timestamp {
        Timestamp::from_millis(self.expires_at.load(Ordering::Relaxed))
    }

    /// How long it is until the token has been expired for `grace`; nothing once it has.
    pub(crate) fn left(&self, now: Timestamp, grace: Duration) -> Duration {
        (self.expires_at() + grace).since(now)
    }
}

/// What a token allows.
pub(crate) fn rights_of(identity: &Identity) -> Rights {
    Rights::of(identity.permissions.clone(), identity.topics.iter().map(String::as_str))
}

impl Credentials for TokenState {
    fn rights(&self) -> Arc<Rights> {
        Arc::clone(&self.rights.lock())
    }

    fn refresh(&self, token: &str) -> Result<Timestamp, ErrorBody> {
        // A connection does not wait for keys: the next `refresh` meets those that are fetched now.
        let identity = self.verifier.verify_at_once(token, self.clock.now()).map_err(|rejected| {
            count_rejected(rejected);
            ErrorBody::new(ErrorCode::Unauthorized, rejected.to_string())
        })?;
        if !identity.same_user(&self.identity) {
            info!(operation = "refresh", "a token of another user was refused");
            let other = "the token is of another user or tenant: open a connection for it";
            return Err(ErrorBody::new(ErrorCode::Forbidden, other));
        }
        *self.rights.lock() = Arc::new(rights_of(&identity));
        self.expires_at.store(identity.expires_at.as_millis(), Ordering::Relaxed);
        Ok(identity.expires_at)
    }
}

/// Counts a token that was not accepted, by its reason, and notes it in the log. Never the token.
pub(crate) fn count_rejected(rejected: Rejected) {
    metrics::counter!("streamer_authentication_failures_total", "reason" => rejected.reason()).increment(1);
    info!(operation = "authenticate", reason = rejected.reason(), "a token was refused");
}
