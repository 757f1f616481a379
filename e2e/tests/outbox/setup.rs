//! `streamer events setup`.

use streamer_servers::{
    or_skip,
    postgres::{Postgres, Settings},
};

use super::bed::Place;

#[tokio::test]
async fn it_makes_what_is_missing_and_nothing_twice() {
    let Some(place) = Place::bare().await else { return };
    let told = place.shell.run(["events", "run", "--set", "events.admin.enabled=false"]).await.failed(1);
    assert!(told.contains("streamer events setup"), "it names what mends it: {told}");
    let first = place.shell.run(["events", "setup"]).await.succeeded();
    for piece in ["schema activity", "table activity.event_outbox", "publication", "slot"] {
        assert!(first.contains(&format!("made: {piece}")), "{piece}: {first}");
    }
    let second = place.shell.run(["events", "setup"]).await.succeeded();
    assert!(!second.contains("made:"), "{second}");
    // Other names: setup makes those.
    let other =
        ["events", "setup", "--set", "events.outbox.schema=other", "--set", "events.outbox.table=box"];
    let named = ["--set", "events.postgres.publication=p", "--set", "events.postgres.slot=another_slot"];
    let third = place.shell.run(other.iter().chain(&named)).await.succeeded();
    assert!(third.contains("table other.box") && third.contains("slot another_slot"), "{third}");
    place.sql("SELECT pg_drop_replication_slot('another_slot')").await;
}

#[tokio::test]
async fn what_is_wrong_with_a_server_is_told_with_what_mends_it() {
    let Some(place) = Place::bare().await else { return };
    let settings = Settings { settings: vec![("wal_level".into(), "replica".into())], ..Settings::default() };
    let started = tokio::task::spawn_blocking(move || Postgres::start(&settings)).await;
    let Some(unready) = or_skip(started.expect("does not panic")) else { return };
    let at = ["--postgres-port", &unready.port().to_string(), "--postgres-db", "postgres"];
    let told = place.shell.run(["events", "setup"].iter().chain(&at)).await.failed(1);
    assert!(told.contains("wal_level is replica") && told.contains("ALTER SYSTEM SET wal_level"), "{told}");

    // Who says the wrong password is told so, without the password.
    let shell = place.shell.clone().variable("POSTGRES_PASSWORD", "hush-hush");
    let told = shell.run(["events", "setup"]).await.failed(1);
    assert!(told.contains("password authentication failed") && !told.contains("hush"), "{told}");
    let told = place.shell.run(["events", "setup", "--postgres-port", "1"]).await.failed(1);
    assert!(told.contains("127.0.0.1:1") || told.contains("refused"), "{told}");
}
