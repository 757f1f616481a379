//! Settings such as a binary has.

use std::{collections::BTreeMap, ffi::OsString, net::IpAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamer_service::{
    config::{Loader, Millis, Mistakes, Seconds, Secret},
    telemetry::Logs,
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Config {
    /// The name shown to people.
    pub(crate) name: String,
    /// Where clients connect.
    pub(crate) listen: Listen,
    /// The queue and its workers.
    pub(crate) engine: Engine,
    /// Who is asking.
    pub(crate) auth: Auth,
    /// Where everything is kept.
    pub(crate) store: Store,
    /// Encryption.
    pub(crate) tls: Option<Tls>,
    /// Bounds of single actions, by their names.
    pub(crate) actions: BTreeMap<String, Action>,
    /// Outcomes are sent to these.
    pub(crate) webhooks: Vec<Webhook>,
    /// What is logged.
    pub(crate) logs: Logs,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "streamer \"one\"\nof many".into(),
            listen: Listen::default(),
            engine: Engine::default(),
            auth: Auth::default(),
            store: Store::Sqlite { path: "streamer.db".into(), cache_mib: 16 },
            tls: None,
            actions: BTreeMap::new(),
            webhooks: Vec::new(),
            logs: Logs::default(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Listen {
    /// The address.
    pub(crate) address: IpAddr,
    /// The port; 0 takes any that is free.
    pub(crate) port: u16,
    /// Whose forwarding headers are believed.
    pub(crate) trusted_proxies: Vec<IpAddr>,
}

impl Default for Listen {
    fn default() -> Self {
        Self { address: [127, 0, 0, 1].into(), port: 8080, trusted_proxies: Vec::new() }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Engine {
    /// How many requests may wait.
    /// More are answered OVERLOADED.
    pub(crate) queue_depth_max: u32,
    /// How many run at once.
    pub(crate) workers: u32,
    /// How long an attempt may take.
    pub(crate) attempt_timeout_ms: Millis,
    /// How much of a delay is random.
    pub(crate) jitter: f64,
    /// How long records are kept.
    pub(crate) kept_s: Option<Seconds>,
    /// Whether short work may be promoted.
    pub(crate) promote: bool,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            queue_depth_max: 10_000,
            workers: 4,
            attempt_timeout_ms: Millis(30_000),
            jitter: 0.25,
            kept_s: None,
            promote: true,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Auth {
    /// The key as PEM text.
    pub(crate) public_key: Option<Secret>,
    /// How a token is signed.
    pub(crate) algorithm: Algorithm,
    /// The console's token.
    pub(crate) admin_token: Option<String>,
    /// The port of the key server; its value is secret for the sake of a test.
    pub(crate) port_secret: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Algorithm {
    /// RSA with SHA-256.
    #[default]
    Rs256,
    /// The curve P-256.
    Es256,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Store {
    /// Embedded.
    Sqlite {
        /// The file.
        path: String,
        /// Memory for pages.
        cache_mib: u32,
    },
    /// Lost when the process ends.
    Memory,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Tls {
    /// The certificates.
    pub(crate) certificate_file: String,
    /// Their key.
    pub(crate) key_file: String,
    /// How many handshakes at once.
    #[serde(default)]
    pub(crate) handshakes_max: u16,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Action {
    /// How often a failed attempt is repeated.
    pub(crate) retries: u8,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Webhook {
    /// Where to.
    pub(crate) url: String,
    /// How long it may take.
    pub(crate) timeout_ms: Millis,
}

/// The rules that need the whole.
pub(crate) fn check(config: &Config, mistakes: &mut Mistakes) {
    if config.engine.queue_depth_max < config.engine.workers {
        mistakes.push("engine.queue_depth_max", "must be at least engine.workers");
    }
    if config.listen.port == 1 {
        mistakes.push("listen.port", "must not be 1");
    }
    config.logs.check("logs", mistakes);
}

pub(crate) fn loader() -> Loader {
    Loader::new("STREAMER_").alias("JWT_PUBLIC_KEY", "auth.public_key").not_a_setting("STREAMER_CONFIG")
}

pub(crate) fn variables<const N: usize>(variables: [(&str, &str); N]) -> [(OsString, OsString); N] {
    variables.map(|(name, value)| (name.into(), value.into()))
}
