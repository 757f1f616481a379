//! Sources, mistakes and what is in force.

use std::{fs, path::PathBuf};

use streamer_service::config::{Loaded, Loader, Millis, Mistakes, Origin, Seconds};
use tempfile::TempDir;

use crate::settings::{Algorithm, Config, Store, check, loader, variables};

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

fn load(loader: Loader) -> Result<Loaded<Config>, Mistakes> {
    loader.load(check)
}

/// The mistakes as lines, without the folder.
fn mistakes(folder: &Folder, loader: Loader) -> Vec<String> {
    let prefix = format!("{}/", folder.0.path().display());
    load(loader).expect_err("mistakes").iter().map(|m| m.to_string().replace(&prefix, "")).collect()
}

#[test]
fn nothing_given_is_the_defaults() {
    let loaded = load(loader().default_file("missing.toml").env_file("missing.env")).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert!(loaded.sources().iter().all(|setting| setting.origin == Origin::Default));
}

#[test]
fn the_stronger_source_counts() {
    let folder = Folder::new();
    let file = folder.with(
        "streamer.toml",
        "[engine]\nworkers = 1\nqueue_depth_max = 101\njitter = 0.5\npromote = false\nattempt_timeout_ms = 1\n",
    );
    let env_file = folder.with(
        ".env",
        "STREAMER_ENGINE__WORKERS=2\nSTREAMER_ENGINE__QUEUE_DEPTH_MAX=102\nSTREAMER_ENGINE__JITTER=0.75\n",
    );
    let given = variables([
        ("STREAMER_ENGINE__WORKERS", "3"),
        ("STREAMER_ENGINE__QUEUE_DEPTH_MAX", "1_03"),
        ("STREAMER_ENGINE__KEPT_S", ""),
    ]);
    let loader =
        loader().file(&file).env_file(&env_file).variables(given).flag("--workers", "engine.workers", "4");
    let loaded = load(loader).unwrap();

    let engine = &loaded.config.engine;
    assert_eq!((engine.workers, engine.queue_depth_max), (4, 103));
    assert_eq!((engine.jitter, engine.promote, engine.attempt_timeout_ms), (0.75, false, Millis(1)));
    assert_eq!((engine.kept_s, loaded.config.listen.port), (None, 8080));

    let origin = |name: &str| loaded.sources().iter().find(|s| s.name == name).unwrap().origin.clone();
    assert_eq!(origin("engine.workers"), Origin::Flag("--workers".into()));
    assert_eq!(origin("engine.queue_depth_max"), Origin::Variable("STREAMER_ENGINE__QUEUE_DEPTH_MAX".into()));
    assert_eq!(
        origin("engine.jitter"),
        Origin::EnvFile { path: env_file, line: Some(3), variable: "STREAMER_ENGINE__JITTER".into() }
    );
    assert_eq!(origin("engine.promote"), Origin::File { path: file, line: 5 });
    assert_eq!(origin("engine.kept_s"), Origin::Default);
}

#[test]
fn a_configuration_with_many_mistakes_lists_them_all() {
    let folder = Folder::new();
    let file = folder.with(
        "streamer.toml",
        "[engine]\nqueue_dept_max = 5\nworkers = \"many\"\nqueue_depth_max = 2\n\n\
         [auth]\nalgorithm = \"RS265\"\n\n[listen]\nport = 70000\naddress = \"here\"\n",
    );
    let env_file = folder.with(".env", "STREAMER_ENGINE__JITTER=lots\n");
    let given = variables([
        ("STREAMER_ENGINE__PROMOTE", "maybe"),
        ("STREAMER_ENGINE_WORKERS", "3"),
        ("STREAMER_LISTEN__TRUSTED_PROXIES", "::1,there"),
        ("STREAMER_CONFIG", "streamer.toml"),
        ("STREAMER_SERVICE_HOST", "10.0.0.1"),
        ("STREAMER_PORT", "tcp://10.0.0.1:80"),
        ("STREAMER_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("OTHER", "x"),
    ]);
    let loader = loader()
        .file(file)
        .env_file(env_file)
        .variables(given)
        .flag("--set", "engine.kept_s", "-5")
        .flag("--set", "logs.filter", "streamer=loud");
    let mut found = mistakes(&folder, loader);
    found.sort();
    assert_eq!(
        found,
        [
            "auth.algorithm (streamer.toml, line 7): one of RS256, ES256 is expected, not \"RS265\"; did you mean RS256?",
            "engine.jitter (.env, line 1, STREAMER_ENGINE__JITTER): a number is expected, not \"lots\"",
            "engine.kept_s (flag --set): a whole number, 0 or more, is expected, not \"-5\"",
            "engine.promote (variable STREAMER_ENGINE__PROMOTE): true or false is expected, not \"maybe\"",
            "engine.queue_dept_max (streamer.toml, line 2): there is no such setting; did you mean engine.queue_depth_max?",
            "engine.queue_depth_max (streamer.toml, line 4): must be at least engine.workers",
            "engine.workers (streamer.toml, line 3): a whole number from 0 to 4294967295 is expected, not \"many\"",
            "engine_workers (variable STREAMER_ENGINE_WORKERS): there is no such setting; did you mean STREAMER_ENGINE__WORKERS?",
            "listen.address (streamer.toml, line 11): invalid IP address syntax (it is \"here\")",
            "listen.port (streamer.toml, line 10): a whole number from 0 to 65535 is expected, not 70000",
            "listen.trusted_proxies[1] (variable STREAMER_LISTEN__TRUSTED_PROXIES): invalid IP address syntax (it is \"::1,there\")",
            "logs.filter (flag --set): is not a filter: error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5; one looks like info,streamer_engine=debug",
        ]
    );
}

#[test]
fn the_list_begins_with_its_length() {
    let loader = loader().flag("--port", "listen.port", "x").flag("--name", "nam", "x");
    let text = load(loader).unwrap_err().to_string();
    assert!(text.starts_with("2 mistakes in the configuration:\n  "), "{text}");
    let one = load(self::loader().flag("--port", "listen.port", "x")).unwrap_err();
    assert!(one.to_string().starts_with("one mistake in the configuration:\n  listen.port"), "{one}");
}

#[test]
fn syntax_errors_have_their_line_and_hide_nothing_else() {
    let folder = Folder::new();
    let file = folder.with(
        "streamer.toml",
        "[engine]\nworkers = = 3\npromote = 5\n\n[auth]\nadmin_token = hunter2 hunter2\n",
    );
    let found = mistakes(&folder, loader().file(file));
    let starting = |start: &str| found.iter().filter(|line| line.starts_with(start)).count();
    assert!(starting("streamer.toml, line 2: column 11: this is not TOML: ") >= 1, "{found:#?}");
    assert!(starting("streamer.toml, line 6: column 15: this is not TOML: ") >= 1, "{found:#?}");
    assert_eq!(
        starting("engine.promote (streamer.toml, line 3): true or false is expected, not 5"),
        1,
        "{found:#?}"
    );
    assert!(!found.concat().contains("hunter2"), "{found:#?}");
    // Nothing is guessed about the broken lines.
    assert_eq!(starting("engine.workers") + starting("auth.admin_token"), 0, "{found:#?}");
}

#[test]
fn a_named_file_must_be_there() {
    let folder = Folder::new();
    let found =
        mistakes(&folder, loader().file(folder.0.path().join("other.toml")).flag("-p", "listen.port", "x"));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("other.toml: cannot be read: No such file"), "{found:#?}");
}

#[test]
fn what_is_required_inside_a_section_is_named_with_its_place() {
    let folder = Folder::new();
    let file = folder.with(
        "streamer.toml",
        "[tls]\nhandshakes_max = -1\n\n[[webhooks]]\nurl = \"http://a\"\ntimeout_ms = 5\n\n\
         [[webhooks]]\nurl = 7\n\n[actions.\"report.build\"]\nretires = 3\n",
    );
    assert_eq!(
        mistakes(&folder, loader().file(file)),
        [
            "actions.\"report.build\".retires (streamer.toml, line 12): there is no such setting; did you mean \
             actions.\"report.build\".retries?",
            "actions.\"report.build\".retries (streamer.toml, line 11): is required and missing",
            "tls.handshakes_max (streamer.toml, line 2): a whole number from 0 to 65535 is expected, not -1",
            "tls.certificate_file (streamer.toml, line 1): is required and missing",
            "tls.key_file (streamer.toml, line 1): is required and missing",
            "webhooks[1].url (streamer.toml, line 9): a string is expected, not 7",
            "webhooks[1].timeout_ms (streamer.toml, line 8): is required and missing",
        ]
    );
}

#[test]
fn variables_are_read_as_what_is_asked_for() {
    let given = variables([
        ("STREAMER_NAME", "12345"),
        ("STREAMER_LISTEN__TRUSTED_PROXIES", "10.0.0.1, ::1"),
        ("STREAMER_AUTH__ALGORITHM", "ES256"),
        ("STREAMER_ENGINE__PROMOTE", "0"),
        ("STREAMER_ENGINE__KEPT_S", "60"),
        ("STREAMER_STORE__CACHE_MIB", "32"),
        ("STREAMER_WEBHOOKS", r#"[{ url = "http://a", timeout_ms = 5 }]"#),
        ("JWT_PUBLIC_KEY", "-----BEGIN"),
    ]);
    let config = load(loader().variables(given)).unwrap().config;
    assert_eq!(config.name, "12345");
    assert_eq!(config.listen.trusted_proxies.len(), 2);
    assert_eq!(config.auth.algorithm, Algorithm::Es256);
    assert_eq!((config.engine.promote, config.engine.kept_s), (false, Some(Seconds(60))));
    assert_eq!(config.store, Store::Sqlite { path: "streamer.db".into(), cache_mib: 32 });
    assert_eq!(config.webhooks[0].timeout_ms, Millis(5));
    assert_eq!(config.auth.public_key.unwrap().expose(), "-----BEGIN");
}

#[test]
fn another_kind_of_store_drops_what_it_does_not_have() {
    let config = load(loader().variables(variables([("STREAMER_STORE__KIND", "memory")]))).unwrap().config;
    assert_eq!(config.store, Store::Memory);
}

#[test]
fn an_own_name_is_stronger_than_a_well_known_one_and_the_last_line_of_a_file_counts() {
    let folder = Folder::new();
    let text = "# keys\nJWT_PUBLIC_KEY=\"first\nline\"\nexport STREAMER_NAME='a'\nSTREAMER_NAME=\"b c\"\nbroken line here\n";
    let env_file = folder.with(".env", text);
    let found = mistakes(&folder, loader().env_file(&env_file));
    assert_eq!(
        found,
        [
            ".env, line 6, a variable: not a line of the form NAME=value; a value with spaces or quotes goes into quotes"
        ]
    );
    let env_file = folder.with(".env", &text.replace("broken line here\n", ""));
    let own = variables([("JWT_PUBLIC_KEY", "weak"), ("STREAMER_AUTH__PUBLIC_KEY", "strong")]);
    let loaded = load(loader().env_file(&env_file)).unwrap();
    assert_eq!(loaded.config.auth.public_key.unwrap().expose(), "first\nline");
    assert_eq!(loaded.config.name, "b c");
    let loaded = load(loader().env_file(&env_file).variables(own)).unwrap();
    assert_eq!(loaded.config.auth.public_key.unwrap().expose(), "strong");
    assert!(std::env::var_os("STREAMER_NAME").is_none(), "the process's environment is left alone");
}

#[test]
fn secrets_are_never_shown() {
    let given = [
        ("STREAMER_AUTH__PUBLIC_KEY", "hunter2"),
        ("STREAMER_AUTH__ADMIN_TOKEN", "hunter2"),
        ("STREAMER_STORE__PATH", "hunter2"),
        ("STREAMER_NAME", "shown"),
    ];
    let loaded = load(loader().secret("store.path").variables(variables(given))).unwrap();
    let listing = loaded.listing();
    let page = serde_json::to_string(loaded.sources()).unwrap();
    assert!(!listing.contains("hunter2") && !page.contains("hunter2"), "{listing}\n{page}");
    assert!(listing.contains("\"shown\"") && listing.contains("variable STREAMER_NAME"), "{listing}");
    let line = listing.lines().find(|line| line.starts_with("auth.admin_token")).unwrap();
    assert!(line.contains("= (hidden)") && line.ends_with("# variable STREAMER_AUTH__ADMIN_TOKEN"), "{line}");
    assert!(
        page.contains(r#"{"name":"name","value":"\"shown\"","source":"variable STREAMER_NAME"}"#),
        "{page}"
    );

    let wrong =
        variables([("STREAMER_AUTH__PORT_SECRET", "hunter2"), ("STREAMER_AUTH__ADMIN_TOKE", "hunter2")]);
    let text = load(loader().variables(wrong)).unwrap_err().to_string();
    assert!(text.contains("auth.port_secret") && text.contains("auth.admin_toke "), "{text}");
    assert!(!text.contains("hunter2"), "{text}");

    // A whole section that cannot be read.
    let broken = variables([("STREAMER_AUTH", "{admin_token = hunter2")]);
    let text = load(loader().variables(broken)).unwrap_err().to_string();
    assert!(text.contains("auth (variable STREAMER_AUTH): a section is expected, not this text"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_text_is_named() {
    use std::os::unix::ffi::OsStringExt as _;
    let value = std::ffi::OsString::from_vec(vec![0xff]);
    let found = load(loader().variables([("STREAMER_NAME".into(), value)])).unwrap_err();
    assert_eq!(
        found.iter().next().unwrap().to_string(),
        "name (variable STREAMER_NAME): the value is not UTF-8 text"
    );
}
