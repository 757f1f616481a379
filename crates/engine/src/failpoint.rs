//! Places where a test has the process die: one on either side of every durable step.
//!
//! Without the feature `failpoints` nothing of it is compiled: [`before`] and [`after`] are empty, and [`around`] gives
//! the store back as it is. With it, [`arm`] chooses one place, and the process dies at once when it comes there for
//! the so-manieth time: no destructor runs, nothing is flushed, nothing is told.

#[cfg(feature = "failpoints")]
mod store;

use crate::store::SharedStore;

macro_rules! steps {
    ($($(#[doc = $doc:literal])+ $step:ident = $name:literal,)+) => {
        /// A durable step, which is done as a whole or not at all, wherever its process dies.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Step {
            $($(#[doc = $doc])+ $step,)+
        }

        impl Step {
            /// Every step. A test that dies at each of them forgets none.
            pub const ALL: &[Self] = &[$(Self::$step,)+];

            /// Its name; that of its places is this with `.before` or `.after`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$step => $name,)+
                }
            }
        }
    };
}

// First the calls of the store's port that write, then what the embedded store does inside of them.
steps! {
    /// [`Connections::connect`](crate::store::Connections::connect)
    Connect = "connect",
    /// [`Connections::touch`](crate::store::Connections::touch)
    Touch = "touch",
    /// [`Connections::disconnect`](crate::store::Connections::disconnect)
    Disconnect = "disconnect",
    /// [`Connections::forget_endpoint`](crate::store::Connections::forget_endpoint)
    ForgetEndpoint = "forget_endpoint",
    /// [`Connections::purge_connections`](crate::store::Connections::purge_connections)
    PurgeConnections = "purge_connections",
    /// [`Requests::enqueue`](crate::store::Requests::enqueue)
    Enqueue = "enqueue",
    /// [`Requests::promote`](crate::store::Requests::promote)
    Promote = "promote",
    /// [`Requests::claim`](crate::store::Requests::claim)
    Claim = "claim",
    /// [`Requests::renew`](crate::store::Requests::renew)
    Renew = "renew",
    /// [`Requests::reclaim`](crate::store::Requests::reclaim)
    Reclaim = "reclaim",
    /// [`Requests::append`](crate::store::Requests::append)
    Append = "append",
    /// [`Requests::finish`](crate::store::Requests::finish)
    Finish = "finish",
    /// [`Requests::retry`](crate::store::Requests::retry)
    Retry = "retry",
    /// [`Requests::release`](crate::store::Requests::release)
    Release = "release",
    /// [`Requests::cancel`](crate::store::Requests::cancel)
    Cancel = "cancel",
    /// [`Requests::replay`](crate::store::Requests::replay)
    Replay = "replay",
    /// [`Requests::purge_requests`](crate::store::Requests::purge_requests)
    PurgeRequests = "purge_requests",
    /// [`Outbox::take`](crate::store::Outbox::take)
    Take = "take",
    /// [`Outbox::announced`](crate::store::Outbox::announced)
    Announced = "announced",
    /// [`Outbox::put_off`](crate::store::Outbox::put_off)
    PutOff = "put_off",
    /// [`Outbox::give_up`](crate::store::Outbox::give_up)
    GiveUp = "give_up",
    /// [`Outbox::revive`](crate::store::Outbox::revive)
    Revive = "revive",
    /// [`Artifacts::keep`](crate::store::Artifacts::keep)
    Keep = "keep",
    /// [`Artifacts::purge_artifacts`](crate::store::Artifacts::purge_artifacts)
    PurgeArtifacts = "purge_artifacts",
    /// [`TopicLog::append_messages`](crate::store::TopicLog::append_messages)
    AppendMessages = "append_messages",
    /// [`TopicLog::purge_topics`](crate::store::TopicLog::purge_topics)
    PurgeTopics = "purge_topics",
    /// The file is brought to this version's schema.
    Migrate = "migrate",
    /// A group of writes, from its beginning until everybody is answered.
    Group = "group",
    /// The commit of a group: its statements have run before, nobody is answered after.
    Commit = "commit",
    /// An artifact's bytes are written, under a name that does not count.
    ArtifactBytes = "artifact_bytes",
    /// An artifact's file gets its name.
    ArtifactName = "artifact_name",
    /// The file of an artifact that is forgotten is removed.
    ArtifactRemoval = "artifact_removal",
    /// The write-ahead log is copied into the file.
    LogCopy = "log_copy",
}

#[cfg(not(feature = "failpoints"))]
mod switch {
    use super::{SharedStore, Step};

    /// Comes to the place before a step.
    #[inline(always)]
    pub const fn before(_: Step) {}

    /// Comes to the place after a step.
    #[inline(always)]
    pub const fn after(_: Step) {}

    /// The store, with a place before and after each of its writes.
    #[inline(always)]
    #[must_use]
    pub fn around(store: SharedStore) -> SharedStore {
        store
    }
}

#[cfg(feature = "failpoints")]
mod switch {
    use std::{
        sync::{
            Arc, OnceLock,
            atomic::{AtomicU64, Ordering},
        },
        time::Duration,
    };

    use super::{SharedStore, Step, store::Points};

    /// The one place at which this process dies. Global, as it must be found from inside any thread of any adapter.
    static ARMED: OnceLock<Armed> = OnceLock::new();

    struct Armed {
        step: Step,
        side: &'static str,
        left: AtomicU64,
    }

    /// How long a death before a step is put off.
    const LINGER: Duration = Duration::from_millis(50);

    const BEFORE: &str = "before";
    const AFTER: &str = "after";

    /// From now on the process dies at `place`: `STEP.before` or `STEP.after`, and with `:N` the Nth time that it comes
    /// there. Answers what is wrong with it otherwise. Only the first place counts.
    pub fn arm(place: &str) -> Result<(), String> {
        let (name, times) = place.split_once(':').unwrap_or((place, "1"));
        let times = times.parse().ok().filter(|times| *times > 0);
        let found = name.split_once('.').and_then(|(step, side)| {
            let step = Step::ALL.iter().find(|known| known.name() == step)?;
            let side = [BEFORE, AFTER].into_iter().find(|known| *known == side)?;
            Some((*step, side))
        });
        let (Some((step, side)), Some(times)) = (found, times) else {
            return Err(format!("{place:?} is no place: write STEP.before or STEP.after, and :N"));
        };
        let _ = ARMED.set(Armed { step, side, left: AtomicU64::new(times) });
        Ok(())
    }

    /// Comes to the place before a step.
    pub fn before(step: Step) {
        come_to(step, BEFORE);
    }

    /// Comes to the place after a step, if there was something to do.
    pub fn after(step: Step) {
        come_to(step, AFTER);
    }

    fn come_to(step: Step, side: &'static str) {
        let Some(armed) = ARMED.get().filter(|armed| armed.step == step && armed.side == side) else {
            return;
        };
        if armed.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            if side == BEFORE {
                // What was told too early gets out meanwhile, and the test will see it. The tasks that this thread
                // of the runtime has at hand go on elsewhere.
                tokio::task::block_in_place(|| std::thread::sleep(LINGER));
            }
            eprintln!("failpoint {}.{side}", step.name());
            std::process::abort();
        }
    }

    /// The store, with a place before and after each of its writes.
    #[must_use]
    pub fn around(store: SharedStore) -> SharedStore {
        Arc::new(Points(store))
    }
}

#[cfg(feature = "failpoints")]
pub use switch::arm;
pub use switch::{after, around, before};
