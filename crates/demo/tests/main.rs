//! The demonstration handlers on a real engine over the in-memory store: what a client sees.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};
use streamer_demo::{Settings, data, routes};
use streamer_engine::{
    Credentials, Engine, Frame, Ports, Rights, Session,
    protocol::{CloseCode, ConnectionId, ErrorBody, ErrorCode, TenantId, Timestamp, UserId},
    push::{self, Push},
    store::{ArtifactId, Artifacts, ConnectionRecord, WorkerId},
    testing::MemoryStore,
};
use tokio::{io::AsyncReadExt, sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);

/// Hands everything to the test.
struct Wire(mpsc::Sender<Value>);

#[async_trait]
impl Push for Wire {
    async fn push(&self, _to: &ConnectionId, frame: Frame) -> push::Result<()> {
        let message = serde_json::from_slice(frame.bytes()).expect("JSON");
        self.0.send(message).await.map_err(|_| push::Error::Gone)
    }

    async fn drained(&self, _to: &ConnectionId) -> push::Result<()> {
        Ok(())
    }

    async fn is_active(&self, _to: &ConnectionId) -> bool {
        true
    }

    async fn disconnect(&self, _to: &ConnectionId, _why: CloseCode) -> push::Result<()> {
        Ok(())
    }
}

struct NoRefresh;

impl Credentials for NoRefresh {
    fn rights(&self) -> Arc<Rights> {
        Arc::default()
    }

    fn refresh(&self, _token: &str) -> Result<Timestamp, ErrorBody> {
        Err(ErrorBody { code: ErrorCode::Unauthorized, message: String::new(), details: None, retry: None })
    }
}

struct Client {
    engine: Engine,
    session: Arc<Session>,
    answers: mpsc::Sender<Value>,
    messages: mpsc::Receiver<Value>,
    store: Arc<MemoryStore>,
    stop: CancellationToken,
    worker: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Client {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        data::fill(folder.path(), 1).expect("fills");
        let (sender, messages) = mpsc::channel(1_000);
        let store = Arc::new(MemoryStore::new());
        let ports = Ports::new(store.clone(), Arc::new(Wire(sender.clone())));
        let router = routes(Settings::demo(folder.path()));
        let engine = Engine::new(ports, router, WorkerId::new("node"), streamer_engine::Settings::default());
        let now = engine.clock().now();
        let connection = ConnectionRecord {
            id: ConnectionId::new("c"),
            user: UserId::new("u"),
            tenant: TenantId::new("t"),
            endpoint: "node".to_owned(),
            connected_at: now,
            last_ping: now,
            user_agent: None,
            ip_address: None,
            expires_at: now + Duration::from_secs(3_600),
        };
        let session = engine.connect(&connection, Arc::new(NoRefresh)).await.expect("connects");
        let stop = CancellationToken::new();
        let worker = tokio::spawn({
            let (engine, stop) = (engine.clone(), stop.clone());
            async move { engine.work(stop, PATIENCE).await }
        });
        Self { engine, session, answers: sender, messages, store, stop, worker, _folder: folder }
    }

    /// Sends a request and gives its messages up to the last one.
    async fn ask(&mut self, action: &str, payload: Value) -> Vec<Value> {
        self.send(action, payload).await;
        let mut answers = Vec::new();
        loop {
            let message = self.next().await;
            let kind = message["type"].as_str().unwrap_or_default().to_owned();
            answers.push(message);
            if matches!(kind.as_str(), "response" | "complete" | "error") {
                return answers;
            }
        }
    }

    async fn send(&mut self, action: &str, payload: Value) {
        let text = json!({ "id": action, "action": action, "payload": payload }).to_string();
        let room = self.session.room().await;
        if let Some(frame) = self.engine.accept(&self.session, room, &text) {
            let message = serde_json::from_slice(frame.bytes()).expect("JSON");
            self.answers.send(message).await.expect("the test holds the receiver");
        }
    }

    async fn next(&mut self) -> Value {
        timeout(PATIENCE, self.messages.recv()).await.expect("in time").expect("a message")
    }

    async fn close(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.worker).await.expect("in time").expect("ends");
    }
}

fn kinds(messages: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = messages.iter().filter_map(|message| message["type"].as_str()).collect();
    kinds.dedup();
    kinds
}

#[tokio::test]
async fn a_report_is_queued_told_and_kept_for_its_owner() {
    let mut client = Client::new().await;
    let payload = json!({ "start_date": "2024-01-01", "end_date": "2024-01-31" });
    let messages = client.ask("generate_report", payload).await;
    assert_eq!(kinds(&messages), ["acknowledgment", "progress", "complete"]);
    let result = &messages.last().expect("an outcome")["result"];
    assert_eq!(result["media_type"], "application/pdf");
    assert!(result["pages"].as_u64() > Some(1) && result["url"].is_string(), "{result}");

    let id = ArtifactId::parse(result["id"].as_str().expect("an id")).expect("an id");
    let (tenant, owner) = (TenantId::new("t"), UserId::new("u"));
    let (_, mut content) = client.store.artifact(&tenant, &owner, &id).await.expect("asks").expect("is kept");
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes).await.expect("reads");
    assert_eq!(Some(bytes.len() as u64), result["size"].as_u64());
    assert!(bytes.starts_with(b"%PDF-"));
    let stranger = UserId::new("somebody else");
    assert!(client.store.artifact(&tenant, &stranger, &id).await.expect("asks").is_none());
    client.close().await;
}

#[tokio::test]
async fn a_mistake_is_told_before_anything_is_queued() {
    let mut client = Client::new().await;
    let cases = [
        (
            "generate_report",
            json!({ "start_date": "2024-02-01", "end_date": "2024-01-31" }),
            "payload.end_date",
        ),
        ("process_data", json!({ "pipeline": "magic" }), "payload.pipeline"),
        ("bulk_operation", json!({ "operations": [] }), "payload.operations"),
        ("delay", json!({ "seconds": -1 }), "payload.seconds"),
    ];
    for (action, payload, path) in cases {
        let messages = client.ask(action, payload).await;
        assert_eq!(kinds(&messages), ["error"], "{action}");
        assert_eq!(messages[0]["error"]["code"], "VALIDATION_ERROR", "{action}");
        assert_eq!(messages[0]["error"]["details"]["fields"][0]["path"], path, "{action}");
    }
    client.close().await;
}

#[tokio::test]
async fn what_only_the_data_shows_ends_the_request() {
    let mut client = Client::new().await;
    let source = json!({ "type": "file", "path": "../../etc/passwd" });
    let messages = client.ask("process_data", json!({ "pipeline": "anomaly", "data_source": source })).await;
    assert_eq!(kinds(&messages), ["acknowledgment", "progress", "error"]);
    let error = &messages.last().expect("an outcome")["error"];
    assert_eq!(error["details"]["fields"][0]["path"], "payload.data_source.path");
    assert!(!error.to_string().contains("passwd"), "{error}");
    client.close().await;
}

#[tokio::test]
async fn pipelines_and_bulk_work_answer() {
    let mut client = Client::new().await;
    let source = json!({ "type": "query", "name": "warm_machines" });
    let messages =
        client.ask("process_data", json!({ "pipeline": "clustering", "data_source": source })).await;
    let result = messages.last().expect("an outcome")["result"].clone();
    assert_eq!(result["pipeline"], "clustering");
    assert_eq!(result["metrics"]["clusters"].as_array().map(Vec::len), Some(3), "{result}");

    let operations = json!([{ "op": "count" }, { "op": "fly" }]);
    let messages = client.ask("bulk_operation", json!({ "operations": operations })).await;
    let result = &messages.last().expect("an outcome")["result"];
    assert_eq!((&result["succeeded"], &result["failed"]), (&json!(1), &json!(1)), "{result}");

    let messages = client.ask("echo_async", json!({ "a": [1] })).await;
    assert_eq!(kinds(&messages), ["acknowledgment", "progress", "complete"]);
    assert_eq!(messages.last().expect("an outcome")["result"]["echo"], json!({ "a": [1] }));
    client.close().await;
}

#[tokio::test]
async fn a_short_delay_is_answered_and_a_long_one_can_be_cancelled() {
    let mut client = Client::new().await;
    let messages = client.ask("delay", json!({ "seconds": 0.01 })).await;
    assert_eq!(kinds(&messages), ["response"]);
    client.close().await;

    let mut client = Client::new().await;
    client.send("delay", json!({ "seconds": 600 })).await;
    while client.next().await["type"] != "progress" {}
    client.send("cancel", json!({ "request_id": "delay" })).await;
    loop {
        let message = client.next().await;
        if message["type"] == "error" {
            assert_eq!(message["error"]["code"], "CANCELLED", "{message}");
            break;
        }
    }
    client.close().await;
}
