//! The example file.

use streamer_service::config::example;

use crate::settings::{Config, check, loader};

/// Removes each `#` that no space follows.
fn uncommented(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') && !rest.is_empty() => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn the_example_loads_to_the_defaults_commented_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let text = example::<Config>("STREAMER_");
    let active = uncommented(&text);
    assert!(active.lines().any(|line| line == "queue_depth_max = 10000"), "{active}");
    for text in [&text, &active] {
        let file = folder.path().join("streamer.toml");
        std::fs::write(&file, text).unwrap();
        let loaded = loader()
            .file(file)
            .load(check)
            .unwrap_or_else(|e: streamer_service::config::Mistakes| panic!("{e}\n{text}"));
        assert_eq!(loaded.config, Config::default(), "{text}");
    }
    // Every setting with a default stands there with it.
    let table: toml::Table = active.parse().unwrap();
    assert_eq!(table["engine"]["attempt_timeout_ms"].as_integer(), Some(30_000));
    assert_eq!(table["store"]["kind"].as_str(), Some("sqlite"));
    assert_eq!(table["logs"]["format"].as_str(), Some("auto"));
}

#[test]
fn every_setting_is_documented() {
    let text = example::<Config>("STREAMER_");
    for part in [
        "# How many requests may wait.\n# More are answered OVERLOADED.\n#queue_depth_max = 10000\n",
        "# How long an attempt may take.\n# Unit: milliseconds.\n#attempt_timeout_ms = 30000\n",
        "# How long records are kept.\n# Unit: seconds.\n# Not set by default; for example: kept_s = 1\n",
        "# How a token is signed.\n# One of: RS256, ES256.\n#   RS256: RSA with SHA-256.\n",
        "# The queue and its workers.\n[engine]\n",
        "# Encryption.\n# None by default; for example:\n#   [tls]\n",
        "# Where everything is kept.\n[store]\n\n# One of: sqlite, memory.\n#   sqlite: Embedded.\n",
        "# Outcomes are sent to these.\n# None by default; for example:\n#   [[webhooks]]\n",
        "#   [actions.NAME]\n",
        "#   retries = 1\n",
    ] {
        assert!(text.contains(part), "{part}\nis not in\n{text}");
    }
    // In the order of the struct.
    let places: Vec<_> = ["[listen]", "[engine]", "[auth]", "[logs]"].map(|s| text.find(s).unwrap()).into();
    assert!(places.is_sorted(), "{text}");
}
