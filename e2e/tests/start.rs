//! What keeps a server from starting is told in words that help, before anything listens.

use std::fs;

use streamer_auth::{Algorithm, KeyPair};
use streamer_e2e::{command::Shell, issuer::Issuer};

use crate::{folder, server, shell};

/// A folder with keys, and commands in it.
fn place() -> (tempfile::TempDir, Shell) {
    let folder = folder();
    Issuer::shared().write(folder.path());
    let shell = shell(folder.path());
    (folder, shell)
}

/// Why `serve` ends; every port is free and the key is good unless told otherwise.
async fn refused(shell: &Shell, more: &[&str]) -> String {
    let serve = ["serve", "--ready-file", "told.json", "--set", "auth.public_key_file=public.pem"];
    let free = ["--set", "listen.address=127.0.0.1:0", "--set", "admin.address=127.0.0.1:0"];
    let told = shell.run(serve.iter().chain(&free).chain(more)).await.failed(1);
    assert!(!shell.folder().join("told.json").exists(), "it said that it is ready");
    told
}

#[tokio::test]
async fn a_second_server_on_the_same_file_names_the_first() {
    let server = server().start().await;
    let pid = server.pid().expect("it runs").to_string();
    for timeout_s in ["0", "1"] {
        let timeout = format!("store.lock_timeout_s={timeout_s}");
        let told = refused(&shell(server.folder()), &["--store", "streamer.db", "--set", &timeout]).await;
        assert!(told.contains("streamer.db") && told.contains("in use") && told.contains(&pid), "{told}");
        assert_eq!(told.contains("waiting for the store"), timeout_s == "1", "{told}");
        assert_eq!(told.contains("waited 1 s for it (store.lock_timeout_s)"), timeout_s == "1", "{told}");
    }
    let mut peer = server.peer("ada", "acme").await;
    assert_eq!(peer.ask("a", "ping", serde_json::json!({})).await["success"], true, "the first goes on");
}

#[tokio::test]
async fn a_file_that_is_no_store_is_left_alone() {
    let (folder, shell) = place();
    let notes = "these are my notes, and nothing else\n".repeat(40);
    fs::write(folder.path().join("notes.txt"), &notes).expect("written");
    let told = refused(&shell, &["--store", "notes.txt"]).await;
    assert!(told.contains("notes.txt is not a SQLite database"), "{told}");
    assert_eq!(fs::read_to_string(folder.path().join("notes.txt")).expect("there"), notes);

    let told = refused(&shell, &["--store", "no/such/folder/streamer.db"]).await;
    assert!(told.contains("the folder no/such/folder is missing: create it first"), "{told}");
    let told = refused(&shell, &["--store", "."]).await;
    assert!(told.contains("store.path ."), "{told}");
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_left_alone() {
    let mut server = server().start().await;
    server.stop().await;
    let mut bytes = fs::read(server.store()).expect("there");
    // The database header's user version (https://www.sqlite.org/fileformat.html, section 1.3.9).
    bytes[60..64].copy_from_slice(&4711_u32.to_be_bytes());
    fs::write(server.store(), &bytes).expect("written");
    let told = refused(&shell(server.folder()), &["--store", "streamer.db"]).await;
    assert!(told.contains("newer Streamer") && told.contains("4711"), "{told}");
    assert_eq!(fs::read(server.store()).expect("there"), bytes);
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_by_its_setting() {
    let (_folder, shell) = place();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    for setting in ["listen.address", "admin.address"] {
        let told = refused(&shell, &["--set", &format!("{setting}={address}")]).await;
        assert!(told.contains(&format!("{setting} {address} cannot be listened on")), "{told}");
        assert!(told.contains("in use"), "{told}");
    }
    // What was refused before it served left nothing locked.
    let told = refused(&shell, &["--set", &format!("listen.address={address}")]).await;
    assert!(!told.contains("streamer.db"), "{told}");
}

#[tokio::test]
async fn a_wrong_key_is_explained_and_not_shown() {
    let (folder, shell) = place();
    let private = Issuer::shared().private_pem();
    let other = KeyPair::generate(Algorithm::Es256).expect("a pair");
    fs::write(folder.path().join("ec.pem"), other.public_pem()).expect("written");
    fs::write(folder.path().join("words.pem"), "open sesame\n").expect("written");
    for (file, explained) in [
        ("private.pem", "this is a private key"),
        ("ec.pem", "this key is for ES256, but RS256 is configured"),
        ("words.pem", "this is not a key in PEM"),
        ("nowhere.pem", "cannot be read"),
    ] {
        let told = refused(&shell, &["--set", &format!("auth.public_key_file={file}")]).await;
        assert!(told.contains(explained) && told.contains(file), "{file}: {told}");
        assert!(private.lines().skip(1).all(|line| line.starts_with('-') || !told.contains(line)), "{told}");
        assert!(!told.contains("open sesame"), "{told}");
    }
    let shell = shell.variable("JWT_PUBLIC_KEY", private);
    let told = shell.run(["config", "check"]).await.failed(1);
    assert!(told.contains("this is a private key"), "{told}");
    assert!(private.lines().skip(1).all(|line| line.starts_with('-') || !told.contains(line)), "{told}");
}
