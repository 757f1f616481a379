//! Leaving a topic: because one wants to, because the connection is gone, or because a new token no longer allows it.

use std::sync::atomic::Ordering;

use streamer_protocol::{PresenceChange, Topic};

use crate::{core::Core, session::Session};

/// Takes a connection off a topic. Once this returns, nothing of the topic is pushed to it any more.
pub(super) async fn leave(core: &Core, session: &Session, topic: &Topic) {
    let key = session.caller.topic(topic.clone());
    let Some(live) = core.topics.directory.find(&key) else { return };
    let mut state = live.lock().await;
    let before = state.subscribers.len();
    let left = state.subscribers.remove(&session.connection);
    core.topics.subscriptions.fetch_sub((before - state.subscribers.len()) as u64, Ordering::Relaxed);
    state.used_at = core.clock.now();
    if let Some(user) = left {
        core.topics.tell(core, &key, &mut state, PresenceChange::Leave, user).await;
    }
}

/// Takes a connection off all topics, for good: it subscribes to none after this.
pub(crate) async fn forget(core: &Core, session: &Session) {
    let topics = session.subscriptions.lock().take().unwrap_or_default();
    for topic in topics.into_keys() {
        leave(core, session, &topic).await;
    }
}

/// Takes a connection off the topics that its newest token does not allow. Gives these.
pub(crate) async fn keep_to_rights(core: &Core, session: &Session) -> Vec<Topic> {
    let rights = session.rights();
    let mut lost = Vec::new();
    if let Some(subscriptions) = &mut *session.subscriptions.lock() {
        lost.extend(subscriptions.keys().filter(|topic| !rights.may_read(topic)).cloned());
        subscriptions.retain(|topic, _| rights.may_read(topic));
    }
    for topic in &lost {
        leave(core, session, topic).await;
    }
    lost
}
