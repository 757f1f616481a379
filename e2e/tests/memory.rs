//! What a server holds in memory: every bound has its gauge, and an idle connection costs little.

use std::{collections::BTreeSet, path::Path, time::Duration};

use serde_json::json;
use streamer_e2e::{issuer::Issuer, patience::until, peer::Peer, scenario::Place as _};

use crate::{server, tls::Authority};

/// The page that lists what can grow.
fn page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    std::fs::read_to_string(page).expect("the book is there")
}

/// What stands in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The rows of the list: what bounds it, and its gauges.
fn rows(page: &str) -> Vec<(&str, &str)> {
    let list =
        page.split("## Memory\n").nth(1).expect("there is a list").split("\n## ").next().expect("a part");
    let rows = list.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').collect();
        let [_, bound, gauge] = cells[..] else { panic!("not three cells: {row}") };
        (bound, gauge)
    })
    .collect()
}

/// The most that each of what a gauge counts takes, in KiB, as the page has it.
pub(crate) fn kib_each_max(gauge: &str) -> f64 {
    let page = page();
    let mut rows = page.lines().filter(|row| quoted(row).any(|name| name == gauge));
    let each = rows.find_map(|row| row.split_once("under ")?.1.split_once(" KiB each")?.0.parse().ok());
    each.unwrap_or_else(|| panic!("the page does not say what each of {gauge} takes"))
}

/// The names of the gauges that are shown.
fn gauges(metrics: &str) -> BTreeSet<&str> {
    metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" gauge")).collect()
}

#[tokio::test]
async fn every_bound_has_its_gauge_and_its_setting() {
    let authority = Authority::new();
    let mut server = authority.server().start().await;
    let _ = authority.shell(&server).run(["request", "echo_async"]).await.succeeded();
    let page = page();
    let rows = rows(&page);
    assert!(rows.len() > 15, "{rows:?}");
    let listed: BTreeSet<_> = rows.iter().flat_map(|(_, gauge)| quoted(gauge)).collect();

    // Some are measured every few seconds.
    let mut missing = Vec::new();
    let waiting = async {
        loop {
            let metrics = server.inspect("/metrics").await.text();
            missing = listed.iter().filter(|gauge| !gauges(&metrics).contains(**gauge)).copied().collect();
            if missing.is_empty() {
                break metrics;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let shown = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    let shown = shown.unwrap_or_else(|_| panic!("listed, and not shown: {missing:?}"));
    let gauges = gauges(&shown);
    let unlisted: Vec<_> = gauges.difference(&listed).collect();
    assert!(unlisted.is_empty(), "shown, and not listed: {unlisted:?}");

    let example = server.shell().run(["config", "example"]).await.succeeded();
    let mut section = "";
    let settings: BTreeSet<_> = example
        .lines()
        .filter_map(|line| {
            let line = line.trim_start_matches(['#', ' ']);
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = name;
            }
            let line = line.strip_prefix("Not set by default; for example: ").unwrap_or(line);
            line.split_once(" = ").map(|(name, _)| format!("{section}.{name}"))
        })
        .collect();
    for bound in rows.iter().flat_map(|(bound, _)| quoted(bound)) {
        assert!(settings.contains(bound), "{bound} is no setting: {settings:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_costs_little_and_nothing_of_it_remains() {
    const CROWD: usize = 1000;
    // Measured: 8 KiB. The system gives memory in larger pieces, and other tests run beside this one.
    const EACH_BYTES_MAX: f64 = 16.0 * 1024.0;
    let mut server = server().start().await;
    let token = Issuer::shared().token("ada", "acme");
    let resident = async || server.metric("process_resident_memory_bytes", &[]).await;
    // What the first ones need is there for all.
    let mut warm = Vec::new();
    for _ in 0..50 {
        warm.push(Peer::connect(&server.ws_url(), &token).await);
    }
    let before = resident().await;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(Peer::connect(&server.ws_url(), &token).await);
    }
    assert_eq!(server.metric("streamer_connections_active", &[]).await, (CROWD + 50) as f64);
    assert_eq!(server.metric("streamer_tenant_connections", &["acme"]).await, (CROWD + 50) as f64);
    let each = (resident().await - before) / CROWD as f64;
    assert!(each < EACH_BYTES_MAX, "{each} bytes each");
    let mut bystander = server.peer("bob", "globex").await;
    assert_eq!(bystander.ask("a", "echo", json!(1)).await["type"], "response");
    drop((warm, crowd));
    // But for the bystander's.
    for gauge in ["streamer_connections_active", "streamer_sockets_open", "streamer_tenants_connected"] {
        until("all are gone", async || (server.metric(gauge, &[]).await == 1.0).then_some(())).await;
    }
    bystander.leave().await;
    server.stop().await;
}
