//! Places where a test has the process die: one on either side of every durable step.
//!
//! Without the feature `failpoints` nothing of it is compiled: [`before`] and [`after`] are empty, and [`around`] gives
//! the store back as it is.

#[cfg(feature = "failpoints")]
mod store;

pub use streamer_failpoint::{after, before};

use crate::store::SharedStore;

// First the calls of the store's port that write, then what the embedded store does inside of them.
streamer_failpoint::steps! {
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

/// The store, with a place before and after each of its writes.
#[cfg(not(feature = "failpoints"))]
#[must_use]
pub fn around(store: SharedStore) -> SharedStore {
    store
}

/// The store, with a place before and after each of its writes.
#[cfg(feature = "failpoints")]
#[must_use]
pub fn around(store: SharedStore) -> SharedStore {
    std::sync::Arc::new(store::Points(store))
}
