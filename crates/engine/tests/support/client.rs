//! A connection's other end.

use std::sync::Arc;

use serde_json::{Value, json};
use streamer_engine::{Engine, Session, protocol::ConnectionId, push::Push, testing::FakeConnections};

use super::soon;

pub(crate) struct Client {
    pub(crate) session: Arc<Session>,
    pub(crate) fake: Arc<FakeConnections>,
    engine: Engine,
}

impl Client {
    pub(crate) fn new(engine: Engine, fake: Arc<FakeConnections>, session: Arc<Session>) -> Self {
        Self { session, fake, engine }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn id(&self) -> &ConnectionId {
        &self.session.connection
    }

    /// Sends a text as the door would hand it over, and receives what is answered at once.
    pub(crate) async fn send_text(&self, text: &str) {
        let room = soon("room for a message", self.session.room()).await;
        if let Some(answer) = self.engine.accept(&self.session, room, text) {
            self.fake.push(self.id(), answer).await.expect("the connection takes the answer");
        }
    }

    pub(crate) async fn send(&self, message: Value) {
        self.send_text(&message.to_string()).await;
    }

    /// Sends `{id, action, payload}`.
    pub(crate) async fn ask(&self, id: &str, action: &str, payload: Value) {
        self.send(json!({ "id": id, "action": action, "payload": payload })).await;
    }

    /// As [`ask`](Self::ask), and takes its first answer and what came before.
    pub(crate) async fn answer(&self, id: &str, action: &str, payload: Value) -> Value {
        self.ask(id, action, payload).await;
        let frames = self.until(|frame| frame["request_id"] == id).await;
        frames.into_iter().next_back().expect("until gives at least one")
    }

    /// Takes what comes, up to the frame that matches.
    pub(crate) async fn until(&self, matches: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            for frame in self.fake.take_at_most(self.id(), 1) {
                let last = matches(&frame);
                frames.push(frame);
                if last {
                    return frames;
                }
            }
            let what = format!("another frame than {frames:#?}");
            soon(&what, self.fake.something(self.id())).await;
        }
    }

    /// Takes what comes, up to the frame of this type about this request.
    pub(crate) async fn until_type(&self, kind: &str, id: &str) -> Vec<Value> {
        self.until(|frame| frame["type"] == kind && frame["request_id"] == id).await
    }

    /// Takes what comes, up to the end of a stored request.
    pub(crate) async fn until_outcome(&self, id: &str) -> Vec<Value> {
        let ends =
            |frame: &Value| frame["type"] == "complete" || frame["type"] == "error" && frame["seq"].is_u64();
        self.until(|frame| frame["request_id"] == id && ends(frame)).await
    }

    /// What has come and was not taken.
    pub(crate) fn take(&self) -> Vec<Value> {
        self.fake.take(self.id())
    }

    pub(crate) async fn disconnect(&self) {
        self.fake.hang_up(self.id());
        self.engine.disconnect(&self.session).await;
    }
}

/// What kinds of frames these are, in order.
pub(crate) fn types(frames: &[Value]) -> Vec<&str> {
    frames.iter().map(|frame| frame["type"].as_str().expect("has a type")).collect()
}
