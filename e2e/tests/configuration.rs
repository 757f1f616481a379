//! The configuration: `streamer config`, and where settings come from.

use std::fs;

use streamer_e2e::{command::Shell, issuer::Issuer};

use crate::{folder, shell};

/// A folder with a key, and commands that know it.
fn keyed() -> (tempfile::TempDir, Shell) {
    let folder = folder();
    Issuer::shared().write(folder.path());
    let shell = shell(folder.path()).variable("JWT_PUBLIC_KEY_FILE", "public.pem");
    (folder, shell)
}

/// The settings in force: (name, value, where from).
async fn in_force(shell: &Shell, more: &[&str]) -> Vec<(String, String, String)> {
    let listing = shell.run(["config", "check", "--show"].iter().chain(more)).await.succeeded();
    let setting = |line: &str| {
        let (name, rest) = line.split_once(" = ").unwrap_or_else(|| panic!("no setting: {line}"));
        let (value, origin) = rest.rsplit_once("  # ").unwrap_or_else(|| panic!("no origin: {line}"));
        (name.trim().to_owned(), value.trim().to_owned(), origin.to_owned())
    };
    listing.lines().map(setting).collect()
}

#[tokio::test]
async fn five_mistakes_are_told_at_once_and_nothing_is_bound() {
    let (folder, shell) = keyed();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let free = taken.local_addr().expect("bound");
    drop(taken);
    let file = format!(
        "[listen]\naddress = \"{free}\"\npath_prefixes = [\"prod\"]\n[engine]\nrunning_max = 0\n\
         queue_depht_max = 7\n[connections]\nheartbeat_s = \"soon\"\n[logs]\nfilter = \"info,=,\"\n"
    );
    fs::write(folder.path().join("streamer.toml"), file).expect("written");
    let names = [
        "listen.path_prefixes",
        "engine.running_max",
        "engine.queue_depht_max",
        "connections.heartbeat_s",
        "logs.filter",
    ];
    for command in [["config", "check"].as_slice(), &["serve", "--ready-file", "ready.json"]] {
        let told = shell.run(command).await.failed(1);
        assert!(told.starts_with("5 mistakes in the configuration:"), "{command:?}: {told}");
        for name in names {
            let line = told.lines().find(|line| line.trim_start().starts_with(name));
            let line = line.unwrap_or_else(|| panic!("{name} is not named: {told}"));
            assert!(line.contains("streamer.toml, line"), "it says where: {line}");
        }
        assert!(told.contains("queue_depth_max"), "it says what was meant: {told}");
    }
    let left: Vec<_> =
        fs::read_dir(folder.path()).expect("readable").map(|f| f.expect("one").file_name()).collect();
    assert_eq!(left.len(), 3, "no store, no ready file: {left:?}");
    std::net::TcpListener::bind(free).expect("nobody listens there");
}

#[tokio::test]
async fn what_cannot_be_served_is_refused() {
    let (_folder, shell) = keyed();
    for (setting, value, problem) in [
        ("listen.path_prefixes", "[\"/prod\", \"/a/ws\", \"/v1\"]", "\"/a/ws\" must look like /prod"),
        ("listen.path_prefixes", "[\"/a/../b\"]", "must look like /prod"),
        ("connections.heartbeat_s", "18446744073709551615", "must be at most"),
        ("drain.timeout_s", "9223372036854775807", "must be at most"),
        ("listen.sockets_max", "9223372036854775807", "must be at most 1000000000"),
        ("engine.handler_threads", "1000000", "must be at most 10000"),
    ] {
        let told = shell.run(["config", "check", "--set", &format!("{setting}={value}")]).await.failed(1);
        assert!(told.contains(setting) && told.contains(problem), "{setting} = {value}: {told}");
    }
}

#[tokio::test]
async fn without_a_key_the_way_to_one_is_shown() {
    let folder = folder();
    let told = shell(folder.path()).run(["serve"]).await.failed(1);
    assert!(told.contains("auth.public_key") && told.contains("streamer token keys"), "{told}");
}

#[tokio::test]
async fn the_example_is_a_file_of_all_defaults() {
    let (folder, shell) = keyed();
    let example = shell.run(["config", "example"]).await.succeeded();
    let defaults = in_force(&shell, &[]).await;
    assert!(defaults.len() > 40, "{} settings", defaults.len());

    fs::write(folder.path().join("streamer.toml"), &example).expect("written");
    assert_eq!(in_force(&shell, &[]).await, defaults, "as it is printed, it changes nothing");

    // Every setting that has a default, by taking away each # that no space follows.
    let bare = |line: &str| match line.strip_prefix('#') {
        Some(code) if !code.is_empty() && !code.starts_with(' ') => format!("{code}\n"),
        _ => format!("{line}\n"),
    };
    fs::write(folder.path().join("streamer.toml"), example.lines().map(bare).collect::<String>())
        .expect("written");
    let written = in_force(&shell, &[]).await;
    for ((name, value, origin), (default_name, default, _)) in written.iter().zip(&defaults) {
        assert_eq!((name, value), (default_name, default));
        // An empty map has no line of its own; the key comes from a variable.
        let expected = value == "(not set)" || value == "{}" || name == "auth.public_key_file";
        assert!(expected || origin.starts_with("streamer.toml, line"), "{name} comes from {origin}");
    }
    assert_eq!(written.len(), defaults.len());
}

#[tokio::test]
async fn flags_are_stronger_than_variables_than_the_env_file_than_the_file() {
    let (folder, shell) = keyed();
    let in_force = async |shell: &Shell, more: &[&str]| {
        let settings = in_force(shell, more).await;
        let (_, value, origin) =
            settings.into_iter().find(|(name, ..)| name == "engine.running_max").expect("a setting");
        (value, origin)
    };
    let (_, origin) = in_force(&shell, &[]).await;
    assert_eq!(origin, "built-in default");
    fs::write(folder.path().join("streamer.toml"), "[engine]\nrunning_max = 11\n").expect("written");
    assert_eq!(in_force(&shell, &[]).await, ("11".into(), "streamer.toml, line 2".into()));
    fs::write(folder.path().join(".env"), "STREAMER_ENGINE__RUNNING_MAX=12\n").expect("written");
    let expected = ("12".into(), ".env, line 1, STREAMER_ENGINE__RUNNING_MAX".into());
    assert_eq!(in_force(&shell, &[]).await, expected);
    let shell = shell.variable("STREAMER_ENGINE__RUNNING_MAX", "13");
    let expected = ("13".into(), "variable STREAMER_ENGINE__RUNNING_MAX".into());
    assert_eq!(in_force(&shell, &[]).await, expected);
    let flag = ["--set", "engine.running_max=14"];
    assert_eq!(in_force(&shell, &flag).await, ("14".into(), "flag --set".into()));

    // Another file, by flag and by variable.
    fs::write(folder.path().join("other.toml"), "[engine]\nlease_s = 99\n").expect("written");
    let other = ["--config", "other.toml"];
    let by_flag = self::in_force(&shell, &other).await;
    let by_variable = self::in_force(&shell.clone().variable("STREAMER_CONFIG", "other.toml"), &[]).await;
    assert!(by_flag.contains(&("engine.lease_s".into(), "99".into(), "other.toml, line 2".into())));
    assert_eq!(by_flag, by_variable);
    let missing = shell.run(["config", "check", "--config", "nowhere.toml"]).await.failed(1);
    assert!(missing.contains("nowhere.toml"), "{missing}");
    let unknown = shell.clone().variable("STREAMER_ENGINE__RUNING_MAX", "1");
    let told = unknown.run(["config", "check"]).await.failed(1);
    assert!(told.contains("did you mean STREAMER_ENGINE__RUNNING_MAX?"), "{told}");
}
