//! Sessions of those who have no connection, but call and are answered.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use streamer_engine::{
    Caller, Context, Credentials, Failure, Rights, Router, Session,
    protocol::{ErrorBody, ErrorCode, Request, RequestId, TenantId, Timestamp, UserId},
    push::Push,
    testing::FakeConnections,
};
use tokio::sync::Semaphore;

use crate::support::{Node, key, soon};

/// Whoever visits, and what it was told.
struct Visitor<'a> {
    node: &'a Node,
    way: Arc<FakeConnections>,
    session: Arc<Session>,
}

struct NoToken;

impl Credentials for NoToken {
    fn rights(&self) -> Arc<Rights> {
        Arc::new(Rights::new(true, true, []))
    }

    fn refresh(&self, _: &str) -> Result<Timestamp, ErrorBody> {
        unreachable!("a visitor has nothing to refresh")
    }
}

impl<'a> Visitor<'a> {
    fn of(node: &'a Node) -> Self {
        let caller = Caller { user: UserId::new("ada"), tenant: TenantId::new("acme") };
        let way = Arc::new(FakeConnections::new());
        let session = node.engine.visit(caller, Arc::clone(&way) as _, Arc::new(NoToken));
        way.open(&session.connection);
        Self { node, way, session }
    }

    async fn ask(&self, id: &str, action: &str, payload: Value) {
        let message = json!({ "id": id, "action": action, "payload": payload }).to_string();
        let room = Arc::new(Semaphore::new(1)).acquire_owned().await.expect("open");
        let request = Request::parse(&message).expect("valid");
        if let Some(answer) = self.node.engine.submit(&self.session, room, request) {
            self.way.push(&self.session.connection, answer).await.expect("taken");
        }
    }

    async fn follow(&self, id: &str, after: u64) -> Result<bool, ErrorCode> {
        let id = RequestId::parse(id).expect("valid");
        self.node.engine.follow(&self.session, id, after).await.map_err(|error| error.code)
    }

    async fn hear(&self) -> Value {
        let id = &self.session.connection;
        soon("a frame", self.way.something(id)).await;
        self.way.take_at_most(id, 1).remove(0)
    }

    /// The types and places of what is told, up to the outcome.
    async fn hear_out(&self) -> Vec<(String, u64)> {
        let mut heard = Vec::new();
        loop {
            let frame = self.hear().await;
            let kind = frame["type"].as_str().expect("a type").to_owned();
            let ends = kind == "complete" || kind == "error";
            heard.push((kind, frame["seq"].as_u64().expect("of the log")));
            if ends {
                return heard;
            }
        }
    }
}

/// Hands out as many chunks as it is told, one a second.
fn routes() -> Router {
    let count = |cx: Context, to: u32| async move {
        for n in 0..to {
            cx.chunk(&n).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok::<_, Failure>(to)
    };
    Router::new().action("count", count).takes(Duration::from_secs(60)).action("double", double)
}

async fn double(_: Context, n: u32) -> Result<u32, Failure> {
    Ok(2 * n)
}

#[tokio::test(start_paused = true)]
async fn a_visitor_is_answered_by_its_own_way() {
    let mut node = Node::alone(routes());
    let visitor = Visitor::of(&node);
    visitor.ask("a", "double", json!(21)).await;
    assert_eq!(visitor.hear().await["data"], 42);
    visitor.ask("b", "count", json!(3)).await;
    assert_eq!(visitor.hear().await["type"], "acknowledgment");
    let log = visitor.hear_out().await;
    assert_eq!(log.last().map(|(kind, _)| kind.as_str()), Some("complete"));
    let record = node.engine.store().request(&key("b")).await.expect("works").expect("there");
    assert_eq!(record.summary.connection, None, "no connection asked for it");

    // Once more, and only what it came to is told.
    let again = Visitor::of(&node);
    again.ask("b", "count", json!(3)).await;
    assert_eq!(again.hear_out().await, log[log.len() - 1..]);
    again.ask("b", "count", json!(4)).await;
    assert_eq!(again.hear().await["error"]["code"], "CONFLICT");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_visitor_that_leaves_changes_nothing_for_its_request() {
    let mut node = Node::alone(routes());
    let visitor = Visitor::of(&node);
    visitor.ask("b", "count", json!(3)).await;
    assert_eq!(visitor.hear().await["type"], "acknowledgment");
    node.engine.leave(&visitor.session);
    let back = Visitor::of(&node);
    assert_eq!(back.follow("b", 0).await, Ok(true));
    assert_eq!(back.hear_out().await.len(), 4);
    assert!(visitor.way.take(&visitor.session.connection).is_empty(), "who has left is told nothing");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_log_is_followed_from_anywhere_to_its_end() {
    let mut node = Node::alone(routes());
    let visitor = Visitor::of(&node);
    visitor.ask("b", "count", json!(5)).await;
    assert_eq!(visitor.hear().await["type"], "acknowledgment");
    let log = visitor.hear_out().await;
    for after in 0..log.len() {
        let back = Visitor::of(&node);
        let last = after.checked_sub(1).map_or(0, |at| log[at].1);
        assert_eq!(back.follow("b", last).await, Ok(true));
        assert_eq!(back.hear_out().await, log[after..]);
    }
    let done = Visitor::of(&node);
    for after in [log.last().expect("some").1, u64::MAX] {
        assert_eq!(done.follow("b", after).await, Ok(false), "nothing will come");
    }
    assert_eq!(done.follow("nothing", 0).await, Err(ErrorCode::NotFound));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_for_connections_is_refused() {
    let mut node = Node::alone(routes());
    let visitor = Visitor::of(&node);
    for (action, payload) in
        [("resume", json!({ "request_id": "a" })), ("refresh", json!({ "token": "fresh" }))]
    {
        visitor.ask("a", action, payload).await;
        let error = visitor.hear().await["error"].clone();
        assert_eq!(
            (&error["code"], &error["details"]["fields"][0]["path"]),
            (&json!("VALIDATION_ERROR"), &json!("action"))
        );
    }
    visitor.ask("a", "ping", json!({})).await;
    assert_eq!(visitor.hear().await["data"]["pong"], true);
    node.stop().await;
}
