//! The server goes and comes back, the connection breaks: nothing is lost and nothing is given twice.

use std::sync::Arc;

use streamer_events::source::Source as _;
use streamer_servers::{
    or_skip,
    postgres::{Postgres, Settings as ClusterSettings},
};

use crate::bed::{Place, begun, changes, event_id, id, row, within};

#[tokio::test]
async fn a_connection_that_is_cut_is_made_again() {
    let Some(place) = Place::open().await else { return };
    let source = begun(place.source()).await;
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE application_name = 'streamer' AND datname = current_database()";
    let mut ids = Vec::new();
    for round in 0..4 {
        place.insert(&[row(3 * round + 1), row(3 * round + 2)]).await;
        // In the middle of a transaction, for the pipeline; one of the two is taken.
        ids.push(event_id(&changes(&source, 1).await[0]));
        assert_ne!(place.sql(cut).await, "0");
        place.insert(&[row(3 * round + 3)]).await;
        ids.extend(changes(&source, 2).await.iter().map(event_id));
    }
    assert_eq!(ids, (1..=12).map(id).collect::<Vec<_>>());
    source.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts_is_waited_for() {
    let started = tokio::task::block_in_place(|| Postgres::start(&ClusterSettings::default()));
    let Some(mut cluster) = or_skip(started) else { return };
    let place = Place::bare(&cluster);
    place.make_outbox().await;
    let source = Arc::new(begun(place.source()).await);
    place.insert(&[row(1), row(2)]).await;
    let first = changes(&source, 2).await;
    source.confirm(&first[1].position).await;
    for (n, crashes) in [(3, true), (4, false)] {
        let reader = Arc::clone(&source);
        let reading = tokio::spawn(async move { changes(&reader, 1).await });
        tokio::task::block_in_place(|| {
            if crashes {
                cluster.crash();
            } else {
                cluster.stop();
            }
            cluster.resume().expect("starts");
        });
        place.insert(&[row(n)]).await;
        let read = within(reading).await.expect("reads");
        assert_eq!(event_id(&read[0]), id(n));
        source.confirm(&read[0].position).await;
    }
    source.close().await.expect("closes");
}

#[tokio::test]
async fn a_snapshot_that_is_cut_goes_on_where_it_was() {
    let Some(place) = Place::open().await else { return };
    place.insert(&(1..=9).map(row).collect::<Vec<_>>()).await;
    let source = place.source();
    within(source.open()).await.expect("opens");
    source.start(Some(1)).await.expect("starts");
    let mut ids: Vec<_> = changes(&source, 4).await.iter().map(event_id).collect();
    place
        .sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE application_name = 'streamer' AND datname = current_database()",
        )
        .await;
    place.insert(&[row(10)]).await;
    while ids.last() != Some(&id(10)) {
        ids.push(event_id(&changes(&source, 1).await[0]));
    }
    // The last one once or twice: in the new snapshot, and in the stream, which says so.
    ids.dedup();
    assert_eq!(ids, (1..=10).map(id).collect::<Vec<_>>());
    source.close().await.expect("closes");
}
