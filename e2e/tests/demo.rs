//! `streamer demo`.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{folder, shell};

const STEPS: [&str; 11] = [
    "auth-valid",
    "auth-missing",
    "auth-expired",
    "auth-forged",
    "echo",
    "report",
    "leave-and-resume",
    "broadcast",
    "breaker",
    "crash",
    "disconnect",
];

const FIGURES: [&str; 6] =
    ["connect_p50", "send_p99", "broadcast_100", "disconnect_cleanup", "jwt_check", "crash_recovery"];

/// What the README promises.
const AT_MOST: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_demo_walks_through_every_step_and_measures() {
    let folder = folder();
    let started = Instant::now();
    // Longer than a test usually waits for anything.
    let command = shell(folder.path()).command(["demo", "--json", "demo.json"]).output();
    let output = tokio::time::timeout(AT_MOST, command).await.expect("done in time").expect("it runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{:?}: {stdout}\n{stderr}", output.status);

    let outcome = std::fs::read(folder.path().join("demo.json")).expect("it wrote what was asked for");
    let outcome: Value = serde_json::from_slice(&outcome).expect("JSON");
    let named = |list: &str| outcome[list].as_array().expect("a list").clone();
    let steps = named("steps");
    assert!(steps.iter().map(|step| &step["name"]).eq(STEPS), "{steps:?}");
    for step in &steps {
        assert_eq!(step["ok"], true, "{step}");
        assert!(step["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{step}");
    }
    let figures = named("figures");
    for name in FIGURES {
        let figure = figures.iter().find(|figure| figure["name"] == name);
        let figure = figure.unwrap_or_else(|| panic!("{name} is missing in {figures:?}"));
        assert_eq!(figure["unit"], "ms", "{figure}");
        assert!(figure["value"].as_f64().is_some_and(|value| value > 0.0), "{figure}");
    }
    assert_eq!(figures.len(), FIGURES.len(), "{figures:?}");
    assert!(started.elapsed() < AT_MOST, "{:?}", started.elapsed());
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("readable").collect();
    assert_eq!(left.len(), 1, "it leaves nothing else: {left:?}");
}
