//! `streamer requests`: stored requests, as an operator sees them.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Deserialize;
use streamer_engine::RequestView;

use crate::http::Http;

/// List, show, cancel or replay stored requests, as an operator.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The admin address
    #[arg(long, global = true, env = "STREAMER_ADMIN_URL", default_value = "http://127.0.0.1:8081")]
    admin_url: String,
    /// The admin token (admin.token)
    #[arg(long, global = true, env = "STREAMER_ADMIN__TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List requests, newest first.
    List {
        /// Of this tenant only
        #[arg(long)]
        tenant: Option<String>,
        /// Of this user only
        #[arg(long)]
        user: Option<String>,
        /// With this status only: PENDING, PROCESSING, COMPLETED, FAILED, CANCELLED or RETRYING
        #[arg(long)]
        status: Option<String>,
        /// For this action only
        #[arg(long)]
        action: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// Where an earlier page ended
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show everything about a request.
    Show(Named),
    /// End a request.
    Cancel(Named),
    /// Begin a failed request anew.
    Replay(Named),
}

/// A request's whole name.
#[derive(Debug, Args)]
struct Named {
    /// Whose data it is
    #[arg(long)]
    tenant: String,
    /// Who asked
    #[arg(long)]
    user: String,
    /// Its id
    id: String,
}

impl Named {
    fn path(&self, then: &str) -> String {
        format!("/v1/requests/{}/{}/{}{then}", encode(&self.tenant), encode(&self.user), encode(&self.id))
    }
}

#[derive(Deserialize)]
struct Listed {
    requests: Vec<RequestView>,
    cursor: Option<String>,
}

pub(crate) fn command(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    crate::block_on(run(arguments))
}

async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let token = arguments
        .admin_token
        .as_deref()
        .context("say who you are: --admin-token or STREAMER_ADMIN__TOKEN")?;
    let admin = Http::new(&arguments.admin_url, token);
    match &arguments.command {
        Command::List { tenant, user, status, action, limit, cursor } => {
            let mut path = format!("/v1/requests?limit={limit}");
            for (name, value) in [
                ("tenant", tenant),
                ("user", user),
                ("status", status),
                ("action", action),
                ("cursor", cursor),
            ] {
                if let Some(value) = value {
                    path.push_str(&format!("&{name}={}", encode(value)));
                }
            }
            if arguments.json {
                let listed: serde_json::Value = admin.get(&path).await?;
                println!("{listed}");
                return Ok(ExitCode::SUCCESS);
            }
            print_table(&admin.get(&path).await?);
        }
        Command::Show(named) => print_value(&admin.get(&named.path("")).await?, arguments.json)?,
        Command::Cancel(named) => {
            let asked = admin.post(&named.path("/cancel"), &serde_json::json!({})).await?;
            print_value(&asked, arguments.json)?;
        }
        Command::Replay(named) => {
            let replayed = admin.post(&named.path("/replay"), &serde_json::json!({})).await?;
            print_value(&replayed, arguments.json)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_value(value: &serde_json::Value, one_line: bool) -> anyhow::Result<()> {
    let text = if one_line { value.to_string() } else { serde_json::to_string_pretty(value)? };
    println!("{text}");
    Ok(())
}

fn print_table(listed: &Listed) {
    println!(
        "{:<24} {:<10} {:>5} {:<20} {:<16} {:<16} REQUEST",
        "CREATED", "STATUS", "%", "ACTION", "TENANT", "USER"
    );
    for view in &listed.requests {
        let percentage = view.progress.as_ref().map_or(0.0, |progress| progress.percentage);
        println!(
            "{:<24} {:<10} {:>5.0} {:<20} {:<16} {:<16} {}",
            view.created_at.to_string(),
            view.status.as_str(),
            percentage,
            plain(view.action.as_str()),
            plain(view.tenant_id.as_ref().map_or("", |tenant| tenant.as_str())),
            plain(view.user_id.as_ref().map_or("", |user| user.as_str())),
            plain(view.request_id.as_str()),
        );
    }
    if let Some(cursor) = &listed.cursor {
        println!("more: --cursor '{}'", cursor.replace('\'', r"'\''"));
    }
}

/// Text that a client chose, without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A part of a path or a query (RFC 3986, section 2.1).
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_as_parts_of_a_path() {
        assert_eq!(encode("a/b c?é"), "a%2Fb%20c%3F%C3%A9");
    }
}
