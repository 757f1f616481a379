//! A slot that is lost, and how one goes on.

use super::bed::Place;

#[tokio::test]
async fn a_lost_slot_stops_the_processor_and_a_snapshot_goes_on() {
    let Some(place) = Place::open().await else { return };
    place.commit_users(1, 10).await;
    let processor = place.streaming().await;
    place.await_users(10).await;
    let told = place.shell.run(["events", "resnapshot"]).await.failed(1);
    assert!(told.contains("is every processor stopped?"), "{told}");
    let _ = processor.stop().await;

    place.lose_slot().await;
    // Nobody saw these.
    place.commit_users(11, 10).await;
    let mut processor = place.processor("second", &[]).await;
    assert_eq!(processor.ended().await.code(), Some(1));
    let log = processor.log();
    assert!(log.contains("streamer events resnapshot") && log.contains("may be missing"), "{log}");
    assert_eq!(place.count("users").await, 10);

    let said = place.shell.run(["events", "resnapshot"]).await.succeeded();
    assert!(said.contains("the snapshot is complete"), "{said}");
    place.await_users(20).await;
    let processor = place.streaming().await;
    place.commit_users(21, 5).await;
    place.await_users(25).await;
    let _ = processor.stop().await;
}
