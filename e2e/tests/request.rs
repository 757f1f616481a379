//! `streamer request`.

use std::fs;

use serde_json::{Value, json};
use streamer_e2e::{issuer::Issuer, peer::Peer, scenario::Place as _};

use crate::{folder, server, shell};

#[tokio::test]
async fn the_result_is_printed() {
    let server = server().start().await;
    let token = Issuer::shared().token("ada", "acme");
    let shell = server.shell().variable("STREAMER_TOKEN", &token);

    let echo = shell.run(["request", "echo", "--payload", r#"{"a":[1,2]}"#]).await.succeeded();
    let echo: Value = serde_json::from_str(&echo).expect("JSON");
    assert_eq!(echo["echo"], json!({ "a": [1, 2] }));

    let long = shell.run(["request", "echo_async", "--payload", r#"{"m":1}"#]).await.succeeded();
    assert_eq!(serde_json::from_str::<Value>(&long).expect("JSON")["echo"], json!({ "m": 1 }));

    // The token may come from a file, and the flag is stronger than the variable.
    fs::write(server.folder().join("token.txt"), format!("{token}\n")).expect("written");
    let other = server.shell();
    let ping = other.run(["request", "ping", "--token-file", "token.txt"]).await.succeeded();
    assert_eq!(serde_json::from_str::<Value>(&ping).expect("JSON")["pong"], true);
}

#[tokio::test]
async fn every_update_is_a_line_of_json() {
    let server = server().start().await;
    let shell = server.shell().variable("STREAMER_TOKEN", Issuer::shared().token("ada", "acme"));
    let wanted = r#"{"seconds":0.3,"chunks":3}"#;
    let printed =
        shell.run(["request", "delay", "--payload", wanted, "--id", "lines", "--json"]).await.succeeded();
    let lines: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let (last, updates) = lines.split_last().expect("lines");
    assert_eq!(last["chunks"], 3, "{last}");
    assert!(updates.iter().all(|update| update["request_id"] == "lines"), "{printed}");
    let of = |kind: &str| updates.iter().filter(|update| update["type"] == kind).count();
    assert_eq!((of("acknowledgment"), of("chunk")), (1, 3), "{printed}");
    assert!(of("progress") >= 1, "{printed}");
}

#[tokio::test]
async fn what_fails_says_why_and_exits_with_1() {
    let server = server().start().await;
    let token = Issuer::shared().token("ada", "acme");
    let shell = server.shell().variable("STREAMER_TOKEN", &token);

    let unknown = shell.run(["request", "no_such_action"]).await.failed(1);
    assert!(unknown.contains("NOT_FOUND") && unknown.contains("no_such_action"), "{unknown}");
    let wrong = shell.run(["request", "delay", "--payload", r#"{"seconds":-1}"#]).await.failed(1);
    assert!(wrong.contains("VALIDATION_ERROR") && wrong.contains("seconds"), "{wrong}");
    let no_json = shell.run(["request", "echo", "--payload", "{a}"]).await.failed(2);
    assert!(no_json.contains("not JSON"), "{no_json}");

    let nobody = server.shell().run(["request", "ping"]).await.failed(1);
    assert!(nobody.contains("--token"), "{nobody}");
    let forged = server.shell().run(["request", "ping", "--token", "a.b.c"]).await.failed(1);
    assert!(forged.contains("401") && !forged.contains("a.b.c"), "{forged}");
}

#[tokio::test]
async fn who_waits_no_longer_asks_again_with_the_same_id() {
    let server = server().start().await;
    let shell = server.shell().variable("STREAMER_TOKEN", Issuer::shared().token("ada", "acme"));
    let delay = ["request", "delay", "--payload", r#"{"seconds":2,"chunks":2}"#, "--id", "patience"];
    let given_up = shell.run(delay.iter().chain(&["--wait", "1"])).await.failed(1);
    assert!(given_up.contains("not done within 1 s") && given_up.contains("--id"), "{given_up}");

    let again = shell.run(delay).await.succeeded();
    let result = again.rsplit_once("\n{").map_or(again.clone(), |(_, result)| format!("{{{result}"));
    assert_eq!(serde_json::from_str::<Value>(&result).expect("JSON")["chunks"], 2, "{again}");
    let mut peer = Peer::connect(&server.ws_url(), &Issuer::shared().token("ada", "acme")).await;
    let standing = peer.ask("s", "status", json!({ "request_id": "patience" })).await;
    assert_eq!((&standing["data"]["attempt"], &standing["data"]["chunks"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let folder = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let nobody = taken.local_addr().expect("bound");
    drop(taken);
    let url = format!("ws://{nobody}/ws");
    let failed =
        shell(folder.path()).run(["request", "ping", "--token", "a.b.c", "--url", &url]).await.failed(1);
    assert!(failed.contains("streamer: "), "{failed}");
    let admin = format!("http://{nobody}");
    let list = ["requests", "list", "--admin-token", "whatever-it-is", "--admin-url", &admin];
    let failed = shell(folder.path()).run(list).await.failed(1);
    assert!(failed.contains(&admin) && !failed.contains("whatever-it-is"), "{failed}");
}
