//! The server that a command talks to, and as whom.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use streamer_client::{Client, Settings};

/// Which server, and who asks.
#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// The server
    #[arg(long, env = "STREAMER_URL", default_value = "ws://127.0.0.1:8080/ws")]
    url: String,
    /// Who asks: a token, as `streamer token issue` prints it
    #[arg(long, env = "STREAMER_TOKEN", hide_env_values = true, conflicts_with = "token_file")]
    token: Option<String>,
    /// A file that holds the token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Connect {
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        let token = match (&self.token, &self.token_file) {
            (Some(token), _) => token.clone(),
            (None, Some(file)) => std::fs::read_to_string(file)
                .with_context(|| format!("--token-file {} cannot be read", file.display()))?
                .trim()
                .to_owned(),
            (None, None) => anyhow::bail!("say who asks: --token, --token-file or STREAMER_TOKEN"),
        };
        Ok(Client::connect(Settings::new(&self.url).token(token)).await?)
    }
}

/// An argument that is JSON.
pub(crate) fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|e| format!("not JSON: {e}"))
}
