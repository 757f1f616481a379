//! The actions of topics, as a connection asks for them.

use std::sync::Arc;

use streamer_protocol::{
    Epoch, ErrorBody, ErrorCode, History, Lost, OfTopic, Position, Publish, RequestId, Subscribe, Subscribed,
    Topic, Unsubscribed,
};

use super::{leave::leave, presence::present, publish::publish_one, subscribe::subscribe as subscribe_to};
use crate::{
    Frame,
    builtin::{Resumed, follow, response},
    core::Core,
    session::Session,
    store::{MessageKey, Record},
};

/// `subscribe`: the answer, what is kept above `since`, and what follows.
pub(crate) async fn subscribe(
    core: Arc<Core>,
    session: Arc<Session>,
    id: RequestId,
    wanted: Subscribe,
) -> Option<Frame> {
    if let Some(request) = wanted.topic.request() {
        let resumed = |record: &Record| subscribed_to_request(&wanted.topic, wanted.since.as_ref(), record);
        return follow(&core, &session, id, request, resumed).await;
    }
    if !session.rights().may_read(&wanted.topic) {
        return Some(core.error(Some(id), forbidden("subscribe to")));
    }
    subscribe_to(core, session, id, wanted).await
}

/// `unsubscribe`: nothing of the topic comes after the answer.
pub(crate) async fn unsubscribe(
    core: Arc<Core>,
    session: Arc<Session>,
    id: RequestId,
    wanted: OfTopic,
) -> Option<Frame> {
    let topic = wanted.topic;
    let was_subscribed = match topic.request() {
        Some(request) => core.live.leave(&session, &session.caller.key(request)).await,
        None => {
            let was_subscribed = session.unsubscribe(&topic);
            if was_subscribed {
                leave(&core, &session, &topic).await;
            }
            was_subscribed
        }
    };
    Some(response(&core, &id, &Unsubscribed { topic, was_subscribed }))
}

/// `publish`: the answer says where the message is.
pub(crate) async fn publish(
    core: Arc<Core>,
    session: Arc<Session>,
    id: RequestId,
    wanted: Publish,
) -> Option<Frame> {
    let Publish { topic, data, idempotency_key } = wanted;
    let refused = if topic.request().is_some() || core.topics.settings().is_server_only(&topic) {
        let message = "only the server publishes to this topic";
        Some(ErrorBody::new(ErrorCode::Forbidden, message))
    } else if !session.rights().may_write(&topic) {
        Some(forbidden("publish to"))
    } else {
        None
    };
    if let Some(error) = refused {
        return Some(core.error(Some(id), error));
    }
    let key = idempotency_key.map(|key| MessageKey { user: session.caller.user.clone(), key });
    Some(match publish_one(&core, session.caller.topic(topic), data, key).await {
        Ok(published) => response(&core, &id, &published),
        Err(error) => core.error(Some(id), error),
    })
}

/// `presence`: who is on the topic.
pub(crate) async fn presence(
    core: Arc<Core>,
    session: Arc<Session>,
    id: RequestId,
    wanted: OfTopic,
) -> Option<Frame> {
    let topic = wanted.topic;
    if topic.request().is_some() {
        let message = "a request's topic is its owner's alone: nobody is listed there";
        return Some(core.error(Some(id), ErrorBody::new(ErrorCode::Forbidden, message)));
    }
    if !session.rights().may_read(&topic) {
        return Some(core.error(Some(id), forbidden("see who is on")));
    }
    let present = present(&core, &session.caller.topic(topic)).await;
    Some(response(&core, &id, &present))
}

fn forbidden(what: &str) -> ErrorBody {
    ErrorBody::new(ErrorCode::Forbidden, format!("the token does not allow to {what} this topic"))
}

/// A request's log seen as a topic's history: its epoch is the moment when the request came, its offsets are those of
/// the log. Who does not say what was seen gets all of it: it ends, and that is what one waits for.
fn subscribed_to_request(topic: &Topic, since: Option<&Position>, record: &Record) -> Resumed<Subscribed> {
    let epoch = Epoch::new(format!("{:x}", record.summary.created_at.as_millis()));
    let offset = record.summary.last_seq;
    let lost = since.and_then(|since| {
        let other_life = since.epoch != epoch;
        other_life.then_some(Lost::Epoch).or_else(|| (since.offset > offset).then_some(Lost::Ahead))
    });
    let after = since.filter(|_| lost.is_none()).map_or(0, |since| since.offset);
    let answer = Subscribed {
        topic: topic.clone(),
        epoch,
        offset,
        history: History::Durable,
        kept_from: 1,
        resumed: since.map(|_| lost.is_none()),
        lost,
        present: None,
    };
    Resumed { answer, after }
}
