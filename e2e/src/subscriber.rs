//! A subscriber that servers cannot get rid of: it loses its connection, comes back, and goes on after the last message
//! that it has. What it may rely on is held against everything that it hears: no gap, nothing twice, one life.

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    client::TENANT,
    issuer::Issuer,
    patience::{until, within},
    peer::{Peer, Said},
    publisher::Publisher,
};

/// Follows a durable topic from its beginning.
#[derive(Debug)]
pub struct Subscriber {
    user: String,
    url: String,
    topic: String,
    epoch: String,
    /// What was published, in order; the first has the offset 1.
    pub messages: Vec<Value>,
    /// How often it went on over another connection.
    pub resumes: u32,
}

impl Subscriber {
    /// Of a topic of the server at `url`, which keeps all that is published to it.
    pub fn new(user: impl Into<String>, url: impl Into<String>, topic: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            url: url.into(),
            topic: topic.into(),
            epoch: String::new(),
            messages: Vec::new(),
            resumes: 0,
        }
    }

    /// Until it has the message at the offset that it is told, and all before it.
    pub async fn live(mut self, mut last: watch::Receiver<Option<u64>>) -> Self {
        let token = Issuer::shared().token(&self.user, TENANT);
        loop {
            let connected = async || Peer::try_connect(&self.url, Some(&token)).await.ok();
            let mut peer = until("the server to be back", connected).await;
            if self.follow(&mut peer, &mut last).await {
                peer.leave().await;
                return self;
            }
            self.resumes += 1;
        }
    }

    /// All that is there now.
    pub async fn read(mut self) -> Self {
        let mut peer = Peer::connect(&self.url, &Issuer::shared().token(&self.user, TENANT)).await;
        let head = self.subscribe(&mut peer).await.expect("the server stays");
        let following = self.follow_until(&mut peer, head);
        assert!(within("all that is kept", following).await, "the connection was lost");
        peer.leave().await;
        self
    }

    /// Asks for what comes after the last message, and gives the offset of the newest; none if the connection was lost.
    async fn subscribe(&mut self, peer: &mut Peer) -> Option<u64> {
        let since = json!({ "epoch": self.epoch, "offset": self.messages.len() });
        peer.send("subscribe", "subscribe", json!({ "topic": self.topic, "since": since })).await;
        let answer = loop {
            match peer.hear().await {
                Said::Frame(frame) if frame["type"] == "draining" => {}
                Said::Frame(frame) => break frame,
                Said::Closed(_) | Said::Broken => return None,
            }
        };
        let said = &answer["data"];
        let epoch = said["epoch"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        if self.epoch.is_empty() {
            assert_eq!(said["kept_from"], 1, "it keeps all: {answer}");
            self.epoch = epoch;
        } else {
            assert_eq!((&said["resumed"], &epoch), (&json!(true), &self.epoch), "{answer}");
        }
        Some(said["offset"].as_u64().expect("a number"))
    }

    /// True once it has what it is to have; false if the connection was lost.
    async fn follow(&mut self, peer: &mut Peer, last: &mut watch::Receiver<Option<u64>>) -> bool {
        if self.subscribe(peer).await.is_none() {
            return false;
        }
        loop {
            let told = *last.borrow_and_update();
            if let Some(last) = told {
                return within("the last message", self.follow_until(peer, last)).await;
            }
            tokio::select! {
                said = peer.listen() => if !self.take(said) {
                    return false;
                },
                told = last.changed() => told.expect("somebody tells where it ends"),
            }
        }
    }

    async fn follow_until(&mut self, peer: &mut Peer, last: u64) -> bool {
        while (self.messages.len() as u64) < last {
            if !self.take(peer.listen().await) {
                return false;
            }
        }
        true
    }

    /// Takes what is said; false if that was the connection's end.
    fn take(&mut self, said: Said) -> bool {
        let frame = match said {
            Said::Frame(frame) if frame["type"] == "draining" => return true,
            Said::Frame(frame) => frame,
            Said::Closed(_) | Said::Broken => return false,
        };
        let due = json!(self.messages.len() + 1);
        assert_eq!((&frame["type"], &frame["epoch"]), (&json!("event"), &json!(self.epoch)), "{frame}");
        assert_eq!(frame["offset"], due, "a gap or a double: {frame}");
        self.messages.push(frame["data"].clone());
        true
    }

    /// Holds what it has against what these publishers, and nobody else, were answered.
    pub fn hold(&self, publishers: &[Publisher]) {
        for publisher in publishers {
            let at: Vec<usize> = places(&self.messages, publisher).collect();
            for (n, offset) in publisher.offsets.iter().enumerate() {
                let kept = usize::try_from(offset - 1).ok().and_then(|place| self.messages.get(place));
                assert_eq!(kept, Some(&publisher.message(n)), "{} at {offset}", publisher.user);
            }
            let numbers = at.iter().map(|place| self.messages[*place]["n"].as_u64().expect("a number"));
            let mut due = 0;
            for n in numbers {
                // Whoever got no answer publishes again, and without keys may be there twice: but next to nothing else
                // of its own.
                assert!(n == due || n + 1 == due, "{}: message {n} where {due} was due", publisher.user);
                due = n + 1;
            }
            let doubles = at.len() - usize::try_from(due).expect("small");
            let allowed = if publisher.is_keyed { 0 } else { publisher.repeats };
            assert!(doubles as u64 <= u64::from(allowed), "{} is there twice", publisher.user);
        }
        let known: usize = publishers.iter().map(|publisher| places(&self.messages, publisher).count()).sum();
        assert_eq!(known, self.messages.len(), "somebody else published");
    }
}

/// Where a publisher's messages are.
fn places(messages: &[Value], publisher: &Publisher) -> impl Iterator<Item = usize> {
    let of_it = |message: &Value| message["of"] == publisher.user.as_str();
    messages.iter().enumerate().filter(move |(_, message)| of_it(message)).map(|(place, _)| place)
}
