//! Who is on a topic, who comes and who leaves.

use streamer_protocol::{Presence, PresenceChange, Present, ServerFrame, UserId};

use super::{State, Topics};
use crate::{Frame, core::Core, push, store::TopicKey};

/// Who is on a topic, by this process's knowledge.
pub(crate) async fn present(core: &Core, key: &TopicKey) -> Present {
    match core.topics.directory.find(key) {
        None => Present { topic: key.topic.clone(), users: Vec::new(), total: 0 },
        Some(topic) => here(core, key, &*topic.lock().await),
    }
}

pub(super) fn here(core: &Core, key: &TopicKey, state: &State) -> Present {
    let users = state.subscribers.present(core.topics.settings().present_users_max);
    Present { topic: key.topic.clone(), users, total: state.subscribers.users() as u64 }
}

impl Topics {
    /// Tells those who asked for it that a user came or left.
    pub(super) async fn tell(
        &self,
        core: &Core,
        key: &TopicKey,
        state: &mut State,
        change: PresenceChange,
        user: UserId,
    ) {
        if state.subscribers.users() > self.settings.present_users_max {
            // Each would be told of each: too much of it says nothing.
            return;
        }
        let (topic, timestamp) = (key.topic.clone(), core.clock.now());
        let frame: Frame = ServerFrame::Presence(Presence { topic, change, user_id: user, timestamp }).into();
        let watchers = state.subscribers.watchers(&frame);
        if !watchers.now.is_empty() {
            let told = self.push.push_many(&watchers.now, std::slice::from_ref(&frame)).await;
            for (connection, told) in watchers.now.iter().zip(told) {
                if let Err(why) = told {
                    self.give_up(state, connection, why).await;
                }
            }
        }
        for connection in watchers.overrun {
            self.give_up(state, &connection, push::Error::Busy).await;
        }
    }
}
