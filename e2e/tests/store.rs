//! `streamer store`, beside a server that writes.

use std::{fs, io::Write as _};

use serde_json::{Value, json};
use streamer_e2e::{http, issuer::Issuer, server::ADMIN_TOKEN};

use crate::{folder, server, shell};

#[tokio::test]
async fn a_store_is_checked_and_copied_while_it_is_in_use() {
    let server = server().start().await;
    let shell = server.shell();
    let mut peer = server.peer("ada", "acme").await;
    let period = json!({ "start_date": "2024-01-01", "end_date": "2024-01-31", "format": "csv" });
    peer.send("report", "generate_report", period).await;
    let report = loop {
        let frame = peer.frame_of("report").await;
        if frame["type"] == "complete" {
            break frame["result"].clone();
        }
    };
    // It goes on while the store is looked at.
    peer.send("long", "delay", json!({ "seconds": 30, "chunks": 3000 })).await;
    while peer.frame_of("long").await["type"] != "chunk" {}

    let checked = shell.run(["store", "check", "streamer.db"]).await.succeeded();
    assert!(checked.contains("2 requests (1 open), 1 artifacts"), "{checked}");
    assert!(checked.contains("the store is sound"), "{checked}");
    let backup = ["store", "backup", "streamer.db", "copy.db"];
    let copied = shell.run(backup).await.succeeded();
    assert!(copied.contains("copy.db"), "{copied}");
    let again = shell.run(backup).await.failed(1);
    assert!(again.contains("copy.db is there already"), "{again}");
    assert!(shell.run(["store", "check", "copy.db"]).await.succeeded().contains("the store is sound"));
    let next = peer.frame_of("long").await;
    assert!(next["type"] == "chunk" || next["type"] == "progress", "the server goes on: {next}");

    // The copy is a store: a server of its own goes on from it.
    let elsewhere = folder();
    Issuer::shared().write(elsewhere.path());
    for name in ["copy.db", "copy.db.artifacts"] {
        fs::rename(server.folder().join(name), elsewhere.path().join(name)).expect("moved");
    }
    let other = self::shell(elsewhere.path()).variable("STREAMER_ADMIN__TOKEN", ADMIN_TOKEN);
    let serve =
        ["serve", "--demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--store", "copy.db"];
    let ready = ["--public-key-file", "public.pem", "--ready-file", "ready.json"];
    let mut process = other
        .command(serve.iter().chain(&ready))
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the binary can be run");
    let addresses = streamer_e2e::patience::until("the copy to be served", async || {
        serde_json::from_slice::<Value>(&fs::read(elsewhere.path().join("ready.json")).ok()?).ok()
    })
    .await;
    let listen = addresses["listen"].as_str().expect("an address").parse().expect("an address");
    let url = report["url"].as_str().expect("a file");
    let file = http::get(listen, url, Some(&Issuer::shared().token("ada", "acme"))).await;
    assert_eq!((file.status, &json!(file.body.len())), (200, &report["size"]));
    process.kill().await.expect("it is our child");
}

#[tokio::test]
async fn what_is_wrong_with_a_store_is_told() {
    let mut server = server().start().await;
    let mut peer = server.peer("ada", "acme").await;
    for n in 0..50 {
        peer.send(&format!("filler-{n}"), "echo_async", json!("x".repeat(4000))).await;
        while peer.frame().await["type"] != "complete" {}
    }
    server.stop().await;
    let shell = server.shell();
    assert!(shell.run(["store", "check", "streamer.db"]).await.succeeded().contains("50 requests (0 open)"));

    let missing = shell.run(["store", "check", "nothing.db"]).await.failed(1);
    assert!(missing.contains("there is no store at nothing.db"), "{missing}");
    assert!(!server.folder().join("nothing.db").exists(), "a check makes no file");
    let text = shell.run(["store", "check", "public.pem"]).await.failed(1);
    assert!(text.contains("public.pem is not a SQLite database"), "{text}");

    let size = fs::metadata(server.store()).expect("there").len();
    let mut file = fs::File::options().write(true).open(server.store()).expect("opened");
    // A third of it, from its middle on; its first page, which says what it is, stays.
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(size / 2)).expect("sought");
    file.write_all(&vec![0xa5; usize::try_from(size / 3).expect("small")]).expect("written");
    drop(file);
    let ran = shell.run(["store", "check", "streamer.db"]).await;
    let told = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, Some(1), "{told}");
    assert!(told.contains("damaged") && told.contains("backup"), "{told}");
}
