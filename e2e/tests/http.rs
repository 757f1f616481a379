//! Requests over HTTP, across the end of the process.

use serde_json::{Value, json};
use streamer_e2e::{events::Events, http, issuer::Issuer, patience::until, promises::Heard, server::Server};

use crate::server;

async fn submit(server: &Server, id: &str, action: &str, payload: Value) -> http::Answer {
    let request = json!({ "id": id, "action": action, "payload": payload });
    http::post(server.listen(), "/v1/requests", Some(&Issuer::shared().token("ada", "acme")), &request).await
}

async fn listen(server: &Server, id: &str, heard: &Heard) -> Events {
    let last = Some(heard.last_seq).filter(|last| *last > 0);
    Events::listen(server.listen(), id, &Issuer::shared().token("ada", "acme"), last).await
}

/// Listens until so many chunks are heard, or the end is.
async fn hear(events: &mut Events, heard: &mut Heard, chunks: usize) {
    while heard.end.is_none() && heard.chunks.len() < chunks {
        let event = events.next().await.expect("the server lives");
        assert_eq!(
            (Some(event.id), Some(&*event.kind)),
            (event.frame["seq"].as_u64(), event.frame["type"].as_str())
        );
        heard.take(&event.frame);
    }
}

#[tokio::test]
async fn a_listener_goes_on_after_a_crash_where_it_was() {
    let mut server = server().start().await;
    let acknowledged = submit(&server, "long", "delay", json!({ "seconds": 6, "chunks": 60 })).await;
    assert_eq!((acknowledged.status, &acknowledged.json()["type"]), (202, &json!("acknowledgment")));
    let mut heard = Heard::nothing_of("long");
    let mut events = listen(&server, "long", &heard).await;
    for kill in 1..=2 {
        hear(&mut events, &mut heard, 15 * kill).await;
        assert!(heard.end.is_none(), "it was killed too late to prove anything");
        server.kill().await;
        while let Some(event) = events.next().await {
            heard.take(&event.frame);
        }
        server.restart().await;
        events = listen(&server, "long", &heard).await;
    }
    hear(&mut events, &mut heard, usize::MAX).await;
    assert_eq!(heard.chunks.len(), 60);
    assert!(heard.restarts > 0, "a new attempt is announced");
    assert!(events.next().await.is_none(), "nothing follows the outcome");

    // The same again is the outcome, and a listener that has heard it is sent away for good.
    let known = submit(&server, "long", "delay", json!({ "seconds": 6, "chunks": 60 })).await;
    assert_eq!((known.status, &known.json()["result"]), (200, heard.result()));
    assert_eq!(listen(&server, "long", &heard).await.status(), 204);
    let mut anew = Heard::nothing_of("long");
    hear(&mut listen(&server, "long", &anew).await, &mut anew, usize::MAX).await;
    assert_eq!((anew.result(), &anew.chunks), (heard.result(), &heard.chunks));
    server.stop().await;
    assert!(!server.log().contains("eyJ"), "no token is logged");
}

#[tokio::test]
async fn a_listener_is_sent_away_by_a_drain_and_goes_on_after_the_restart() {
    let mut server = server().set("drain.timeout_s", 4).start().await;
    submit(&server, "long", "delay", json!({ "seconds": 8, "chunks": 80 })).await;
    let mut heard = Heard::nothing_of("long");
    let mut events = listen(&server, "long", &heard).await;
    hear(&mut events, &mut heard, 5).await;
    server.terminate().await;
    while let Some(event) = events.next().await {
        heard.take(&event.frame);
    }
    assert!(heard.end.is_none(), "the stream ends before the work does");
    assert!(server.ended().await.success());
    server.restart().await;
    events = listen(&server, "long", &heard).await;
    hear(&mut events, &mut heard, usize::MAX).await;
    assert_eq!(heard.chunks.len(), 80);
    server.stop().await;
}

#[tokio::test]
async fn settings_bound_calls_and_open_the_door_to_pages() {
    let server = server()
        .set("http.wait_max_s", 1)
        .set("http.user_streams_max", 1)
        .set("http.allowed_origins", "https://app.example")
        .set("connections.message_bytes_max", 2000)
        .start()
        .await;
    let token = Issuer::shared().token("ada", "acme");
    let huge = json!({ "action": "echo", "payload": "x".repeat(3000) });
    assert_eq!(http::post(server.listen(), "/v1/requests", Some(&token), &huge).await.status, 413);
    submit(&server, "long", "delay", json!({ "seconds": 60 })).await;
    let nothing = Heard::nothing_of("long");
    let first = listen(&server, "long", &nothing).await;
    assert_eq!((first.status(), listen(&server, "long", &nothing).await.status()), (200, 429));
    drop(first);
    until("the place is free again", async || {
        (listen(&server, "long", &nothing).await.status() == 200).then_some(())
    })
    .await;
    let usage = server.get("/v1/usage", "bob", "acme").await;
    assert_eq!((usage.status, &usage.json()["open"]), (200, &json!(1)));
    assert!(usage.head.contains("vary: origin"), "{}", usage.head);
    let cancelled = http::call(server.listen(), "DELETE", "/v1/requests/long", Some(&token), None).await;
    assert!([200, 202].contains(&cancelled.status), "{}", cancelled.text());
}
