//! The command line of Streamer. The binary `streamer` is [`run`] without actions of its own; an application
//! makes its own binary, with everything that `streamer` can do, by giving its actions:
//!
//! ```no_run
//! use streamer_engine::{Context, Failure, Router};
//!
//! async fn greet(_cx: Context, name: String) -> Result<String, Failure> {
//!     Ok(format!("hello {name}"))
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     streamer_cli::run(|| Router::new().action("greet", greet))
//! }
//! ```
//!
//! Handlers of events come along by [`Application`].

mod application;
mod arguments;
mod certificate;
mod config;
mod config_command;
mod connect;
#[cfg(feature = "demo")]
mod demo;
mod events;
mod faults;
mod healthcheck;
mod http;
mod json_file;
mod listeners;
mod open_files;
mod opening;
mod remote;
mod request;
mod requests;
mod serve;
mod store;
mod threads;
mod token;
mod topic;

use std::{pin::Pin, process::ExitCode};

use clap::Parser as _;
use streamer_engine::Router;

pub use application::Application;
use arguments::{Arguments, Command};

/// Connections come and go by the thousand: the allocator is a tenth of what that costs.
#[cfg(feature = "allocator")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the command that the process was given, with these actions beside those that are always there.
pub fn run(routes: impl FnOnce() -> Router + 'static) -> ExitCode {
    Application::new().routes(routes).run()
}

fn run_application(application: Application) -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let done = match command {
        Command::Serve(arguments) => serve::command(&arguments, application),
        #[cfg(feature = "demo")]
        Command::Demo(arguments) => demo::command(&arguments),
        Command::Token(command) => token::command(command),
        Command::Request(arguments) => request::command(&arguments),
        Command::Requests(arguments) => requests::command(&arguments),
        Command::Healthcheck(arguments) => healthcheck::command(&arguments),
        Command::Topic(command) => topic::command(&command),
        Command::Config(command) => config_command::command(&command, application),
        Command::Store(command) => store::command(&command),
        Command::Events(command) => events::command(&command, application.registry()),
    };
    match done {
        Ok(code) => code,
        Err(e) => {
            eprintln!("streamer: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// For commands that wait for the network.
///
/// The work is boxed for the compiler's sake: a future is compiled once for each place that polls it, and a runtime's
/// `block_on` has several.
fn block_on<'work, T: 'work>(work: impl Future<Output = anyhow::Result<T>> + 'work) -> anyhow::Result<T> {
    let work: Pin<Box<dyn Future<Output = anyhow::Result<T>> + 'work>> = Box::pin(work);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
