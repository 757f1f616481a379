//! The descriptions of HTTP and socket: true, kept in `docs/`, and valid by public validators.
//!
//! `BLESS=1 cargo test -p streamer-server documents` writes the kept ones anew; `cargo xtask schema` does that.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::harness::{Http, Server, Token};

const DOCUMENTS: [&str; 2] = ["openapi.json", "asyncapi.json"];

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

async fn served(name: &str) -> Value {
    let server = Server::start().await;
    let answer = Http::get(server.addr, format!("/v1/{name}")).send().await;
    assert_eq!(answer.status, 200);
    let document = answer.json();
    server.finish().await;
    document
}

/// Where `cargo xtask setup` put a validator. Without it a test is skipped, but for CI.
fn tool(folder: &str) -> Option<PathBuf> {
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("tools");
    let found = fs::read_dir(tools).ok().and_then(|entries| {
        let mut folders: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        folders.retain(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.strip_prefix(folder).is_some_and(|version| version.starts_with('-'))
        });
        folders.sort();
        folders.pop()
    });
    if found.is_none() {
        let missing = format!("{folder} is missing: `cargo xtask setup documents`");
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        writeln!(std::io::stderr(), "skipped: {missing}").expect("stderr is open");
    }
    found
}

fn succeeds(command: &mut Command) {
    let output = command.output().expect("it starts");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[tokio::test]
async fn the_kept_ones_are_what_the_types_generate() {
    for name in DOCUMENTS {
        let served = served(name).await;
        if std::env::var_os("BLESS").is_some() {
            let text = serde_json::to_string_pretty(&served).expect("JSON") + "\n";
            fs::write(kept(name), text).expect("written");
        }
        let text = fs::read_to_string(kept(name)).unwrap_or_default();
        // Compared as values: the order of fields depends on what else the build holds.
        let kept = serde_json::from_str::<Value>(&text).ok();
        assert!(kept == Some(served), "docs/{name} is out of date: run `cargo xtask schema` and commit it");
    }
}

#[tokio::test]
async fn every_described_path_is_there_with_its_methods_and_no_others() {
    let server = Server::start().await;
    let document = Http::get(server.addr, "/v1/openapi.json").send().await.json();
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.len() >= 7);
    for (path, operations) in paths {
        let methods: BTreeSet<_> = operations
            .as_object()
            .expect("operations")
            .keys()
            .filter(|key| *key != "parameters")
            .cloned()
            .collect();
        let answer = Http::new("PATCH", server.addr, path.replace("{id}", "a").replace("{topic}", "a"))
            .bearer(&Token::ada())
            .send()
            .await;
        assert_eq!(answer.status, 405, "{path}");
        let allowed = answer.header("allow").expect("what is allowed");
        let allowed: BTreeSet<_> =
            allowed.split(',').filter(|method| *method != "head").map(str::to_owned).collect();
        assert_eq!(allowed, methods, "{path}");
    }
    server.finish().await;
}

#[tokio::test]
async fn every_frame_is_a_message_of_the_socket() {
    let document = served("asyncapi.json").await;
    let messages = document["components"]["messages"].as_object().expect("messages");
    let names: Vec<_> = messages.keys().map(String::as_str).collect();
    for name in ["request", "acknowledgment", "response", "progress", "chunk", "restart", "complete", "error"]
    {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    for (name, message) in messages {
        assert_ne!(message["summary"], "", "{name} says what it is");
    }
}

#[test]
fn a_public_validator_takes_the_openapi_document() {
    let Some(folder) = tool("openapi-spec-validator") else { return };
    let mut python = Command::new("python3");
    succeeds(
        python.env("PYTHONPATH", folder).args(["-m", "openapi_spec_validator"]).arg(kept("openapi.json")),
    );
}

#[test]
fn a_public_parser_takes_the_asyncapi_document() {
    let Some(folder) = tool("asyncapi-parser") else { return };
    // Says every diagnosis that is an error, and fails if there is one.
    const PARSE: &str = "
        const { Parser } = require('@asyncapi/parser');
        const text = require('node:fs').readFileSync(process.argv[1], 'utf8');
        new Parser().parse(text).then(({ document, diagnostics }) => {
            const errors = diagnostics.filter((d) => d.severity === 0);
            for (const e of errors) console.log(e.path.join('/'), e.message);
            process.exit(document && errors.length === 0 ? 0 : 1);
        });";
    let mut node = Command::new("node");
    succeeds(node.current_dir(folder).args(["-e", PARSE]).arg(kept("asyncapi.json")));
}
