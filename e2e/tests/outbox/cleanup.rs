//! `streamer events cleanup`.

use super::bed::Place;

#[tokio::test]
async fn only_what_is_handled_is_marked_and_removed() {
    let Some(place) = Place::open().await else { return };
    let processor = place.streaming().await;
    place.commit_users(1, 10).await;
    place.await_users(10).await;
    let marked = place.shell.run(["events", "cleanup", "mark"]).await.succeeded();
    assert!(marked.contains("10 rows marked"), "{marked}");
    let _ = processor.stop().await;

    // Committed, and seen by nobody.
    place.commit_users(11, 5).await;
    let now = ["events", "cleanup", "prune", "--older-than", "0s", "--wait-s", "1"];
    let told = place.shell.run(now).await.failed(1);
    assert!(told.contains("is not confirmed") && told.contains("streamer events run"), "{told}");
    let rows = "SELECT status, count(*) FROM activity.event_outbox GROUP BY 1 ORDER BY 1";
    assert_eq!(place.sql(rows).await, "pending|5\nprocessed|10");

    let processor = place.streaming().await;
    place.await_users(15).await;
    let old = place.shell.run(["events", "cleanup", "prune", "--older-than", "1h"]).await.succeeded();
    assert!(old.contains("0 rows removed"), "{old}");
    let all = place.shell.run(["events", "cleanup", "prune", "--older-than", "0s"]).await.succeeded();
    assert!(all.contains("15 rows removed"), "{all}");
    for (gone_for, said) in
        [("30d", "0 events removed from the ledger, 0 kept, 15 gone"), ("0s", "15 events removed")]
    {
        let forgotten =
            place.shell.run(["events", "cleanup", "ledger", "--gone-for", gone_for]).await.succeeded();
        assert!(forgotten.contains(said), "{forgotten}");
    }
    // Neither came back as an event.
    place.commit_users(16, 1).await;
    place.await_users(16).await;
    let _ = processor.stop().await;
}

#[tokio::test]
async fn everything_goes_and_begins_from_nothing() {
    let Some(place) = Place::open().await else { return };
    let processor = place.streaming().await;
    place.commit_users(1, 10).await;
    place.await_users(10).await;
    let told = place.shell.run(["events", "cleanup", "all", "--yes"]).await.failed(1);
    assert!(told.contains("is every processor stopped?"), "{told}");
    assert_eq!(place.count("users").await, 10, "nothing is removed");
    let _ = processor.stop().await;
    let _ = place.shell.run(["events", "cleanup", "all"]).await.failed(2);
    let removed = place.shell.run(["events", "cleanup", "all", "--yes"]).await.succeeded();
    assert!(removed.contains("removed: slot") && removed.contains("11 documents"), "{removed}");
    assert_eq!((place.count("users").await, place.count("_streamer_ledger").await), (0, 0));
    let again = place.shell.run(["events", "cleanup", "all", "--yes", "--outbox"]).await.succeeded();
    assert!(again.contains("removed: table activity.event_outbox") && !again.contains("slot "), "{again}");
    let _ = place.shell.run(["events", "setup"]).await.succeeded();
    place.commit_users(1, 3).await;
    let processor = place.streaming().await;
    place.await_users(3).await;
    let _ = processor.stop().await;
}
