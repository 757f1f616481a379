//! Sockets that outlive their server, and servers that follow each other: nobody is refused in between.

use std::{
    net::{TcpListener, UdpSocket},
    os::fd::OwnedFd,
    process::Stdio,
};

use futures_util::future::join_all;
use serde_json::json;
use streamer_e2e::{
    http,
    issuer::Issuer,
    patience::{until, within},
    peer::{Peer, Refused, Said},
    promises::Heard,
    scenario::Place as _,
    server::Server,
};
use tokio::{net::TcpStream, process::Command, sync::watch};
use tokio_tungstenite::tungstenite::{client::IntoClientRequest as _, http::header::AUTHORIZATION};

use crate::{folder, server, shell, skipped};

/// A connection that is open as far as its client can tell.
async fn knock(server: &Server) -> TcpStream {
    TcpStream::connect(server.listen()).await.expect("somebody listens")
}

/// Upgrades it, and asks for something once that is granted.
async fn enter(server_url: String, stream: TcpStream) {
    let mut request = server_url.into_client_request().expect("an address");
    let token = Issuer::shared().token("visitor", "acme");
    request.headers_mut().insert(AUTHORIZATION, format!("Bearer {token}").parse().expect("a header"));
    let (mut peer, _) = Peer::upgrade(stream, request).await.expect("it is answered");
    assert_eq!(peer.ask("a", "ping", json!({})).await["success"], true);
    peer.leave().await;
}

#[tokio::test]
async fn who_comes_while_nobody_serves_the_socket_is_answered_by_the_next_process() {
    // It would linger; but nobody needs to be sent elsewhere.
    let mut server = server().keeping_socket().set("drain.linger_ms", 20_000).start().await;
    let stream = knock(&server).await;
    enter(server.ws_url(), stream).await;
    for killed in [false, true, false] {
        if killed {
            server.kill().await;
        } else {
            server.stop().await;
        }
        let stream = knock(&server).await;
        let (listen, token) = (server.listen(), Issuer::shared().token("visitor", "acme"));
        let entering = tokio::spawn(enter(server.ws_url(), stream));
        let calling =
            tokio::spawn(async move { http::get(listen, "/v1/requests", Some(&token)).await.status });
        server.restart().await;
        within("the upgrade", entering).await.expect("it is served");
        assert_eq!(within("the answer", calling).await.expect("it is served"), 200);
    }
    server.stop().await;
}

/// The new process starts while the old one drains; gives what was said while it waited.
async fn hands_over(mut server: Server, while_it_waits: impl Future<Output = ()>) {
    let mut peer = server.peer("ada", "acme").await;
    let mut heard = Heard::nothing_of("long");
    peer.send("long", "delay", json!({ "seconds": 2.5, "chunks": 25 })).await;
    while heard.chunks.is_empty() {
        heard.take(&peer.frame().await);
    }
    let old_pid = server.pid().expect("it runs");
    let (ended, ()) = tokio::join!(server.hand_over(), while_it_waits);
    assert!(ended.success(), "{ended}");
    let log = server.log_lines();
    let place = |text: &str| log.iter().position(|line| line["message"] == text);
    let waiting = place("waiting for the store, which is in use").expect("it had to wait");
    assert_eq!(log[waiting]["holder"], old_pid, "{}", log[waiting]);
    assert!(place("stopped").expect("the old one has stopped") > waiting);

    // What ran was seen through by the old one, or given back to the new one.
    let mut peer = server.peer("ada", "acme").await;
    peer.send("resume", "resume", json!({ "request_id": "long", "after_seq": heard.last_seq })).await;
    while heard.end.is_none() {
        heard.take(&peer.frame().await);
    }
    assert_eq!(heard.chunks.len(), 25);
    server.stop().await;
}

#[tokio::test]
async fn a_new_process_holds_upgrades_until_the_old_one_has_let_go_of_the_store() {
    let server = server().keeping_socket().start().await;
    let (url, listen, log) = (server.ws_url(), server.listen(), server.folder().join("server.log"));
    let coming = async {
        until("the new process to wait", async || {
            std::fs::read_to_string(&log).ok()?.contains("waiting for the store").then_some(())
        })
        .await;
        let stream = TcpStream::connect(listen).await.expect("somebody listens");
        enter(url, stream).await;
    };
    hands_over(server, coming).await;
}

/// Comes and goes until it is told to stop; how often it was let in, and how often sent elsewhere. Never is it refused.
async fn come_and_go(url: String, stop: watch::Receiver<bool>) -> (u32, u32) {
    let token = Issuer::shared().token("visitor", "acme");
    let (mut let_in, mut sent_on) = (0, 0);
    while !*stop.borrow() {
        match Peer::try_connect(&url, Some(&token)).await {
            Ok(mut peer) => {
                peer.send("a", "ping", json!({})).await;
                // An answer, or a farewell.
                assert_ne!(peer.hear().await, Said::Broken);
                let_in += 1;
            }
            // It was accepted just before the process was told to stop.
            Err(Refused::Answered { status: 503, .. }) => sent_on += 1,
            Err(refused) => panic!("{refused:?}"),
        }
    }
    (let_in, sent_on)
}

#[tokio::test]
async fn while_processes_follow_each_other_nobody_is_refused() {
    const TIMES: usize = 5;
    let mut server = server().keeping_socket().start().await;
    let (stop, stopped) = watch::channel(false);
    let visiting = (0..4).map(|_| come_and_go(server.ws_url(), stopped.clone()));
    let visiting = join_all(visiting);
    let following = async {
        for _ in 0..TIMES {
            let ended = server.hand_over().await;
            assert!(ended.success(), "{ended}");
        }
        stop.send(true).expect("the visitors live");
    };
    let (visits, ()) = tokio::join!(visiting, following);
    let let_in: u32 = visits.iter().map(|(let_in, _)| let_in).sum();
    let sent_on: u32 = visits.iter().map(|(_, sent_on)| sent_on).sum();
    assert!(let_in as usize > TIMES, "only {let_in} were let in: the test proves nothing");
    // Of each visitor at most one connection can have been on its way in.
    assert!(sent_on as usize <= 4 * TIMES, "{sent_on} were sent elsewhere, {let_in} let in");
    server.stop().await;
}

#[tokio::test]
async fn a_new_process_takes_over_addresses_too_once_the_old_one_has_left_them() {
    hands_over(server().start().await, std::future::ready(())).await;
}

#[tokio::test]
async fn a_process_that_waits_for_the_store_can_be_stopped() {
    let server = server().start().await;
    let free = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--public-key-file", "public.pem"];
    let serve = ["serve", "--store", "streamer.db"].into_iter().chain(free);
    let shell = shell(server.folder());
    let log = std::fs::File::create(server.folder().join("second.log")).expect("the folder is ours");
    let mut second = shell.command(serve).stderr(log).spawn().expect("the binary can be run");
    until("it to wait", async || {
        let log = std::fs::read_to_string(server.folder().join("second.log")).ok()?;
        log.contains("waiting for the store").then_some(())
    })
    .await;
    let pid = second.id().expect("it runs").to_string();
    let asked = Command::new("kill").args(["-TERM", &pid]).status().await;
    assert!(asked.expect("there is a kill").success());
    let status = within("its end", second.wait()).await.expect("it is our child");
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn systemd_opens_both_sockets_and_starts_the_server_for_whoever_comes_first() {
    const ACTIVATE: &str = "systemd-socket-activate";
    if Command::new(ACTIVATE).arg("--version").stdout(Stdio::null()).status().await.is_err() {
        return skipped("systemd-socket-activate is missing: apt-get install systemd");
    }
    let server = server().prepared();
    let (listen, admin) = (server.listen().to_string(), server.admin().to_string());
    let mut command = Command::new(ACTIVATE);
    command.args(["--listen", &listen, "--listen", &admin, "--fdname", "streamer.socket:admin"]);
    let plain = shell(server.folder()).command(["serve", "--public-key-file", "public.pem"]);
    command.arg(plain.as_std().get_program()).args(plain.as_std().get_args());
    // Neither address of its own could be had.
    command.args(["--listen", &listen, "--admin", &admin]);
    command.current_dir(server.folder()).stderr(Stdio::null()).kill_on_drop(true);
    let mut process = command.spawn().expect("it is there");
    let stream = until("the socket", async || TcpStream::connect(&listen).await.ok()).await;
    enter(server.ws_url(), stream).await;
    let ready = http::get(server.admin(), "/readyz", None).await;
    assert_eq!((ready.status, &ready.json()["status"]), (200, &json!("ready")));
    process.kill().await.expect("it is our child");
}

#[tokio::test]
async fn sockets_that_cannot_be_served_are_named() {
    let folder = folder();
    Issuer::shared().write(folder.path());
    let shell = shell(folder.path());
    let serve = ["serve", "--public-key-file", "public.pem", "--listen", "127.0.0.1:0"];
    let refused = async |socket: OwnedFd, name: &str, more: &[&str]| {
        let mut command = shell.passing(socket, name, serve.iter().chain(more));
        let output = within("its end", command.output()).await.expect("the binary can be run");
        streamer_e2e::command::Ran::of(output).failed(1)
    };
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let told = refused(udp.into(), "datagrams", &[]).await;
    assert!(told.contains("ListenStream=") && told.contains("\"datagrams\""), "{told}");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let told = refused(tcp.into(), "admin", &["--set", "admin.enabled=false"]).await;
    assert!(told.contains("admin.enabled is false"), "{told}");
    assert!(!folder.path().join("streamer.db").exists(), "nothing was begun");
}

#[tokio::test]
async fn a_socket_for_another_process_is_none_of_ours() {
    let mut server = server().prepared();
    for (variable, value) in [("LISTEN_FDS", "1"), ("LISTEN_PID", "1"), ("LISTEN_FDNAMES", "admin")] {
        server.set_variable(variable, Some(value));
    }
    server.restart().await;
    assert_eq!(server.inspect("/readyz").await.json()["status"], "ready");
    server.stop().await;
}
