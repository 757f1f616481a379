//! `streamer events demo`.

use std::{
    net::TcpStream,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use streamer_e2e::{
    command::{Ran, Shell},
    patience::{until, within},
};
use streamer_servers::{
    mongodb, or_skip,
    postgres::{self, Postgres, Settings},
};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::bed::{Place, signal};
use crate::{folder, shell};

/// What it wrote with `--json`.
fn outcome(folder: &Path) -> Value {
    let written = std::fs::read(folder.join("demo.json")).expect("it wrote what was asked for");
    serde_json::from_slice(&written).expect("JSON")
}

/// Starting servers and waiting for their events may take longer than a test usually waits for anything.
async fn show(shell: &Shell, arguments: &[&str]) -> Ran {
    let command = shell.command(["events", "demo", "--json", "demo.json"].iter().chain(arguments)).output();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(120), command).await;
    Ran::of(ended.expect("ends in time").expect("it runs"))
}

#[tokio::test]
async fn it_goes_through_its_steps_on_the_servers_that_are_named() {
    let Some(place) = Place::bare().await else { return };
    let said = show(&place.shell, &["--steps", "10,100"]).await.succeeded();
    // The first step's events one by one, the second's as lines, and the report of the second.
    for part in
        ["step 1 of 2: 10 events", "step 2 of 2: 100 events", "target=100 remaining=0", "total (T5-T0)"]
    {
        assert!(said.contains(part), "{part} is missing: {said}");
    }
    assert_eq!(said.matches("     event ").count(), 10, "{said}");
    assert_eq!(said.matches("no difference").count(), 2, "{said}");

    let outcome = outcome(place.folder.path());
    assert_eq!((&outcome["error"], &outcome["servers"]["are_own"]), (&Value::Null, &Value::Bool(false)));
    let steps = outcome["steps"].as_array().expect("a list");
    for (step, (count, in_all)) in steps.iter().zip([(10, 10), (100, 110)]) {
        assert_eq!(step["loaded"]["written"], count, "{step}");
        assert_eq!(step["verified"]["is_whole"], true, "{step}");
        assert_eq!(step["verified"]["total"]["mongodb"], in_all, "{step}");
        assert_eq!(step["report"]["figures"]["events"], count, "a step's figures are its own: {step}");
        for stage in ["capture", "delivery", "consumer_lag", "processing", "total"] {
            assert_eq!(
                step["report"]["figures"]["latency"]["stages"][stage]["count"], count,
                "{stage}: {step}"
            );
        }
    }
    assert_eq!(steps.len(), 2);
    let users =
        steps.iter().filter_map(|step| step["loaded"]["by_type"]["UserCreated"].as_u64()).sum::<u64>();
    assert_eq!((place.count("users").await, place.total_users().await), (users, users));

    // The rows might be somebody's: that is to be said.
    let told = show(&place.shell, &["--steps", "20"]).await.failed(1);
    assert!(told.contains("has rows") && told.contains("--yes"), "{told}");
    assert_eq!(place.sql("SELECT count(*) FROM activity.event_outbox").await, "110");
    // Twenty in a fifth of a second are too slow for a target of a hundred a second over a whole one.
    let ran = show(&place.shell, &["--steps", "20", "--yes", "--check"]).await;
    assert!(ran.code == Some(1) && ran.stdout.contains("MISSED"), "{ran}");
    assert_eq!(self::outcome(place.folder.path())["steps"][0]["verified"]["total"]["mongodb"], 130);
}

#[tokio::test]
async fn a_difference_ends_it_with_1() {
    let Some(place) = Place::open().await else { return };
    place.commit_users(1, 1).await;
    let processor = place.streaming().await;
    place.await_users(1).await;
    let _ = processor.stop().await;
    place.remove("users", &super::bed::id(1)).await;
    let ran = show(&place.shell, &["--steps", "20,30", "--yes"]).await;
    assert!(ran.code == Some(1) && ran.stdout.contains("DIFFERENCE"), "{ran}");
    let outcome = outcome(place.folder.path());
    assert_eq!(outcome["steps"].as_array().map(Vec::len), Some(1), "nothing is built on it: {outcome}");
    assert_eq!(outcome["steps"][0]["verified"]["is_whole"], false, "{outcome}");
}

#[tokio::test]
async fn one_server_that_is_named_is_not_enough() {
    let folder = folder();
    let place = || shell(folder.path());
    let told = place().variable("POSTGRES_HOST", "127.0.0.1").run(["events", "demo"]).await.failed(1);
    assert!(told.contains("events.postgres.host is set") && told.contains("MONGODB_URI"), "{told}");
    let told =
        place().variable("MONGODB_URI", "mongodb://127.0.0.1:9").run(["events", "demo"]).await.failed(1);
    assert!(told.contains("events.mongodb.uri is set") && told.contains("POSTGRES_HOST"), "{told}");
    let told = place().run(["events", "demo", "--steps", "10,0"]).await.failed(2);
    assert!(told.contains("--steps"), "{told}");
}

/// A folder to run in, if servers of its own can be started here without installing anything.
fn with_servers() -> Option<tempfile::TempDir> {
    // Says what is missing.
    let _ = or_skip(Postgres::start(&Settings::default()))?;
    let _ = or_skip(mongodb::Mongodb::start(64))?;
    assert!(postgres::programs().is_some() && mongodb::classes().is_some());
    Some(folder())
}

fn listens(address: &str) -> bool {
    let port = address.rsplit_once(':').and_then(|(_, rest)| rest.split('/').next()).expect("a port");
    TcpStream::connect(("127.0.0.1", port.parse::<u16>().expect("a number"))).is_ok()
}

#[tokio::test]
async fn servers_of_its_own_are_kept_if_that_is_wanted() {
    let Some(folder) = tokio::task::spawn_blocking(with_servers).await.expect("does not panic") else {
        return;
    };
    let shell = shell(folder.path());
    let said = show(&shell, &["--steps", "5,50", "--keep"]).await.succeeded();
    let outcome = outcome(folder.path());
    let addresses =
        ["postgres", "mongodb"].map(|name| outcome["servers"][name].as_str().expect("text").to_owned());
    assert!(addresses.iter().all(|address| listens(address)), "{addresses:?}");

    // As it says that they are used, and ended.
    let config = outcome["kept"]["config"].as_str().expect("a file");
    assert!(said.contains(&format!("streamer events verify --config {config}")), "{said}");
    let verified = shell.run(["events", "verify", "--config", config]).await.succeeded();
    assert!(verified.contains("55 of 55"), "{verified}");
    let end = said.split_once("To end them:\n  ").expect("it says how").1;
    let folders = outcome["kept"]["folders"].as_array().expect("a list").clone();
    assert!(folders.iter().all(|folder| end.contains(folder.as_str().expect("a path"))), "{end}");
    let pids = outcome["kept"]["pids"].as_array().expect("a list");
    let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
    assert!(end.starts_with(&format!("kill -INT {}; ", pids.join(" "))), "{end}");
    let ended = std::process::Command::new("kill").arg("-INT").args(&pids).status().expect("there is a kill");
    assert!(ended.success());
    until("the servers' end", async || addresses.iter().all(|address| !listens(address)).then_some(())).await;
    for folder in folders {
        let folder = PathBuf::from(folder.as_str().expect("a path"));
        until("the server to be done", async || std::fs::remove_dir_all(&folder).ok()).await;
    }
}

#[tokio::test]
async fn an_interrupted_one_leaves_no_servers() {
    let Some(folder) = tokio::task::spawn_blocking(with_servers).await.expect("does not panic") else {
        return;
    };
    // As by control-C, and as by a terminal that is closed.
    for name in ["INT", "HUP"] {
        let many = ["events", "demo", "--steps", "20000", "--keep", "--json", "demo.json"];
        let mut command = shell(folder.path()).command(many);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut demo = command.spawn().expect("the binary can be run");
        let mut lines = BufReader::new(demo.stdout.take().expect("is piped")).lines();
        let mut addresses = Vec::new();
        loop {
            let line = within("a line", lines.next_line()).await.expect("reads").expect("a line");
            let address =
                ["PostgreSQL  ", "MongoDB     "].into_iter().find_map(|name| line.strip_prefix(name));
            addresses.extend(address.and_then(|text| text.split(',').next()).map(str::to_owned));
            if line.contains("target=20000") {
                break;
            }
        }
        assert!(addresses.len() == 2 && addresses.iter().all(|address| listens(address)), "{addresses:?}");
        signal(&demo, name).await;
        let ended = within("its end", demo.wait_with_output()).await.expect("it is our child");
        let told = String::from_utf8(ended.stderr).expect("UTF-8");
        assert!(ended.status.code() == Some(1) && told.contains("interrupted"), "{}: {told}", ended.status);
        assert!(!addresses.iter().any(|address| listens(address)), "{addresses:?}");
        let outcome = outcome(folder.path());
        assert!(outcome["error"] == "interrupted" && outcome["kept"].is_null(), "{outcome}");
    }
}
