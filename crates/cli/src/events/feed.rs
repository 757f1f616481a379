//! Figures of a pipeline in another process: from its admin address while it runs, from its metrics file afterwards.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use streamer_events::Figures;

use crate::{config::Config, http::Http};

/// Where figures are asked for.
pub(crate) struct Feed {
    admin: Option<Http>,
    file: Option<PathBuf>,
    /// For people.
    name: String,
}

/// Where on the admin address they are.
const PATH: &str = "/v1/events";

impl Feed {
    /// `from` is an address, such as http://127.0.0.1:8082, or a file; without it, the configuration's admin address is
    /// asked first, the server's if that does the work, and its metrics file if nobody answers there. A server wants the
    /// operators' token.
    pub(crate) fn new(from: Option<&str>, config: &Config) -> anyhow::Result<Self> {
        let token = config.admin.operators_token();
        let token = token.map_err(|(setting, problem)| anyhow::anyhow!("{setting}: {problem}"))?;
        let token = token.unwrap_or_default();
        let admin = |url: &str| Some(Http::new(url, token.clone()));
        let events = &config.events;
        let (is_open, address) = match events.enabled {
            true => (config.admin.enabled, &config.admin.address),
            false => (events.admin.enabled, &events.admin.address),
        };
        Ok(match from {
            Some(url) if url.starts_with("http://") => {
                Self { admin: admin(url), file: None, name: url.to_owned() }
            }
            Some(file) => Self { admin: None, file: Some(file.into()), name: file.to_owned() },
            None => {
                let url = format!("http://{address}");
                let file = events.metrics_file.clone();
                let admin = is_open.then(|| admin(&url)).flatten();
                let mut places = Vec::new();
                places.extend(is_open.then_some(url));
                places.extend(file.as_ref().map(|file| file.display().to_string()));
                Self { admin, file, name: places.join(" or ") }
            }
        })
    }

    /// The places that are asked.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What they say now.
    pub(crate) async fn figures(&self) -> anyhow::Result<Figures> {
        let asked = match &self.admin {
            Some(admin) => Some(admin.get(PATH).await),
            None => None,
        };
        match (asked, &self.file) {
            (Some(Ok(figures)), _) => Ok(figures),
            (_, Some(file)) => read(file),
            (Some(Err(e)), None) => Err(e.context("is a processor there?")),
            (None, None) => bail!(
                "there is no place to ask: set events.admin.enabled or events.metrics_file, or name one by --from"
            ),
        }
    }
}

fn read(file: &Path) -> anyhow::Result<Figures> {
    let text = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no metrics file", file.display()))
}
