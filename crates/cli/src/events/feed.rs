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
        let events = &config.events;
        let token = || {
            let token = config.admin.operators_token();
            token.map_err(|(setting, problem)| anyhow::anyhow!("{setting}: {problem}"))
        };
        let admin = |url: &str, token: Option<String>| Some(Http::new(url, token.unwrap_or_default()));
        let (is_open, address) = match events.enabled {
            true => (config.admin.enabled, &config.admin.address),
            false => (events.admin.enabled, &events.admin.address),
        };
        Ok(match from {
            Some(url) if url.starts_with("http://") => {
                // A server's operators' token goes to nobody else: it goes in the clear. A processor wants none, so
                // it may lack there.
                let is_ours = is_loopback(url) || url.trim_end_matches('/') == format!("http://{address}");
                let token = if is_ours { token().unwrap_or_default() } else { None };
                Self { admin: admin(url, token), file: None, name: url.to_owned() }
            }
            Some(file) => Self { admin: None, file: Some(file.into()), name: file.to_owned() },
            None => {
                let url = format!("http://{address}");
                let file = events.metrics_file.clone();
                let token = if events.enabled { token()? } else { None };
                let admin = is_open.then(|| admin(&url, token)).flatten();
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

fn is_loopback(url: &str) -> bool {
    let host = url.parse::<hyper::Uri>().ok().and_then(|url| url.host().map(str::to_owned));
    host.is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

fn read(file: &Path) -> anyhow::Result<Figures> {
    let text = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no metrics file", file.display()))
}
