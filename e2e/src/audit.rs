//! What clients heard, held against what a server has stored.

use serde_json::{Value, json};

use crate::{
    client::{Client, Ends, Sent, TENANT},
    peer::Peer,
    promises::Heard,
    server::Server,
};

/// The whole log of a request, as a new connection reads it.
async fn log_of(peer: &mut Peer, id: &str) -> Heard {
    let mut heard = Heard::nothing_of(id);
    let resume = json!({ "request_id": id, "after_seq": 0 });
    peer.send(&format!("log-{id}"), "resume", resume).await;
    while heard.end.is_none() {
        heard.take(&peer.frame().await);
    }
    heard
}

/// How often requests were begun anew.
#[derive(Debug, Default, Clone, Copy)]
pub struct Anew {
    /// How many restarts their logs have.
    pub restarts: u64,
    /// The most attempts that one of them took.
    pub attempts_max: u64,
}

/// Holds what a client heard against what is stored.
pub async fn hold(server: &Server, client: &Client) -> Anew {
    let mut peer = server.peer(&client.user, TENANT).await;
    let mut anew = Anew::default();
    for sent in &client.ended {
        ends_as_it_must(sent);
        if sent.heard.acknowledged {
            let (restarts, attempts) = hold_one(&mut peer, sent).await;
            anew.restarts += restarts;
            anew.attempts_max = anew.attempts_max.max(attempts);
        }
    }
    peer.leave().await;
    anew
}

fn ends_as_it_must(Sent { errand, heard, .. }: &Sent) {
    let end = heard.end.as_ref().expect("it has ended");
    match errand.ends {
        Ends::Well => {
            let _ = heard.result();
            if let Some(chunks) = errand.payload["chunks"].as_u64().filter(|_| heard.acknowledged) {
                assert_eq!(heard.chunks.len() as u64, chunks, "{}", heard.id);
            }
        }
        Ends::Badly => assert_eq!(end["error"]["code"], "VALIDATION_ERROR", "{end}"),
        Ends::Cancelled => assert_eq!(end["error"]["code"], "CANCELLED", "{end}"),
    }
}

/// The restarts and attempts of an ended request.
async fn hold_one(peer: &mut Peer, Sent { heard, .. }: &Sent) -> (u64, u64) {
    let asked = format!("status-{}", heard.id);
    let standing = peer.ask(&asked, "status", json!({ "request_id": heard.id })).await["data"].clone();
    let end = heard.end.as_ref().expect("it has ended");
    let (code, is_it) = match standing["status"].as_str() {
        Some("COMPLETED") => (&Value::Null, &standing["result"] == heard.result()),
        _ => (&standing["error"]["code"], standing["error"]["code"] == end["error"]["code"]),
    };
    assert!(is_it, "two outcomes: {end}, and {code}: {standing}");

    let log = log_of(peer, &heard.id).await;
    assert_eq!(log.end.as_ref().map(told), heard.end.as_ref().map(told), "{}", heard.id);
    assert_eq!(log.chunks, heard.chunks, "what was heard is what is kept: {}", heard.id);
    let attempts = standing["attempt"].as_u64().expect("a number");
    // Of restarts from one place the log keeps the last, and who listened heard each that it keeps.
    assert_eq!(log.restarts > 0, attempts > 1, "a new attempt is announced: {} {standing}", heard.id);
    assert!((log.restarts..attempts.max(1)).contains(&heard.restarts), "{} {standing}", heard.id);
    (log.restarts, attempts)
}

/// What an end says, and where in the log it stands.
fn told(end: &Value) -> [&Value; 4] {
    [&end["seq"], &end["type"], &end["result"], &end["error"]["code"]]
}

/// What was done is not done again, however often it is sent.
pub async fn send_again(server: &Server, client: &Client) {
    let mut peer = server.peer(&client.user, TENANT).await;
    for Sent { errand, heard, .. } in client.ended.iter().filter(|sent| sent.heard.acknowledged) {
        let mut again = Heard::nothing_of(heard.id.as_str());
        peer.send(&again.id, errand.action, errand.payload.clone()).await;
        while again.end.is_none() {
            again.take(&peer.frame().await);
        }
        assert_eq!(again.end.as_ref().map(told), heard.end.as_ref().map(told), "{}", heard.id);
    }
    peer.leave().await;
}

/// Nothing that these clients sent is run again when it is sent again.
pub async fn nothing_runs_again(server: &Server, clients: &[Client]) {
    let runs = async || server.metric("streamer_attempt_duration_seconds_count", &[]).await;
    let before = runs().await;
    for client in clients {
        send_again(server, client).await;
    }
    assert_eq!(runs().await, before, "something ran again");
}

/// The file of a server that has stopped is sound, and holds nothing that has not ended.
pub async fn is_sound(server: &Server) {
    let checked = server.shell().run(["store", "check", "streamer.db"]).await.succeeded();
    assert!(checked.contains("(0 open)") && checked.contains("the store is sound"), "{checked}");
}
