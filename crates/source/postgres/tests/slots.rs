//! The slot: confirmed by what is durable, lost when it is lost, read by one.

use std::time::Duration;

use streamer_events::source::{ErrorKind, Source as _};
use streamer_servers::{
    or_skip,
    postgres::{Postgres, Settings as ClusterSettings},
};

use crate::bed::{LIMIT, Place, begun, changes, event_id, id, row, within};

async fn confirmed(place: &Place) -> String {
    let slot = &place.settings.slot;
    place
        .sql(format!("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{slot}'"))
        .await
}

async fn await_that(place: &Place, sql: &str) {
    within(async {
        while place.sql(sql).await != "t" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn it_moves_with_what_is_confirmed_and_with_an_idle_log_but_not_past_what_is_not() {
    let Some(place) = Place::open().await else { return };
    let source = begun(place.source()).await;
    place.insert(&[row(1)]).await;
    let change = changes(&source, 1).await.remove(0);
    let before = confirmed(&place).await;
    // Others write, the heart beats: the slot waits for what is not confirmed.
    place.sql("CREATE TABLE noise AS SELECT generate_series(1, 1000)").await;
    let beats = || place.sql("SELECT pg_current_wal_lsn()");
    let from = beats().await;
    let reading = async { source.read(LIMIT).await.expect("reads") };
    tokio::select! {
        reads = reading => panic!("nothing should come: {}", reads.len()),
        () = async {
            // Two beats later.
            await_that(&place, &format!("SELECT pg_current_wal_lsn() > '{from}'")).await;
            tokio::time::sleep(place.settings.heartbeat_interval * 2).await;
        } => {}
    }
    assert_eq!(confirmed(&place).await, before);
    source.confirm(&change.position).await;
    let upto = beats().await;
    let slot = place.settings.slot.clone();
    let has_moved = format!(
        "SELECT confirmed_flush_lsn >= '{upto}' FROM pg_replication_slots WHERE slot_name = '{slot}'"
    );
    let reading = async { source.read(LIMIT).await.expect("reads") };
    tokio::select! {
        reads = reading => panic!("nothing should come: {}", reads.len()),
        () = await_that(&place, &has_moved) => {}
    }
    let lag = source.lag().await.expect("answers").expect("is there");
    assert_eq!(lag.wal_status, "reserved");
    // Others write into the same log all the while.
    let written: u64 = place
        .sql(format!("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '{upto}')"))
        .await
        .parse()
        .expect("a number");
    assert!(lag.bytes <= written, "{lag:?}, {written}");
    source.close().await.expect("closes");
}

#[tokio::test]
async fn a_second_process_waits_and_takes_over() {
    let Some(place) = Place::open().await else { return };
    let first = begun(place.source()).await;
    place.insert(&[row(1), row(2)]).await;
    let changes_of_first = changes(&first, 2).await;
    first.confirm(&changes_of_first[1].position).await;
    let second = place.source();
    {
        let opening = second.open();
        tokio::pin!(opening);
        assert!(tokio::time::timeout(Duration::from_millis(300), &mut opening).await.is_err(), "it waits");
        place.insert(&[row(3)]).await;
        drop(changes(&first, 1).await);
        // The first dies without a word.
        drop(first);
        within(opening).await.expect("takes over");
    }
    second.start(None).await.expect("starts");
    let mut ids = Vec::new();
    while ids.last() != Some(&id(3)) {
        ids.push(event_id(&changes(&second, 1).await[0]));
    }
    second.close().await.expect("closes");
}

#[tokio::test]
async fn one_that_was_dropped_or_made_anew_is_lost_and_says_what_goes_on() {
    let Some(place) = Place::open().await else { return };
    let source = begun(place.source()).await;
    source.close().await.expect("closes");
    let slot = place.settings.slot.clone();
    place.sql(format!("SELECT pg_drop_replication_slot('{slot}')")).await;
    let gone = within(place.source().open()).await.expect_err("is gone");
    assert_eq!(gone.kind(), ErrorKind::Lost);
    assert!(
        gone.to_string().contains("may be missing") && gone.mend() == Some("streamer events resnapshot"),
        "{gone}"
    );
    // Somebody makes one of the same name; what came between is not in it.
    place.insert(&[row(1)]).await;
    place.sql(format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")).await;
    let anew = within(place.source().open()).await.expect_err("is another");
    assert_eq!(anew.kind(), ErrorKind::Lost);
    assert!(anew.to_string().contains("made anew"), "{anew}");
    // What the command does: another slot, another life, and everything by a snapshot.
    let source = place.source();
    source.forget_slot().await.expect("forgets it");
    within(source.open()).await.expect("opens");
    source.start(Some(1)).await.expect("starts");
    assert_eq!(event_id(&changes(&source, 1).await[0]), id(1));
    source.close().await.expect("closes");
}

#[tokio::test]
async fn each_life_of_a_slot_is_another() {
    let Some(place) = Place::open().await else { return };
    let first = place.source();
    let epoch = within(first.open()).await.expect("opens").epoch;
    first.close().await.expect("closes");
    let again = place.source();
    assert_eq!(within(again.open()).await.expect("opens").epoch, epoch);
    again.close().await.expect("closes");
    let anew = place.source();
    anew.forget_slot().await.expect("forgets it");
    assert_ne!(within(anew.open()).await.expect("opens").epoch, epoch);
    anew.close().await.expect("closes");
}

#[tokio::test]
async fn one_that_holds_back_too_much_is_invalidated_by_the_server_and_lost_here() {
    let settings = ClusterSettings {
        settings: vec![
            ("max_slot_wal_keep_size".into(), "1MB".into()),
            ("max_wal_size".into(), "32MB".into()),
            ("min_wal_size".into(), "32MB".into()),
        ],
        ..ClusterSettings::default()
    };
    let Some(cluster) =
        or_skip(tokio::task::spawn_blocking(move || Postgres::start(&settings)).await.expect("runs"))
    else {
        return;
    };
    let place = Place::bare(&cluster);
    place.make_outbox().await;
    begun(place.source()).await.close().await.expect("closes");
    place.sql("CREATE TABLE noise (x text)").await;
    for _ in 0..4 {
        place.sql("INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 20000)").await;
        place.sql("CHECKPOINT").await;
    }
    let lost = within(place.source().open()).await.expect_err("is lost");
    assert_eq!(lost.kind(), ErrorKind::Lost);
    assert!(lost.to_string().contains("invalidated"), "{lost}");
}

#[tokio::test]
async fn a_snapshot_goes_over_into_the_slot_that_it_was_taken_with() {
    let Some(place) = Place::open().await else { return };
    place.insert(&[row(1), row(2)]).await;
    let source = place.source();
    within(source.open()).await.expect("opens");
    // After the slot was made, and before its snapshot is read: only the stream brings it.
    place.insert(&[row(3)]).await;
    source.start(Some(1)).await.expect("starts");
    let changes = changes(&source, 3).await;
    let told: Vec<_> = changes.iter().map(|change| (event_id(change), change.op.letter())).collect();
    assert_eq!(told, [(id(1), "r"), (id(2), "r"), (id(3), "c")]);
    assert!(!changes[2].may_be_known);
    source.close().await.expect("closes");
}
