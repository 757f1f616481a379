//! Events as messages of live topics, from a server that does a processor's work too.

use std::time::Duration;

use serde_json::{Value, json};
use streamer_e2e::{
    issuer::Issuer,
    patience::until,
    peer::Peer,
    scenario::{Place as _, TokenKind, Wanted},
    server::{ADMIN_TOKEN, Server, Setup},
};

use super::bed::{Place, Told, id};

const ACTIVITY: u64 = 500;

fn topic() -> String {
    format!("Activity.{}", id(ACTIVITY))
}

fn durable(setup: Setup) -> Setup {
    setup
        .set("topics.histories", r#"{ "Activity." = { kind = "durable" } }"#)
        .set("events.topics.enabled", true)
}

fn changed(n: u64) -> Told<'static> {
    Told("ActivityUpdated", ACTIVITY, json!({ "updates": { "title": format!("t{n}") }, "tenant": "acme" }))
}

async fn created(place: &Place) {
    place
        .commit(&[Told(
            "ActivityCreated",
            ACTIVITY,
            json!({ "title": "t0", "creator_id": id(1), "tenant": "acme" }),
        )])
        .await;
}

async fn follows(server: &Server) {
    let running = async || (server.metric("streamer_events_running", &[]).await == 1.0).then_some(());
    until("the events to be followed", running).await;
}

async fn subscribe(peer: &mut Peer, since: Option<(&Value, u64)>) -> Value {
    let mut payload = json!({ "topic": topic() });
    if let Some((epoch, offset)) = since {
        payload["since"] = json!({ "epoch": epoch, "offset": offset });
    }
    let answer = peer.ask("s", "subscribe", payload).await;
    assert_eq!(answer["type"], "response", "{answer}");
    answer["data"].clone()
}

#[tokio::test]
async fn a_subscriber_hears_of_a_commit_and_the_read_model_has_it_too() {
    let Some(place) = Place::open().await else { return };
    let mut server = durable(place.server()).set("events.topics.tenant", "acme").start().await;
    follows(&server).await;
    let mut ada = server.peer("ada", "acme").await;
    let mut stranger = server.peer("ada", "globex").await;
    subscribe(&mut ada, None).await;
    subscribe(&mut stranger, None).await;
    created(&place).await;
    let heard = ada.frame().await;
    assert_eq!(
        (&heard["type"], &heard["topic"], &heard["offset"]),
        (&json!("event"), &json!(topic()), &json!(1))
    );
    let data = &heard["data"];
    assert_eq!((&data["event_type"], &data["payload"]["title"]), (&json!("ActivityCreated"), &json!("t0")));
    until("the activity", async || place.document("activities", &id(ACTIVITY)).await).await;
    assert_eq!(stranger.ask("e", "echo", json!(1)).await["type"], "response", "nothing came before it");
    let total = &["stage=\"total\",event_type=\"\""];
    let timed =
        async || (server.metric("streamer_events_latency_seconds_count", total).await >= 1.0).then_some(());
    until("it to be timed", timed).await;
    // What it measures, operators are shown.
    let report =
        ["events", "report", "--json", "report.json", "--from", &format!("http://{}", server.admin())];
    let anybody = place.shell.run(report).await.failed(1);
    assert!(anybody.contains("admin token"), "{anybody}");
    let operator = place.shell.clone().variable("STREAMER_ADMIN__TOKEN", ADMIN_TOKEN);
    let said = operator.run(report).await.succeeded();
    assert!(said.contains("total"), "{said}");
    // The rules of tokens are those of every topic.
    let wanted = |topics: &[&str]| Wanted {
        user: "bob".into(),
        tenant: "acme".into(),
        permissions: Vec::new(),
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        kind: TokenKind::Valid,
    };
    for (grants, expected) in [(vec!["Activity.*"], "response"), (vec!["User.*"], "error")] {
        let token = Issuer::shared().issue(&wanted(&grants));
        let mut bob = Peer::connect(&server.ws_url(), &token).await;
        let answer = bob.ask("s", "subscribe", json!({ "topic": topic() })).await;
        assert_eq!(answer["type"], expected, "{grants:?}: {answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_subscriber_resumes_over_a_killed_server_without_gap_or_double() {
    const COUNT: u64 = 300;
    let Some(place) = Place::open().await else { return };
    let mut server = durable(place.server())
        .set("events.topics.tenant_field", "tenant")
        .set("events.batch_events_max", 20)
        .start()
        .await;
    follows(&server).await;
    let mut ada = server.peer("ada", "acme").await;
    let epoch = subscribe(&mut ada, None).await["epoch"].clone();
    created(&place).await;
    let mut titles = vec![ada.frame().await["data"]["payload"]["title"].clone()];
    for first in (1..=COUNT).step_by(100) {
        let burst: Vec<_> = (first..first + 100).map(changed).collect();
        let committing = place.commit(&burst);
        // In the midst of it, as far as that can be had.
        let killing = async {
            tokio::time::sleep(Duration::from_millis(10 + first)).await;
            server.kill().await;
        };
        tokio::join!(committing, killing);
        server.restart().await;
        let mut back = server.peer("ada", "acme").await;
        let resumed = subscribe(&mut back, Some((&epoch, titles.len() as u64))).await;
        assert_eq!((&resumed["resumed"], &resumed["epoch"]), (&json!(true), &epoch), "{resumed}");
        while (titles.len() as u64) < first + 100 {
            let frame = back.frame().await;
            assert_eq!(frame["offset"], titles.len() as u64 + 1, "{frame}");
            titles.push(frame["data"]["payload"]["updates"]["title"].clone());
        }
    }
    let expected: Vec<_> = (1..=COUNT).map(|n| json!(format!("t{n}"))).collect();
    assert_eq!(titles[1..], expected);
    let last = json!(format!("t{COUNT}"));
    let updated =
        async || (place.document("activities", &id(ACTIVITY)).await?["title"] == last).then_some(());
    until("the read model", updated).await;
    server.stop().await;
}

#[tokio::test]
async fn an_event_without_a_tenant_is_a_dead_letter_and_holds_nothing_up() {
    let Some(place) = Place::open().await else { return };
    let mut server = durable(place.server()).set("events.topics.tenant_field", "tenant").start().await;
    follows(&server).await;
    let mut ada = server.peer("ada", "acme").await;
    subscribe(&mut ada, None).await;
    let lost = Told("ActivityUpdated", ACTIVITY, json!({ "updates": { "title": "nobody's" } }));
    place.commit(&[lost, changed(1)]).await;
    assert_eq!(ada.frame().await["data"]["payload"]["updates"]["title"], "t1");
    let listed = place.shell.run(["events", "replay", "--list", "--handler", "topics"]).await.succeeded();
    assert!(listed.contains("tenant: names no tenant"), "{listed}");
    server.stop().await;
}

#[tokio::test]
async fn a_lost_slot_is_read_anew_by_the_server_itself() {
    let Some(place) = Place::open().await else { return };
    let mut server = durable(place.server()).set("events.topics.tenant", "acme").start().await;
    follows(&server).await;
    let mut ada = server.peer("ada", "acme").await;
    subscribe(&mut ada, None).await;
    place.commit(&[changed(1), changed(2)]).await;
    for n in 1..=2 {
        assert_eq!(ada.frame().await["offset"], n);
    }
    place.lose_slot().await;
    place.commit(&[changed(3)]).await;
    let told = async || server.log().contains("streamer events resnapshot").then_some(());
    until("its word", told).await;
    let topics = ["--set", "events.topics.enabled=true", "--set", "events.topics.tenant=acme"];
    let alone = place.shell.run(["events", "run"].iter().chain(&topics)).await.failed(1);
    assert!(alone.contains("events.topics.enabled") && alone.contains("streamer serve"), "{alone}");
    let said = place.shell.run(["events", "resnapshot"].iter().chain(&topics)).await.succeeded();
    assert!(said.contains("streamer serve"), "{said}");
    // What nobody read comes now, and nothing that was published before.
    let heard = ada.frame().await;
    assert_eq!((&heard["offset"], &heard["data"]["payload"]["updates"]["title"]), (&json!(3), &json!("t3")));
    place.commit(&[changed(4)]).await;
    assert_eq!(ada.frame().await["data"]["payload"]["updates"]["title"], "t4");
    server.stop().await;
}

#[tokio::test]
async fn what_stops_the_events_does_not_stop_the_server() {
    let Some(place) = Place::bare().await else { return };
    let mut server = durable(place.server()).set("events.topics.tenant", "acme").start().await;
    let told = async || server.log().contains("the events cannot go on").then_some(());
    until("its word", told).await;
    assert!(server.log().contains("streamer events setup"), "{}", server.log());
    assert_eq!(server.peer("ada", "acme").await.ask("e", "echo", json!(1)).await["type"], "response");
    // Once it is mended, it goes on by itself.
    let _ = place.shell.run(["events", "setup"]).await.succeeded();
    follows(&server).await;
    server.stop().await;
    let wrong = ["serve", "--set", "events.enabled=true", "--set", "events.topics.enabled=true"];
    let told = place.shell.run(wrong).await.failed(1);
    assert!(told.contains("events.topics.tenant") && told.contains("events.topics.tenant_field"), "{told}");
}

#[tokio::test]
async fn a_letter_of_the_topics_is_published_once_by_the_server_that_has_them() {
    const FIELD: &str = "STREAMER_EVENTS__TOPICS__TENANT_FIELD";
    let Some(place) = Place::open().await else { return };
    let mut server = durable(place.server()).prepared();
    server.set_variable(FIELD, Some("tenant"));
    server.restart().await;
    follows(&server).await;
    let mut ada = server.peer("ada", "acme").await;
    let epoch = subscribe(&mut ada, None).await["epoch"].clone();
    let lost = Told("ActivityUpdated", ACTIVITY, json!({ "updates": { "title": "nobody's" } }));
    place.commit(&[lost, changed(1)]).await;
    assert_eq!(ada.frame().await["data"]["payload"]["updates"]["title"], "t1");

    let topics = "events.topics.enabled=true";
    let admin = format!("admin.address={}", server.admin());
    let replay = ["events", "replay", "--set", topics, "--set", "events.topics.tenant=acme", "--set", &admin];
    let operator = place.shell.clone().variable("STREAMER_ADMIN__TOKEN", ADMIN_TOKEN);
    for (shell, why) in [
        (&operator, "refused again: cannot be published: tenant: names no tenant"),
        (&place.shell, "admin token"),
    ] {
        let stays = shell.run(replay).await;
        assert!(stays.code == Some(1) && stays.stdout.contains(why), "{stays}");
    }
    let apart = operator.run(["events", "replay"]).await;
    assert!(apart.code == Some(1) && apart.stdout.contains("events.topics.enabled"), "{apart}");
    server.stop().await;
    let alone = operator.run(replay).await;
    assert!(alone.code == Some(1) && alone.stdout.contains("cannot be reached"), "{alone}");

    server.set_variable(FIELD, None);
    server.set_variable("STREAMER_EVENTS__TOPICS__TENANT", Some("acme"));
    server.restart().await;
    follows(&server).await;
    let mut ada = server.peer("ada", "acme").await;
    subscribe(&mut ada, Some((&epoch, 1))).await;
    // It dies between the publishing and the discarding.
    let died = operator.clone().variable("STREAMER_FAILPOINT", "discard.before").run(replay).await;
    assert!(died.code.is_none(), "{died}");
    let heard = ada.frame().await;
    assert_eq!(
        (&heard["offset"], &heard["data"]["payload"]["updates"]["title"]),
        (&json!(2), &json!("nobody's"))
    );
    let again = operator.run(replay).await.succeeded();
    assert!(again.contains("1 applied, 0 stay"), "{again}");
    place.commit(&[changed(3)]).await;
    let heard = ada.frame().await;
    assert_eq!((&heard["offset"], &heard["data"]["payload"]["updates"]["title"]), (&json!(3), &json!("t3")));
    server.stop().await;
}
