//! What settings must obey beyond their types.

use std::{net::SocketAddr, path::Path};

use anyhow::Context as _;
use ipnet::IpNet;
use streamer_auth::{
    Keys, LiveVerifier, PublicKey, Rotation, Verifier,
    jwks::{self, Address, AddressError},
};
use streamer_protocol::{Timestamp, Topic};
use streamer_server::{Half, Tls, TlsError};
use streamer_service::config::Mistakes;

use super::{Admin, Auth, Config, Listen};

/// The shortest admin token.
const ADMIN_TOKEN_CHARS_MIN: usize = 16;

/// Room for a few of the smallest answers: in less, each would be alone.
const OUTBOUND_BYTES_MIN: usize = 4096;

/// More of anything is no bound.
const COUNT_MAX: usize = 1_000_000_000;

/// More threads than a system has by default for all of its processes.
const HANDLER_THREADS_MAX: usize = 10_000;

/// Lists every mistake.
pub(super) fn check(config: &Config, mistakes: &mut Mistakes) {
    addresses(config, mistakes);
    config.listen.check_tls(mistakes);
    folders(config, mistakes);
    let needs_keys = config.hooks.connect_url.is_none() || config.auth.names_keys();
    if needs_keys && let Err((setting, problem)) = config.auth.issuer_keys() {
        mistakes.push(setting, problem);
    }
    if let Err((setting, problem)) = config.admin.operators_token() {
        mistakes.push(setting, problem);
    }
    if config.engine.node.trim().is_empty() {
        mistakes.push("engine.node", "must not be empty");
    }
    if config.engine.retry_max_ms < config.engine.retry_base_ms {
        mistakes.push("engine.retry_max_ms", "must be at least engine.retry_base_ms");
    }
    let engine = &config.engine;
    let connections = &config.connections;
    for (name, value) in [
        ("listen.head_timeout_s", config.listen.head_timeout_s.0),
        ("listen.sockets_max", config.listen.sockets_max as u64),
        ("listen.addresses_max", config.listen.addresses_max as u64),
        ("listen.tls_reload_interval_s", config.listen.tls_reload_interval_s.0),
        ("listen.tls_handshake_timeout_s", config.listen.tls_handshake_timeout_s.0),
        ("listen.tls_handshakes_max", config.listen.tls_handshakes_max as u64),
        ("engine.short_limit_ms", engine.short_limit_ms.0),
        ("engine.attempt_timeout_s", engine.attempt_timeout_s.0),
        ("engine.lease_s", engine.lease_s.0),
        ("engine.running_max", engine.running_max as u64),
        ("engine.handler_threads", engine.handler_threads as u64),
        ("engine.queue_depth_max", engine.queue_depth_max),
        ("engine.tenant_queue_depth_max", engine.tenant_queue_depth_max),
        ("engine.stored_bytes_max", engine.stored_bytes_max),
        ("engine.tenant_stored_bytes_max", engine.tenant_stored_bytes_max),
        ("engine.retention_s", engine.retention_s.0),
        ("engine.purge_interval_s", engine.purge_interval_s.0),
        ("engine.chunk_bytes_max", engine.chunk_bytes_max),
        ("engine.log_bytes_max", engine.log_bytes_max),
        ("engine.result_bytes_max", engine.result_bytes_max as u64),
        ("engine.artifact_bytes_max", engine.artifact_bytes_max as u64),
        ("connections.connections_max", connections.connections_max as u64),
        ("connections.tenant_connections_max", connections.tenant_connections_max as u64),
        ("connections.message_timeout_s", connections.message_timeout_s.0),
        ("connections.message_bytes_max", connections.message_bytes_max as u64),
        ("connections.in_flight_max", connections.in_flight_max as u64),
        ("connections.listeners_max", connections.listeners_max as u64),
        ("connections.held_entries_max", connections.held_entries_max as u64),
        ("connections.subscriptions_max", connections.subscriptions_max as u64),
        ("topics.message_bytes_max", config.topics.message_bytes_max as u64),
        ("topics.topics_max", config.topics.topics_max),
        ("topics.tenant_topics_max", config.topics.tenant_topics_max),
        ("topics.publish_depth_max", config.topics.publish_depth_max as u64),
        ("connections.outbound_bytes_max", connections.outbound_bytes_max as u64),
        ("connections.outbound_messages_max", connections.outbound_messages_max as u64),
        ("connections.stall_timeout_s", connections.stall_timeout_s.0),
        ("connections.heartbeat_s", connections.heartbeat_s.0),
        ("connections.breaker_failures_max", u64::from(connections.breaker_failures_max)),
        ("http.body_timeout_s", config.http.body_timeout_s.0),
        ("http.user_calls_max", config.http.user_calls_max as u64),
        ("http.user_streams_max", config.http.user_streams_max as u64),
        ("http.events_heartbeat_s", config.http.events_heartbeat_s.0),
        ("drain.timeout_s", config.drain.timeout_s.0),
    ] {
        if value == 0 {
            mistakes.push(name, "must be at least 1");
        }
    }
    if (1..OUTBOUND_BYTES_MIN).contains(&connections.outbound_bytes_max) {
        let problem = format!("must be at least {OUTBOUND_BYTES_MIN}: the server's own frames have to fit");
        mistakes.push("connections.outbound_bytes_max", problem);
    }
    for (name, value, max) in [
        ("listen.sockets_max", config.listen.sockets_max, COUNT_MAX),
        ("listen.tls_handshakes_max", config.listen.tls_handshakes_max, COUNT_MAX),
        ("engine.running_max", engine.running_max, COUNT_MAX),
        ("engine.handler_threads", engine.handler_threads, HANDLER_THREADS_MAX),
        ("connections.in_flight_max", connections.in_flight_max, COUNT_MAX),
        ("http.user_calls_max", config.http.user_calls_max, COUNT_MAX),
        ("http.user_streams_max", config.http.user_streams_max, COUNT_MAX),
    ] {
        if value > max {
            mistakes.push(name, format!("must be at most {max}"));
        }
    }
    if engine.tenant_running_max == Some(0) {
        mistakes.push("engine.tenant_running_max", "must be at least 1");
    }
    for (action, most) in &engine.action_running_max {
        if *most == 0 {
            mistakes.push("engine.action_running_max", format!("{action}: must be at least 1"));
        }
    }
    origins(config, mistakes);
    #[cfg(feature = "demo")]
    if let Err(problem) = config.demo.views() {
        mistakes.push("demo.queries", format!("{problem:#}"));
    }
    topics(config, mistakes);
    super::remote::check(config, mistakes);
    config.management.check(mistakes);
    check_events(config, mistakes);
}

/// Lists every mistake in what `streamer events` uses.
pub(super) fn check_events(config: &Config, mistakes: &mut Mistakes) {
    config.events.check(mistakes);
    config.logs.check("logs", mistakes);
}

fn topics(config: &Config, mistakes: &mut Mistakes) {
    let topics = &config.topics;
    let is_prefix = |prefix: &str| prefix.bytes().all(Topic::allows) && !prefix.starts_with("request:");
    let expected = "must be how names of topics begin: letters, digits and . _ : @ ~ -, and not request:";
    for prefix in topics.server_only_prefixes.iter().filter(|prefix| !is_prefix(prefix)) {
        mistakes.push("topics.server_only_prefixes", format!("{prefix:?} {expected}"));
    }
    for (prefix, history) in &topics.histories {
        let setting = "topics.histories";
        if !is_prefix(prefix) {
            mistakes.push(setting, format!("{prefix:?} {expected}"));
        }
        if history.messages_max == 0 || history.age_s.0 == 0 {
            mistakes.push(setting, format!("{prefix:?}: messages_max and age_s must be at least 1"));
        }
        if history.bytes_max < topics.message_bytes_max as u64 {
            let needed = "bytes_max must be at least topics.message_bytes_max";
            mistakes.push(setting, format!("{prefix:?}: {needed}"));
        }
    }
}

/// The folders that nothing makes.
fn folders(config: &Config, mistakes: &mut Mistakes) {
    let folder = config.store.path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        let problem =
            format!("the folder {} is missing: create it first, or name another file", folder.display());
        mistakes.push("store.path", problem);
    }
    if !config.demo.enabled {
        return;
    }
    if cfg!(not(feature = "demo")) {
        mistakes.push("demo.enabled", "this binary was built without the demonstration: set it to false");
    }
    let data_dir = &config.demo.data_dir;
    if data_dir.exists() && !data_dir.is_dir() {
        let problem =
            format!("{} is no folder: name one, which is made if it is missing", data_dir.display());
        mistakes.push("demo.data_dir", problem);
    }
}

fn addresses(config: &Config, mistakes: &mut Mistakes) {
    let listen = &config.listen;
    let expected = "must be an address and a port, such as 127.0.0.1:8080";
    if listen.address.parse::<SocketAddr>().is_err() {
        mistakes.push("listen.address", expected);
    }
    if config.admin.enabled {
        if config.admin.address.parse::<SocketAddr>().is_err() {
            mistakes.push("admin.address", expected);
        } else if config.admin.address == listen.address && !listen.address.ends_with(":0") {
            mistakes.push("admin.address", "must not be the same as listen.address");
        }
    }
    for prefix in listen.path_prefixes.iter().filter(|prefix| !is_path_prefix(prefix)) {
        let problem = format!("{prefix:?} must look like /prod, and have no part {}", OWN_PARTS.join(" or "));
        mistakes.push("listen.path_prefixes", problem);
    }
    for network in &listen.trusted_proxies {
        if parse_network(network).is_none() {
            let expected = "must be an address or a network, such as 10.0.0.0/8";
            mistakes.push("listen.trusted_proxies", format!("{network:?} {expected}"));
        }
    }
}

/// Parts of the doors' own paths: one door would stand in the place of another.
const OWN_PARTS: [&str; 2] = ["ws", "v1"];

fn is_path_prefix(prefix: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    let is_part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(plain)
            && !part.bytes().all(|b| b == b'.')
            && !OWN_PARTS.contains(&part)
    };
    let parts = prefix.strip_suffix('/').unwrap_or(prefix).strip_prefix('/');
    parts.is_some_and(|parts| parts.split('/').all(is_part))
}

fn origins(config: &Config, mistakes: &mut Mistakes) {
    let http = &config.http;
    for origin in http.allowed_origins.iter().filter(|origin| *origin != "*" && !is_origin(origin)) {
        let expected = "must be a scheme, a host and perhaps a port, such as https://app.example, or *";
        mistakes.push("http.allowed_origins", format!("{origin:?} {expected}"));
    }
    if http.allow_credentials && http.allowed_origins.iter().any(|origin| origin == "*") {
        let problem = "would let every page act as its visitor: name the origins in http.allowed_origins";
        mistakes.push("http.allow_credentials", problem);
    }
}

/// As browsers send it (RFC 6454, section 6.2).
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    host.is_some_and(|host| !host.is_empty() && host.bytes().all(plain))
}

pub(super) fn parse_network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
}

impl Admin {
    /// What operators present, if they may at all; or the setting that is wrong, and what is.
    pub(crate) fn operators_token(&self) -> Result<Option<String>, (&'static str, String)> {
        const TOKEN: &str = "admin.token";
        const FILE: &str = "admin.token_file";
        let (setting, token) = match (self.token.expose(), &self.token_file) {
            ("", None) => return Ok(None),
            (token, None) => (TOKEN, token.to_owned()),
            ("", Some(file)) => {
                let text = std::fs::read_to_string(file);
                let text = text.map_err(|e| (FILE, format!("{} cannot be read: {e}", file.display())))?;
                (FILE, text.trim().to_owned())
            }
            (_, Some(_)) => return Err((TOKEN, format!("is set, and so is {FILE}: keep one"))),
        };
        if token.chars().count() < ADMIN_TOKEN_CHARS_MIN {
            return Err((setting, format!("must have at least {ADMIN_TOKEN_CHARS_MIN} characters")));
        }
        Ok(Some(token))
    }
}

const CERTIFICATE_FILE: &str = "listen.tls_certificate_file";
const KEY_FILE: &str = "listen.tls_key_file";

impl Listen {
    /// The files of the certificate and its key, if the doors speak TLS; or the setting that is missing.
    fn tls_files(&self) -> Result<Option<(&Path, &Path)>, (&'static str, String)> {
        match (&self.tls_certificate_file, &self.tls_key_file) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (Some(_), None) => Err((KEY_FILE, format!("is needed beside {CERTIFICATE_FILE}"))),
            (None, Some(_)) => Err((CERTIFICATE_FILE, format!("is needed beside {KEY_FILE}"))),
        }
    }

    /// Both files are looked at, also if the first cannot be read.
    fn check_tls(&self, mistakes: &mut Mistakes) {
        let mut wrong = Vec::new();
        match self.tls_files() {
            Ok(None) => {}
            Ok(Some((certificate, key))) => {
                for (half, path) in [(Half::Certificate, certificate), (Half::Key, key)] {
                    if let Err(source) = std::fs::read(path) {
                        wrong.push(of_setting(TlsError::Unreadable { half, path: path.to_owned(), source }));
                    }
                }
                if wrong.is_empty() {
                    wrong.extend(Tls::check(certificate, key).map_err(of_setting).err());
                }
            }
            Err(missing) => wrong.push(missing),
        }
        for (setting, problem) in wrong {
            mistakes.push(setting, problem);
        }
    }

    /// What the doors speak TLS with, if they do.
    pub(crate) fn tls(&self, now: Timestamp) -> anyhow::Result<Option<Tls>> {
        let loaded = self.tls_files().and_then(|files| {
            files.map(|(certificate, key)| Tls::load(certificate, key, now).map_err(of_setting)).transpose()
        });
        loaded.map_err(|(setting, problem)| anyhow::anyhow!("{setting}: {problem}"))
    }
}

/// Names the setting of the file that is to be looked at.
fn of_setting(e: TlsError) -> (&'static str, String) {
    let setting = match e.half() {
        Half::Certificate => CERTIFICATE_FILE,
        Half::Key => KEY_FILE,
    };
    (setting, e.to_string())
}

/// Where the public keys of the tokens' issuer come from.
enum IssuerKeys {
    /// The configuration.
    Fixed(Keys),
    /// An address, which is asked for them.
    Published(Address),
}

impl Auth {
    /// The one source of keys; or the setting that is wrong, and what is.
    fn issuer_keys(&self) -> Result<IssuerKeys, (&'static str, String)> {
        const KEY: &str = "auth.public_key";
        const FILE: &str = "auth.public_key_file";
        const URL: &str = "auth.jwks_url";
        let twice = |setting, other| Err((setting, format!("is set, and so is {other}: keep one")));
        let key = match (&self.public_key, &self.public_key_file, &self.jwks_url) {
            (Some(_), Some(_), _) => return twice(KEY, FILE),
            (Some(_), _, Some(_)) => return twice(KEY, URL),
            (_, Some(_), Some(_)) => return twice(FILE, URL),
            (None, None, Some(url)) => {
                return url
                    .parse()
                    .map(IssuerKeys::Published)
                    .map_err(|e: AddressError| (URL, e.to_string()));
            }
            (Some(pem), None, None) => {
                PublicKey::from_pem(self.algorithm, pem).map_err(|e| (KEY, e.to_string()))?
            }
            (None, Some(file), None) => PublicKey::from_file(self.algorithm, file)
                .map_err(|e| (FILE, format!("{}: {e}", file.display())))?,
            (None, None, None) => {
                let needed = "a server needs the public key of its tokens' issuer: here, in auth.public_key_file, \
                              or from auth.jwks_url; to try it out, make one with `streamer token keys`";
                return Err((KEY, needed.to_owned()));
            }
        };
        Ok(IssuerKeys::Fixed(Keys::new([key]).expect("one key is enough, and has its own name")))
    }

    /// Whether there is a place where keys come from.
    pub(crate) fn names_keys(&self) -> bool {
        self.public_key.is_some() || self.public_key_file.is_some() || self.jwks_url.is_some()
    }

    /// Checks tokens by these settings; with what keeps the keys fresh, if they may change.
    pub(crate) async fn verifier(&self) -> anyhow::Result<(LiveVerifier, Option<Rotation>)> {
        let settings = |keys| streamer_auth::Settings {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            leeway: self.leeway_s.into(),
            ..streamer_auth::Settings::new(keys)
        };
        match self.issuer_keys() {
            // The check of the configuration saw to it that there is a hook instead.
            Err(_) if !self.names_keys() => Ok((Verifier::refusing().into(), None)),
            Ok(IssuerKeys::Fixed(keys)) => {
                metrics::gauge!("streamer_keys").set(keys.len() as f64);
                Ok((Verifier::new(settings(keys)).into(), None))
            }
            Ok(IssuerKeys::Published(address)) => {
                let failed = format!("auth.jwks_url {address}");
                let source = Box::new(jwks::Source::new(address, self.algorithm));
                let (verifier, rotation) = Rotation::start(source, settings).await.context(failed)?;
                Ok((verifier, Some(rotation)))
            }
            Err((setting, problem)) => anyhow::bail!("{setting}: {problem}"),
        }
    }
}

#[cfg(feature = "demo")]
impl super::Demo {
    /// The configured queries.
    pub(crate) fn views(&self) -> anyhow::Result<Vec<(String, streamer_demo::Query)>> {
        let view = |(name, query): (&String, &super::sections::Query)| {
            anyhow::ensure!(!query.file.is_empty(), "{name}.file is missing");
            let filter = query.filter.as_deref().map(str::parse).transpose();
            let filter = filter.with_context(|| format!("{name}.filter"))?;
            let (file, columns) = (query.file.clone(), query.columns.clone());
            Ok((name.clone(), streamer_demo::Query { file, filter, columns }))
        };
        self.queries.iter().map(view).collect()
    }
}
