//! The example handlers in other languages, behind a real server.

use std::{
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::json;
use streamer_e2e::{patience::until, promises::Heard};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use crate::{BINARY, server};

const KEY: &str = "a-key-of-the-tests-with-32-characters";

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/handlers")
}

/// Where `cargo xtask setup handlers` has put what an example is made of. If it is not there, the test is skipped; not so
/// in CI.
fn tools(name: &str) -> Option<PathBuf> {
    let target = Path::new(BINARY).ancestors().nth(2).expect("the binary is in the target folder");
    let folder = target.join("tools").join(name);
    if folder.join("wanted").is_file() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "{name} is missing: run `cargo xtask setup handlers`");
    let _ = writeln!(
        std::io::stderr(),
        "skipped: {name} is not installed; `cargo xtask setup handlers` does that"
    );
    None
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port()
}

/// Starts an example, and waits until it listens.
async fn started(mut command: Command, port: u16) -> Child {
    command.env("STREAMER_KEY", KEY).env("PORT", port.to_string());
    let mut process =
        command.stdin(Stdio::null()).kill_on_drop(true).spawn().expect("the example can be run");
    until("the example to listen", async || {
        assert!(process.try_wait().expect("it is our child").is_none(), "the example has ended");
        TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
    process
}

/// What both full examples offer.
async fn greets_and_counts(command: impl Fn(u16) -> Command) {
    let port = free_port();
    let mut handlers = started(command(port), port).await;
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let mut server = server()
        .set("remote.signing_keys.k1", KEY)
        .set("remote.breaker_failures_max", 1000)
        .set("actions.greet.url", url("/greet"))
        .set("actions.count.url", url("/count"))
        .set("actions.count.body", "envelope")
        .set("actions.count.takes_ms", 60_000)
        .set("actions.count.retries", 20)
        .set("engine.retry_base_ms", 200)
        .set("engine.retry_max_ms", 1000)
        .start()
        .await;
    let mut peer = server.peer("ada", "acme").await;
    let greeted = peer.ask("g", "greet", json!({ "name": "Ada" })).await;
    assert_eq!(greeted["data"], json!({ "greeting": "Hello, Ada!" }), "{greeted}");
    let wrong = peer.ask("w", "greet", json!({ "name": 7 })).await;
    assert_eq!(wrong["error"]["code"], "VALIDATION_ERROR", "{wrong}");
    assert_eq!(wrong["error"]["details"]["fields"][0]["path"], "payload.name", "{wrong}");

    peer.send("c", "count", json!({ "to": 6, "pause_s": 0.1 })).await;
    let mut heard = Heard::nothing_of("c");
    while heard.chunks.is_empty() {
        heard.take(&peer.frame().await);
    }
    // It dies in the middle, and comes back.
    handlers.kill().await.expect("it is our child");
    let _handlers = started(command(port), port).await;
    while heard.end.is_none() {
        heard.take(&peer.frame().await);
    }
    assert_eq!(heard.result(), &json!({ "counted": 6 }));
    assert!(heard.chunks.iter().eq(&[1, 2, 3, 4, 5, 6].map(|n| json!(n))), "{:?}", heard.chunks);
    server.stop().await;
}

#[tokio::test]
async fn python() {
    let Some(packages) = tools("handlers-python") else { return };
    greets_and_counts(|port| {
        let mut command = Command::new("python3");
        command.args(["-m", "uvicorn", "app:app", "--log-level", "warning", "--port", &port.to_string()]);
        command.current_dir(examples().join("python")).env("PYTHONPATH", &packages);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    })
    .await;
}

#[tokio::test]
async fn typescript() {
    let Some(packages) = tools("handlers-typescript") else { return };
    greets_and_counts(|_| {
        let mut command = Command::new("node");
        let loader = packages.join("node_modules/tsx/dist/loader.mjs");
        command.arg("--import").arg(format!("file://{}", loader.display())).arg("server.ts");
        command.current_dir(examples().join("typescript"));
        command
    })
    .await;
}

#[tokio::test]
async fn shell() {
    let port = free_port();
    let mut command = Command::new(examples().join("shell/serve"));
    // Counts the bytes of the payload.
    command.arg(port.to_string()).args(["wc", "-c"]);
    let _handler = started(command, port).await;
    let mut server = server()
        .set("remote.signing_keys.k1", KEY)
        .set("actions.size.url", format!("http://127.0.0.1:{port}/"))
        .start()
        .await;
    let mut peer = server.peer("ada", "acme").await;
    assert_eq!(peer.ask("s", "size", json!({ "a": 1 })).await["data"], 7);
    server.stop().await;
}
