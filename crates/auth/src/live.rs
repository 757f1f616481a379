//! A verifier whose keys may change.

use std::sync::Arc;

use parking_lot::RwLock;
use streamer_protocol::Timestamp;
use tokio::{sync::watch, time::Instant};

use crate::{Identity, Rejected, Verifier};

/// The [`Verifier`] of the moment; clones share it. With fixed keys it is always the same one
/// (`LiveVerifier::from`), with a source of keys a [`Rotation`](crate::Rotation) renews it.
#[derive(Debug, Clone)]
pub struct LiveVerifier {
    shared: Arc<Shared>,
}

/// What a [`LiveVerifier`] and its rotation share.
#[derive(Debug)]
pub(crate) struct Shared {
    current: RwLock<Arc<Verifier>>,
    pub(crate) phase: watch::Sender<Phase>,
}

/// What the rotation is doing, which is also how it is asked: whoever meets an unknown key turns `Idle` into
/// `Asking`, and only the rotation turns it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing. From then on an unknown key is a reason to ask.
    Idle { from: Instant },
    /// The source is being asked, or is to be at once.
    Asking,
    /// There is no rotation, or no longer.
    Fixed,
}

impl Shared {
    pub(crate) fn current(&self) -> Arc<Verifier> {
        Arc::clone(&self.current.read())
    }

    pub(crate) fn replace(&self, verifier: Verifier) {
        *self.current.write() = Arc::new(verifier);
    }

    /// Has the source asked, if it is not being asked yet and the last time is long enough ago.
    fn ask(&self) {
        let now = Instant::now();
        self.phase.send_if_modified(|phase| {
            let due = matches!(phase, Phase::Idle { from } if now >= *from);
            if due {
                *phase = Phase::Asking;
            }
            due
        });
    }
}

impl LiveVerifier {
    pub(crate) fn new(verifier: Verifier, phase: Phase) -> (Self, Arc<Shared>) {
        let current = RwLock::new(Arc::new(verifier));
        let shared = Arc::new(Shared { current, phase: watch::Sender::new(phase) });
        (Self { shared: Arc::clone(&shared) }, shared)
    }

    /// The verifier with the keys at hand.
    #[must_use]
    pub fn current(&self) -> Arc<Verifier> {
        self.shared.current()
    }

    /// Who presents `token` at `now`; see [`Verifier::verify`]. If it names an unknown key, the source is asked
    /// once more and the token is checked again, unless that was done within [`ASK_INTERVAL`](crate::ASK_INTERVAL).
    /// All who wait share one answer. Leaving early ends nobody else's waiting.
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, Rejected> {
        let verifier = self.current();
        match verifier.verify(token, now) {
            Err(Rejected::UnknownKey) => {}
            known => return known,
        }
        self.shared.ask();
        let mut phase = self.shared.phase.subscribe();
        phase.wait_for(|phase| *phase != Phase::Asking).await.expect("`self` holds the sender");
        let renewed = self.current();
        if Arc::ptr_eq(&renewed, &verifier) {
            return Err(Rejected::UnknownKey);
        }
        renewed.verify(token, now)
    }

    /// [`verify`](Self::verify) without waiting: if the token names an unknown key, it is refused, but the
    /// source is asked, so that the same token may be good a moment later.
    pub fn verify_at_once(&self, token: &str, now: Timestamp) -> Result<Identity, Rejected> {
        self.current().verify(token, now).inspect_err(|rejected| {
            if *rejected == Rejected::UnknownKey {
                self.shared.ask();
            }
        })
    }
}

impl From<Verifier> for LiveVerifier {
    /// With these keys for good.
    fn from(verifier: Verifier) -> Self {
        Self::new(verifier, Phase::Fixed).0
    }
}
