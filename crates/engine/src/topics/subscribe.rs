//! Subscribing to a topic.

use std::sync::{Arc, atomic::Ordering};

use streamer_protocol::{
    ErrorBody, ErrorCode, History, Lost, PresenceChange, RequestId, Subscribe, Subscribed,
};

use super::{LiveTopic, State, leave::leave, presence::here, read::read};
use crate::{
    Frame,
    builtin::response,
    core::Core,
    push,
    session::{Session, TooManySubscriptions},
    store,
};

/// A subscription of a connection to a topic.
pub(super) struct Subscription {
    pub(super) session: Arc<Session>,
    pub(super) topic: Arc<LiveTopic>,
    pub(super) serial: u64,
}

impl Subscription {
    /// Whether it is still the newest one of its connection to its topic.
    pub(super) fn is_current(&self, state: &State) -> bool {
        state.subscribers.is_current(&self.session.connection, self.serial)
    }
}

/// How a subscription begins.
enum Begun {
    /// From now on.
    Follows,
    /// With what is kept above this offset.
    Reads(Subscription, u64),
    /// Its connection is gone.
    Unheard,
}

/// Answers, then gives what is kept above the place that was named, then what follows.
pub(super) async fn subscribe(
    core: Arc<Core>,
    session: Arc<Session>,
    id: RequestId,
    wanted: Subscribe,
) -> Option<Frame> {
    let subscriptions_max = core.topics.settings().subscriptions_max;
    let serial = core.topics.next_serial();
    // Before anything is waited for, so that this and what the client says next take effect in that order.
    if let Err(TooManySubscriptions) = session.subscribe(&wanted.topic, serial, subscriptions_max) {
        let message = "this connection is subscribed to as many topics as it may be: leave one first";
        return Some(core.error(Some(id), core.overloaded(message)));
    }
    match begin(&core, &session, &id, &wanted, serial).await {
        Ok(Begun::Follows | Begun::Unheard) => None,
        Ok(Begun::Reads(subscription, after)) => {
            read(&core, &subscription, after).await;
            None
        }
        Err(error) => {
            if session.unsubscribe_if(&wanted.topic, serial) {
                leave(&core, &session, &wanted.topic).await;
            }
            Some(core.error(Some(id), error))
        }
    }
}

async fn begin(
    core: &Core,
    session: &Arc<Session>,
    id: &RequestId,
    wanted: &Subscribe,
    serial: u64,
) -> Result<Begun, ErrorBody> {
    let (topics, connection) = (&core.topics, &session.connection);
    let key = session.caller.topic(wanted.topic.clone());
    let failed = |e: store::Error| {
        let correlation_id = core.random.uuid(core.clock.now()).to_string();
        core.refusal(&e, &correlation_id)
    };
    loop {
        let stored = match topics.settings().history_of(&key.topic) {
            (History::Durable, _) => core.persist(|| core.store.topic(&key)).await.map_err(failed)?,
            _ => None,
        };
        let (topic, mut state) = topics.enter(core, &key).await?;
        topic.load(core, &mut state).await.map_err(failed)?;
        if session.has_ended() {
            return Ok(Begun::Unheard);
        }
        if !session.is_subscribed(&key.topic, serial) {
            let message = "the subscription was given up before it began";
            return Err(ErrorBody::new(ErrorCode::Cancelled, message));
        }
        let now = core.clock.now();
        if let Some(stored) = &stored {
            state.note_stored(stored);
        }
        if let Some(ring) = &mut state.ring {
            ring.expire(now, topic.keep);
        }
        let subscription = Subscription { session: Arc::clone(session), topic, serial };
        if !subscription.is_current(&state) {
            let user = &session.caller.user;
            if !state.subscribers.has_user(user) {
                topics.tell(core, &key, &mut state, PresenceChange::Join, user.clone()).await;
            }
            let before = state.subscribers.len();
            state.subscribers.add(connection, serial, user, wanted.presence, now);
            topics.subscriptions.fetch_add((state.subscribers.len() - before) as u64, Ordering::Relaxed);
        }
        let history = subscription.topic.history;
        let (after, lost) = match &wanted.since {
            None => (state.head, None),
            Some(since) => state.reads_from(since, history),
        };
        let answer = Subscribed {
            topic: key.topic.clone(),
            epoch: state.epoch.clone(),
            offset: state.head,
            history,
            kept_from: state.kept_from(history),
            resumed: wanted.since.as_ref().map(|_| lost.is_none()),
            lost,
            present: wanted.presence.then(|| here(core, &key, &state)),
        };
        // Under the lock: no message comes before the answer, and none is missed after it.
        match topics.push.push(connection, response(core, id, &answer)).await {
            Ok(()) => {}
            Err(push::Error::Busy) => {
                drop(state);
                match topics.push.drained(connection).await {
                    Ok(()) => continue,
                    Err(_) => return Ok(Begun::Unheard),
                }
            }
            Err(_) => return Ok(Begun::Unheard),
        }
        count_resumed(answer.resumed, lost);
        if after == state.head {
            // Nobody's presence has changed since the answer.
            state.subscribers.follow(connection);
            return Ok(Begun::Follows);
        }
        return Ok(Begun::Reads(subscription, after));
    }
}

fn count_resumed(resumed: Option<bool>, lost: Option<Lost>) {
    if resumed.is_some() {
        let outcome = match lost {
            None => "whole",
            Some(Lost::Epoch) => "epoch",
            Some(Lost::Trimmed) => "trimmed",
            Some(Lost::Ahead) => "ahead",
        };
        metrics::counter!("streamer_topic_resumptions_total", "outcome" => outcome).increment(1);
    }
}
