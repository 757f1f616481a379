//! `streamer events run`.

use serde_json::{Value, json};
use streamer_e2e::patience::until;

use super::bed::{Place, Told, id};

#[tokio::test]
async fn committed_events_become_read_models_and_a_restart_doubles_nothing() {
    let Some(place) = Place::open().await else { return };
    // Older than the processor: the snapshot brings them.
    place.commit_users(1, 20).await;
    let more = ["--metrics-file", "figures.json", "--set", "events.summary_interval_s=1"];
    let processor = place.processor("first", &more).await;
    place.await_users(20).await;
    processor.await_state("streaming").await;
    let activity = json!({ "title": "Chess", "creator_user_id": id(1), "max_participants": 4 });
    place
        .commit(&[
            Told("ActivityCreated", 500, activity),
            Told("ParticipantJoined", 500, json!({ "user_id": id(2), "activity_id": id(500) })),
            Told("UserUpdated", 3, json!({ "updates": { "profile.bio": "plays" } })),
        ])
        .await;
    let joined = async || {
        let activity = place.document("activities", &id(500)).await?;
        (activity["participants"]["current_count"] == 1).then_some(activity)
    };
    assert_eq!(until("the participant", joined).await["title"], "Chess");
    let updated =
        async || (place.document("users", &id(3)).await?["profile"]["bio"] == "plays").then_some(());
    until("the update", updated).await;
    until("their end", async || {
        processor.get("/metrics").await.text().contains("events_total 23").then_some(())
    })
    .await;

    let metrics = processor.get("/metrics").await.text();
    // Nobody knows when the rows of a snapshot were committed.
    for line in [
        "streamer_events_total 23",
        "streamer_events_latency_seconds_count{stage=\"total\",event_type=\"\"} 3",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} not in {metrics}");
    }
    assert!(metrics.contains("stage=\"total\",event_type=\"UserUpdated\",quantile=\"0.99\""), "{metrics}");
    until("a summary", async || processor.log().contains("events so far").then_some(())).await;
    let log = processor.stop().await;
    assert!(
        log.contains("the snapshot is complete") && !log.contains("streamer@127.0.0.1:streamer"),
        "{log}"
    );
    let figures = std::fs::read(place.folder.path().join("figures.json")).expect("was written");
    let figures: Value = serde_json::from_slice(&figures).expect("is whole");
    assert_eq!((&figures["events"], &figures["dead_letters"]), (&json!(23), &json!(0)));
    assert_eq!(figures["latency"]["by_type"]["UserCreated"]["count"], 20);

    place.commit_users(21, 5).await;
    let processor = place.streaming().await;
    place.await_users(25).await;
    let _ = processor.stop().await;
}

#[tokio::test]
async fn a_second_processor_waits_and_takes_over() {
    let Some(place) = Place::open().await else { return };
    let mut first = place.streaming().await;
    let second = place.processor("second", &[]).await;
    second.await_state("opening").await;
    assert_eq!(second.get("/healthz").await.status, 200);
    assert_eq!(second.get("/readyz").await.status, 503);
    place.commit_users(1, 10).await;
    place.await_users(10).await;
    assert_eq!(second.state().await.as_deref(), Some("opening"), "it still waits");
    first.kill().await;
    place.commit_users(11, 10).await;
    second.await_state("streaming").await;
    place.await_users(20).await;
    place.verify().await;
    // One that only waits stops as well.
    let third = place.processor("third", &[]).await;
    third.await_state("opening").await;
    let _ = third.stop().await;
    let _ = second.stop().await;
}

#[tokio::test]
async fn it_waits_for_read_models_that_are_not_there_yet() {
    let Some(mut place) = Place::open().await else { return };
    place.shell.set("MONGODB_URI", Some("mongodb://ada:hush@127.0.0.1:1"));
    let processor = place.processor("first", &["--set", "events.mongodb.server_selection_timeout_s=1"]).await;
    until("its word", async || processor.log().contains("the read models cannot be reached").then_some(()))
        .await;
    assert!(!processor.log().contains("hush"), "{}", processor.log());
    let log = processor.stop().await;
    assert!(!log.contains("panicked"), "{log}");
}
