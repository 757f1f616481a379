//! A publisher that servers cannot get rid of: what was not answered, it publishes again.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};

use crate::{
    client::TENANT,
    issuer::Issuer,
    patience::until,
    peer::{Peer, Said},
};

/// Publishes its own messages to a topic, one after the other.
#[derive(Debug)]
pub struct Publisher {
    /// Its name, which stands in every message.
    pub user: String,
    url: String,
    topic: String,
    messages_max: usize,
    pause: Duration,
    /// Whether its messages have keys, so that none is there twice.
    pub is_keyed: bool,
    /// Where the messages that were answered are, in their order.
    pub offsets: Vec<u64>,
    /// How often it published a message again.
    pub repeats: u32,
}

impl Publisher {
    /// Of so many messages to a topic of the server at `url`.
    pub fn new(
        user: impl Into<String>,
        url: impl Into<String>,
        topic: impl Into<String>,
        messages_max: usize,
    ) -> Self {
        let (user, url, topic) = (user.into(), url.into(), topic.into());
        let (pause, is_keyed) = (Duration::ZERO, false);
        Self { user, url, topic, messages_max, pause, is_keyed, offsets: Vec::new(), repeats: 0 }
    }

    /// Gives its messages keys.
    #[must_use]
    pub fn keyed(mut self) -> Self {
        self.is_keyed = true;
        self
    }

    /// Waits so long before each of them.
    #[must_use]
    pub fn pausing(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Its message with this number.
    #[must_use]
    pub fn message(&self, n: usize) -> Value {
        json!({ "of": self.user, "n": n })
    }

    /// Until all its messages were answered, or it is told to stop and the one under way was.
    pub async fn live(mut self, stop: watch::Receiver<bool>) -> Self {
        let token = Issuer::shared().token(&self.user, TENANT);
        loop {
            let connected = async || Peer::try_connect(&self.url, Some(&token)).await.ok();
            let mut peer = until("the server to be back", connected).await;
            if self.talk(&mut peer, &stop).await {
                peer.leave().await;
                return self;
            }
            self.repeats += 1;
        }
    }

    /// True once there is nothing left to do; false if the connection was lost before an answer.
    async fn talk(&mut self, peer: &mut Peer, stop: &watch::Receiver<bool>) -> bool {
        while self.offsets.len() < self.messages_max && !*stop.borrow() {
            sleep(self.pause).await;
            let n = self.offsets.len();
            let mut payload = json!({ "topic": self.topic, "data": self.message(n) });
            if self.is_keyed {
                payload["idempotency_key"] = json!(n.to_string());
            }
            peer.send("publish", "publish", payload).await;
            let answer = loop {
                match peer.hear().await {
                    // It is told to go elsewhere, and stays.
                    Said::Frame(frame) if frame["type"] == "draining" => {}
                    Said::Frame(frame) => break frame,
                    Said::Closed(_) | Said::Broken => return false,
                }
            };
            match answer["data"]["offset"].as_u64() {
                Some(offset) => self.offsets.push(offset),
                // A server that stops takes nothing any more.
                None => assert_eq!(answer["error"]["code"], "OVERLOADED", "{answer}"),
            }
        }
        true
    }
}
