//! The runner against a small server of its own: it passes what is right, and fails what is wrong.

use std::{collections::BTreeSet, fs, path::PathBuf};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        protocol::CloseFrame,
    },
};

use super::{File, Place, TokenKind, Verdict, Wanted, play};

struct Little {
    address: String,
    _tasks: JoinSet<()>,
}

impl Little {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream));
            }
        });
        Self { address, _tasks: tasks }
    }
}

impl Place for Little {
    fn name(&self) -> &str {
        "little"
    }

    fn ws_url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    fn http_url(&self) -> Option<String> {
        Some(format!("http://{}", self.address))
    }

    fn token(&self, wanted: &Wanted) -> String {
        match wanted.kind {
            TokenKind::Valid => "good".into(),
            TokenKind::Expired | TokenKind::Forged => "bad".into(),
        }
    }
}

#[allow(clippy::result_large_err, reason = "the library's type")]
fn check(request: &Request, response: Response) -> Result<Response, ErrorResponse> {
    let good = request.headers().get("authorization").is_some_and(|value| value == "Bearer good");
    if good {
        return Ok(response);
    }
    let mut refused = ErrorResponse::new(Some(r#"{"error":{"code":"UNAUTHORIZED"}}"#.to_owned()));
    *refused.status_mut() = tokio_tungstenite::tungstenite::http::StatusCode::UNAUTHORIZED;
    Err(refused)
}

/// Echoes; `log` answers with the frames of its payload; a binary message is refused; GET gets `{}`.
async fn serve(mut stream: tokio::net::TcpStream) {
    let mut start = [0; 9];
    if matches!(stream.peek(&mut start).await, Ok(9)) && &start == b"GET /http" {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        // A client that is gone fails its own step.
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"a\":1}").await;
        return;
    }
    let Ok(mut socket) = accept_hdr_async(stream, check).await else { return };
    while let Some(Ok(message)) = socket.next().await {
        let answers = match message {
            Message::Text(text) => {
                let request: Value = serde_json::from_str(&text).unwrap_or_default();
                match request["action"].as_str() {
                    Some("log") => request["payload"].as_array().cloned().unwrap_or_default(),
                    Some("status") => {
                        vec![json!({ "request_id": request["id"], "data": { "status": "COMPLETED" } })]
                    }
                    _ => vec![
                        json!({ "type": "response", "request_id": request["id"], "data": request["payload"] }),
                    ],
                }
            }
            Message::Binary(_) => {
                let _ = socket.close(Some(CloseFrame { code: 1003.into(), reason: "".into() })).await;
                continue;
            }
            _ => continue,
        };
        for answer in answers {
            if socket.send(Message::text(answer.to_string())).await.is_err() {
                return;
            }
        }
    }
}

async fn verdict(place: &Little, steps: Value) -> Verdict {
    let file = json!({ "scenarios": [{ "name": "n", "fresh": ["id"], "steps": steps }] });
    let file: File = serde_json::from_value(file).expect("a scenario");
    play::play(&file.scenarios[0], place).await
}

/// The step that fails, and why.
async fn failure(place: &Little, steps: Value) -> (usize, String) {
    match verdict(place, steps).await {
        Verdict::Failed(failure) => (failure.step, failure.why),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_right_passes() {
    let place = Little::start().await;
    let chunk =
        |index: u64| json!({ "type": "chunk", "request_id": "${id}", "seq": index + 1, "index": index });
    let complete = json!({ "type": "complete", "request_id": "${id}", "seq": 9 });
    let steps = json!([
        { "connect": { "token": "missing", "status": 401, "body": { "error": { "code": "UNAUTHORIZED" } } } },
        { "connect": { "token": "forged", "status": 401 } },
        { "connect": {} },
        { "send": { "id": "${id}", "action": "echo", "payload": { "n": 5 } } },
        { "expect": { "frame": { "request_id": "${id}", "data": { "n": { "$gte": 5 } } }, "save": { "n": "/data/n" } } },
        { "send": { "id": "${id}", "action": "echo", "payload": "${n}" } },
        { "expect": { "frame": { "data": 5 } } },
        { "ping": {} },
        { "send": { "action": "log", "payload": [chunk(0), chunk(1)] } },
        { "follow": { "request_id": "${id}", "until": { "index": 0 }, "save": { "seq": "last_seq", "next": "next_index" } } },
        { "send": { "action": "log", "payload": [complete] } },
        { "follow": { "request_id": "${id}", "after_seq": "${seq}", "from_index": "${next}", "until": { "type": "complete" }, "saw": { "chunk": 1 } } },
        { "wait_for_status": { "request_id": "${id}", "status": "COMPLETED" } },
        { "expect_nothing": { "for_ms": 10 } },
        { "http": { "path": "/http", "status": 200, "body": { "a": 1 } } },
        { "connect": {}, "on": "other" },
        { "send_binary": { "bytes": [1] }, "on": "other" },
        { "expect_close": { "code": 1003 }, "on": "other" },
        { "connect": { "status": 401 }, "unsupported_on": { "little": "it would fail" } },
        { "disconnect": {} },
    ]);
    assert_eq!(verdict(&place, steps).await, Verdict::Passed);
}

#[tokio::test]
async fn what_is_wrong_fails_at_its_step() {
    let place = Little::start().await;
    let wrong = [
        json!([{ "connect": { "status": 401 } }]),
        json!([{ "connect": { "token": "expired" } }]),
        json!([{ "connect": { "token": "expired", "status": 401, "body": { "error": { "code": "FORBIDDEN" } } } }]),
        json!([{ "http": { "path": "/http", "status": 404 } }]),
        json!([{ "expect": { "frame": {} } }]),
    ];
    for steps in wrong {
        assert_eq!(failure(&place, steps.clone()).await.0, 1, "{steps}");
    }
    let wrong = [
        json!({ "expect": { "frame": { "data": 2 } } }),
        json!({ "expect": { "frame": { "data": 2 }, "skip": [{ "data": 3 }] } }),
        json!({ "expect": { "frame": { "data": 1 }, "save": { "x": "/nowhere" } } }),
        json!({ "expect_close": { "code": 1000 } }),
        json!({ "expect_nothing": { "for_ms": 5000 } }),
        json!({ "follow": { "request_id": "${id}", "until": { "type": "complete" } } }),
        json!({ "send": { "id": "${unknown}" } }),
        json!({ "ping": {} }),
    ];
    for step in wrong {
        let steps =
            json!([{ "connect": {} }, { "send": { "id": "${id}", "action": "echo", "payload": 1 } }, step]);
        assert_eq!(failure(&place, steps).await.0, 3, "{step}");
    }
}

#[test]
fn a_file_with_a_mistake_is_not_read() {
    let step = |step: Value| {
        serde_json::from_value::<File>(json!({ "scenarios": [{ "name": "n", "steps": [step] }] }))
    };
    assert!(step(json!({ "ping": {} })).is_ok());
    for mistake in [
        json!({}),
        json!({ "sing": {} }),
        json!({ "ping": {}, "connect": {} }),
        json!({ "connect": { "usr": "a" } }),
        json!({ "expect": { "frame": { "a": { "$gt": 1 } } } }),
        json!({ "ping": {}, "on": 7 }),
    ] {
        assert!(step(mistake.clone()).is_err(), "{mistake}");
    }
}

fn scenario_files() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the folder of scenarios")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// A placeholder that nothing fills would only show when it is played.
#[test]
fn every_scenario_file_is_readable_and_saves_what_it_uses() {
    for path in scenario_files() {
        let file = File::read(&path).expect("readable");
        for scenario in &file.scenarios {
            let mut known: BTreeSet<String> = ["user", "tenant"].map(str::to_owned).into();
            known.extend(scenario.fresh.iter().cloned());
            for step in &scenario.steps {
                for name in placeholders(&step.act.to_string()) {
                    assert!(known.contains(name), "{}: {name:?} in {:?}", path.display(), scenario.name);
                }
                for verb in step.act.as_object().expect("an object").values() {
                    match &verb["save"] {
                        Value::String(name) => known.extend([name.clone()]),
                        Value::Object(names) => known.extend(names.keys().cloned()),
                        _ => {}
                    }
                }
            }
        }
    }
}

fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split("${").skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}
