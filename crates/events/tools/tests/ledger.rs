//! The ledger, pruned: what may come again stays known.

use std::{sync::Arc, time::Duration};

use streamer_events::{Moment, NewEpoch, State, clock::Clock as _, clock::SystemClock, projections};
use streamer_events_tools::{
    ledger::{Error, Pruned, prune},
    verify::{Settings, verify},
};
use streamer_sink_mongodb::LEDGER;

use crate::bed::{Bed, beside};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn pruned(bed: &Bed, gone_for: Duration, now: Moment) -> Result<Pruned, Error> {
    prune(&bed.place.settings, &bed.sink, gone_for, now, Duration::from_secs(10)).await
}

/// The same while a processor runs.
async fn pruned_beside(bed: &Bed, gone_for: Duration, now: Moment) -> Pruned {
    let settings = streamer_events::Settings::default();
    let pipeline = Arc::new(bed.pipeline(projections::registry(), settings));
    beside(&pipeline, pruned(bed, gone_for, now)).await.expect("is pruned")
}

fn after(now: Moment, days: i64) -> Moment {
    Moment::from_millis(now.as_millis() + days * 24 * 60 * 60 * 1000)
}

async fn whole(bed: &Bed) -> bool {
    let settings = Settings::of(bed.place.server().clone());
    verify(&settings, &bed.sink, &projections::registry()).await.expect("can be verified").is_whole
}

#[tokio::test]
async fn only_what_has_been_gone_for_long_is_forgotten_and_a_snapshot_still_knows_the_rest() {
    let Some(bed) = Bed::open().await else { return };
    bed.load(200, 21).await;
    bed.run(200, projections::registry()).await;
    bed.load(300, 21).await;
    bed.run(100, projections::registry()).await;
    let now = SystemClock.now();
    let entries =
        async || bed.documents(LEDGER).count_documents(mongodb::bson::doc! {}).await.expect("answers");
    let before = entries().await;
    // All have their rows.
    let all = Pruned { kept: 300, ..Pruned::default() };
    assert_eq!(pruned(&bed, Duration::ZERO, now).await.expect("has nothing to wait for"), all);

    bed.place.sql("DELETE FROM activity.event_outbox WHERE sequence_id <= 200").await;
    let some = Pruned { gone: 200, kept: 100, removed: 0 };
    assert_eq!(pruned(&bed, DAY, now).await.expect("has nothing to wait for"), some);
    assert_eq!(pruned_beside(&bed, DAY * 2, after(now, 1)).await, some);
    assert_eq!(entries().await, before);

    let mut settings = bed.place.settings.clone();
    settings.slot = "nobody".into();
    let error =
        prune(&settings, &bed.sink, DAY, after(now, 1), Duration::ZERO).await.expect_err("has no slot");
    assert!(error.to_string().contains("no replication slot nobody"), "{error}");
    assert_eq!(entries().await, before, "nothing is removed before it is confirmed");
    let rest = Pruned { removed: 200, kept: 100, gone: 0 };
    assert_eq!(pruned_beside(&bed, DAY, after(now, 1)).await, rest);
    assert!(entries().await < before);
    assert!(whole(&bed).await);

    // Read anew by another slot: the rows that are left are known.
    bed.place.source().forget_slot().await.expect("forgets it");
    let settings = streamer_events::Settings {
        on_new_epoch: NewEpoch::Resnapshot,
        ..streamer_events::Settings::default()
    };
    let pipeline = Arc::new(bed.pipeline(projections::registry(), settings));
    let mut state = pipeline.state();
    beside(&pipeline, async {
        state.wait_for(|state| *state == State::Streaming).await.expect("comes so far");
    })
    .await;
    assert_eq!((pipeline.tally().events(), pipeline.tally().again()), (0, 100));
    assert!(whole(&bed).await);
}

#[tokio::test]
async fn rows_that_come_back_are_not_gone() {
    let Some(bed) = Bed::open().await else { return };
    bed.load(50, 22).await;
    bed.run(50, projections::registry()).await;
    bed.place.sql("CREATE TABLE kept AS SELECT * FROM activity.event_outbox").await;
    bed.place.sql("DELETE FROM activity.event_outbox").await;
    let now = SystemClock.now();
    assert_eq!(pruned(&bed, DAY, now).await.expect("is noted").gone, 50);
    // As by a backup.
    bed.place.sql("INSERT INTO activity.event_outbox SELECT * FROM kept").await;
    assert_eq!(pruned(&bed, DAY, after(now, 2)).await.expect("is taken back").kept, 50);
    bed.place.sql("DELETE FROM activity.event_outbox").await;
    assert_eq!(pruned(&bed, DAY, after(now, 2)).await.expect("begins anew").gone, 50);
}

#[tokio::test]
async fn an_id_that_is_written_with_blanks_has_its_row() {
    let Some(bed) = Bed::open().await else { return };
    bed.place.sql("ALTER TABLE activity.event_outbox ALTER COLUMN event_id TYPE character(40)").await;
    bed.load(20, 23).await;
    bed.run(20, projections::registry()).await;
    let all = Pruned { kept: 20, ..Pruned::default() };
    assert_eq!(pruned(&bed, DAY, SystemClock.now()).await.expect("has nothing to wait for"), all);
}

#[tokio::test]
async fn rows_that_are_hidden_are_not_gone() {
    let Some(bed) = Bed::open().await else { return };
    bed.load(20, 24).await;
    bed.run(20, projections::registry()).await;
    bed.place
        .sql(
            "CREATE ROLE hidden_from LOGIN PASSWORD 'hidden'; GRANT USAGE ON SCHEMA activity TO hidden_from; \
             GRANT SELECT ON activity.event_outbox TO hidden_from; \
             ALTER TABLE activity.event_outbox ENABLE ROW LEVEL SECURITY",
        )
        .await;
    let mut settings = bed.place.settings.clone();
    settings.server.user = "hidden_from".into();
    settings.server.password = Some("hidden".into());
    let now = SystemClock.now();
    let error = prune(&settings, &bed.sink, DAY, now, Duration::ZERO).await.expect_err("cannot see the rows");
    assert!(error.to_string().contains("row-level security"), "{error}");
    let all = Pruned { kept: 20, ..Pruned::default() };
    assert_eq!(pruned(&bed, DAY, now).await.expect("has nothing to wait for"), all);
}
