//! The shared scenarios, against the real server.

use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use streamer_e2e::scenario;

use crate::server;

#[tokio::test]
async fn every_scenario_passes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("there are scenarios")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    assert!(files.len() >= 5, "only {files:?}");

    let server = server()
        .set("topics.histories", r#"{ "memory." = { kind = "memory" }, "durable." = { kind = "durable" } }"#)
        .set("topics.server_only_prefixes", r#"["feed."]"#)
        .start()
        .await;
    let reports = join_all(files.iter().map(|file| scenario::run(file, &server))).await;
    let mut failed = String::new();
    for (file, report) in files.iter().zip(reports) {
        let report = report.expect("the file is well formed");
        assert!(!report.verdicts.is_empty(), "{} holds no scenario", file.display());
        if !report.is_ok() {
            failed += &format!("{}\n{report}\n", file.display());
        }
    }
    assert!(failed.is_empty(), "{failed}");
}
