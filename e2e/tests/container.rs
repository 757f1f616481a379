//! What `deploy/Dockerfile` and `deploy/compose.yaml` claim, as far as that shows without a container engine.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt as _, path::Path};

use regex::Regex;
use serde_json::{Value, json};
use streamer_e2e::{
    http,
    image::{Container, Image},
    issuer::Issuer,
    patience::until,
    peer::Peer,
    server::ADMIN_TOKEN,
};
use tokio::process::Command;

use crate::{BINARY, deployed, skipped};

fn image() -> Image {
    Image::of(&deployed("Dockerfile"))
}

fn workspace(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)).expect("it is there")
}

/// The first group of a pattern in a text.
#[track_caller]
fn found<'a>(pattern: &str, text: &'a str) -> &'a str {
    let found = Regex::new(pattern).expect("a pattern").captures(text);
    found.unwrap_or_else(|| panic!("{pattern} is not in {text}")).get(1).expect("a group").as_str()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_container_serves_as_nobody_from_a_root_that_it_cannot_write() {
    if !Container::can_be_made().await {
        return skipped("a container takes root on Linux");
    }
    let secrets = [("public-key", Issuer::shared().public_pem()), ("admin-token", ADMIN_TOKEN)];
    let container = Container::new(image(), Path::new(BINARY), &secrets).await;
    let (user, group) = image().user();
    assert!(user >= 1000 && group >= 1000, "not root, and nobody of the system's");

    // As compose.yaml has it, on free ports.
    let serve = [image().words("ENTRYPOINT"), image().words("CMD")].concat();
    let more = ["--demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ready-file", "ready.json"];
    let compose = deployed("compose.yaml");
    let key = found("JWT_PUBLIC_KEY_FILE: (.+)", &compose);
    let token = found("STREAMER_ADMIN__TOKEN_FILE: (.+)", &compose);
    let variables = [("JWT_PUBLIC_KEY_FILE", key), ("STREAMER_ADMIN__TOKEN_FILE", token)];
    let log = fs::File::create(container.data().join("server.log")).expect("root may write there");
    let mut serving = container.start(&[serve.clone(), words(&more)].concat(), &variables, log);
    let addresses = until("the server to be ready", async || {
        if let Some(status) = serving.has_ended() {
            let log = fs::read_to_string(container.data().join("server.log")).expect("readable");
            panic!("the server stopped with {status}:\n{log}");
        }
        serde_json::from_slice::<Value>(&fs::read(container.data().join("ready.json")).ok()?).ok()
    })
    .await;

    // It is process 1, and is nobody.
    let process = serving.pid().expect("it runs");
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    assert_eq!(found(r"NSpid:.*\t(\d+)", &status), "1");
    assert_eq!(found(r"Uid:\t(.+)", &status), [user; 4].map(|id| id.to_string()).join("\t"));
    assert_eq!(found(r"Gid:\t(.+)", &status), [group; 4].map(|id| id.to_string()).join("\t"));
    assert_eq!(found(r"Groups:\t(.*)", &status).trim(), "");
    assert_eq!(found(r"CapEff:\t(.+)", &status), "0000000000000000");

    // It works: a queued request, and a file.
    let listen = addresses["listen"].as_str().expect("an address");
    let user_token = Issuer::shared().token("ada", "acme");
    let mut peer = Peer::connect(&format!("ws://{listen}/ws"), &user_token).await;
    let period = json!({ "start_date": "2024-01-01", "end_date": "2024-12-31", "format": "pdf" });
    peer.send("report", "generate_report", period).await;
    let report = loop {
        let frame = peer.frame_of("report").await;
        match frame["type"].as_str() {
            Some("complete") => break frame["result"].clone(),
            Some("error") => panic!("{frame}"),
            _ => {}
        }
    };
    let url = report["url"].as_str().expect("a file");
    let file = http::get(listen.parse().expect("an address"), url, Some(&user_token)).await;
    assert_eq!((file.status, &json!(file.body.len())), (200, &report["size"]));
    let admin = addresses["admin"].as_str().expect("an address");
    let listed = http::get(admin.parse().expect("an address"), "/v1/requests", Some(ADMIN_TOKEN)).await;
    assert_eq!(listed.status, 200, "{}", listed.text());

    // The image's own check, in the container; and that its root cannot be written, whoever may.
    let admin_url = format!("http://{admin}");
    let asking = [("STREAMER_ADMIN_URL", admin_url.as_str())];
    let healthy = container.run(&image().words("HEALTHCHECK"), &asking).await.succeeded();
    assert!(healthy.contains("ready"), "{healthy}");
    let streamer = image().words("ENTRYPOINT");
    let elsewhere = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--store",
        "other.db",
        "--ready-file",
        "/ready.json",
    ];
    let told = container.run(&[serve, words(&elsewhere)].concat(), &variables).await.failed(1);
    assert!(told.contains("/ready.json cannot be written: Read-only file system"), "{told}");
    let beside = words(&["store", "backup", "streamer.db", "copy.db"]);
    let _ = container.run(&[streamer, beside].concat(), &[]).await.succeeded();

    for file in ["streamer.db", "streamer.db.artifacts", "copy.db"] {
        let there = fs::metadata(container.data().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!((there.uid(), there.gid()), (user, group), "{file}");
    }
    let signal = image().one("STOPSIGNAL").trim_start_matches("SIG").to_owned();
    let asked = Command::new("kill").args(["-s", &signal, &process.to_string()]).status().await;
    assert!(asked.expect("there is a kill").success());
    let status = serving.ended().await;
    assert!(status.success(), "{status}");
    let gone = container.run(&image().words("HEALTHCHECK"), &asking).await;
    assert_eq!(gone.code, Some(1), "{gone}");
}

#[test]
fn the_image_is_built_from_what_the_workspace_is() {
    let (dockerfile, manifest) = (deployed("Dockerfile"), workspace("Cargo.toml"));
    let version = found(r#"(?m)^version = "(.+)""#, &manifest);
    assert_eq!(
        image().all("ARG").find(|arg| arg.starts_with("VERSION")),
        Some(&*format!("VERSION={version}"))
    );
    assert_eq!(found(r"FROM rust:([0-9.]+)-", &dockerfile), found(r#"rust-version = "(.+)""#, &manifest));
    // Cargo wants every member's manifest, whatever it builds.
    let ignored = workspace(".dockerignore");
    let sent: BTreeSet<_> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let members = found(r"members = \[\n((?:.+\n)+?)\]", &manifest);
    let folders = members.split('"').skip(1).step_by(2).filter_map(|member| member.split('/').next());
    for needed in folders.chain(["Cargo.toml", "Cargo.lock"]) {
        assert!(sent.contains(needed), ".dockerignore keeps {needed} from the build");
    }
    assert!(ignored.lines().any(|line| line == "*"), "what is not named stays here");
}

#[test]
fn compose_agrees_with_the_image() {
    let (compose, image) = (deployed("compose.yaml"), image());
    assert_eq!(found(r#"user: "(.+)""#, &compose), image.one("USER"));
    assert_eq!(found(r"- data:(\S+)", &compose), image.one("VOLUME"));
    assert_eq!(
        found(r#"test: \["CMD", (.+)\]"#, &compose).replace('"', ""),
        image.words("HEALTHCHECK").join(", ")
    );
    let variables = image.variables();
    let store = variables["STREAMER_STORE__PATH"].as_str();
    assert!(Path::new(store).starts_with(image.one("VOLUME")), "{store} lasts");
    let port = found(r"(\d+)$", &variables["STREAMER_LISTEN__ADDRESS"]);
    assert_eq!(image.one("EXPOSE"), port);
    assert_eq!(found(r#"- "127.0.0.1:8080:(\d+)""#, &compose), port);
    for hardened in ["read_only: true", "- ALL", "no-new-privileges:true", "pids:", "memory:"] {
        assert!(compose.contains(hardened), "{hardened} is gone");
    }
}
