//! The processor, and what is done beside it, dies at each place around a durable step in turn: afterwards every event
//! is accounted for.
//!
//! `FAILPOINT=apply.after cargo test -p streamer-e2e failpoints` dies at one place only, `FAILPOINT=apply` at both.

use std::panic::AssertUnwindSafe;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use streamer_e2e::{command::Ran, patience::until};
use streamer_engine::failpoint::Step as RequestStep;
use streamer_events::failpoint::Step;

use super::{
    bed::{Place, Processor},
    work::{MAPPINGS, Work},
};

/// How many die at once.
const AT_ONCE: usize = 4;

/// The variable that names the place.
const VARIABLE: &str = "STREAMER_FAILPOINT";

/// What dies there, and is done again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `events setup`, on an empty database.
    Setup,
    /// `events run`: the first one, which takes a snapshot, under load.
    Snapshot,
    /// `events run`: another one, which follows what is committed, under load.
    Follow,
    /// `streamer serve` with events and topics, under load.
    Serve,
    /// `events resnapshot`, after the slot was lost.
    Resnapshot,
    /// `events replay`, once what a letter is about was mended.
    Replay,
    /// `events cleanup mark`.
    Mark,
    /// `events cleanup ledger`.
    Forget,
    /// `events cleanup all`.
    CleanUp,
}

/// What comes to a step, and at which arrivals it dies: once for each.
const fn ways_to(step: Step) -> &'static [(Way, &'static [u32])] {
    match step {
        // It is begun, and complete.
        Step::Adopt => &[(Way::Snapshot, &[1, 2])],
        Step::Record => &[(Way::Snapshot, &[1]), (Way::Follow, &[2])],
        Step::Apply => &[(Way::Snapshot, &[1]), (Way::Follow, &[1, 3])],
        Step::Publish => &[(Way::Serve, &[2])],
        Step::Bury => &[(Way::Snapshot, &[1]), (Way::Follow, &[1])],
        Step::Overlap | Step::Index => &[(Way::Snapshot, &[1])],
        // That of the snapshot's life is the first; then some for each batch.
        Step::Update => &[(Way::Snapshot, &[2, 4]), (Way::Follow, &[4, 7])],
        Step::Report => &[(Way::Follow, &[1])],
        // The first says nothing new.
        Step::Confirm => &[(Way::Follow, &[3])],
        Step::Discard => &[(Way::Replay, &[1])],
        Step::SeeTo => &[(Way::Mark, &[1])],
        // It is noted, and removed.
        Step::Forget => &[(Way::Forget, &[1, 2])],
        // Schema, outbox, table of slots, publication.
        Step::Make => &[(Way::Setup, &[1, 2, 3, 4])],
        Step::MakeSlot | Step::KnowSlot => &[(Way::Setup, &[1]), (Way::Resnapshot, &[1])],
        Step::DropSlot => &[(Way::Resnapshot, &[1]), (Way::CleanUp, &[1])],
        Step::ForgetSlot => &[(Way::Resnapshot, &[1])],
        // Publication, table of slots.
        Step::Unmake => &[(Way::CleanUp, &[1, 2])],
        // A collection of documents, and the source's life.
        Step::Empty => &[(Way::CleanUp, &[1, 6])],
    }
}

/// Runs a command that must die at the place.
async fn dies(place: &Place, at: &str, command: &[&str]) {
    let ran = place.shell.clone().variable(VARIABLE, at).run(command.iter().copied()).await;
    hold_died(at, &ran);
}

#[track_caller]
fn hold_died(at: &str, ran: &Ran) {
    let name = at.split(':').next().unwrap_or(at);
    let said = ran.stderr.lines().any(|line| line == format!("failpoint {name}"));
    assert!(ran.code.is_none() && said, "it never came to {at}: {ran}");
}

/// A processor that has applied a transaction: one that streams has read all rows that were there.
async fn at_work(place: &Place, work: &Work<'_>) -> Processor {
    work.transaction().await;
    place.streaming().await
}

async fn succeeds(place: &Place, command: &[&str]) {
    let _ = place.shell.run(command.iter().copied()).await.succeeded();
}

/// Lets something die at one place, does it again, and holds that nothing is lost and nothing doubled.
async fn die_at(place: &Place, way: Way, at: &str) {
    let work = Work::at(place);
    if way != Way::Setup {
        succeeds(place, &["events", "setup"]).await;
    }
    match way {
        Way::Setup => {
            dies(place, at, &["events", "setup"]).await;
            succeeds(place, &["events", "setup"]).await;
        }
        Way::Snapshot => {
            work.transaction().await;
            work.until(dies(place, at, &["events", "run"])).await;
        }
        Way::Follow => {
            let _ = at_work(place, &work).await.stop().await;
            work.until(dies(place, at, &["events", "run"])).await;
        }
        Way::Serve => return die_serving(place, &work, at).await,
        Way::Resnapshot => {
            let _ = at_work(place, &work).await.stop().await;
            place.lose_slot().await;
            // Nobody saw this.
            work.transaction().await;
            dies(place, at, &["events", "resnapshot"]).await;
            succeeds(place, &["events", "resnapshot"]).await;
        }
        Way::Replay => {
            let file = place.folder.path().join("streamer.toml");
            let wrong = MAPPINGS.replacen("fields", "id = \"number\"\nfields", 1);
            std::fs::write(&file, wrong).expect("the folder is ours");
            let _ = at_work(place, &work).await.stop().await;
            std::fs::write(&file, MAPPINGS).expect("the folder is ours");
            let replay = ["events", "replay", "--handler", "orders"];
            dies(place, at, &replay).await;
            succeeds(place, &replay).await;
        }
        Way::Mark => {
            work.transaction().await;
            let _running = place.processor("first", &[]).await;
            dies(place, at, &["events", "cleanup", "mark"]).await;
            succeeds(place, &["events", "cleanup", "mark"]).await;
            let pending =
                place.sql("SELECT count(*) FROM activity.event_outbox WHERE status = 'pending'").await;
            assert_eq!(pending, "0");
            return place.verify().await;
        }
        Way::Forget => {
            let _running = at_work(place, &work).await;
            place.sql("DELETE FROM activity.event_outbox").await;
            let forget = ["events", "cleanup", "ledger", "--gone-for", "0s"];
            dies(place, at, &forget).await;
            succeeds(place, &forget).await;
            assert_eq!(place.count("_streamer_ledger").await, 0);
            work.transaction().await;
            return place.verify().await;
        }
        Way::CleanUp => {
            let _ = at_work(place, &work).await.stop().await;
            dies(place, at, &["events", "cleanup", "all", "--yes"]).await;
            succeeds(place, &["events", "cleanup", "all", "--yes"]).await;
            succeeds(place, &["events", "setup"]).await;
        }
    }
    let _running = at_work(place, &work).await;
    work.transaction().await;
    place.verify().await;
}

/// The same of a server.
async fn die_serving(place: &Place, work: &Work<'_>, at: &str) {
    let file = place.folder.path().join("streamer.toml");
    let mut server = place
        .server()
        .set("topics.histories", r#"{ "" = { kind = "durable" } }"#)
        .set("events.topics.enabled", true)
        .set("events.topics.tenant", "acme")
        .prepared();
    std::fs::copy(file, server.folder().join("streamer.toml")).expect("the folders are ours");
    server.set_variable(VARIABLE, Some(at));
    work.transaction().await;
    server.restart().await;
    let status = work.until(server.ended()).await;
    let name = at.split(':').next().unwrap_or(at);
    assert!(status.code().is_none() && server.log().contains(&format!("failpoint {name}")), "{at}: {status}");
    server.set_variable(VARIABLE, None);
    server.restart().await;
    work.transaction().await;
    place.verify().await;
    until("the events to be followed", async || {
        (server.metric("streamer_events_running", &[]).await == 1.0).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_death_on_either_side_of_every_durable_step_loses_and_doubles_nothing() {
    if Place::bare().await.is_none() {
        return;
    }
    let only = std::env::var("FAILPOINT").unwrap_or_default();
    let places = Step::ALL.iter().flat_map(|step| {
        let ways =
            ways_to(*step).iter().flat_map(|(way, counts)| counts.iter().map(move |count| (*way, count)));
        ways.flat_map(move |(way, count)| {
            ["before", "after"].map(|side| (way, format!("{}.{side}:{count}", step.name())))
        })
    });
    let dying = stream::iter(places.filter(|(_, at)| at.starts_with(&only)))
        .map(|(way, at)| async move {
            let place = Place::bare().await.expect("is there");
            let died = AssertUnwindSafe(die_at(&place, way, &at)).catch_unwind().await;
            place.leave().await;
            died.is_err().then_some(at)
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready);
    let mut broken = dying.collect::<Vec<String>>().await;
    broken.sort();
    // Why stands above, each with the end of its processor's log.
    assert!(broken.is_empty(), "an event was lost or doubled by a death at {}", broken.join(", "));
}

#[test]
fn no_two_steps_share_a_name() {
    let requests = RequestStep::ALL.iter().map(|step| step.name());
    let mut names: Vec<_> = requests.chain(Step::ALL.iter().map(|step| step.name())).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "{names:?}");
}
