//! The open subscriptions of a client and what is to be said about them.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use streamer_protocol::{
    ErrorBody, ErrorCode, Event, Json, Position, Presence, RequestId, Subscribe, Subscribed, Topic,
};
use tokio::{sync::oneshot, time::Instant};
use tracing::debug;

use crate::{CallError, Closed, SendError, TopicUpdate, backoff::patient, inbox::Inbox, topic::Began};

/// How often in a row the server may put a subscription off.
const SETBACKS_MAX: u32 = 8;
/// When to try again if the server does not say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A subscription that the caller has just made.
#[derive(Debug)]
pub(crate) struct NewTopic {
    pub(crate) topic: Topic,
    pub(crate) since: Option<Position>,
    pub(crate) presence: bool,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) began: oneshot::Sender<Result<Began, CallError>>,
}

/// Where a subscription stands towards the server.
#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing is under way: say something on the next connection, or when the reader is back.
    Adrift,
    /// The server asked for patience until then.
    Postponed(Instant),
    /// It was asked for by this message. What comes before its answer is of an earlier subscription.
    Asked(RequestId),
    /// Messages flow.
    Following,
}

#[derive(Debug)]
struct OpenTopic {
    /// Rises: what was asked first is asked first again.
    order: u64,
    stage: Stage,
    /// The last message that was passed on, or before which it begins.
    position: Option<Position>,
    presence: bool,
    inbox: Arc<Inbox>,
    /// Who waits for the first answer.
    began: Option<oneshot::Sender<Result<Began, CallError>>>,
    setbacks: u32,
}

/// The open subscriptions.
#[derive(Debug, Default)]
pub(crate) struct TopicBook {
    topics: HashMap<Topic, OpenTopic>,
    /// Which topic a message asks for.
    asked: HashMap<RequestId, Topic>,
    opened: u64,
    online: bool,
}

type Outgoing = VecDeque<String>;

impl TopicBook {
    /// Takes a subscription. Without a connection it waits for one.
    pub(crate) fn open(
        &mut self,
        new: NewTopic,
        topics_max: usize,
        out: &mut Outgoing,
    ) -> Result<(), SendError> {
        match self.topics.get(&new.topic) {
            Some(known) if !known.inbox.is_abandoned() => return Err(SendError::AlreadySubscribed),
            Some(_) => {}
            None if self.topics.len() >= topics_max => return Err(SendError::TooManyCalls),
            None => {}
        }
        self.opened += 1;
        let open = OpenTopic {
            order: self.opened,
            stage: Stage::Adrift,
            position: new.since,
            presence: new.presence,
            inbox: new.inbox,
            began: Some(new.began),
            setbacks: 0,
        };
        self.topics.insert(new.topic.clone(), open);
        self.ask(&new.topic, out);
        Ok(())
    }

    /// A connection is there: everything is subscribed to again, from where it was.
    pub(crate) fn connected(&mut self, out: &mut Outgoing) {
        self.online = true;
        let mut in_order: Vec<(u64, Topic)> =
            self.topics.iter().map(|(topic, open)| (open.order, topic.clone())).collect();
        in_order.sort();
        for (_, topic) in in_order {
            self.ask(&topic, out);
        }
    }

    /// The connection will not last.
    pub(crate) fn hold(&mut self) {
        self.online = false;
    }

    pub(crate) fn disconnected(&mut self) {
        self.online = false;
        self.asked.clear();
        for open in self.topics.values_mut() {
            open.stage = Stage::Adrift;
        }
    }

    /// Leaves the topics whose readers have gone, and begins those anew whose readers are back.
    pub(crate) fn attend(&mut self, out: &mut Outgoing) {
        let online = self.online;
        self.topics.retain(|topic, open| {
            let gone = open.inbox.is_abandoned();
            if gone && online {
                let id = crate::request::fresh_id();
                let message = json!({ "id": id, "action": "unsubscribe", "payload": { "topic": topic } });
                out.push_back(message.to_string());
            }
            !gone
        });
        let asking: Vec<Topic> = self
            .topics
            .iter()
            .filter(|(_, open)| open.inbox.is_asking())
            .map(|(topic, _)| topic.clone())
            .collect();
        for topic in asking {
            if let Some(open) = self.topics.get(&topic) {
                open.inbox.catch_up();
            }
            self.ask(&topic, out);
        }
    }

    /// When the first of those that were put off is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.topics.values().filter_map(OpenTopic::due).min()
    }

    pub(crate) fn retry_due(&mut self, now: Instant, out: &mut Outgoing) {
        let due: Vec<Topic> = self
            .topics
            .iter()
            .filter(|(_, open)| open.due().is_some_and(|due| due <= now))
            .map(|(topic, _)| topic.clone())
            .collect();
        for topic in due {
            self.ask(&topic, out);
        }
    }

    /// Takes an answer, if it is one to a subscription.
    pub(crate) fn response(&mut self, id: &RequestId, data: &Json) -> bool {
        let Some(topic) = self.asked.remove(id) else { return false };
        if let Some(open) = self.asked_by(&topic, id) {
            match data.get() {
                Ok(subscribed) => open.subscribed(subscribed),
                Err(e) => self.end(&topic, CallError::Answer(e)),
            }
        }
        true
    }

    /// Takes an error, if it answers a subscription. What passes is tried again, unless it is the first answer.
    pub(crate) fn error(&mut self, id: &RequestId, error: &ErrorBody) -> bool {
        let Some(topic) = self.asked.remove(id) else { return false };
        let Some(open) = self.asked_by(&topic, id) else { return true };
        open.setbacks += 1;
        let passes = matches!(
            error.code,
            ErrorCode::RateLimited | ErrorCode::Overloaded | ErrorCode::Timeout | ErrorCode::InternalError
        );
        if passes && open.began.is_none() && open.setbacks <= SETBACKS_MAX {
            let after = error.retry.and_then(|retry| retry.after).map_or(RETRY_AFTER, Duration::from_millis);
            open.stage = Stage::Postponed(Instant::now() + patient(after));
        } else {
            self.end(&topic, CallError::Failed(error.clone().into()));
        }
        true
    }

    /// Takes a message of a topic.
    pub(crate) fn event(&mut self, event: Event, out: &mut Outgoing) {
        let topic = event.topic.clone();
        if let Some(open) = self.topics.get_mut(&topic)
            && open.event(event) == Taken::Missing
        {
            debug!("a message of a topic is missing, subscribing anew");
            self.ask(&topic, out);
        }
    }

    /// Takes a change of who is on a topic.
    pub(crate) fn presence(&mut self, presence: Presence) {
        if let Some(open) = self.topics.get(&presence.topic)
            && open.stage == Stage::Following
        {
            // What does not fit is seen anew once the reader is back.
            open.inbox.push(TopicUpdate::Presence(presence));
        }
    }

    /// Ends every subscription.
    pub(crate) fn close(&mut self, why: &Closed) {
        self.disconnected();
        for topic in self.topics.keys().cloned().collect::<Vec<_>>() {
            self.end(&topic, CallError::Closed(why.clone()));
        }
    }

    /// The topic, if it still waits for the answer to this message.
    fn asked_by(&mut self, topic: &Topic, id: &RequestId) -> Option<&mut OpenTopic> {
        self.topics.get_mut(topic).filter(|open| matches!(&open.stage, Stage::Asked(asked) if asked == id))
    }

    fn ask(&mut self, topic: &Topic, out: &mut Outgoing) {
        let Some(open) = self.topics.get_mut(topic) else { return };
        if !self.online || open.inbox.is_behind() {
            open.stage = Stage::Adrift;
            return;
        }
        let id = crate::request::fresh_id();
        let wanted =
            Subscribe { topic: topic.clone(), since: open.position.clone(), presence: open.presence };
        out.push_back(json!({ "id": id, "action": "subscribe", "payload": wanted }).to_string());
        open.stage = Stage::Asked(id.clone());
        self.asked.insert(id, topic.clone());
    }

    fn end(&mut self, topic: &Topic, why: CallError) {
        let Some(open) = self.topics.remove(topic) else { return };
        match open.began {
            // Whoever no longer waits has dropped the subscription.
            Some(began) => drop(began.send(Err(why))),
            None => open.inbox.end(why),
        }
    }
}

/// What a message led to.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    Fine,
    /// Others before it are missing.
    Missing,
}

impl OpenTopic {
    fn due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Postponed(due) => Some(due),
            _ => None,
        }
    }

    fn subscribed(&mut self, subscribed: Subscribed) {
        self.stage = Stage::Following;
        self.setbacks = 0;
        let epoch = subscribed.epoch.clone();
        let position = match (&self.position, subscribed.lost) {
            (None, _) => Position { epoch, offset: subscribed.offset },
            (Some(_), Some(_)) => Position { epoch, offset: subscribed.kept_from.saturating_sub(1) },
            (Some(position), None) => position.clone(),
        };
        if let Some(began) = self.began.take() {
            self.position = Some(position.clone());
            // Whoever no longer waits has dropped the subscription.
            let _ = began.send(Ok(Began { subscribed, position }));
            return;
        }
        let worth_telling = subscribed.lost.is_some() || subscribed.present.is_some();
        if worth_telling && !self.inbox.push(TopicUpdate::Subscribed(subscribed)) {
            // It is asked for again once the reader is back, and then told.
            return;
        }
        self.position = Some(position);
    }

    fn event(&mut self, event: Event) -> Taken {
        let Some(position) = self.position.as_mut().filter(|_| self.stage == Stage::Following) else {
            return Taken::Fine;
        };
        let expected = if event.epoch == position.epoch { position.offset + 1 } else { 1 };
        if event.epoch == position.epoch && event.offset < expected {
            return Taken::Fine;
        }
        if event.offset != expected {
            return Taken::Missing;
        }
        let next = Position { epoch: event.epoch.clone(), offset: event.offset };
        if self.inbox.push(TopicUpdate::Message(event)) {
            *position = next;
        }
        Taken::Fine
    }
}
