//! Where the settings of events come from.

use crate::{folder, shell};

#[tokio::test]
async fn the_well_known_variables_and_the_env_file_are_read_and_secrets_are_not_shown() {
    let folder = folder();
    std::fs::write(folder.path().join(".env"), "POSTGRES_HOST=db.example\nPOSTGRES_PASSWORD=hush\n")
        .expect("written");
    std::fs::write(
        folder.path().join("streamer.toml"),
        "[events.postgres]\nhost = \"weaker\"\nport = 6000\n",
    )
    .expect("written");
    let shell = shell(folder.path())
        .variable("POSTGRES_DB", "shop")
        .variable("POSTGRES_USER", "reader")
        .variable("MONGODB_URI", "mongodb://ada:hu/sh@mongo.example:27017/?authSource=hush")
        .variable("MONGODB_DATABASE", "models")
        .variable("BATCH_SIZE", "77")
        .variable("METRICS_FILE", "figures.json")
        .variable("LOG_LEVEL", "debug");
    let shown = shell.run(["config", "check", "--events", "--show"]).await.succeeded();
    let value = |name: &str| {
        let line = shown.lines().find(|line| line.split(" = ").next().is_some_and(|n| n.trim() == name));
        line.unwrap_or_else(|| panic!("no {name}: {shown}")).to_owned()
    };
    for (name, expected) in [
        ("events.postgres.host", "\"db.example\""),
        ("events.postgres.port", "6000"),
        ("events.postgres.database", "\"shop\""),
        ("events.postgres.user", "\"reader\""),
        ("events.postgres.password", "(hidden)"),
        ("events.mongodb.uri", "\"mongodb://mongo.example:27017\""),
        ("events.mongodb.database", "\"models\""),
        ("events.batch_events_max", "77"),
        ("events.metrics_file", "\"figures.json\""),
        ("logs.filter", "\"debug\""),
    ] {
        assert!(value(name).contains(expected), "{}", value(name));
    }
    assert!(!shown.contains("hush") && !shown.contains("hu/sh"), "{shown}");
    // A server beside other programs does not take these for its own.
    let told = shell.run(["config", "check"]).await.failed(1);
    assert!(told.starts_with("one mistake") && told.contains("auth.public_key"), "{told}");
}

#[tokio::test]
async fn mistakes_are_told_at_once_by_their_names() {
    let folder = folder();
    let wrong = [
        ("events.batch_events_max", "0"),
        ("events.retry_max_ms", "1"),
        ("events.postgres.slot", "No-Slot"),
        ("events.postgres.tls", "perhaps"),
        ("events.postgres.password_file", "/nowhere/hush"),
        ("events.outbox.payload_column", "event_id"),
        ("events.mongodb.uri", "postgres://u:hush2@h/"),
        ("events.mongodb.database", "a.b"),
        ("events.admin.address", "here"),
        ("events.mappings.orders.collection", "_streamer_ledger"),
    ];
    let mut arguments = vec!["config".to_owned(), "check".into(), "--events".into()];
    for (name, value) in wrong {
        arguments.extend(["--set".to_owned(), format!("{name}={value}")]);
    }
    let told = shell(folder.path()).run(&arguments).await.failed(1);
    for (name, _) in wrong {
        assert!(told.contains(&format!("\n  {name} (flag --set)")), "{name} is not told: {told}");
    }
    assert!(told.contains("events.mappings.orders.event_type"), "{told}");
    assert!(!told.contains("hush2"), "{told}");
    // The commands say the same.
    let ran = shell(folder.path()).run(["events", "run", "--batch-size", "0"]).await.failed(1);
    assert!(ran.contains("events.batch_events_max (flag --batch-size)"), "{ran}");
    let usage = shell(folder.path()).run(["events", "run", "--no-such-flag"]).await.failed(2);
    assert!(usage.contains("--no-such-flag"), "{usage}");
}
