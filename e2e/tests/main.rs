//! The binary `streamer`, end to end.

mod bad_handlers;
mod bad_input;
mod configuration;
mod crash;
mod demo;
mod drain;
mod failpoints;
mod full_disk;
mod handlers;
mod once;
mod operators;
mod outside;
mod request;
mod scenarios;
mod secrets;
mod start;
mod store;
mod token;

use std::path::Path;

use streamer_e2e::{command::Shell, server::Setup};

/// Built by cargo before these tests.
const BINARY: &str = env!("CARGO_BIN_EXE_streamer-under-test");

/// One whose handlers behave badly; and the demonstration's.
const BAD_HANDLERS: &str = env!("CARGO_BIN_EXE_streamer-with-bad-handlers");

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
