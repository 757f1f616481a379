//! The configuration of a server: every setting, its default, and what it must obey.

pub(crate) mod events;
mod management;
mod offered;
mod parts;
pub(crate) mod remote;
mod rules;
mod sections;

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamer_engine::Router;
use streamer_service::{
    config::{Loaded, Loader, Mistakes},
    telemetry::Logs,
};

pub(crate) use events::Events;
pub(crate) use management::Management;
pub(crate) use remote::{Action, Hooks, Remote};
pub(crate) use sections::{Admin, Auth, Connections, Demo, Drain, Engine, Http, Listen, Store, Topics};

/// What every environment variable of ours begins with.
pub(crate) const PREFIX: &str = "STREAMER_";

/// The file that is read if it is there and no other is named.
pub(crate) const DEFAULT_FILE: &str = "streamer.toml";

/// The configuration of `streamer serve` and of `streamer events`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Config {
    /// The public address.
    pub(crate) listen: Listen,
    /// The operators' address.
    pub(crate) admin: Admin,
    /// Who may connect.
    pub(crate) auth: Auth,
    /// Where everything durable is.
    pub(crate) store: Store,
    /// How requests are run.
    pub(crate) engine: Engine,
    /// How many connections there may be, and what one of them may do.
    pub(crate) connections: Connections,
    /// What is published, and kept for those who come back.
    pub(crate) topics: Topics,
    /// Requests over HTTP.
    pub(crate) http: Http,
    /// Who may manage connections as the clients of AWS do.
    pub(crate) management: Management,
    /// How the process goes away.
    pub(crate) drain: Drain,
    /// Actions whose work is done behind a URL, or whose outcomes are told to one, by their names.
    pub(crate) actions: BTreeMap<String, Action>,
    /// How those URLs are called.
    pub(crate) remote: Remote,
    /// Who is asked who connects, where there is no token.
    pub(crate) hooks: Hooks,
    /// From an outbox in PostgreSQL to read models in MongoDB, and to live topics.
    pub(crate) events: Events,
    /// The demonstration handlers.
    pub(crate) demo: Demo,
    /// What is logged.
    pub(crate) logs: Logs,
}

/// Where settings come from, beside the environment.
#[derive(Debug, Args)]
pub(crate) struct Sources {
    /// The configuration file [default: streamer.toml, if it is there]
    #[arg(long, short, value_name = "FILE", env = "STREAMER_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Any setting, by its name; stronger than every other source
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    pub(crate) set: Vec<(String, String)>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, such as engine.running_max=64")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Sources {
    /// Reads and checks the whole configuration, also what it says of the program's `own` actions. `flags` are (flag,
    /// setting, value).
    pub(crate) fn load(
        &self,
        flags: &[(&str, &str, String)],
        own: &Router,
    ) -> Result<Loaded<Config>, Mistakes> {
        self.loader(flags, std::env::vars_os()).load(|config, mistakes| {
            rules::check(config, mistakes);
            offered::check(config, own, mistakes);
        })
    }

    /// The same for `streamer events`: what only a server needs, such as its tokens' key, may be missing or wrong.
    pub(crate) fn load_events(&self, flags: &[(&str, &str, String)]) -> Result<Loaded<Config>, Mistakes> {
        self.load_events_from(flags, std::env::vars_os())
    }

    fn load_events_from(
        &self,
        flags: &[(&str, &str, String)],
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Loaded<Config>, Mistakes> {
        // Names that mean something else to a server that stands beside other programs.
        let loader = self
            .loader(flags, variables)
            .alias("BATCH_SIZE", "events.batch_events_max")
            .alias("LOG_LEVEL", "logs.filter")
            .alias("METRICS_FILE", "events.metrics_file");
        loader.load(rules::check_events)
    }

    /// Whatever the program offers.
    #[cfg(test)]
    fn load_from(
        &self,
        flags: &[(&str, &str, String)],
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Loaded<Config>, Mistakes> {
        self.loader(flags, variables).load(rules::check)
    }

    fn loader(
        &self,
        flags: &[(&str, &str, String)],
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Loader {
        let mut loader = Loader::new(PREFIX);
        loader = match &self.config {
            Some(file) => loader.file(file),
            None => loader.default_file(DEFAULT_FILE),
        };
        loader = loader
            .env_file(".env")
            .variables(variables)
            .not_a_setting("STREAMER_CONFIG")
            .not_a_setting("STREAMER_TOKEN")
            .not_a_setting("STREAMER_URL")
            .not_a_setting("STREAMER_ADMIN_URL")
            .alias("JWT_PUBLIC_KEY", "auth.public_key")
            .alias("JWT_PUBLIC_KEY_FILE", "auth.public_key_file")
            .alias("JWT_JWKS_URL", "auth.jwks_url")
            .alias("JWT_ISSUER", "auth.issuer")
            .alias("JWT_AUDIENCE", "auth.audience")
            .alias("POSTGRES_HOST", "events.postgres.host")
            .alias("POSTGRES_PORT", "events.postgres.port")
            .alias("POSTGRES_DB", "events.postgres.database")
            .alias("POSTGRES_USER", "events.postgres.user")
            .alias("POSTGRES_PASSWORD", "events.postgres.password")
            .alias("POSTGRES_PASSWORD_FILE", "events.postgres.password_file")
            .alias("MONGODB_URI", "events.mongodb.uri")
            .alias("MONGODB_DATABASE", "events.mongodb.database");
        for variable in crate::faults::VARIABLES {
            loader = loader.not_a_setting(variable);
        }
        for (flag, setting, value) in flags {
            loader = loader.flag(flag, setting, value.clone());
        }
        for (setting, value) in &self.set {
            loader = loader.flag("--set", setting, value.clone());
        }
        loader
    }
}

#[cfg(test)]
mod tests {
    use streamer_engine::{Context, Failure};

    use super::*;

    fn load(set: &[(&str, &str)]) -> Result<Loaded<Config>, Mistakes> {
        let set = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Sources { config: None, set }.load_from(&[], [])
    }

    #[test]
    fn five_mistakes_are_told_at_once() {
        let mistakes = load(&[
            ("listen.address", "nowhere"),
            ("engine.running_max", "0"),
            ("engine.queue_depht_max", "7"),
            ("auth.algorithm", "HS256"),
            ("connections.heartbeat_s", "soon"),
        ])
        .expect_err("five mistakes")
        .to_string();
        for name in [
            "listen.address",
            "engine.running_max",
            "engine.queue_depht_max",
            "auth.algorithm",
            "connections.heartbeat_s",
        ] {
            assert!(mistakes.contains(name), "{name} is missing in:\n{mistakes}");
        }
    }

    #[test]
    fn a_key_is_needed_and_its_lack_is_explained() {
        let mistakes = load(&[]).expect_err("no key").to_string();
        assert!(mistakes.contains("auth.public_key"), "{mistakes}");
        assert!(mistakes.contains("streamer token keys"), "{mistakes}");
    }

    const KEYED: (&str, &str) = ("auth.jwks_url", "https://issuer.example/keys");

    #[test]
    fn a_credential_opens_one_tenant_or_all_and_is_not_shown() {
        let secret = "hush".repeat(10);
        let set = |rest: &str| {
            let whole = format!("{{access_key_id = \"AK\", secret_access_key = \"{secret}\"{rest}}}");
            let setting = ("management.credentials.backend", whole.as_str());
            load(&[KEYED, setting]).map_err(|mistakes| mistakes.to_string())
        };
        let loaded = set(", tenant = \"acme\", session_token = \"hush\"").expect("valid");
        assert!(loaded.config.management.is_public());
        let shown = loaded.listing();
        assert!(shown.contains("acme") && shown.contains("\"AK\""), "{shown}");
        assert!(!shown.contains("hush") && !format!("{:?}", loaded.config.management).contains("hush"));
        let keys = loaded.config.management.keys().expect("valid").expect("there are keys");
        assert!(!format!("{keys:?}").contains("hush"));
        assert!(set(", all_tenants = true").is_ok());
        for (rest, problem) in [
            ("", "management.credentials.backend.tenant"),
            (", tenant = \"\"", "must not be empty"),
            (", tenant = \"acme\", all_tenants = true", "keep one"),
            (", tenant = hush", "a section is expected, not this text"),
        ] {
            let mistakes = set(rest).expect_err(rest);
            assert!(mistakes.contains(problem) && !mistakes.contains("hush"), "{rest}: {mistakes}");
        }
    }

    #[test]
    fn a_credential_without_its_secret_or_with_anothers_id_is_told() {
        let one = "management.credentials.one";
        let mistakes = load(&[
            KEYED,
            ("management.region", "us east"),
            (&format!("{one}.access_key_id"), "AK"),
            (&format!("{one}.secret_access_key"), "short-hush"),
            (&format!("{one}.all_tenants"), "true"),
            ("management.credentials.two.access_key_id", "AK"),
            ("management.credentials.two.tenant", "acme"),
            ("management.credentials.three.access_key_id", "A/K"),
        ])
        .expect_err("mistakes")
        .to_string();
        for name in [
            "management.region",
            "management.credentials.one.secret_access_key (flag --set): must have at least 32",
            "management.credentials.two.access_key_id (flag --set): another credential has it too",
            "management.credentials.two.secret_access_key",
            "management.credentials.three.access_key_id",
            "management.credentials.three.tenant",
        ] {
            assert!(mistakes.contains(name), "{name} is missing in:\n{mistakes}");
        }
        assert!(!mistakes.contains("short-hush"), "{mistakes}");
    }

    #[test]
    fn origins_are_origins_and_credentials_are_not_for_all() {
        let key = ("auth.jwks_url", "https://issuer.example/keys");
        let origins = |text| load(&[key, ("http.allowed_origins", text)]);
        for good in ["*", "https://app.example", "http://localhost:5173,https://[2001:db8::1]:8443"] {
            assert!(origins(good).is_ok(), "{good}");
        }
        for bad in [
            "app.example",
            "https://app.example/",
            "https://app.example/path",
            "https://",
            "ws://a",
            "https://a b",
            "https://u@a",
            "https://*.example",
            "null",
        ] {
            let mistakes = origins(bad).expect_err(bad).to_string();
            assert!(mistakes.contains("http.allowed_origins"), "{mistakes}");
        }
        let all = [key, ("http.allowed_origins", "*"), ("http.allow_credentials", "true")];
        let mistakes = load(&all).expect_err("every page would act as its visitor").to_string();
        assert!(mistakes.contains("http.allow_credentials"), "{mistakes}");
    }

    #[test]
    fn keys_come_from_exactly_one_place() {
        let url = ("auth.jwks_url", "https://issuer.example/keys?code=hush");
        let shown = load(&[url]).expect("valid").listing();
        assert!(shown.contains("\"https://issuer.example/keys\""), "{shown}");
        assert!(!shown.contains("hush"), "{shown}");

        let places = [("auth.public_key", "PEM"), ("auth.public_key_file", "key.pem"), url];
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            let mistakes = load(&[places[one], places[other]]).expect_err("two places").to_string();
            assert!(mistakes.contains(&format!("is set, and so is {}", places[other].0)), "{mistakes}");
            assert!(mistakes.contains(&format!("{} (", places[one].0)), "{mistakes}");
        }
    }

    #[test]
    fn an_unusable_jwks_address_is_told_without_its_secrets() {
        for url in ["http://issuer.example/?code=hush", "https://ada:hush@issuer.example/", "hush"] {
            let mistakes = load(&[("auth.jwks_url", url)]).expect_err(url).to_string();
            assert!(mistakes.contains("auth.jwks_url"), "{mistakes}");
            assert!(!mistakes.contains("hush"), "{mistakes}");
        }
    }

    #[test]
    fn the_admin_token_comes_from_one_place_and_is_long_enough() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path.to_string_lossy().into_owned()
        };
        let url = ("auth.jwks_url", "https://issuer.example/keys");
        let (good, short) = (file("good", "an-operator-of-the-tests\n"), file("short", "hush-hush\n"));
        let loaded = load(&[url, ("admin.token_file", &good)]).expect("valid");
        let token = loaded.config.admin.operators_token().expect("checked");
        assert_eq!(token.as_deref(), Some("an-operator-of-the-tests"), "without the line's end");

        let told = |set: &[(&str, &str)]| load(set).expect_err("a mistake").to_string();
        let twice = told(&[url, ("admin.token", "an-operator-of-the-tests"), ("admin.token_file", &good)]);
        assert!(twice.contains("admin.token") && twice.contains("so is admin.token_file"), "{twice}");
        let short = told(&[url, ("admin.token_file", &short)]);
        assert!(short.contains("admin.token_file") && short.contains("at least 16"), "{short}");
        assert!(!short.contains("hush-hush"), "{short}");
        let missing = told(&[url, ("admin.token_file", "/nowhere/token")]);
        assert!(missing.contains("admin.token_file") && missing.contains("/nowhere/token"), "{missing}");
    }

    #[test]
    fn topics_are_checked_by_name() {
        let wrong = [
            ("topics.histories", r#"{ "orders *" = { kind = "memory" } }"#, "\"orders *\""),
            ("topics.histories", r#"{ "request:" = { kind = "memory" } }"#, "request"),
            ("topics.histories", r#"{ "orders." = { kind = "disk" } }"#, "kind"),
            ("topics.histories", r#"{ "orders." = { kind = "memory", messages_max = 0 } }"#, "messages_max"),
            ("topics.histories", r#"{ "orders." = { kind = "durable", bytes_max = 10 } }"#, "bytes_max"),
            ("topics.server_only_prefixes", r#"["feed.*"]"#, "feed.*"),
            ("topics.message_bytes_max", "0", "at least 1"),
            ("connections.subscriptions_max", "0", "at least 1"),
        ];
        for (name, value, expected) in wrong {
            let mistakes = load(&[(name, value)]).expect_err(value).to_string();
            assert!(mistakes.contains(name) && mistakes.contains(expected), "{value}: {mistakes}");
        }
        let histories = r#"{ "orders." = { kind = "durable", age_s = 60 }, "" = { kind = "memory" } }"#;
        let url = ("auth.jwks_url", "https://issuer.example/keys");
        let small = ("connections.message_bytes_max", "1000");
        let loaded = load(&[("topics.histories", histories), url, small]).expect("valid").config;
        assert_eq!(loaded.engine_settings().topics.message_bytes_max, 1000, "nobody can send more");
        let rules = loaded.engine_settings().topics.histories;
        assert_eq!(rules.iter().map(|rule| rule.prefix.as_str()).collect::<Vec<_>>(), ["", "orders."]);
        assert_eq!(rules[1].age_max.as_secs(), 60);
    }

    #[test]
    fn what_is_missing_is_told_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        std::fs::write(file("taken"), "").expect("written");
        let set = [
            KEYED,
            ("store.path", &file("nowhere/streamer.db")),
            ("demo.enabled", "true"),
            ("demo.data_dir", &file("taken")),
            ("listen.tls_certificate_file", &file("cert.pem")),
            ("listen.tls_key_file", &file("key.pem")),
            ("remote.authority_file", &file("ca.pem")),
            ("remote.signing_keys.k1", "hush-0123456789abcdef0123456789abcdef"),
            ("connections.outbound_bytes_max", "1"),
            ("engine.action_running_max", "{ wrok = 2, work = 2, behind = 2 }"),
            ("actions.behind.url", "https://work.example/do"),
            ("actions.work.url", "https://work.example/do"),
            ("actions.wrok.webhook_url", "https://work.example/told"),
            ("actions.echo_async.webhook_url", "https://work.example/told"),
        ];
        let set = set.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let own = Router::new().action("work", async |_: Context, (): ()| Ok::<_, Failure>(()));
        let told = Sources { config: None, set }.load(&[], &own).expect_err("mistakes");
        let mut settings: Vec<_> = told.iter().filter_map(|mistake| mistake.setting.as_deref()).collect();
        settings.sort_unstable();
        let expected = [
            "actions.\"work\".url",
            "actions.\"wrok\".webhook_url",
            "connections.outbound_bytes_max",
            "demo.data_dir",
            "engine.action_running_max",
            "listen.tls_certificate_file",
            "listen.tls_key_file",
            "remote.authority_file",
            "store.path",
        ];
        assert_eq!(settings, expected, "{told}");
        let told = told.to_string();
        assert!(told.contains("there is no action \"wrok\"") && told.contains("behind, "), "{told}");
        assert!(told.contains("nowhere is missing: create it first"), "{told}");
    }
}
