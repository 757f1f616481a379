//! The handle that programs hold.

use std::sync::Arc;

use streamer_protocol::RequestId;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    Call, Closed, ConnectError, ConnectionState, RequestBuilder, SendError, Settings,
    dial::dial,
    driver::{Driver, Open, Opened},
    mailbox::Mailbox,
    open_call::{NewCall, Opening},
    topic_book::NewTopic,
};

/// How many calls may wait for the connection's task to take them.
const OPENING_MAX: usize = 64;

/// A connection to Streamer that is made again when it breaks. Cheap to clone; all clones share it.
///
/// It lives as long as one of its clones, calls or subscriptions. Dropping the last ends it without a farewell: see
/// [`close`](Self::close).
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Arc<Settings>,
    opening: mpsc::Sender<Open>,
    ask: Arc<Notify>,
    stop: CancellationToken,
    state: watch::Receiver<ConnectionState>,
    _driver: AbortOnDropHandle<()>,
}

impl Client {
    /// Makes the first connection, in one attempt; later ones are made by themselves, as [`Settings`] say. Needs a
    /// Tokio runtime with time and I/O.
    pub async fn connect(settings: Settings) -> Result<Self, ConnectError> {
        let settings = Arc::new(settings);
        let socket = Box::pin(dial(&settings)).await?;
        let (opening, openings) = mpsc::channel(OPENING_MAX);
        let (states, state) = watch::channel(ConnectionState::Connected);
        let (ask, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let driver = Driver::new(settings.clone(), openings, ask.clone(), stop.clone(), states);
        let driver = AbortOnDropHandle::new(tokio::spawn(driver.run(socket)));
        Ok(Self { shared: Arc::new(Shared { settings, opening, ask, stop, state, _driver: driver }) })
    }

    /// A request for `action`.
    pub fn request(&self, action: &str) -> RequestBuilder<'_> {
        RequestBuilder::new(self, action)
    }

    /// Where the connection stands, now and from now on.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<ConnectionState> {
        self.shared.state.clone()
    }

    /// Says goodbye to the server and ends every open call and subscription with [`Closed::ByUs`]; requests go on. Waits until it
    /// is done.
    pub async fn close(&self) {
        self.shared.stop.cancel();
        let mut state = self.state();
        // An error means that the driver is gone, which is as good.
        let _ = state.wait_for(|state| matches!(state, ConnectionState::Closed(_))).await;
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Wakes the connection when a reader is back or has gone.
    pub(crate) fn ask(&self) -> &Notify {
        &self.shared.ask
    }

    pub(crate) async fn open(&self, id: RequestId, opening: Opening) -> Result<Call, SendError> {
        let mailbox = Arc::new(Mailbox::new(self.settings().updates_max));
        let after_seq = match opening {
            Opening::Request(_) => 0,
            Opening::Resume(after_seq) => after_seq,
        };
        // Made first: if this future is dropped, so is the call, and the connection forgets it.
        let call = Call::new(self.clone(), id.clone(), mailbox.clone(), after_seq);
        self.hand_over(Opened::Call(NewCall { id, opening, mailbox })).await?;
        Ok(call)
    }

    pub(crate) async fn open_topic(&self, new: NewTopic) -> Result<(), SendError> {
        self.hand_over(Opened::Topic(new)).await
    }

    async fn hand_over(&self, new: Opened) -> Result<(), SendError> {
        let (answer, answered) = oneshot::channel();
        self.shared.opening.send(Open { new, answer }).await.map_err(|_| self.closed())?;
        answered.await.map_err(|_| self.closed())?
    }

    pub(crate) fn closed(&self) -> SendError {
        SendError::Closed(match &*self.shared.state.borrow() {
            ConnectionState::Closed(why) => why.clone(),
            _ => Closed::ByUs,
        })
    }
}
