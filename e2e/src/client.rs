//! A client that servers cannot get rid of: it sends requests, loses its connection, comes back and goes on where it
//! stood.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    issuer::Issuer,
    patience::until,
    peer::{Peer, Said},
    promises::Heard,
};

/// The tenant of all of them.
pub const TENANT: &str = "acme";

/// How many requests one client has under way at most.
const OPEN_MAX: usize = 12;

/// A request that is to be sent.
#[derive(Debug, Clone)]
pub struct Errand {
    /// What is asked for.
    pub action: &'static str,
    /// With what.
    pub payload: Value,
    /// When it is to be started, if not at once.
    pub delay_ms: Option<u64>,
    /// How it may end.
    pub ends: Ends,
    /// How long the client waits before it sends the next one.
    pub pause: Duration,
}

/// How a request may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// Well.
    Well,
    /// Badly: its handler says so.
    Badly,
    /// As its client asks: cancelled, as soon as it is sent.
    Cancelled,
}

impl Errand {
    /// A request that ends well, and is followed by the next one at once.
    #[must_use]
    pub fn new(action: &'static str, payload: Value) -> Self {
        Self { action, payload, delay_ms: None, ends: Ends::Well, pause: Duration::ZERO }
    }

    /// It ends otherwise.
    #[must_use]
    pub fn ending(mut self, ends: Ends) -> Self {
        self.ends = ends;
        self
    }

    /// It is to start later.
    #[must_use]
    pub fn delayed(mut self, delay_ms: u64) -> Self {
        self.delay_ms = Some(delay_ms);
        self
    }

    fn message(&self, id: &str) -> Value {
        let mut message = json!({ "id": id, "action": self.action, "payload": self.payload });
        if let Some(delay_ms) = self.delay_ms {
            message["metadata"] = json!({ "delay_ms": delay_ms });
        }
        message
    }
}

/// A request that was sent, and what was heard of it.
#[derive(Debug)]
pub struct Sent {
    /// What was asked for.
    pub errand: Errand,
    /// What was heard.
    pub heard: Heard,
    /// It was refused for now, and is to be sent again then.
    again_at: Option<Instant>,
}

/// Whoever sends them.
pub struct Client {
    /// Its name.
    pub user: String,
    url: String,
    errands: Box<dyn Iterator<Item = Errand> + Send>,
    open: Vec<Sent>,
    /// Its requests that have ended.
    pub ended: Vec<Sent>,
    /// How often it went on with a request over another connection.
    pub resumes: u32,
    /// How often it was told to try again later.
    pub refusals: u32,
}

impl Client {
    /// A client of the server at `url`, with these errands.
    pub fn new(
        user: impl Into<String>,
        url: impl Into<String>,
        errands: impl IntoIterator<Item = Errand, IntoIter: Send + 'static>,
    ) -> Self {
        Self {
            user: user.into(),
            url: url.into(),
            errands: Box::new(errands.into_iter()),
            open: Vec::new(),
            ended: Vec::new(),
            resumes: 0,
            refusals: 0,
        }
    }

    /// Until all its errands are done, or it is told to stop and what it sent has ended.
    pub async fn live(mut self, mut stop: watch::Receiver<bool>) -> Self {
        let token = Issuer::shared().token(&self.user, TENANT);
        let mut next = self.errands.next();
        loop {
            let url = self.url.clone();
            let connected = async || Peer::try_connect(&url, Some(&token)).await.ok();
            let mut peer = until("the server to be back", connected).await;
            self.take_up(&mut peer).await;
            if self.talk(&mut peer, &mut next, &mut stop).await {
                peer.leave().await;
                return self;
            }
        }
    }

    /// Goes on with what was under way: what was promised is followed, what was not is sent again.
    async fn take_up(&mut self, peer: &mut Peer) {
        for at in 0..self.open.len() {
            let heard = &self.open[at].heard;
            if heard.acknowledged {
                self.resumes += 1;
                let resume = json!({ "request_id": heard.id, "after_seq": heard.last_seq });
                peer.send(&format!("resume-{}", self.resumes), "resume", resume).await;
                self.cancel(peer, at).await;
            } else {
                self.send(peer, at).await;
            }
        }
    }

    /// True once there is nothing left to do; false if the connection was lost.
    async fn talk(
        &mut self,
        peer: &mut Peer,
        next: &mut Option<Errand>,
        stop: &mut watch::Receiver<bool>,
    ) -> bool {
        let mut next_at = Instant::now();
        loop {
            if *stop.borrow_and_update() {
                *next = None;
            }
            if next.is_none() && self.open.is_empty() {
                return true;
            }
            let again = self.open.iter().filter_map(|sent| sent.again_at).min();
            tokio::select! {
                said = peer.listen() => match said {
                    Said::Frame(frame) => self.take(&frame),
                    Said::Closed(_) | Said::Broken => return false,
                },
                () = sleep_until(next_at), if next.is_some() && self.open.len() < OPEN_MAX => {
                    let errand = next.take().expect("checked");
                    next_at = Instant::now() + errand.pause;
                    let id = format!("{}-{}", self.user, self.open.len() + self.ended.len());
                    self.open.push(Sent { errand, heard: Heard::nothing_of(id), again_at: None });
                    self.send(peer, self.open.len() - 1).await;
                    *next = self.errands.next();
                }
                () = sleep_until(again.unwrap_or(next_at)), if again.is_some() => {
                    let due = |sent: &Sent| sent.again_at.is_some_and(|at| at <= Instant::now());
                    for at in (0..self.open.len()).filter(|at| due(&self.open[*at])).collect::<Vec<_>>() {
                        self.send(peer, at).await;
                    }
                }
                // Whoever could say so may be gone: then nothing stops it but its last errand.
                Ok(()) = stop.changed() => {}
            }
        }
    }

    async fn send(&mut self, peer: &mut Peer, at: usize) {
        let sent = &mut self.open[at];
        sent.again_at = None;
        let message = sent.errand.message(&sent.heard.id);
        peer.send_message(tokio_tungstenite::tungstenite::Message::text(message.to_string())).await;
        self.cancel(peer, at).await;
    }

    async fn cancel(&mut self, peer: &mut Peer, at: usize) {
        let Sent { errand, heard, .. } = &self.open[at];
        if errand.ends == Ends::Cancelled {
            let named = json!({ "request_id": heard.id });
            peer.send(&format!("cancel-{}", heard.id), "cancel", named).await;
        }
    }

    fn take(&mut self, frame: &Value) {
        if frame["type"] == "draining" {
            return;
        }
        let id = frame["request_id"].as_str().expect("all else that comes is about a request");
        if id.starts_with("resume-") {
            assert_eq!(frame["type"], "response", "what was promised is there: {frame}");
            return;
        }
        if id.starts_with("cancel-") {
            return;
        }
        let Some(at) = self.open.iter().position(|sent| sent.heard.id == id) else {
            // Nothing comes after the end.
            let ended = self.ended.iter_mut().find(|sent| sent.heard.id == id);
            return ended.expect("it was sent").heard.take(frame);
        };
        let sent = &mut self.open[at];
        let retry = &frame["error"]["retry"];
        if !sent.heard.acknowledged && retry["retryable"] == true && retry["attempt"].is_null() {
            // Not now: nothing was promised, and nothing has ended.
            let after = Duration::from_millis(retry["after"].as_u64().expect("it says when"));
            sent.again_at = Some(Instant::now() + after);
            self.refusals += 1;
            return;
        }
        sent.heard.take(frame);
        if sent.heard.end.is_some() {
            self.ended.push(self.open.swap_remove(at));
        }
    }
}
