//! The servers at both ends fail, and so does the way to them: afterwards every event is accounted for.

use std::time::Duration;

use streamer_e2e::patience::until;
use streamer_servers::postgres::Postgres;
use tokio::time::sleep;

use super::{
    bed::{Place, Processor},
    relay::{Mode, Relay},
    work::Work,
};

/// All is well, and the processor is still the one that was started.
async fn hold(place: &Place, work: &Work<'_>, processor: Processor) -> String {
    work.transaction().await;
    place.verify().await;
    let log = processor.stop().await;
    assert!(!log.contains("panicked"), "{log}");
    log
}

#[tokio::test]
async fn postgresql_that_restarts_under_load_is_waited_for() {
    let Some(place) = Place::alone().await else { return };
    let work = Work::at(&place);
    let processor = place.streaming().await;
    for ends in [Postgres::crash, Postgres::stop, Postgres::crash] {
        // Much of it is on its way.
        for _ in 0..5 {
            work.transaction().await;
        }
        work.until(place.restart(ends)).await;
    }
    let log = hold(&place, &work, processor).await;
    assert!(log.contains("the source cannot be reached"), "{log}");
}

#[tokio::test]
async fn replication_connections_that_are_cut_are_made_again() {
    let Some(place) = Place::open().await else { return };
    let port = place.shell.value("POSTGRES_PORT").expect("is set").parse().expect("a port");
    let relay = Relay::to(port).await;
    let work = Work::at(&place);
    let processor = place.streaming_with("POSTGRES_PORT", &relay.port().to_string()).await;
    let slot = format!("slot_{}", place.database);
    let terminate = format!(
        "SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots WHERE slot_name = '{slot}' AND active"
    );
    let cutting = async {
        for round in 0..8 {
            // As soon as it reads again.
            until("the slot to be read", async || (place.sql(&terminate).await == "t").then_some(())).await;
            if round % 2 == 1 {
                relay.cut();
            }
        }
    };
    work.until(cutting).await;
    let log = hold(&place, &work, processor).await;
    assert!(log.matches("the stream begins").count() > 8, "{log}");
}

#[tokio::test]
async fn a_sink_that_is_down_or_answers_errors_is_waited_for_and_lost_replies_double_nothing() {
    let Some(place) = Place::open().await else { return };
    let relay = Relay::to_mongodb(place.models_port()).await;
    let work = Work::at(&place);
    let through = format!("mongodb://127.0.0.1:{}", relay.port());
    let processor = place.streaming_with("MONGODB_URI", &through).await;

    relay.set(Mode::Away);
    work.until(sleep(Duration::from_secs(10))).await;
    let before = processor.metric("streamer_events_total").await;
    let rows: f64 = place.sql("SELECT count(*) FROM activity.event_outbox").await.parse().expect("a number");
    assert!(before < rows, "nothing is done while nobody takes it: {before} of {rows}");
    relay.set(Mode::Pass);
    let all = async || (processor.metric("streamer_events_total").await >= rows).then_some(());
    until("the events to be done", all).await;

    // PrimarySteppedDown, InterruptedAtShutdown, and one that nobody expects.
    for code in [189, 11_600, 8] {
        let before = relay.refused();
        relay.set(Mode::Err(code));
        let refused = until("errors", async || (relay.refused() > before + 3).then_some(()));
        work.until(refused).await;
        relay.set(Mode::Pass);
        work.transaction().await;
    }

    let before = processor.metric("streamer_events_sink_failures_total").await;
    relay.set(Mode::Forget);
    work.until(until("replies to be lost", async || (relay.lost() > 10).then_some(()))).await;
    relay.set(Mode::Pass);
    assert!(processor.metric("streamer_events_sink_failures_total").await > before);
    let log = hold(&place, &work, processor).await;
    assert!(log.contains("the sink answers again"), "{log}");
}
