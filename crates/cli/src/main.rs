//! The binary `streamer`.

use std::process::ExitCode;

use streamer_engine::Router;

fn main() -> ExitCode {
    // Its actions are those that are always there and, when asked for, the demonstration's.
    streamer_cli::run(Router::new)
}
