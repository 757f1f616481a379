//! A disk without room: nothing is acknowledged that is not stored, reads go on, and so does everything once there is
//! room again.

use std::time::Duration;

use serde_json::{Value, json};
use streamer_e2e::{
    audit,
    client::{Client, Errand, TENANT},
    command::Shell,
    disk::Disk,
    issuer::Issuer,
    patience::{until, within},
    peer::{Peer, Refused},
    promises::Heard,
    scenario::Place as _,
};
use tokio::sync::watch;

use crate::{server, shell};

const MIB: u32 = 12;

fn report() -> Value {
    json!({ "start_date": "2024-01-01", "end_date": "2024-12-31", "format": "html", "include_charts": true })
}

/// Sends requests until one is refused, and gives what is said then. All others are acknowledged.
async fn until_refused(peer: &mut Peer) -> Value {
    for n in 0.. {
        let id = format!("filler-{n}");
        peer.send(&id, "echo_async", json!("x".repeat(60_000))).await;
        let answer = peer.frame_of(&id).await;
        match answer["type"].as_str() {
            Some("error") => return answer,
            // It is stored, but may have to wait for room before it goes on.
            Some("acknowledgment") => {}
            _ => panic!("neither stored nor refused: {answer}"),
        }
    }
    unreachable!("there is no end of numbers")
}

#[tokio::test]
async fn a_full_disk_refuses_honestly_and_loses_nothing() {
    let Some(disk) = Disk::mount(MIB) else { return };
    let path = disk.path().join("streamer.db");
    let path = path.to_str().expect("a plain path");
    let mut server = server()
        .set("store.path", path)
        .set("engine.short_limit_ms", 400)
        .set("engine.lease_s", 3)
        .set("engine.overloaded_retry_after_ms", 200)
        .start()
        .await;
    let mut peer = server.peer("ada", TENANT).await;
    let mut before = Heard::nothing_of("before");
    peer.send("before", "generate_report", report()).await;
    while before.end.is_none() {
        before.take(&peer.frame().await);
    }
    // It is under way when the disk is full, and needs the log all the time.
    let mut running = Heard::nothing_of("running");
    peer.send("running", "delay", json!({ "seconds": 4, "chunks": 40 })).await;
    while running.chunks.is_empty() {
        running.take(&peer.frame().await);
    }
    let mut filler = server.peer("filler", TENANT).await;
    disk.fill();
    let refused = until_refused(&mut filler).await;
    let error = &refused["error"];
    assert_eq!(
        (&error["code"], &error["retry"]["retryable"]),
        (&json!("OVERLOADED"), &json!(true)),
        "{refused}"
    );
    assert_eq!(error["message"], "the server's disk is full: try again later");
    let ready = server.inspect("/readyz").await;
    assert_eq!((ready.status, &ready.json()["status"]), (503, &json!("the store's disk is full: make room")));

    // Reads go on, over a connection that is there, and over HTTP.
    for (id, action, payload) in [
        ("ping", "ping", json!({})),
        ("status", "status", json!({ "request_id": "before" })),
        ("list", "requests", json!({})),
    ] {
        peer.send(id, action, payload).await;
        let answer = loop {
            let frame = peer.frame().await;
            running.take(&frame);
            if frame["request_id"] == id {
                break frame;
            }
        };
        assert_eq!(answer["success"], true, "{answer}");
    }
    let url = before.result()["url"].as_str().expect("a file");
    assert_eq!(server.get(url, "ada", TENANT).await.status, 200);
    assert_eq!(server.inspect("/healthz").await.status, 200);
    // A connection has a record.
    match Peer::try_connect(&server.ws_url(), Some(&Issuer::shared().token("late", TENANT))).await {
        Err(Refused::Answered { status: 503, .. }) | Ok(_) => {}
        other => panic!("neither in nor honestly out: {other:?}"),
    }
    // Whoever insists, waits.
    let errands = ["one", "two", "three"].map(|word| Errand::new("echo_async", json!(word)));
    let insisting = Client::new("insisting", server.ws_url(), errands).live(watch::channel(false).1);
    let free = async {
        // Longer than a lease: those that cannot be renewed run out, and nobody takes them.
        tokio::time::sleep(Duration::from_secs(4)).await;
        disk.free();
        until("it to be ready", async || (server.inspect("/readyz").await.status == 200).then_some(())).await;
    };
    let (client, ()) = within("all to be done", Box::pin(async { tokio::join!(insisting, free) })).await;
    audit::hold(&server, &client).await;

    while running.end.is_none() {
        running.take(&peer.frame().await);
    }
    assert_eq!((running.chunks.len(), running.restarts), (40, 0), "it was held up, and not begun again");
    // All that was acknowledged while the disk filled up is done.
    until("all to have ended", async || {
        let open = ["PENDING", "PROCESSING", "RETRYING"];
        for status in open {
            let listed = server.inspect(&format!("/v1/requests?status={status}")).await.json();
            if listed["requests"].as_array().is_some_and(|requests| !requests.is_empty()) {
                return None;
            }
        }
        Some(())
    })
    .await;
    server.stop().await;
    let checked = server.shell().run(["store", "check", path]).await.succeeded();
    assert!(checked.contains("(0 open)") && checked.contains("the store is sound"), "{checked}");

    // A start without room says so, and goes well once there is some.
    disk.fill();
    let status = server.try_restart().await.expect_err("there is no room");
    assert_eq!(status.code(), Some(1));
    let log = server.log();
    let told = log.lines().last().expect("it says why");
    assert!(told.contains("full") && told.contains("store.path"), "{told}");
    disk.free();
    server.restart().await;
    let mut peer = server.peer("ada", TENANT).await;
    let standing = peer.ask("status", "status", json!({ "request_id": "running" })).await;
    assert_eq!(standing["data"]["status"], "COMPLETED", "{standing}");
}

#[tokio::test]
async fn an_artifact_without_room_fails_its_request_and_leaves_nothing_behind() {
    let Some(disk) = Disk::mount(2) else { return };
    let server = server()
        .set("store.artifacts_dir", disk.path().to_str().expect("a plain path"))
        .set("engine.retry_base_ms", 50)
        .start()
        .await;
    disk.fill();
    let mut peer = server.peer("ada", TENANT).await;
    let mut heard = Heard::nothing_of("report");
    peer.send("report", "generate_report", report()).await;
    while heard.end.is_none() {
        heard.take(&peer.frame().await);
    }
    let end = heard.end.expect("it ended");
    assert_eq!(end["error"]["code"], "INTERNAL_ERROR", "{end}");
    let view = server.inspect("/v1/requests/acme/ada/report").await.json();
    assert_eq!((&view["status"], &view["attempt"]), (&json!("FAILED"), &json!(3)), "{view}");
    assert!(server.log().contains("No space left"), "the log says why");
    let left: Vec<_> =
        std::fs::read_dir(disk.path()).expect("there").flatten().map(|file| file.file_name()).collect();
    assert_eq!(left, ["ballast"], "what was half written is removed");

    disk.free();
    let shell: Shell = server.shell();
    let replay = ["requests", "replay", "--tenant", TENANT, "--user", "ada", "report"];
    let _ = shell.run(replay).await.succeeded();
    until("its file", async || {
        let view = server.inspect("/v1/requests/acme/ada/report").await.json();
        (view["status"] == "COMPLETED").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_is_told_at_the_start() {
    let Some(disk) = Disk::mount(MIB) else { return };
    disk.make_read_only();
    let folder = crate::folder();
    Issuer::shared().write(folder.path());
    let store = disk.path().join("streamer.db");
    let serve =
        ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--public-key-file", "public.pem"];
    let told = shell(folder.path())
        .run(serve.into_iter().chain(["--store", store.to_str().expect("plain")]))
        .await
        .failed(1);
    assert!(told.contains("store.path") && told.contains("read-only"), "{told}");
}
