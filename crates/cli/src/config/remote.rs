//! What is called by URL: handlers, webhooks, connection hooks.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use streamer_engine::{Backoff, BreakerSettings, OutboxSettings, Router, store::Priority};
use streamer_remote::{
    Address, AddressError, BodyShape, HandlerSettings, KEYS_MAX, PoolSettings, RemoteSettings, SigningKey,
    trust,
};
use streamer_service::config::{Millis, Mistakes, Seconds, Secret};

use super::Config;

/// How addresses are called: those of actions, webhooks and hooks, and no others.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Remote {
    /// What requests are signed with, by the key's name: at least 32 characters. One is needed as soon as something is
    /// called. Two sign side by side, so that a key can be changed: add the new one, have every receiver take it, remove
    /// the old one.
    pub(crate) signing_keys: BTreeMap<String, Secret>,
    /// The hosts that may be called by http:// beside this machine: by their exact names, in networks that nobody else
    /// reads.
    pub(crate) plain_http_hosts: Vec<String>,
    /// A file with the certificates of a private authority, as PEM text, that is trusted beside the platform's.
    pub(crate) authority_file: Option<PathBuf>,
    /// How long a connection may take to be made, and how long one may wait for room before that.
    pub(crate) connect_timeout_ms: Millis,
    /// How many connections to one address may be open.
    pub(crate) connections_max: usize,
    /// How many queued requests run at one address at once, of all its actions; no more than connections_max. What waits
    /// for it waits in the queue. Less than connections_max leaves connections to short requests, and less than
    /// engine.running_max leaves places to other addresses while this one hangs.
    pub(crate) address_running_max: usize,
    /// How long a connection that nobody uses is kept: less than the other side keeps it.
    pub(crate) idle_connection_ms: Millis,
    /// So many failures in a row open an address's circuit.
    pub(crate) breaker_failures_max: u32,
    /// So long an open circuit lets nothing through; then one request tries.
    pub(crate) breaker_open_ms: Millis,
    /// How long telling one webhook may take. What a server was telling when it died is told again that much later.
    pub(crate) webhook_timeout_ms: Millis,
    /// How often an outcome is told again before it is given up.
    pub(crate) webhook_retries: u32,
    /// The wait before an outcome is told again the first time; it doubles from time to time.
    pub(crate) webhook_retry_base_ms: Millis,
    /// The longest wait between two times.
    pub(crate) webhook_retry_max_ms: Millis,
    /// How many outcomes are told at once.
    pub(crate) webhook_in_flight_max: usize,
    /// How many outcomes of one action are told at once.
    pub(crate) webhook_action_in_flight_max: usize,
}

fn millis(span: Duration) -> Millis {
    Millis(span.as_millis().try_into().unwrap_or(u64::MAX))
}

impl Default for Remote {
    fn default() -> Self {
        let (pool, outbox) = (PoolSettings::default(), OutboxSettings::default());
        Self {
            signing_keys: BTreeMap::new(),
            plain_http_hosts: Vec::new(),
            authority_file: None,
            connect_timeout_ms: millis(pool.connect_timeout),
            connections_max: pool.connections_max,
            address_running_max: 64,
            idle_connection_ms: millis(pool.idle_timeout),
            breaker_failures_max: 5,
            breaker_open_ms: Millis(10_000),
            webhook_timeout_ms: Millis(10_000),
            webhook_retries: outbox.retries,
            webhook_retry_base_ms: millis(outbox.backoff.base),
            webhook_retry_max_ms: millis(outbox.backoff.max),
            webhook_in_flight_max: outbox.in_flight_max,
            webhook_action_in_flight_max: outbox.action_in_flight_max,
        }
    }
}

/// What an address is posted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Body {
    /// The payload as it came.
    #[default]
    Payload,
    /// The payload and what belongs to it, among it the checkpoint of an earlier attempt.
    Envelope,
}

/// An action whose work is done behind a URL, or whose outcomes are told to one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Action {
    /// Who does the work. Without it, the action is one that the program itself has.
    #[serde(serialize_with = "without_query")]
    pub(crate) url: Option<String>,
    /// What is posted there: "payload", or "envelope" for a handler that hands out checkpoints.
    pub(crate) body: Body,
    /// How long it is estimated to take: at or above engine.short_limit_ms it is queued.
    pub(crate) takes_ms: Millis,
    /// How often a failed attempt is repeated.
    pub(crate) retries: u32,
    /// How long one attempt may take; engine.attempt_timeout_s unless said.
    pub(crate) timeout_s: Option<Seconds>,
    /// How long the beginning of an answer may take; as long as the attempt unless said.
    pub(crate) first_byte_timeout_s: Option<Seconds>,
    /// How long an answer may stand still once it has begun.
    pub(crate) idle_timeout_s: Seconds,
    /// Whether every request is stored before it runs, however short.
    pub(crate) durable: bool,
    /// Whether a short run that was promoted may start again after a crash.
    pub(crate) repeatable: bool,
    /// The rank of its requests among their tenant's: -10 to 10, the highest first.
    pub(crate) priority: i64,
    /// How many run at once, of all tenants. Such an action is always queued.
    pub(crate) running_max: Option<u32>,
    /// The largest answer that is one JSON value, and the largest line or event of a stream.
    pub(crate) answer_bytes_max: usize,
    /// The largest stream.
    pub(crate) stream_bytes_max: u64,
    /// Who is told the outcomes. Such an action is always queued.
    #[serde(serialize_with = "without_query")]
    pub(crate) webhook_url: Option<String>,
}

impl Default for Action {
    fn default() -> Self {
        let handler = HandlerSettings::default();
        Self {
            url: None,
            body: Body::default(),
            takes_ms: Millis(0),
            retries: 0,
            timeout_s: None,
            first_byte_timeout_s: None,
            idle_timeout_s: Seconds(handler.idle_timeout.as_secs()),
            durable: false,
            repeatable: false,
            priority: 0,
            running_max: None,
            answer_bytes_max: handler.answer_bytes_max,
            stream_bytes_max: handler.stream_bytes_max,
            webhook_url: None,
        }
    }
}

/// Who is asked who connects and who calls over HTTP, and told who has left.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Hooks {
    /// Who is asked who connects or calls, where there is no token. With it, no key of an issuer is needed.
    #[serde(serialize_with = "without_query")]
    pub(crate) connect_url: Option<String>,
    /// Who is told who has left.
    #[serde(serialize_with = "without_query")]
    pub(crate) disconnect_url: Option<String>,
    /// Whether connect_url is asked even where there is a token, which then nobody looks at.
    pub(crate) instead_of_tokens: bool,
    /// The headers that connect_url is shown, such as "x-api-key". Cookies are not among them.
    pub(crate) headers: Vec<String>,
    /// The origins whose pages may connect and call by cookie, such as "https://app.example": connect_url is shown
    /// cookies that come from these, and from no others. Pages of another origin than the server's call only if
    /// http.allowed_origins and http.allow_credentials let them, too.
    pub(crate) allowed_origins: Vec<String>,
    /// How long an answer may take. Without one nobody is let in.
    pub(crate) timeout_ms: Millis,
    /// How long a connection lasts for which connect_url says no `expires_at`.
    pub(crate) session_s: Seconds,
    /// How long an answer about a call over HTTP holds for calls that present the very same: so much later takes effect
    /// what the application changes. 0: it is asked about each.
    pub(crate) calls_remembered_ms: Millis,
    /// How many such answers are remembered, some 500 bytes each; the oldest make room.
    pub(crate) calls_remembered_max: usize,
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            connect_url: None,
            disconnect_url: None,
            instead_of_tokens: false,
            headers: Vec::new(),
            allowed_origins: Vec::new(),
            timeout_ms: Millis(3000),
            session_s: Seconds(60 * 60),
            calls_remembered_ms: Millis(0),
            calls_remembered_max: 10_000,
        }
    }
}

/// An address as it is shown: its query may hold a secret.
fn without_query<S: Serializer>(url: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    url.as_deref().and_then(|url| url.split(['?', '#']).next()).serialize(serializer)
}

/// Lists every mistake.
pub(super) fn check(config: &Config, mistakes: &mut Mistakes) {
    let remote = &config.remote;
    let mut called = false;
    let mut address = |setting: String, url: &Option<String>, mistakes: &mut Mistakes| {
        if let Some(url) = url {
            called = true;
            if let Err(e) = remote.address(url) {
                let hint = match e {
                    AddressError::NotHttps => ", and for those in remote.plain_http_hosts",
                    AddressError::NotAUrl | AddressError::Credentials => "",
                };
                mistakes.push(setting, format!("{e}{hint}"));
            }
        }
    };
    let none = Router::new();
    for (name, action) in &config.actions {
        let setting = |field: &str| format!("actions.{name:?}.{field}");
        address(setting("url"), &action.url, mistakes);
        address(setting("webhook_url"), &action.webhook_url, mistakes);
        if action.url.is_some()
            && let Some(problem) = none.refuses(name)
        {
            mistakes.push(format!("actions.{name:?}"), problem);
        }
        if action.url.is_none() && action.webhook_url.is_none() {
            mistakes.push(format!("actions.{name:?}"), "needs url, webhook_url or both");
        }
        if Priority::new(action.priority).is_none() {
            mistakes.push(setting("priority"), "must be between -10 and 10");
        }
        for (field, value) in [
            ("timeout_s", action.timeout_s.map(|span| span.0)),
            ("first_byte_timeout_s", action.first_byte_timeout_s.map(|span| span.0)),
            ("idle_timeout_s", Some(action.idle_timeout_s.0)),
            ("running_max", action.running_max.map(u64::from)),
            ("answer_bytes_max", Some(action.answer_bytes_max as u64)),
            ("stream_bytes_max", Some(action.stream_bytes_max)),
        ] {
            if value == Some(0) {
                mistakes.push(setting(field), "must be at least 1");
            }
        }
    }
    address("hooks.connect_url".to_owned(), &config.hooks.connect_url, mistakes);
    address("hooks.disconnect_url".to_owned(), &config.hooks.disconnect_url, mistakes);
    if let Some(file) = &remote.authority_file {
        let trusted = std::fs::read(file).map_err(anyhow::Error::from);
        if let Err(e) = trusted.and_then(|pem| Ok(trust::platform_and(&pem).map(drop)?)) {
            mistakes.push("remote.authority_file", format!("{}: {e:#}", file.display()));
        }
    }
    if let Err(e) = remote.keys() {
        mistakes.push("remote.signing_keys", format!("{e:#}"));
    } else if called && remote.signing_keys.is_empty() {
        let needed = "a key is needed with which requests are signed: a name and at least 32 characters, \
                      such as those of `openssl rand -base64 32`";
        mistakes.push("remote.signing_keys", needed);
    }
    for (name, value) in [
        ("remote.connect_timeout_ms", remote.connect_timeout_ms.0),
        ("remote.connections_max", remote.connections_max as u64),
        ("remote.address_running_max", remote.address_running_max as u64),
        ("remote.breaker_failures_max", u64::from(remote.breaker_failures_max)),
        ("remote.webhook_timeout_ms", remote.webhook_timeout_ms.0),
        ("remote.webhook_in_flight_max", remote.webhook_in_flight_max as u64),
        ("remote.webhook_action_in_flight_max", remote.webhook_action_in_flight_max as u64),
        ("hooks.timeout_ms", config.hooks.timeout_ms.0),
        ("hooks.session_s", config.hooks.session_s.0),
        ("hooks.calls_remembered_max", config.hooks.calls_remembered_max as u64),
    ] {
        if value == 0 {
            mistakes.push(name, "must be at least 1");
        }
    }
    if remote.webhook_retry_max_ms < remote.webhook_retry_base_ms {
        mistakes.push("remote.webhook_retry_max_ms", "must be at least remote.webhook_retry_base_ms");
    }
    hooks(&config.hooks, mistakes);
}

/// How much longer the lease of what is told is than its telling may take.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

fn hooks(hooks: &Hooks, mistakes: &mut Mistakes) {
    for name in &hooks.headers {
        if name.eq_ignore_ascii_case("cookie") {
            let how =
                "cookies are shown to those whose origin is in hooks.allowed_origins, and to nobody else";
            mistakes.push("hooks.headers", how);
        } else if hyper::header::HeaderName::try_from(name.as_str()).is_err() {
            mistakes.push("hooks.headers", format!("{name:?} is no header's name"));
        }
    }
    for origin in &hooks.allowed_origins {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        if !host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', '?', '#', '@'])) {
            let expected = "must be an origin without a path, such as https://app.example";
            mistakes.push("hooks.allowed_origins", format!("{origin:?} {expected}"));
        }
    }
    if hooks.instead_of_tokens && hooks.connect_url.is_none() {
        mistakes.push("hooks.instead_of_tokens", "needs hooks.connect_url: otherwise nobody could connect");
    }
}

impl Remote {
    /// Reads an address that may be called.
    pub(crate) fn address(&self, url: &str) -> Result<Address, AddressError> {
        Address::parse(url, &self.plain_http_hosts)
    }

    /// How many queued requests run at one address at once: each needs a connection.
    pub(crate) fn address_running_max(&self) -> u32 {
        u32::try_from(self.address_running_max.min(self.connections_max)).unwrap_or(u32::MAX)
    }

    fn keys(&self) -> anyhow::Result<Vec<SigningKey>> {
        anyhow::ensure!(self.signing_keys.len() <= KEYS_MAX, "at most {KEYS_MAX} keys sign side by side");
        let key = |(id, secret): (&String, &Secret)| {
            SigningKey::new(id, secret.expose()).with_context(|| format!("the key {id:?}"))
        };
        self.signing_keys.iter().map(key).collect()
    }

    /// How addresses are called.
    pub(crate) fn settings(&self) -> anyhow::Result<RemoteSettings> {
        let tls = match &self.authority_file {
            None => trust::platform(),
            Some(file) => {
                let failed = || format!("remote.authority_file {}", file.display());
                let pem = std::fs::read(file).with_context(failed)?;
                trust::platform_and(&pem).with_context(failed)?
            }
        };
        Ok(RemoteSettings {
            pool: PoolSettings {
                connections_max: self.connections_max,
                connect_timeout: self.connect_timeout_ms.into(),
                idle_timeout: self.idle_connection_ms.into(),
            },
            breaker: BreakerSettings {
                failures_max: self.breaker_failures_max,
                open_for: self.breaker_open_ms.into(),
            },
            keys: self.keys().context("remote.signing_keys")?,
            tls,
        })
    }

    /// How outcomes are told.
    pub(crate) fn outbox(&self) -> OutboxSettings {
        OutboxSettings {
            in_flight_max: self.webhook_in_flight_max,
            action_in_flight_max: self.webhook_action_in_flight_max,
            retries: self.webhook_retries,
            backoff: Backoff {
                base: self.webhook_retry_base_ms.into(),
                max: self.webhook_retry_max_ms.into(),
            },
            lease: self.webhook_timeout_ms.duration() + LEASE_MARGIN,
            ..OutboxSettings::default()
        }
    }
}

impl Action {
    /// How its address is asked.
    pub(crate) fn handler(&self, attempt_timeout: Duration) -> HandlerSettings {
        HandlerSettings {
            body: match self.body {
                Body::Payload => BodyShape::Payload,
                Body::Envelope => BodyShape::Envelope,
            },
            first_byte_timeout: self.first_byte_timeout_s.map(Into::into),
            idle_timeout: self.idle_timeout_s.into(),
            answer_bytes_max: self.answer_bytes_max,
            stream_bytes_max: self.stream_bytes_max,
            timeout: Some(self.timeout_s.map_or(attempt_timeout, Into::into)),
        }
    }
}

#[cfg(test)]
mod tests {
    use streamer_service::config::Loaded;

    use super::*;
    use crate::config::Sources;

    fn load(set: &[(&str, &str)]) -> Result<Loaded<Config>, String> {
        let hook = ("hooks.connect_url", "http://127.0.0.1:9/connect");
        let set =
            [hook].iter().chain(set).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Sources { config: None, set }.load_from(&[], []).map_err(|mistakes| mistakes.to_string())
    }

    const KEY: (&str, &str) = ("remote.signing_keys.k1", "hush-0123456789abcdef0123456789abcdef");

    #[test]
    fn a_hook_stands_in_for_keys_of_an_issuer_and_secrets_are_not_shown() {
        let url = ("actions.work.url", "https://work.example/do?code=hush");
        let shown = load(&[KEY, url]).expect("valid").listing();
        assert!(shown.contains("https://work.example/do") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn what_is_called_needs_a_key_to_sign_with() {
        let mistakes = load(&[]).expect_err("no key");
        assert!(mistakes.contains("remote.signing_keys") && mistakes.contains("openssl rand"), "{mistakes}");
        let third = [KEY, ("remote.signing_keys.k2", KEY.1), ("remote.signing_keys.k3", KEY.1)];
        assert!(load(&third).expect_err("too many").contains("at most 2 keys"));
        let short = load(&[("remote.signing_keys.k1", "hush")]).expect_err("too short");
        assert!(short.contains("at least 32 characters") && !short.contains("hush"), "{short}");
    }

    #[test]
    fn no_more_run_at_an_address_than_it_has_connections_and_a_tenant_leaves_places() {
        let most = |set: &[(&str, &str)]| {
            let config = load(&[&[KEY], set].concat()).expect("valid").config;
            (config.remote.address_running_max(), config.engine_settings().tenant_running_max)
        };
        assert_eq!(most(&[]), (64, 192));
        assert_eq!(most(&[("remote.connections_max", "9"), ("engine.running_max", "10")]), (9, 8));
        assert_eq!(most(&[("engine.running_max", "1")]), (64, 1));
        assert_eq!(most(&[("engine.tenant_running_max", "7")]), (64, 7));
    }

    #[test]
    fn mistakes_are_named_by_their_settings() {
        for (setting, value, named) in [
            ("actions.work.url", "http://work.example/", "plain_http_hosts"),
            ("actions.echo.url", "https://work.example/", "always there"),
            ("actions.work.retries", "3", "needs url, webhook_url or both"),
            ("actions.work.priority", "11", "between -10 and 10"),
            ("actions.work.body", "both", "payload"),
            ("hooks.headers", "cookie", "hooks.allowed_origins"),
            ("hooks.headers", "x y", "no header's name"),
            ("hooks.allowed_origins", "*", "must be an origin"),
            ("hooks.allowed_origins", "https://app.example/", "must be an origin"),
            ("hooks.timeout_ms", "0", "at least 1"),
            ("remote.webhook_retry_max_ms", "1", "remote.webhook_retry_base_ms"),
            ("remote.address_running_max", "0", "at least 1"),
            ("engine.tenant_running_max", "0", "at least 1"),
        ] {
            let mistakes = load(&[KEY, (setting, value)]).expect_err(setting);
            assert!(mistakes.contains(named), "{setting} = {value}: {mistakes}");
        }
        let url = ("actions.work.url", "https://me:hush@work.example/");
        let mistakes = load(&[KEY, url]).expect_err("credentials");
        assert!(mistakes.contains("must not hold a user or a password"), "{mistakes}");
        assert!(!mistakes.contains("plain_http_hosts") && !mistakes.contains("hush"), "{mistakes}");
        let named =
            [KEY, ("remote.plain_http_hosts", "work.example"), ("actions.work.url", "http://work.example/")];
        assert!(load(&named).is_ok());
    }
}
