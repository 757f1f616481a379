//! Topics across the life of a process, and from the command line.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use streamer_e2e::{
    http,
    issuer::Issuer,
    patience::{until, within},
    peer::{Peer, Said},
    publisher::Publisher,
    scenario::Place as _,
    server::{Server, Setup},
    subscriber::Subscriber,
};
use tokio::sync::watch;

use crate::server;

fn with_histories() -> Setup {
    server()
        .set("topics.histories", r#"{ "memory." = { kind = "memory" }, "durable." = { kind = "durable" } }"#)
}

/// Subscribes after a place, if there is one; gives the answer's data.
async fn subscribe(peer: &mut Peer, topic: &str, since: Option<(&str, u64)>) -> Value {
    let mut payload = json!({ "topic": topic });
    if let Some((epoch, offset)) = since {
        payload["since"] = json!({ "epoch": epoch, "offset": offset });
    }
    let answer = peer.ask("s", "subscribe", payload).await;
    assert_eq!(answer["type"], "response", "{answer}");
    answer["data"].clone()
}

async fn publish(peer: &mut Peer, topic: &str, data: Value) -> u64 {
    let answer = peer.ask("p", "publish", json!({ "topic": topic, "data": data })).await;
    answer["data"]["offset"].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test]
async fn a_durable_topic_outlives_its_process_and_one_in_memory_begins_anew() {
    let mut server = with_histories().start().await;
    let mut ada = server.peer("ada", "acme").await;
    let mut epochs = Vec::new();
    for topic in ["durable.a", "memory.a"] {
        epochs.push(subscribe(&mut ada, topic, None).await["epoch"].as_str().expect("a text").to_owned());
        for n in 1..=3 {
            publish(&mut ada, topic, json!(n)).await;
        }
    }
    for killed in [true, false] {
        if killed {
            server.kill().await;
        } else {
            server.stop().await;
        }
        server.restart().await;
        let mut back = server.peer("ada", "acme").await;
        let durable = subscribe(&mut back, "durable.a", Some((&epochs[0], 1))).await;
        assert_eq!((&durable["epoch"], &durable["resumed"]), (&json!(epochs[0]), &json!(true)));
        let head = durable["offset"].as_u64().expect("a number");
        for offset in 2..=head {
            assert_eq!(back.frame().await["offset"], offset);
        }
        let memory = subscribe(&mut back, "memory.a", Some((&epochs[1], 1))).await;
        assert_ne!(memory["epoch"], epochs[1]);
        assert_eq!(
            (&memory["resumed"], &memory["lost"], &memory["offset"]),
            (&json!(false), &json!("epoch"), &json!(0))
        );
        assert_eq!(publish(&mut back, "durable.a", json!("next")).await, head + 1);
    }
}

#[tokio::test]
async fn a_kill_while_many_publish_loses_nothing_that_was_answered() {
    let keep = r#"{ "durable." = { kind = "durable", messages_max = 100000 } }"#;
    let mut server = server().set("topics.histories", keep).start().await;
    let url = server.ws_url();
    let (stop, stopped) = watch::channel(false);
    let publishing = ["a", "b", "keyed-a", "keyed-b"].map(|user| {
        let publisher = Publisher::new(user, &url, "durable.a", usize::MAX);
        let publisher = if user.starts_with("keyed") { publisher.keyed() } else { publisher };
        publisher.live(stopped.clone())
    });
    let killing = async {
        for _ in 0..3 {
            // Not a wait for anything: the moment of the crash.
            tokio::time::sleep(Duration::from_millis(300)).await;
            server.kill().await;
            server.restart().await;
        }
        stop.send(true).expect("they live");
    };
    let (published, ()) = tokio::join!(join_all(publishing), killing);
    let answered: usize = published.iter().map(|publisher| publisher.offsets.len()).sum();
    assert!(answered > 20, "only {answered} were published");
    within("all that is kept", Subscriber::new("ada", &url, "durable.a").read()).await.hold(&published);
}

/// Publishes with a key over HTTP.
async fn call_keyed(server: &Server, topic: &str, key: &str, data: Value) -> http::Answer {
    let bearer = format!("Bearer {}", Issuer::shared().token("ada", "acme"));
    let headers = [("Authorization", bearer.as_str()), ("Idempotency-Key", key)];
    let path = format!("/v1/topics/{topic}");
    http::call_with(server.listen(), "POST", &path, &headers, Some(&json!({ "data": data }))).await
}

#[tokio::test]
async fn what_was_stored_and_not_answered_is_there_once_when_it_is_sent_again() {
    for side in ["before", "after"] {
        let mut server = with_histories().start().await;
        let mut ada = server.peer("ada", "acme").await;
        publish(&mut ada, "durable.a", json!(0)).await;
        ada.leave().await;
        server.stop().await;

        // It dies with the next message, on one side of storing it or the other.
        server.set_variable("STREAMER_FAILPOINT", Some(&format!("append_messages.{side}:1")));
        server.restart().await;
        let mut ada = server.peer("ada", "acme").await;
        let keyed = json!({ "topic": "durable.a", "data": { "n": 1 }, "idempotency_key": "k" });
        ada.send("p", "publish", keyed.clone()).await;
        server.ended().await;
        assert!(matches!(ada.hear().await, Said::Closed(_) | Said::Broken), "{side}: nobody was answered");
        server.set_variable("STREAMER_FAILPOINT", None);
        server.restart().await;

        let mut back = server.peer("ada", "acme").await;
        let again = back.ask("p", "publish", keyed.clone()).await;
        assert_eq!(again["data"]["offset"], 2, "{side}: {again}");
        let answer = call_keyed(&server, "durable.a", "k", json!({ "n": 1 })).await;
        assert_eq!((answer.status, &answer.json()["data"]), (200, &again["data"]), "{side}");
        server.kill().await;
        server.restart().await;
        let answer = call_keyed(&server, "durable.a", "k", json!({ "n": 1 })).await;
        assert_eq!((answer.status, &answer.json()["data"]), (200, &again["data"]), "{side}");
        let other = call_keyed(&server, "durable.a", "k", json!({ "n": 2 })).await;
        assert_eq!((other.status, &other.json()["fields"][0]["path"]), (409, &json!("Idempotency-Key")));
        let all = within("all", Subscriber::new("reader", server.ws_url(), "durable.a").read()).await;
        assert_eq!(all.messages, [json!(0), json!({ "n": 1 })], "{side}");
    }
}

#[tokio::test]
async fn a_backup_is_in_another_life() {
    let mut server = with_histories().start().await;
    let mut ada = server.peer("ada", "acme").await;
    let epoch = subscribe(&mut ada, "durable.a", None).await["epoch"].as_str().expect("a text").to_owned();
    publish(&mut ada, "durable.a", json!("saved")).await;
    let _ = server.shell().run(["store", "backup", "streamer.db", "copy.db"]).await.succeeded();
    publish(&mut ada, "durable.a", json!("not saved")).await;
    server.stop().await;
    for (from, to) in [("copy.db", "streamer.db"), ("copy.db-wal", "streamer.db-wal")] {
        let _ = std::fs::remove_file(server.folder().join(to));
        if server.folder().join(from).exists() {
            std::fs::rename(server.folder().join(from), server.folder().join(to)).expect("ours");
        }
    }
    server.restart().await;
    let mut back = server.peer("ada", "acme").await;
    let answer = subscribe(&mut back, "durable.a", Some((&epoch, 2))).await;
    assert_eq!((&answer["lost"], &answer["offset"]), (&json!("epoch"), &json!(1)));
    assert_eq!(back.frame().await["data"], "saved");
}

#[tokio::test]
async fn the_command_line_publishes_and_subscribes() {
    let server = with_histories().start().await;
    let shell = server.shell().variable("STREAMER_TOKEN", Issuer::shared().token("ada", "acme"));
    let first = shell.run(["topic", "publish", "durable.news", r#"{"n":1}"#]).await.succeeded();
    let (epoch, offset) = first.trim().rsplit_once(':').expect("EPOCH:OFFSET");
    assert_eq!(offset, "1");
    for n in 2..=3 {
        let _ = shell.run(["topic", "publish", "durable.news", &format!("{{\"n\":{n}}}")]).await.succeeded();
    }
    let since = format!("{epoch}:1");
    let printed = shell
        .run(["topic", "subscribe", "durable.news", "--since", &since, "--count", "2"])
        .await
        .succeeded();
    assert_eq!(printed.lines().collect::<Vec<_>>(), [r#"{"n":2}"#, r#"{"n":3}"#]);
    let printed = shell
        .run(["topic", "subscribe", "durable.news", "--history", "--count", "3", "--json"])
        .await
        .succeeded();
    let events: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(events[2]["offset"], 3);
    assert_eq!(shell.run(["topic", "presence", "durable.news"]).await.succeeded(), "");
    let mut here = server.peer("bob", "acme").await;
    subscribe(&mut here, "durable.news", None).await;
    assert_eq!(shell.run(["topic", "presence", "durable.news"]).await.succeeded(), "bob\t1\n");

    let weak = server.shell().variable("STREAMER_TOKEN", weak_token(&server));
    let keyed =
        |data: &'static str| shell.run(["topic", "publish", "durable.news", data, "--idempotency-key", "k"]);
    let (first, again) = (keyed("4").await.succeeded(), keyed("4").await.succeeded());
    assert_eq!((first.as_str(), first.trim().rsplit_once(':')), (again.as_str(), Some((epoch, "4"))));
    let refused = keyed("5").await.failed(1);
    assert!(refused.contains("CONFLICT"), "{refused}");

    let refused = weak.run(["topic", "publish", "durable.news", "1"]).await.failed(1);
    assert!(refused.contains("FORBIDDEN"), "{refused}");
    let refused = shell.run(["topic", "subscribe", "a b"]).await.failed(1);
    assert!(refused.contains("a topic has"), "{refused}");
}

/// Of somebody who may read one topic.
fn weak_token(server: &Server) -> String {
    use streamer_e2e::scenario::{TokenKind, Wanted};
    let topics = vec!["durable.news".to_owned()];
    server.token(&Wanted {
        user: "cy".into(),
        tenant: "acme".into(),
        permissions: Vec::new(),
        topics,
        kind: TokenKind::Valid,
    })
}

#[tokio::test]
async fn what_topics_do_is_counted() {
    let server = with_histories().start().await;
    let mut ada = server.peer("ada", "acme").await;
    subscribe(&mut ada, "memory.a", None).await;
    for n in 0..5 {
        publish(&mut ada, "memory.a", json!(n)).await;
    }
    let published = server.metric("streamer_topic_messages_published_total", &["memory"]).await;
    let delivered = server.metric("streamer_topic_messages_delivered_total", &[]).await;
    assert_eq!((published, delivered), (5.0, 5.0));
    until("the sizes to be shown", async || {
        let topics = server.metric("streamer_topics", &[]).await;
        let subscriptions = server.metric("streamer_topic_subscriptions", &[]).await;
        let bytes = server.metric("streamer_topic_history_bytes", &["memory"]).await;
        (topics >= 1.0 && subscriptions >= 1.0 && bytes > 100.0).then_some(())
    })
    .await;
}
