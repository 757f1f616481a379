//! The open calls of a client and what is to be said about them: all of the protocol, and none of the socket.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use serde::Deserialize;
use serde_json::json;
use streamer_protocol::{
    ErrorBody, ErrorCode, ErrorFrame, Json, RequestId, RequestStatus, Response, ServerFrame,
};
use tokio::time::Instant;
use tracing::debug;

use crate::{
    CallError, Closed, SendError, Update,
    backoff::patient,
    open_call::{NewCall, OpenCall, Stage, Taken},
    topic_book::{NewTopic, TopicBook},
};

/// How often in a row the server may put a call off.
const SETBACKS_MAX: u32 = 8;
/// When to try again if the server does not say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The open calls.
#[derive(Debug)]
pub(crate) struct Book {
    calls_max: usize,
    calls: HashMap<RequestId, OpenCall>,
    /// Which call a resume is for.
    resumes: HashMap<RequestId, RequestId>,
    /// Calls that are due at a moment; the number keeps those of the same moment apart.
    postponed: BTreeMap<(Instant, u64), RequestId>,
    opened: u64,
    online: bool,
    outgoing: VecDeque<String>,
    topics: TopicBook,
}

impl Book {
    pub(crate) fn new(calls_max: usize) -> Self {
        Self {
            calls_max,
            calls: HashMap::new(),
            resumes: HashMap::new(),
            postponed: BTreeMap::new(),
            opened: 0,
            online: false,
            outgoing: VecDeque::new(),
            topics: TopicBook::default(),
        }
    }

    /// The next message to send on the current connection.
    pub(crate) fn next_message(&mut self) -> Option<String> {
        self.outgoing.pop_front()
    }

    /// Takes a call. Without a connection it waits for one.
    pub(crate) fn open(&mut self, new: NewCall) -> Result<(), SendError> {
        match self.calls.get(&new.id) {
            Some(known) if !known.mailbox.is_abandoned() => return Err(SendError::AlreadyOpen),
            Some(_) => {}
            None if self.calls.len() >= self.calls_max => return Err(SendError::TooManyCalls),
            None => {}
        }
        let id = new.id.clone();
        self.opened += 1;
        self.calls.insert(id.clone(), OpenCall::new(self.opened, new));
        if self.online {
            self.set_off(&id);
        }
        Ok(())
    }

    /// Takes a subscription. Without a connection it waits for one.
    pub(crate) fn open_topic(&mut self, new: NewTopic) -> Result<(), SendError> {
        self.topics.open(new, self.calls_max, &mut self.outgoing)
    }

    /// A connection is there: whatever is open is sent again or resumed, in the order in which it was opened.
    pub(crate) fn connected(&mut self) {
        self.online = true;
        let in_order: BTreeMap<u64, RequestId> =
            self.calls.iter().map(|(id, call)| (call.order, id.clone())).collect();
        for id in in_order.into_values() {
            self.set_off(&id);
        }
        self.topics.connected(&mut self.outgoing);
    }

    /// The connection will not last: what is new waits for the next one.
    pub(crate) fn hold(&mut self) {
        self.online = false;
        self.topics.hold();
    }

    /// The connection is gone.
    pub(crate) fn disconnected(&mut self) {
        self.online = false;
        self.outgoing.clear();
        self.resumes.clear();
        self.postponed.clear();
        self.topics.disconnected();
        for call in self.calls.values_mut() {
            call.stage = Stage::Adrift;
        }
    }

    /// Looks after the calls whose readers have gone, or are back and want what they missed.
    pub(crate) fn attend(&mut self) {
        self.calls.retain(|_, call| !call.mailbox.is_abandoned());
        let asking: Vec<_> = self
            .calls
            .iter()
            .filter(|(_, call)| call.mailbox.is_asking())
            .map(|(id, _)| id.clone())
            .collect();
        for id in asking {
            if let Some(call) = self.calls.get(&id) {
                call.mailbox.catch_up();
            }
            if self.online {
                self.set_off(&id);
            }
        }
        self.topics.attend(&mut self.outgoing);
    }

    /// When the first of what was postponed is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let of_calls = self.postponed.first_key_value().map(|((due, _), _)| *due);
        of_calls.into_iter().chain(self.topics.next_due()).min()
    }

    /// Sends what was postponed until `now`.
    pub(crate) fn retry_due(&mut self, now: Instant) {
        self.topics.retry_due(now, &mut self.outgoing);
        while let Some(first) = self.postponed.first_entry().filter(|first| first.key().0 <= now) {
            let ((due, _), id) = first.remove_entry();
            if self.calls.get(&id).is_some_and(|call| call.stage == Stage::Postponed(due)) {
                self.set_off(&id);
            }
        }
    }

    /// Takes what the server says.
    pub(crate) fn take(&mut self, frame: ServerFrame) {
        match frame {
            ServerFrame::Acknowledgment(frame) => {
                if let Some(call) = self.calls.get_mut(&frame.request_id)
                    && call.stored()
                {
                    call.take(Update::Acknowledged(frame));
                }
            }
            ServerFrame::Response(frame) => self.response(frame),
            ServerFrame::Progress(frame) => self.entry(&frame.request_id.clone(), Update::Progress(frame)),
            ServerFrame::Chunk(frame) => self.entry(&frame.request_id.clone(), Update::Chunk(frame)),
            ServerFrame::Restart(frame) => self.entry(&frame.request_id.clone(), Update::Restart(frame)),
            ServerFrame::Complete(frame) => self.end_of_log(&frame.request_id, Ok(frame.result)),
            ServerFrame::Error(frame) => self.error(frame),
            ServerFrame::Event(frame) => self.topics.event(frame, &mut self.outgoing),
            ServerFrame::Presence(frame) => self.topics.presence(frame),
            ServerFrame::Part(_) | ServerFrame::Draining(_) => {}
        }
    }

    /// Ends every call.
    pub(crate) fn close(&mut self, why: &Closed) {
        self.disconnected();
        for (_, call) in self.calls.drain() {
            call.end(Err(CallError::Closed(why.clone())));
        }
        self.topics.close(why);
    }

    /// Sends a call's request, or resumes it once the server has it stored.
    fn set_off(&mut self, id: &RequestId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        if let Some(request) = &call.request {
            self.outgoing.push_back(request.clone());
            call.sends += 1;
            call.stage = Stage::Sent;
        } else if call.mailbox.is_behind() {
            // Its reader will ask.
            call.stage = Stage::Adrift;
        } else {
            let after = call.track.proven();
            self.resume(id, after);
        }
    }

    fn resume(&mut self, id: &RequestId, after: u64) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let message_id = crate::request::fresh_id();
        let payload = json!({ "request_id": id, "after_seq": after });
        self.outgoing
            .push_back(json!({ "id": message_id, "action": "resume", "payload": payload }).to_string());
        call.stage = Stage::Resuming(message_id.clone());
        self.resumes.insert(message_id, id.clone());
    }

    /// The call that still waits for the answer to this message.
    fn resumed_by(&mut self, message_id: &RequestId) -> Option<RequestId> {
        let id = self.resumes.remove(message_id)?;
        let call = self.calls.get(&id)?;
        matches!(&call.stage, Stage::Resuming(waiting) if waiting == message_id).then_some(id)
    }

    fn response(&mut self, frame: Response) {
        if self.topics.response(&frame.request_id, &frame.data) {
            return;
        }
        if self.resumes.contains_key(&frame.request_id) {
            if let Some(id) = self.resumed_by(&frame.request_id) {
                self.resumed(&id, &frame.data);
            }
        } else if let Some(call) = self.calls.remove(&frame.request_id) {
            call.end(Ok(frame.data));
        }
    }

    /// The answer to a resume: the log follows it.
    fn resumed(&mut self, id: &RequestId, standing: &Json) {
        #[derive(Deserialize)]
        struct Standing {
            status: RequestStatus,
            last_seq: u64,
        }
        let Some(call) = self.calls.get_mut(id) else { return };
        call.setbacks = 0;
        call.stage = Stage::Following;
        if let Ok(Standing { status, last_seq }) = standing.get()
            && status.is_final()
            && last_seq > 0
            && call.track.proven() >= last_seq
        {
            // The caller has seen the end in an earlier life and asks again: the end alone is given once more.
            call.track = crate::track::Track::after(last_seq - 1);
            self.resume(id, last_seq - 1);
        }
    }

    fn entry(&mut self, id: &RequestId, update: Update) {
        let Some(call) = self.calls.get_mut(id).filter(|call| call.listens()) else { return };
        call.stored();
        match call.take(update) {
            Taken::Fine => {}
            Taken::Missing => {
                debug!("a chunk is missing, resuming");
                self.set_off(id);
            }
            Taken::Incomplete { expected, found } => {
                self.end(id, Err(CallError::Incomplete { expected, found }))
            }
        }
    }

    fn end_of_log(&mut self, id: &RequestId, end: Result<Json, CallError>) {
        if self.calls.get(id).is_some_and(OpenCall::listens) {
            self.end(id, end);
        }
    }

    fn end(&mut self, id: &RequestId, end: Result<Json, CallError>) {
        if let Some(call) = self.calls.remove(id) {
            call.end(end);
        }
    }

    fn error(&mut self, frame: ErrorFrame) {
        let Some(id) = frame.request_id else {
            debug!(code = frame.error.code.as_str(), "the server could not read a message");
            return;
        };
        if self.topics.error(&id, &frame.error) {
            return;
        }
        if self.resumes.contains_key(&id) {
            if let Some(id) = self.resumed_by(&id) {
                self.turned_away(&id, frame.error);
            }
            return;
        }
        if frame.seq.is_some() {
            self.end_of_log(&id, Err(CallError::Failed(frame.error.into())));
            return;
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        let retry = frame.error.retry.filter(|retry| retry.retryable);
        if retry.is_some_and(|retry| retry.attempt.is_some()) {
            call.stored();
            call.take(Update::AttemptFailed(frame.error.into()));
        } else if call.request.is_some() && call.sends > 1 {
            self.turned_away(&id, frame.error);
        } else {
            self.end(&id, Err(CallError::Failed(frame.error.into())));
        }
    }

    /// The server refused what the caller did not ask for: a resume, or a request that was sent again. What passes is
    /// tried again.
    fn turned_away(&mut self, id: &RequestId, error: ErrorBody) {
        let Some(call) = self.calls.get_mut(id) else { return };
        call.setbacks += 1;
        let passes = matches!(
            error.code,
            ErrorCode::RateLimited | ErrorCode::Overloaded | ErrorCode::Timeout | ErrorCode::InternalError
        );
        if passes && call.setbacks <= SETBACKS_MAX {
            let after = error.retry.and_then(|retry| retry.after).map_or(RETRY_AFTER, Duration::from_millis);
            let due = Instant::now() + patient(after);
            call.stage = Stage::Postponed(due);
            self.postponed.insert((due, call.order), id.clone());
        } else {
            self.end(id, Err(CallError::Failed(error.into())));
        }
    }
}
