//! What the command line takes.

use clap::{Parser, Subcommand};

/// Slow requests and live data behind one connection.
#[derive(Debug, Parser)]
#[command(name = "streamer", version, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server.
    Serve(crate::serve::Arguments),
    /// Walk through what it does, with a real server and a real client.
    #[cfg(feature = "demo")]
    Demo(crate::demo::Arguments),
    /// Make keys and tokens.
    #[command(subcommand)]
    Token(crate::token::Command),
    /// Send one request, follow it and print its result.
    Request(crate::request::Arguments),
    /// List, show, cancel or replay stored requests, as an operator.
    Requests(crate::requests::Arguments),
    /// Ask a server whether it is ready; exit with 1 if it is not.
    Healthcheck(crate::healthcheck::Arguments),
    /// Subscribe to a topic, publish to it, see who is there.
    #[command(subcommand)]
    Topic(crate::topic::Command),
    /// Check the configuration, or print an example of it.
    #[command(subcommand)]
    Config(crate::config_command::Command),
    /// Check a store's file, or copy it while it is in use.
    #[command(subcommand)]
    Store(crate::store::Command),
    /// Bring the events of a PostgreSQL outbox to read models in MongoDB.
    #[command(subcommand)]
    Events(crate::events::Command),
}
