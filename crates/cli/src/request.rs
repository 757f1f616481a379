//! `streamer request`: sends one request, follows it, prints its result.

use std::{io::IsTerminal as _, process::ExitCode, time::Duration};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use streamer_client::{CallError, Client, Update};

use crate::connect::{Connect, json};

/// Send one request, follow it and print its result.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to ask for, such as generate_report
    action: String,
    /// What the action needs, as JSON
    #[arg(long, default_value = "{}", value_parser = json)]
    payload: serde_json::Value,
    /// Its id, to be able to ask again; made up unless said
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    connect: Connect,
    /// Give up waiting after so many seconds; the request goes on
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
    /// Print every update as a line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn command(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    crate::block_on(run(arguments))
}

async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let client = arguments.connect.client().await?;
    let following = follow(&client, arguments);
    let followed = match arguments.wait {
        None => following.await,
        Some(seconds) => match tokio::time::timeout(Duration::from_secs(seconds), following).await {
            Ok(followed) => followed,
            Err(_) => anyhow::bail!("not done within {seconds} s; ask again with the same --id"),
        },
    };
    client.close().await;
    followed
}

async fn follow(client: &Client, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut request = client.request(&arguments.action).payload(&arguments.payload);
    if let Some(id) = &arguments.id {
        request = request.id(id);
    }
    let mut call = request.send().await?;
    let bar = bar(arguments.json);
    while let Some(update) = call.next().await {
        if arguments.json {
            print_line(update);
            continue;
        }
        match update {
            Update::Acknowledged(_) => bar.set_message(format!("stored as {}", call.id())),
            Update::Progress(progress) => {
                bar.set_position((progress.percentage * 10.0) as u64);
                bar.set_message(progress.message);
            }
            Update::Chunk(chunk) => bar.suspend(|| println!("{}", chunk.data.as_str())),
            Update::Restart(restart) => bar.set_message(format!("attempt {} begins", restart.attempt)),
            Update::AttemptFailed(error) => bar.set_message(format!("an attempt failed: {error}")),
            _ => {}
        }
    }
    let outcome = call.outcome().await;
    bar.finish_and_clear();
    match outcome {
        Ok(result) => {
            println!("{}", pretty(result.as_str(), arguments.json));
            Ok(ExitCode::SUCCESS)
        }
        Err(CallError::Failed(error)) => {
            eprintln!("streamer: {error}");
            Ok(ExitCode::FAILURE)
        }
        Err(e) => Err(e.into()),
    }
}

/// A bar for people who watch; nothing for programs.
pub(crate) fn bar(quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40.cyan/blue} {percent:>3} % {msg}");
    ProgressBar::new(1000).with_style(style.expect("the template is valid"))
}

fn print_line(update: Update) {
    let frame = match update {
        Update::Acknowledged(frame) => streamer_protocol::ServerFrame::Acknowledgment(frame),
        Update::Progress(frame) => streamer_protocol::ServerFrame::Progress(frame),
        Update::Chunk(frame) => streamer_protocol::ServerFrame::Chunk(frame),
        Update::Restart(frame) => streamer_protocol::ServerFrame::Restart(frame),
        Update::AttemptFailed(error) => {
            eprintln!("an attempt failed: {error}");
            return;
        }
        _ => return,
    };
    println!("{}", frame.encode());
}

fn pretty(result: &str, one_line: bool) -> String {
    let value: Option<serde_json::Value> = serde_json::from_str(result).ok();
    match value {
        Some(value) if !one_line => {
            serde_json::to_string_pretty(&value).unwrap_or_else(|_| result.to_owned())
        }
        _ => result.to_owned(),
    }
}
