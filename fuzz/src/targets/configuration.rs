//! A configuration file.

use std::{collections::BTreeMap, fs, path::Path};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamer_service::config::{Loader, Millis, Seconds, Secret};
use tempfile::TempDir;

use crate::{Target, examples};

/// A setting of every kind.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Settings {
    listen: Listen,
    queries: BTreeMap<String, Query>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Listen {
    address: String,
    enabled: bool,
    sockets_max: usize,
    share: f64,
    linger_ms: Millis,
    timeout_s: Seconds,
    token: Secret,
    endpoint: Option<String>,
    trusted_proxies: Vec<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Query {
    file: String,
    columns: Option<Vec<String>>,
}

/// What a file came to: the settings in force, or the mistakes in it, as text.
pub type Load = fn(&Path) -> Result<String, String>;

/// Reads configuration files.
pub struct Configuration {
    /// Reads one.
    pub load: Load,
    folder: TempDir,
}

impl Default for Configuration {
    fn default() -> Self {
        Self::read_by(|file| {
            let loaded = Loader::new("FUZZ_").file(file).load::<Settings>(|_, _| {});
            loaded.map(|loaded| loaded.listing()).map_err(|mistakes| mistakes.to_string())
        })
    }
}

impl Configuration {
    /// With another reader in place of the product's.
    #[must_use]
    pub fn read_by(load: Load) -> Self {
        Self { load, folder: tempfile::tempdir().expect("a folder") }
    }
}

impl Target for Configuration {
    fn name(&self) -> &'static str {
        "configuration"
    }

    fn examples(&self) -> Vec<Vec<u8>> {
        examples::read("fuzz/corpus/configuration")
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "[",
            "]",
            "[[",
            "]]",
            "{",
            "}",
            "=",
            ".",
            ",",
            "\"",
            "'",
            "\"\"\"",
            "'''",
            "#",
            "\n",
            "\\",
            "\\u0000",
            "listen",
            "address",
            "enabled",
            "sockets_max",
            "share",
            "linger_ms",
            "timeout_s",
            "token",
            "queries",
            "trusted_proxies",
            "columns",
            "true",
            "-1",
            "1e999",
            "nan",
            "inf",
            "0x7f",
            "9223372036854775808",
            "18446744073709551615",
            "1979-05-27T07:32:00Z",
            "\u{0}",
            "\u{feff}",
        ]
    }

    fn take(&mut self, input: &[u8]) -> Result<(), String> {
        let file = self.folder.path().join("streamer.toml");
        fs::write(&file, input).map_err(|e| format!("the folder takes no file: {e}"))?;
        let came_to = (self.load)(&file);
        let (Ok(text) | Err(text)) = &came_to;
        if text.is_empty() {
            return Err("nothing is told".to_owned());
        }
        if came_to.as_ref().is_err_and(|mistakes| !mistakes.contains("streamer.toml")) {
            return Err(format!("the file is not named: {text}"));
        }
        if (self.load)(&file) != came_to {
            return Err("the same file came to something else".to_owned());
        }
        Ok(())
    }
}
