//! Bugs on purpose: the simulation plants them, one at a time, to prove that it would find them.
//!
//! Without the feature `planted` nothing of it is compiled: [`is`] is `false`, and the branch is gone. With it, a
//! bug is there only on the thread that [planted](plant) it, and for as long as its [`Planted`] lives.

/// A promise broken at one place of the engine or of the store in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Chunks and progress are pushed before they are stored.
    PushBeforePersist,
    /// A worker whose lease was taken over goes on writing.
    NoFencing,
    /// Progress that waits for its interval is dropped at the end.
    LostLastProgress,
    /// A request is acknowledged before it is stored.
    AcknowledgmentBeforeCommit,
    /// A request that has ended can end again.
    DoubleFinish,
    /// Another attempt does not void the chunks that it repeats.
    RepeatedChunk,
    /// What was published while a listener read its log is not handed over to it.
    DroppedHandOver,
    /// A wish to cancel does not outlive the attempt.
    ForgottenCancel,
    /// A delayed request runs at once.
    RunAtIgnored,
    /// A cancelled request counts as open for ever.
    QuotaLeak,
    /// More requests of an action run than may.
    BoundIgnored,
}

#[cfg(not(feature = "planted"))]
#[inline]
pub(crate) const fn is(_: Bug) -> bool {
    false
}

#[cfg(feature = "planted")]
pub(crate) use switch::is;
#[cfg(feature = "planted")]
pub use switch::{Planted, plant};

#[cfg(feature = "planted")]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static BUG: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether this bug is there, on this thread.
    pub(crate) fn is(bug: Bug) -> bool {
        BUG.get() == Some(bug)
    }

    /// Plants a bug on this thread until the answer is dropped.
    #[must_use]
    pub fn plant(bug: Bug) -> Planted {
        BUG.set(Some(bug));
        Planted(())
    }

    /// A bug is planted for as long as this lives.
    #[derive(Debug)]
    pub struct Planted(());

    impl Drop for Planted {
        fn drop(&mut self) {
            BUG.set(None);
        }
    }
}
