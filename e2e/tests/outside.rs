//! What goes wrong around the process: its files are taken away or damaged, it has no more of them, its clock is set.

use std::{fs, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};
use streamer_e2e::{
    audit,
    client::{Client, Errand, TENANT},
    issuer::Issuer,
    patience::{until, within},
    peer::{Peer, Refused, Said},
    promises::Heard,
    scenario::Place as _,
    server::Server,
};
use tokio::{net::TcpStream, sync::watch};

use crate::server;

async fn end_of(peer: &mut Peer, id: &str, action: &str, payload: Value) -> Heard {
    let mut heard = Heard::nothing_of(id);
    peer.send(id, action, payload).await;
    while heard.end.is_none() {
        heard.take(&peer.frame().await);
    }
    heard
}

fn report() -> Value {
    json!({ "start_date": "2024-01-01", "end_date": "2024-01-31", "format": "csv" })
}

async fn ready(server: &Server) -> (u16, String) {
    let answer = server.inspect("/readyz").await;
    (answer.status, answer.json()["status"].as_str().expect("text").to_owned())
}

#[tokio::test]
async fn a_folder_that_vanishes_is_missed_and_welcome_back() {
    let mut server = server().set("store.path", "kept/streamer.db").prepared();
    let (here, there) = (server.folder().join("kept"), server.folder().join("elsewhere"));
    fs::create_dir(&here).expect("made");
    server.restart().await;
    let mut peer = server.peer("ada", TENANT).await;
    let before = end_of(&mut peer, "before", "echo_async", json!("before")).await;
    assert!(before.acknowledged);
    fs::rename(&here, &there).expect("moved");
    // What is still written would go where nobody finds it.
    peer.send("lost", "echo_async", json!("lost")).await;
    let refused = peer.frame_of("lost").await;
    assert_eq!(refused["error"]["code"], "INTERNAL_ERROR", "{refused}");
    assert_eq!(ready(&server).await, (503, "the store does not answer".to_owned()));
    assert!(server.log().contains("streamer.db was removed or replaced"), "the log says what to do");
    assert_eq!(peer.ask("ping", "ping", json!({})).await["success"], true);

    fs::rename(&there, &here).expect("moved back");
    assert_eq!(ready(&server).await.0, 200);
    let after = end_of(&mut peer, "after", "echo_async", json!("after")).await;
    assert!(after.acknowledged);
    server.kill().await;
    server.restart().await;
    let mut peer = server.peer("ada", TENANT).await;
    for (id, there) in [("before", true), ("lost", false), ("after", true)] {
        let standing = peer.ask(&format!("status-{id}"), "status", json!({ "request_id": id })).await;
        assert_eq!(standing["success"] == true, there, "{id}: {standing}");
    }
}

#[tokio::test]
async fn sockets_leave_files_for_the_store() {
    const FILES: u32 = 90;
    const PEERS: usize = 60;
    let server = server().open_files(FILES).start().await;
    assert!(server.log().contains("fewer sockets than listen.sockets_max"), "it is told");
    let (url, token) = (server.ws_url(), Issuer::shared().token("ada", TENANT));
    let mut first = server.peer("ada", TENANT).await;
    let crowd: Vec<_> = (0..PEERS)
        .map(|_| {
            let (url, token) = (url.clone(), token.clone());
            tokio::spawn(async move {
                let mut peer = Peer::connect(&url, &token).await;
                let pong = peer.ask("ping", "ping", json!({})).await;
                // Those who wait outside get in once others have left.
                peer.leave().await;
                pong["success"] == true
            })
        })
        .collect();
    let done = end_of(&mut first, "report", "generate_report", report()).await;
    assert!(done.result()["url"].is_string(), "files can be written");
    for came in within("everybody to have been in", join_all(crowd)).await {
        assert!(came.expect("it got in"));
    }
}

#[tokio::test]
async fn without_a_file_left_it_goes_on_with_what_it_has_and_recovers() {
    const FILES: u32 = 90;
    let mut server = server().open_files(FILES).set("engine.retry_base_ms", 50).start().await;
    let mut peer = server.peer("ada", TENANT).await;
    assert!(end_of(&mut peer, "before", "echo_async", json!(1)).await.acknowledged);
    assert_eq!(peer.ask("s", "status", json!({ "request_id": "before" })).await["success"], true);
    // The operators' address has bounds of its own, and is for friends.
    let mut sockets = Vec::new();
    let admin = server.admin();
    until("the last file to be taken", async || {
        sockets.push(TcpStream::connect(admin).await.expect("the system takes it"));
        server.log().contains("a socket could not be accepted").then_some(())
    })
    .await;
    assert_eq!(peer.ask("ping", "ping", json!({})).await["success"], true);
    let queued = end_of(&mut peer, "queued", "echo_async", json!(2)).await;
    assert_eq!(queued.result()["echo"], 2, "the store has its files");
    let report = end_of(&mut peer, "report", "generate_report", report()).await;
    assert_eq!(report.end.expect("an end")["error"]["code"], "INTERNAL_ERROR", "a file cannot be had");
    assert!(server.log().contains("Too many open files"), "the log says why");
    sockets.clear();
    let again = until("a socket to be accepted", async || {
        Peer::try_connect(&server.ws_url(), Some(&Issuer::shared().token("late", TENANT))).await.ok()
    })
    .await;
    again.leave().await;
    let done = end_of(&mut peer, "again", "generate_report", self::report()).await;
    assert!(done.result()["url"].is_string());
    server.stop().await;
}

/// Overwrites the heads of the pages that hold a text and not the other: leaves of tables, by the format's section 1.6.
fn damage(server: &Server, text: &str, not: &str) -> usize {
    const PAGE: usize = 4096;
    let mut bytes = fs::read(server.store()).expect("there");
    let mut damaged = 0;
    for page in bytes.chunks_exact_mut(PAGE).skip(1) {
        let has = |text: &str| page.windows(text.len()).any(|window| window == text.as_bytes());
        if page[0] == 13 && has(text) && !has(not) {
            page[..64].fill(0xee);
            damaged += 1;
        }
    }
    fs::write(server.store(), bytes).expect("written");
    damaged
}

#[tokio::test]
async fn a_damaged_page_is_refused_at_the_start_and_never_served() {
    const REQUESTS: u32 = 40;
    let mut server = server().start().await;
    let mut peer = server.peer("ada", TENANT).await;
    for n in 0..REQUESTS {
        end_of(&mut peer, &format!("r{n}"), "echo_async", json!(format!("marked {}", "-".repeat(200)))).await;
    }
    server.stop().await;
    // Payloads: whoever starts reads them only when somebody asks.
    assert!(damage(&server, "marked --", "echo_async") > 0);
    let status = server.try_restart().await.expect_err("it is damaged");
    assert_eq!(status.code(), Some(1));
    let log = server.log();
    let told = log.lines().last().expect("it says why");
    assert!(told.contains("store.path") && told.contains("is damaged") && told.contains("backup"), "{told}");

    // A file that is too large to be looked through at the start: whoever comes upon the damage is told.
    server.set_variable("STREAMER_STORE__START_CHECK_BYTES_MAX", Some("0"));
    server.restart().await;
    let mut peer = server.peer("ada", TENANT).await;
    let mut refused = 0;
    for n in 0..REQUESTS {
        let answer = peer.ask(&format!("s{n}"), "status", json!({ "request_id": format!("r{n}") })).await;
        if answer["success"] == true {
            let echo = answer["data"]["result"]["echo"].as_str().expect("text");
            assert!(echo.starts_with("marked --"), "{answer}");
        } else {
            assert_eq!(answer["error"]["code"], "INTERNAL_ERROR", "{answer}");
            refused += 1;
        }
    }
    assert!(refused > 0, "nobody came upon it: the test proves nothing");
    let answer = peer.ask("more", "echo_async", json!({})).await;
    assert_eq!(answer["error"]["code"], "INTERNAL_ERROR", "nothing is acknowledged any more: {answer}");
    let (status, told) = ready(&server).await;
    assert!(status == 503 && told.contains("damaged") && told.contains("backup"), "{status}: {told}");
    let token = Issuer::shared().token("late", TENANT);
    let late = Peer::try_connect(&server.ws_url(), Some(&token)).await;
    assert!(matches!(late, Err(Refused::Answered { status: 500, .. })), "{late:?}");
    assert!(server.log().contains("the store's file is damaged"), "the log says so once");
    let checked = server.shell().run(["store", "check", "streamer.db"]).await;
    assert_eq!(checked.code, Some(1), "{checked}");
    server.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_set_loses_doubles_and_ends_nothing() {
    let mut server = server().set("engine.lease_s", 3).set("engine.short_limit_ms", 400).prepared();
    let clock = server.folder().join("clock");
    server.set_variable("STREAMER_CLOCK_FILE", Some("clock"));
    server.restart().await;
    let mut peer = server.peer("ada", TENANT).await;
    // Longer than a lease, on either side of each moment at which the clock is set.
    let errands = [
        Errand::new("delay", json!({ "seconds": 5, "chunks": 10 })),
        Errand::new("echo_async", json!("later")).delayed(1500),
    ];
    let live = Client::new("bob", server.ws_url(), errands).live(watch::channel(false).1);
    let setting = async {
        for wrong_by_s in ["3000", "-3600", "0"] {
            tokio::time::sleep(Duration::from_millis(1300)).await;
            fs::write(&clock, wrong_by_s).expect("written");
        }
    };
    let (client, ()) = within("all to be done", Box::pin(async { tokio::join!(live, setting) })).await;
    let anew = audit::hold(&server, &client).await;
    assert_eq!(anew.attempts_max, 1, "nothing was begun a second time");
    assert!(
        server.log().contains("the clock was set ahead") && server.log().contains("the clock was set back")
    );
    assert_eq!(peer.ask("ping", "ping", json!({})).await["success"], true, "its connection stays");

    // Tokens go by the time of day: an hour and a half later this one has expired.
    fs::write(&clock, "5400").expect("written");
    let token = Issuer::shared().token("late", TENANT);
    let late = Peer::try_connect(&server.ws_url(), Some(&token)).await;
    assert!(matches!(late, Err(Refused::Answered { status: 401, .. })), "{late:?}");
    fs::write(&clock, "0").expect("written");
    server.peer("late", TENANT).await.leave().await;
    peer.send("bye", "ping", json!({})).await;
    assert!(matches!(peer.hear().await, Said::Frame(_)));
    server.stop().await;
    audit::is_sound(&server).await;
}
