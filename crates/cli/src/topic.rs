//! `streamer topic`: subscribes to a topic, publishes to it, sees who is there.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use streamer_client::{CallError, Client, Position, TopicUpdate};
use streamer_protocol::{Epoch, ServerFrame};

use crate::connect::{Connect, json};

/// What to do with a topic.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print what is published, a message a line, until it is interrupted.
    Subscribe(Subscribe),
    /// Publish a message, and print where it is: EPOCH:OFFSET.
    Publish {
        /// The topic
        topic: String,
        /// The message, as JSON
        #[arg(value_parser = json)]
        data: serde_json::Value,
        /// Names the message, so that it can be published again: it is there once, as long as the topic keeps it
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
        #[command(flatten)]
        connect: Connect,
    },
    /// Print who is on a topic: user and number of connections, a user a line.
    Presence {
        /// The topic
        topic: String,
        #[command(flatten)]
        connect: Connect,
    },
}

/// Print what is published.
#[derive(Debug, Args)]
pub(crate) struct Subscribe {
    /// The topic
    topic: String,
    /// Begin after this message
    #[arg(long, value_name = "EPOCH:OFFSET", value_parser = position, conflicts_with = "history")]
    since: Option<Position>,
    /// Begin with all that is kept
    #[arg(long)]
    history: bool,
    /// End after so many messages
    #[arg(long, value_name = "MESSAGES")]
    count: Option<u64>,
    /// Tell who comes and leaves, too (on standard error)
    #[arg(long)]
    presence: bool,
    /// Print whole frames: topic, epoch, offset, data, timestamp
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

fn position(text: &str) -> Result<Position, String> {
    let parsed = text.rsplit_once(':').and_then(|(epoch, offset)| Some((epoch, offset.parse().ok()?)));
    let (epoch, offset) = parsed.ok_or("write EPOCH:OFFSET, as `topic publish` prints it")?;
    Ok(Position { epoch: Epoch::new(epoch), offset })
}

pub(crate) fn command(command: &Command) -> anyhow::Result<ExitCode> {
    crate::block_on(run(command))
}

async fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let client = match command {
        Command::Subscribe(Subscribe { connect, .. })
        | Command::Publish { connect, .. }
        | Command::Presence { connect, .. } => connect.client().await?,
    };
    let done = match command {
        Command::Subscribe(arguments) => subscribe(&client, arguments).await,
        Command::Publish { topic, data, idempotency_key, .. } => {
            let published = match idempotency_key {
                Some(key) => client.publish_once(topic, key, data).await,
                None => client.publish(topic, data).await,
            };
            published.map(|published| println!("{}:{}", published.epoch, published.offset))
        }
        Command::Presence { topic, .. } => client.presence(topic).await.map(|present| {
            for user in &present.users {
                println!("{}\t{}", user.user_id, user.connections);
            }
            if present.total > present.users.len() as u64 {
                eprintln!("{} users in all", present.total);
            }
        }),
    };
    client.close().await;
    match done {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(CallError::Failed(error)) => {
            eprintln!("streamer: {error}");
            Ok(ExitCode::FAILURE)
        }
        Err(e) => Err(e.into()),
    }
}

async fn subscribe(client: &Client, arguments: &Subscribe) -> Result<(), CallError> {
    let mut subscription = client.subscribe(&arguments.topic);
    if let Some(since) = &arguments.since {
        subscription = subscription.since(since.clone());
    } else if arguments.history {
        subscription = subscription.with_history();
    }
    if arguments.presence {
        subscription = subscription.presence();
    }
    let mut subscription = subscription.begin().await?;
    let lost = subscription.subscribed().lost.filter(|_| arguments.since.is_some());
    if let Some(lost) = lost {
        eprintln!("some messages are lost ({lost:?}): from {} on", subscription.subscribed().kept_from);
    }
    let mut left = arguments.count;
    while left != Some(0)
        && let Some(update) = subscription.next().await?
    {
        match update {
            TopicUpdate::Message(event) => {
                left = left.map(|left| left - 1);
                if arguments.json {
                    println!("{}", ServerFrame::Event(event).encode());
                } else {
                    println!("{}", event.data.as_str());
                }
            }
            TopicUpdate::Presence(presence) => eprintln!("{:?}: {}", presence.change, presence.user_id),
            TopicUpdate::Subscribed(anew) if anew.lost.is_some() => {
                eprintln!("some messages are lost ({:?}): from {} on", anew.lost, anew.kept_from);
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_an_epoch_and_an_offset() {
        let expected = Position { epoch: Epoch::new("00ff"), offset: 7 };
        assert_eq!(position("00ff:7"), Ok(expected));
        for bad in ["7", "e:", "e:-1", ""] {
            assert!(position(bad).is_err(), "{bad}");
        }
    }
}
