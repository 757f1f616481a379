//! The commands around a pipeline: what they say, and what they exit with.

use std::process::Stdio;

use serde_json::{Value, json};
use streamer_e2e::patience::within;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::bed::{Place, id, terminate};

#[tokio::test]
async fn load_run_verify_and_report_say_that_all_is_well_and_what_is_not() {
    let Some(place) = Place::open().await else { return };
    let processor = place.streaming().await;
    let _ = place.shell.run(["events", "load", "10", "--unpaced", "--seed", "1"]).await.succeeded();
    place.commit_users(1, 3).await;
    let said = place.shell.run(["events", "verify", "--wait", "20"]).await.succeeded();
    assert!(said.contains("UserCreated"), "{said}");
    let said = place.shell.run(["events", "report", "--from", &processor.admin_url()]).await.succeeded();
    assert!(said.contains("total"), "{said}");
    let _ = processor.stop().await;

    // The newest but one: the oldest might have been pruned.
    let gone = id(2);
    place.remove("users", &gone).await;
    let ran = place.shell.run(["events", "verify"]).await;
    assert!(ran.code == Some(1) && ran.stdout.contains(&gone), "{ran}");
}

#[tokio::test]
async fn report_exits_with_1_where_a_target_is_missed_and_it_was_asked_to_check() {
    let Some(place) = Place::open().await else { return };
    let processor = place.streaming().await;
    place.commit_users(1, 3).await;
    place.await_users(3).await;
    // What was measured here depends on the machine; what is made of it does not.
    let mut figures = processor.get("/v1/events").await.json();
    figures["events"] = json!(1000);
    figures["pace"]["active_seconds"] = json!(4);
    for (percentile, ms) in [("p50_ms", 3.0), ("p95_ms", 6.0), ("p99_ms", 9.0)] {
        assert!(figures["latency"]["stages"]["total"][percentile].is_number(), "{figures}");
        figures["latency"]["stages"]["total"][percentile] = json!(ms);
    }
    let report = async |name: &str, figures: &Value, more: &[&str]| {
        let file = place.folder.path().join(name);
        std::fs::write(&file, figures.to_string()).expect("written");
        let from = ["events", "report", "--from", name, "--json", "report.json"];
        let ran = place.shell.run(from.iter().chain(more)).await;
        let written = std::fs::read(place.folder.path().join("report.json")).expect("it wrote its report");
        (ran, serde_json::from_slice::<Value>(&written).expect("JSON"))
    };
    let (ran, written) = report("well.json", &figures, &["--check"]).await;
    assert_eq!(written["is_met"], true, "{written}");
    let said = ran.succeeded();
    assert!(!said.contains("MISSED"), "{said}");

    figures["latency"]["stages"]["total"]["p99_ms"] = json!(200.5);
    let (ran, written) = report("slow.json", &figures, &["--check"]).await;
    assert_eq!((ran.code, &written["is_met"]), (Some(1), &json!(false)), "{ran}");
    let missed: Vec<_> = ran.stdout.lines().filter(|line| line.contains("MISSED")).collect();
    assert!(missed.len() == 1 && missed[0].contains("latency P99"), "{ran}");
    let (ran, _) = report("slow.json", &figures, &[]).await;
    let said = ran.succeeded();
    assert!(said.contains("MISSED"), "{said}");
    let _ = processor.stop().await;
}

#[tokio::test]
async fn monitor_ends_on_sigterm() {
    let Some(place) = Place::open().await else { return };
    let processor = place.streaming().await;
    let url = processor.admin_url();
    // Nobody listens on the discard port.
    for (from, code, expected) in [(url.as_str(), 0, "streaming"), ("http://127.0.0.1:9", 1, "nothing heard")]
    {
        let mut command = place.shell.command(["events", "monitor", "--interval-ms", "50", "--from", from]);
        let mut monitor = command.stdout(Stdio::piped()).spawn().expect("the binary can be run");
        let mut lines = BufReader::new(monitor.stdout.take().expect("is piped")).lines();
        let first = within("the first line", lines.next_line()).await.expect("reads").expect("a line");
        assert!(first.contains(expected), "{first}");
        assert!(monitor.try_wait().expect("it is our child").is_none(), "it goes on until it is told");
        terminate(&monitor).await;
        let ended = within("the monitor's end", monitor.wait()).await.expect("it is our child");
        assert_eq!(ended.code(), Some(code), "{from}: {ended}");
    }
    let _ = processor.stop().await;
}
