//! Reading a topic's history for one subscriber, up to where it follows.

use std::collections::VecDeque;

use streamer_protocol::{CloseCode, Epoch};
use tracing::debug;

use super::{event, subscribe::Subscription};
use crate::{
    Frame,
    core::Core,
    push,
    store::{self, Message},
};

/// How many messages are read at once.
const PAGE: u32 = 128;

/// A frame for a subscriber that reads.
struct Next {
    frame: Frame,
    /// The message's offset; none for a change of presence.
    offset: Option<u64>,
}

/// Gives a subscriber what is kept above `after`, at the pace of its connection; having come to the newest message,
/// it follows.
pub(super) async fn read(core: &Core, subscription: &Subscription, mut after: u64) {
    let (topic, connection) = (&subscription.topic, &subscription.session.connection);
    let push = &core.topics.push;
    let mut page: VecDeque<Next> = VecDeque::new();
    loop {
        let mut state = topic.lock().await;
        let mut busy = false;
        // It may have left, or subscribed anew, while the lock was away.
        if !subscription.is_current(&state) {
            return;
        }
        while !busy && let Some(next) = page.front() {
            match push.push(connection, next.frame.clone()).await {
                Ok(()) => {
                    after = next.offset.unwrap_or(after);
                    page.pop_front();
                }
                Err(push::Error::Busy) => busy = true,
                Err(_) => return,
            }
        }
        if busy {
            drop(state);
            if push.drained(connection).await.is_err() {
                return;
            }
            continue;
        }
        if after >= state.head {
            // What changed meanwhile of who is there comes after the history.
            let missed = state.subscribers.take_missed(connection);
            if missed.is_empty() {
                return state.subscribers.follow(connection);
            }
            page.extend(missed.into_iter().map(|frame| Next { frame, offset: None }));
            continue;
        }
        let (epoch, head) = (state.epoch.clone(), state.head);
        let in_memory = state.ring.as_ref().map(|ring| ring.above(after, PAGE as usize));
        drop(state);
        let messages = match in_memory {
            Some(kept) => kept.map(|frames| (after + 1..).zip(frames).collect::<Vec<_>>()),
            None => match stored(core, subscription, &epoch, after, head).await {
                Ok(stored) => stored,
                Err(e) => {
                    debug!(error = %e, "a topic's history could not be read for a subscriber");
                    // The client would wait for ever: let it come back and ask again.
                    let _ = push.disconnect(connection, CloseCode::InternalError).await;
                    return;
                }
            },
        };
        let Some(messages) = messages else { return fell_behind(core, subscription).await };
        page.extend(messages.into_iter().map(|(offset, frame)| Next { frame, offset: Some(offset) }));
    }
}

/// A page of what the store keeps above `after`; `None` if the first of it is gone.
async fn stored(
    core: &Core,
    subscription: &Subscription,
    epoch: &Epoch,
    after: u64,
    head: u64,
) -> store::Result<Option<Vec<(u64, Frame)>>> {
    let key = &subscription.topic.key;
    let messages = core.persist(|| core.store.messages(key, after, head, PAGE)).await?;
    let is_whole = messages.first().is_some_and(|message| message.offset == after + 1);
    let frame = |m: Message| (m.offset, event(&key.topic, epoch, m.offset, m.data, m.at));
    Ok(is_whole.then(|| messages.into_iter().map(frame).collect()))
}

/// The history was cut above what the subscriber has: it reads too slowly. It may come back, and is told so then.
async fn fell_behind(core: &Core, subscription: &Subscription) {
    metrics::counter!("streamer_slow_consumers_total").increment(1);
    let connection = &subscription.session.connection;
    let _ = core.topics.push.disconnect(connection, CloseCode::SlowConsumer).await;
}
