//! Under systemd: what it is told, and what `deploy/systemd/streamer.service` asks for.

use std::{fs, process::Stdio};

use serde_json::Value;
use streamer_e2e::{issuer::Issuer, patience::within, peer::Peer};
use tokio::{net::UnixDatagram, process::Command};

use crate::{deployed, folder, shell};

async fn told(socket: &UnixDatagram) -> String {
    let mut text = [0; 64];
    let count = within("word of the server", socket.recv(&mut text)).await.expect("the socket is ours");
    String::from_utf8(text[..count].to_vec()).expect("text")
}

#[tokio::test]
async fn systemd_hears_when_the_doors_are_open_and_when_they_close() {
    let folder = folder();
    Issuer::shared().write(folder.path());
    let socket = UnixDatagram::bind(folder.path().join("notify")).expect("the folder is ours");
    let shell = shell(folder.path()).variable("NOTIFY_SOCKET", "notify");
    let serve =
        ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--public-key-file", "public.pem"];
    let mut serve = shell.command(serve.iter().chain(&["--ready-file", "ready.json"]));
    let mut serving = serve.stderr(Stdio::null()).spawn().expect("the binary can be run");
    assert_eq!(told(&socket).await, "READY=1\n");
    let ready = fs::read(folder.path().join("ready.json")).expect("it is ready");
    let addresses: Value = serde_json::from_slice(&ready).expect("JSON");
    let url = format!("ws://{}/ws", addresses["listen"].as_str().expect("an address"));
    let _peer = Peer::connect(&url, &Issuer::shared().token("ada", "acme")).await;

    let pid = serving.id().expect("it runs").to_string();
    let asked = Command::new("kill").args(["-TERM", &pid]).status().await;
    assert!(asked.expect("there is a kill").success());
    assert_eq!(told(&socket).await, "STOPPING=1\n");
    let status = within("the server's end", serving.wait()).await.expect("it is our child");
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_supervisor_that_does_not_listen_is_named() {
    let folder = folder();
    Issuer::shared().write(folder.path());
    let shell = shell(folder.path()).variable("NOTIFY_SOCKET", "nobody");
    let told = shell.run(["serve", "--public-key-file", "public.pem"]).await.failed(1);
    assert!(told.contains("NOTIFY_SOCKET cannot be reached"), "{told}");
}

#[tokio::test]
async fn the_unit_leaves_time_to_drain_and_room_for_every_socket() {
    let unit = deployed("systemd/streamer.service");
    let of_unit = |name: &str| -> u64 {
        let value = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} is missing"))
    };
    let folder = folder();
    Issuer::shared().write(folder.path());
    let shell = shell(folder.path()).variable("JWT_PUBLIC_KEY_FILE", "public.pem");
    let listing = shell.run(["config", "check", "--show"]).await.succeeded();
    let default = |name: &str| -> u64 {
        let settings = listing.lines().filter_map(|line| line.split_once('='));
        let value = settings.filter(|(setting, _)| setting.trim() == name).map(|(_, value)| value).next();
        let digits = value.and_then(|value| value.split_whitespace().next());
        digits
            .and_then(|digits| digits.parse().ok())
            .unwrap_or_else(|| panic!("{name} is missing: {listing}"))
    };
    assert!(of_unit("TimeoutStopSec") >= default("drain.timeout_s") + 10);
    assert!(of_unit("TimeoutStartSec") >= default("store.lock_timeout_s") + 10);
    assert!(of_unit("LimitNOFILE") >= 2 * default("listen.sockets_max"));
    let socket = deployed("systemd/streamer.socket");
    let address = socket.lines().find_map(|line| line.strip_prefix("ListenStream="));
    let address = address.expect("it says where");
    assert!(listing.contains(&format!("{address:?}")), "as listen.address is by default: {address}");
    let compose = deployed("compose.yaml");
    let grace =
        compose.lines().find_map(|line| line.trim().strip_prefix("stop_grace_period: ")?.strip_suffix('s'));
    let grace: u64 = grace.and_then(|grace| grace.parse().ok()).expect("seconds");
    assert!(grace >= default("drain.timeout_s") + 10);
}
