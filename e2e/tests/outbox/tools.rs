//! The commands around a pipeline: what they say, and what they exit with.

use super::bed::{Place, id};

#[tokio::test]
async fn load_run_verify_and_report_say_that_all_is_well_and_what_is_not() {
    let Some(place) = Place::open().await else { return };
    let processor = place.streaming().await;
    let _ = place.shell.run(["events", "load", "10", "--unpaced", "--seed", "1"]).await.succeeded();
    place.commit_users(1, 3).await;
    let said = place.shell.run(["events", "verify", "--wait", "20"]).await.succeeded();
    assert!(said.contains("UserCreated"), "{said}");
    let said = place.shell.run(["events", "report", "--from", &processor.admin_url()]).await.succeeded();
    assert!(said.contains("total"), "{said}");
    let _ = processor.stop().await;

    // The newest but one: the oldest might have been pruned.
    let gone = id(2);
    place.remove("users", &gone).await;
    let ran = place.shell.run(["events", "verify"]).await;
    assert!(ran.code == Some(1) && ran.stdout.contains(&gone), "{ran}");
}
