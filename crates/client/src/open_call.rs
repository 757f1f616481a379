//! A call as the connection sees it.

use std::sync::Arc;

use streamer_protocol::{Json, RequestId};
use tokio::time::Instant;

use crate::{CallError, Update, mailbox::Mailbox, track::Track, track::Verdict};

/// How often in a row a resume may run into the same gap.
const GAPS_MAX: u32 = 3;

/// How a call begins.
#[derive(Debug)]
pub(crate) enum Opening {
    /// By this message, whose id is the call's.
    Request(String),
    /// By a resume after this `seq`.
    Resume(u64),
}

/// A call that the caller has just made.
#[derive(Debug)]
pub(crate) struct NewCall {
    pub(crate) id: RequestId,
    pub(crate) opening: Opening,
    pub(crate) mailbox: Arc<Mailbox>,
}

/// Where a call stands towards the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing is under way: say something on the next connection, or when the reader is back.
    Adrift,
    /// The server asked for patience until then.
    Postponed(Instant),
    /// The request was sent and nothing has come back.
    Sent,
    /// A resume was sent under this id. Until it is answered, entries of the log may lack what was before them.
    Resuming(RequestId),
    /// The log flows.
    Following,
}

#[derive(Debug)]
pub(crate) struct OpenCall {
    /// Rises from call to call: what was asked first is asked first again.
    pub(crate) order: u64,
    pub(crate) stage: Stage,
    /// What to send until the server has it stored; then `None`.
    pub(crate) request: Option<String>,
    /// How often the request or its resume was put off or went wrong in a row.
    pub(crate) setbacks: u32,
    /// How often the request was sent, on this connection and others.
    pub(crate) sends: u32,
    pub(crate) track: Track,
    pub(crate) mailbox: Arc<Mailbox>,
    gaps: u32,
}

/// What an entry of the log led to.
#[derive(Debug, PartialEq)]
pub(crate) enum Taken {
    /// Passed on, or left out for a reason.
    Fine,
    /// Something is missing: resume.
    Missing,
    /// It is missing for good.
    Incomplete { expected: u64, found: u64 },
}

impl OpenCall {
    pub(crate) fn new(order: u64, new: NewCall) -> Self {
        let (request, after) = match new.opening {
            Opening::Request(text) => (Some(text), 0),
            Opening::Resume(after) => (None, after),
        };
        Self {
            order,
            stage: Stage::Adrift,
            request,
            setbacks: 0,
            sends: 0,
            track: Track::after(after),
            mailbox: new.mailbox,
            gaps: 0,
        }
    }

    /// The server has it stored: from now on it is resumed, not sent again. False if that was known.
    pub(crate) fn stored(&mut self) -> bool {
        if self.stage == Stage::Sent {
            self.stage = Stage::Following;
        }
        self.setbacks = 0;
        self.request.take().is_some()
    }

    /// Whether an entry of the log can be used now.
    pub(crate) fn listens(&self) -> bool {
        matches!(self.stage, Stage::Sent | Stage::Following) && !self.mailbox.is_behind()
    }

    /// Takes an entry that is no end.
    pub(crate) fn take(&mut self, mut update: Update) -> Taken {
        let before = self.track;
        let verdict = match &mut update {
            Update::Progress(progress) => self.track.progress(progress),
            Update::Chunk(chunk) => self.track.chunk(chunk),
            Update::Restart(restart) => self.track.restart(restart),
            Update::Acknowledged(_) | Update::AttemptFailed(_) => Verdict::New,
        };
        match verdict {
            Verdict::Double => Taken::Fine,
            Verdict::New => {
                if matches!(update, Update::Chunk(_) | Update::Restart(_)) {
                    self.gaps = 0;
                }
                if !self.mailbox.push(update) {
                    // It will come again, once the reader is back.
                    self.track = before;
                }
                Taken::Fine
            }
            Verdict::Gap { expected, found } => {
                self.gaps += 1;
                if self.gaps > GAPS_MAX { Taken::Incomplete { expected, found } } else { Taken::Missing }
            }
        }
    }

    pub(crate) fn end(self, end: Result<Json, CallError>) {
        self.mailbox.end(end);
    }
}
