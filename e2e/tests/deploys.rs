//! One deploy after the other under load, some gentle and some not: nothing that was answered is lost, nothing ends
//! twice, and who comes back misses nothing.
//!
//! `DEPLOY_ROUNDS=50 DEPLOY_SEED=7 cargo test -p streamer-e2e deploys` restarts more often, and at other moments.

use std::time::Duration;

use futures_util::future::join_all;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use streamer_e2e::{
    audit,
    client::{Client, Errand},
    load,
    patience::within,
    publisher::Publisher,
    scenario::Place as _,
    subscriber::Subscriber,
};
use tokio::{sync::watch, time::sleep};

use crate::{chosen, server};

const TOPIC: &str = "kept.news";

/// Longer than a server has time to drain, so that no life of it sees one through.
fn patient(url: &str) -> Client {
    let errands = (0..2).map(|_| Errand::new("delay", json!({ "seconds": 3.5, "chunks": 35 })));
    Client::new("patient", url, errands)
}

#[tokio::test]
async fn ten_restarts_by_sigterm_and_sigkill_in_turn_lose_nothing_that_was_answered() {
    let (seed, rounds) = (chosen("DEPLOY_SEED", 1), chosen("DEPLOY_ROUNDS", 10));
    eprintln!("DEPLOY_SEED={seed} DEPLOY_ROUNDS={rounds}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = server()
        .set("engine.short_limit_ms", 400)
        .set("engine.takeovers_max", rounds)
        .set("drain.timeout_s", 2)
        .set("drain.linger_ms", 100)
        .set("topics.histories", r#"{ "kept." = { kind = "durable", messages_max = 100000 } }"#)
        .start()
        .await;
    let url = server.ws_url();
    let (stop, stopped) = watch::channel(false);
    let publishers = ["p-0", "p-1"].map(|user| {
        let pause = Duration::from_millis(5);
        let publisher = Publisher::new(user, &url, TOPIC, usize::MAX).pausing(pause);
        let publisher = if user == "p-1" { publisher.keyed() } else { publisher };
        publisher.live(stopped.clone())
    });
    let (end, ends) = watch::channel(None);
    let subscribers = ["s-0", "s-1"].map(|user| Subscriber::new(user, &url, TOPIC).live(ends.clone()));
    let restarts = async {
        for round in 0..rounds {
            // Not a wait for anything: the moment of the deploy.
            sleep(Duration::from_millis(random.random_range(100..1500))).await;
            if round % 2 == 0 {
                server.stop().await;
            } else {
                server.kill().await;
            }
            server.restart().await;
        }
        stop.send(true).expect("the publishers live");
    };
    let publishing = async {
        let publishers = join_all(publishers).await;
        let newest = publishers.iter().filter_map(|publisher| publisher.offsets.last()).max().copied();
        end.send(newest).expect("the subscribers live");
        publishers
    };
    let following = join_all(subscribers);
    let asking = patient(&url).live(watch::channel(false).1);
    let (clients, publishers, subscribers, patient) =
        tokio::join!(load::during(&url, seed, restarts), publishing, following, asking);

    load::hold(&server, &clients).await;
    let given_back = audit::hold(&server, &patient).await;
    assert!(given_back.restarts > 0, "no drain was too short for what ran: the test proves nothing");

    let answered: usize = publishers.iter().map(|publisher| publisher.offsets.len()).sum();
    assert!(answered > 100, "only {answered} messages were answered");
    let all = within("the topic to be read", Subscriber::new("late", &url, TOPIC).read()).await;
    all.hold(&publishers);
    for subscriber in &subscribers {
        assert!(subscriber.resumes > 0, "it was never interrupted: the test proves nothing");
        assert_eq!(subscriber.messages, all.messages[..subscriber.messages.len()]);
    }
    server.stop().await;
    audit::is_sound(&server).await;
}
