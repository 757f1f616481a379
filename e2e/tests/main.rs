//! The binary `streamer`, end to end.

mod bad_handlers;
mod bad_input;
mod configuration;
mod container;
mod crash;
mod crowd;
mod demo;
mod deploys;
mod drain;
mod examples;
mod failpoints;
mod full_disk;
mod handlers;
mod healthcheck;
mod http;
mod inherited;
mod management;
mod memory;
mod once;
mod operators;
mod outbox;
mod outside;
mod proxies;
mod request;
mod scenarios;
mod secrets;
mod start;
mod store;
mod supervised;
mod tls;
mod token;
mod topics;
mod urls;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use streamer_e2e::{aws::Clients, command::Shell, server::Setup};

/// Built by cargo before these tests.
const BINARY: &str = env!("CARGO_BIN_EXE_streamer-under-test");

/// One whose handlers behave badly; and the demonstration's.
const BAD_HANDLERS: &str = env!("CARGO_BIN_EXE_streamer-with-bad-handlers");

/// The example with handlers of events of its own.
const ORDERS: &str = env!("CARGO_BIN_EXE_streamer-with-orders");

/// A server to start.
fn server() -> Setup {
    Setup::new(BINARY)
}

/// Commands in a folder.
fn shell(folder: &Path) -> Shell {
    Shell::new(BINARY, folder)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A variable's number, or what is usual.
fn chosen(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("a number"))
}

/// Says that a test is skipped for want of something, which must not be on the machine that decides.
fn skipped(missing: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{missing}");
    // Past the capture of what tests print.
    writeln!(std::io::stderr(), "skipped: {missing}").expect("standard error is open");
}

/// Where `cargo xtask setup` puts what is not ours.
fn tools() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("tools")
}

/// boto3 and the AWS command line. Without them a test is skipped, but for CI.
fn aws_clients(folder: &Path) -> Option<Clients> {
    let found = Clients::find(&tools(), folder);
    if found.is_none() {
        skipped("boto3 and the AWS command line are missing: `cargo xtask setup aws-clients`");
    }
    found
}

/// A file of `deploy/`.
fn deployed(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
