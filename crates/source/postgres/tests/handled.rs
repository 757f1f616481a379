//! Rows that are handled, seen to.

use std::time::Duration;

use streamer_events::source::Source as _;
use streamer_source_postgres::{Handled, see_to_handled};

use crate::bed::{LIMIT, Place, begun, changes, row, source};

#[tokio::test]
async fn on_an_idle_log_nobody_waits_for_the_heart() {
    let Some(mut place) = Place::open().await else { return };
    place.settings.heartbeat_interval = Duration::from_secs(600);
    let source = begun(source(place.settings.clone())).await;
    place.insert(&[row(1), row(2)]).await;
    let change = changes(&source, 2).await.remove(1);
    let mark = async |patience_ms| {
        see_to_handled(&place.settings, Handled::Mark, Duration::from_millis(patience_ms)).await
    };
    // What moves the slot on does not move it past what is not confirmed.
    tokio::select! {
        reads = source.read(LIMIT) => panic!("nothing should come: {reads:?}"),
        marked = mark(500) => {
            let error = marked.expect_err("is not confirmed").to_string();
            assert!(error.contains("is not confirmed"), "{error}");
        }
    }
    source.confirm(&change.position).await;
    // The second time with nothing at all in the log since.
    for count in [2, 0] {
        tokio::select! {
            reads = source.read(LIMIT) => panic!("nothing should come: {reads:?}"),
            marked = mark(10_000) => assert_eq!(marked.expect("is confirmed"), count),
        }
    }
    source.close().await.expect("closes");
}
