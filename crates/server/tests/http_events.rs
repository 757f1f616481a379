//! A request's log as server-sent events.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::json;
use streamer_engine::clock::{Clock as _, SystemClock};

use crate::harness::{Client, Contract, Event, Events, Http, SECRET, Server, Setup, Token, until};

fn bearer() -> String {
    format!("authorization: Bearer {}\r\n", Token::ada())
}

async fn submit(server: &Server, id: &str, action: &str, payload: serde_json::Value) {
    let answer = Http::submit(server.addr, id, action, payload).send().await;
    assert_eq!(answer.status, 202, "{}", answer.text());
}

async fn listen(server: &Server, id: &str, more: &str) -> Events {
    Events::listen(server.addr, &format!("/v1/requests/{id}/events"), &(bearer() + more)).await
}

/// The whole log of a request that has ended, by a listener that came later.
async fn log(server: &Server, id: &str) -> Vec<Event> {
    listen(server, id, "").await.rest().await
}

async fn answer(server: &Server, path: &str, header: (&str, &str)) -> crate::harness::Answer {
    Http::get(server.addr, path).bearer(&Token::ada()).header(header.0, header.1).send().await
}

#[tokio::test]
async fn each_entry_of_the_log_is_an_event_and_its_data_the_very_frame() {
    let server = Server::start().await;
    submit(&server, "a", "burst", json!(3)).await;
    let mut stream = listen(&server, "a", "").await;
    assert_eq!(stream.status(), 200);
    for header in
        ["content-type: text/event-stream\r\n", "cache-control: no-store\r\n", "x-accel-buffering: no\r\n"]
    {
        assert!(stream.head.contains(header), "{}", stream.head);
    }
    let events = stream.rest().await;
    assert_eq!(stream.retry, Some(1000));
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["chunk", "chunk", "chunk", "complete"]);
    let mut client = Client::ada(&server).await;
    client.ask("r", "resume", json!({ "request_id": "a" })).await;
    client.frame().await;
    for event in &events {
        assert_eq!(event.data, client.text().await.as_str());
        let frame = event.frame();
        assert_eq!((frame["seq"].as_u64(), frame["type"].as_str()), (Some(event.id), Some(&*event.kind)));
    }
    client.leave().await;

    submit(&server, "b", "fail", json!({})).await;
    let failed = log(&server, "b").await;
    assert_eq!(failed.len(), 1);
    assert_eq!(
        (&*failed[0].kind, &failed[0].frame()["error"]["message"]),
        ("error", &json!("it never works"))
    );
    server.finish().await;
}

#[tokio::test]
async fn who_comes_back_misses_nothing_and_hears_nothing_twice() {
    let server = Server::start().await;
    let chunks = 60;
    submit(&server, "a", "burst", json!(chunks)).await;
    // Leaves after every few events, while it runs, and comes back as an `EventSource` does.
    let (mut heard, mut visits) = (Vec::<Event>::new(), 0);
    while !heard.last().is_some_and(Event::is_outcome) {
        visits += 1;
        let last = heard.last().map(|event| format!("last-event-id: {}\r\n", event.id)).unwrap_or_default();
        let mut stream = listen(&server, "a", &last).await;
        for _ in 0..7 {
            match stream.next().await {
                Some(event) => heard.push(event),
                None => break,
            }
        }
    }
    assert!(visits > 5, "{visits}");
    let indexes: Vec<_> = heard.iter().filter_map(|event| event.frame()["index"].as_u64()).collect();
    assert_eq!(indexes, (0..chunks).collect::<Vec<_>>());
    assert_eq!(heard, log(&server, "a").await);
    server.finish().await;
}

#[tokio::test]
async fn a_listener_names_the_place_from_which_it_listens() {
    let server = Server::start().await;
    submit(&server, "a", "burst", json!(5)).await;
    let all = log(&server, "a").await;
    let last = all.last().expect("some").id;
    let after = |seq: u64| all.iter().filter(|event| event.id > seq).cloned().collect::<Vec<_>>();
    let third = all[2].id;
    let path = format!("/v1/requests/a/events?after_seq={third}");
    assert_eq!(Events::listen(server.addr, &path, &bearer()).await.rest().await, after(third));
    // An `EventSource` comes back to the same address: what it says last counts.
    let again = format!("{}last-event-id: {}\r\n", bearer(), all[3].id);
    assert_eq!(Events::listen(server.addr, &path, &again).await.rest().await, after(all[3].id));
    let empty = format!("{}last-event-id:\r\n", bearer());
    assert_eq!(Events::listen(server.addr, &path, &empty).await.rest().await, after(third));

    let contract = Contract::of(&server).await;
    for heard_all in [last, last + 1000] {
        let answer =
            answer(&server, "/v1/requests/a/events", ("last-event-id", &heard_all.to_string())).await;
        contract.holds("get", "/v1/requests/{id}/events", &answer);
        assert_eq!((answer.status, answer.body.len()), (204, 0), "nothing will come any more");
    }
    for wrong in ["x", "-1", "1.5", "99999999999999999999999"] {
        let by_header = answer(&server, "/v1/requests/a/events", ("last-event-id", wrong)).await;
        assert_eq!((by_header.error().0, by_header.wrong_field()), (400, "Last-Event-ID".to_owned()));
        let path = format!("/v1/requests/a/events?after_seq={wrong}");
        let by_query = answer(&server, &path, ("x", "y")).await;
        assert_eq!((by_query.error().0, by_query.wrong_field()), (400, "after_seq".to_owned()));
    }
    server.finish().await;
}

#[tokio::test]
async fn events_come_as_they_happen_and_in_between_a_sign_of_life() {
    let mut setup = Setup::default();
    setup.settings.http.events_heartbeat = Duration::from_millis(30);
    let server = setup.start().await;
    submit(&server, "a", "work", json!(SECRET)).await;
    let mut stream = listen(&server, "a", "").await;
    until("it runs", async || server.waiting.load(Ordering::Relaxed) == 1).await;
    // A page says who it is by the query.
    let path = format!("/v1/requests/a/events?Authorization={}", Token::ada());
    let mut page = Events::listen(server.addr, &path, "").await;
    let opening = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            server.gate.add_permits(1);
        },
        stream.rest(),
        page.rest()
    );
    assert_eq!((opening.1.len(), &opening.1), (1, &opening.2));
    assert!(stream.comments >= 2, "{}", stream.comments);
    until("no stream is left", async || {
        let metrics = Http::get(server.admin, "/metrics").send().await;
        metrics.text().contains("streamer_event_streams_active 0")
    })
    .await;
    server.finish().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let mut setup = Setup::default();
    setup.settings.token_grace = Duration::from_millis(100);
    let server = setup.start().await;
    submit(&server, "a", "work", json!(SECRET)).await;
    let token = Token::lasting("ada", "acme", SystemClock.now(), Duration::from_secs(2));
    let brief = format!("authorization: Bearer {token}\r\n");
    let mut stream = Events::listen(server.addr, "/v1/requests/a/events", &brief).await;
    assert_eq!(stream.status(), 200);
    assert_eq!(stream.next().await, None);
    let again = Http::get(server.addr, "/v1/requests/a/events").bearer(&token).send().await;
    assert_eq!(again.error(), (401, "UNAUTHORIZED".to_owned()));
    server.gate.add_permits(1);
    assert_eq!(log(&server, "a").await.len(), 1);
    server.finish().await;
}

#[tokio::test]
async fn one_user_has_so_many_streams_at_once() {
    let mut setup = Setup::default();
    setup.settings.http.user_streams_max = 2;
    let server = setup.start().await;
    submit(&server, "a", "work", json!(SECRET)).await;
    let (first, _second) = (listen(&server, "a", "").await, listen(&server, "a", "").await);
    let over = answer(&server, "/v1/requests/a/events", ("x", "y")).await;
    assert_eq!((over.error(), over.header("retry-after")), ((429, "RATE_LIMITED".to_owned()), Some("5")));
    assert!(server.counts("streamer_rate_limited_total{what=\"streams\"}", 1));
    let usage = Http::get(server.addr, "/v1/usage").bearer(&Token::ada()).send().await;
    assert_eq!(usage.json()["connections"], 2);
    drop(first);
    until("a place is free", async || listen(&server, "a", "").await.status() == 200).await;
    server.gate.add_permits(1);
    server.finish().await;
}

#[tokio::test]
async fn a_stream_has_its_place_among_the_connections_of_its_tenant() {
    let mut setup = Setup::default();
    setup.settings.tenant_connections_max = 2;
    let server = setup.start().await;
    submit(&server, "a", "work", json!(SECRET)).await;
    let client = Client::ada(&server).await;
    let stream = listen(&server, "a", "").await;
    let over = answer(&server, "/v1/requests/a/events", ("x", "y")).await;
    assert_eq!((over.error(), over.header("retry-after")), ((429, "RATE_LIMITED".to_owned()), Some("5")));
    client.leave().await;
    until("a place is free", async || listen(&server, "a", "").await.status() == 200).await;
    drop(stream);
    server.gate.add_permits(1);
    server.finish().await;
}

#[tokio::test]
async fn a_server_that_goes_away_sends_its_listeners_elsewhere() {
    let mut setup = Setup { linger: Duration::from_millis(300), ..Setup::default() };
    setup.settings.drain_spread = Duration::from_secs(3);
    let server = setup.start().await;
    submit(&server, "a", "work", json!(SECRET)).await;
    let mut streams = Vec::new();
    for _ in 0..6 {
        streams.push(listen(&server, "a", "").await);
    }
    until("it runs", async || server.waiting.load(Ordering::Relaxed) == 1).await;
    server.stop();
    let mut told = Vec::new();
    for stream in &mut streams {
        assert_eq!(stream.next().await, None, "it ends properly, before the outcome");
        told.push(stream.retry.expect("when to come back"));
    }
    assert!(told.iter().all(|wait| (1000..4000).contains(wait)), "{told:?}");
    assert!(told.iter().any(|wait| *wait != told[0]), "not all at once: {told:?}");
    server.gate.add_permits(1);
    server.finish().await;
}
