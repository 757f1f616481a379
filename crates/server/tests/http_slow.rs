//! Listeners and readers over HTTP that do not read: bounded, cut off in the end, and nobody else's trouble.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Client, Event, Events, Http, Raw, Server, Setup, Token, in_time, until};

const CHUNKS: u64 = 300;

fn setup(stall_timeout: Duration) -> Setup {
    let mut setup = Setup::default();
    setup.settings.outbound_bytes_max = 256 * 1024;
    setup.settings.stall_timeout = stall_timeout;
    setup
}

fn listening(user: &str) -> String {
    format!("authorization: Bearer {}\r\n", Token::of(user, "acme"))
}

/// Has slow ask for more than anybody holds for it.
async fn burst(server: &Server) {
    let request = json!({ "id": "big", "action": "burst", "payload": CHUNKS });
    let call = Http::post(server.addr, "/v1/requests").bearer(&Token::of("slow", "acme"));
    let answer = call.json(request).send().await;
    assert_eq!(answer.status, 202, "{}", answer.text());
}

async fn completed(server: &Server) {
    until("it has ended", async || {
        let status = Http::get(server.addr, "/v1/requests/big").bearer(&Token::of("slow", "acme"));
        status.send().await.json()["status"] == "COMPLETED"
    })
    .await;
}

#[tokio::test]
async fn a_listener_that_does_not_read_is_cut_off_and_goes_on_where_it_was() {
    let server = setup(Duration::from_secs(30)).start().await;
    burst(&server).await;
    let mut slow = Events::narrow(server.addr, "/v1/requests/big/events", &listening("slow")).await;
    let mut other = Client::ada(&server).await;
    // The work ends, and others are served, whatever the listener does.
    completed(&server).await;
    other.echo("not held up").await;
    assert!(server.metrics().contains("streamer_slow_consumers_total"), "{}", server.metrics());

    let mut heard = slow.rest().await;
    assert!((heard.len() as u64) < CHUNKS, "it was held, or read in time: {}", heard.len());
    while !heard.last().is_some_and(Event::is_outcome) {
        let last = format!("{}last-event-id: {}\r\n", listening("slow"), heard.last().expect("some").id);
        let mut back = Events::listen(server.addr, "/v1/requests/big/events", &last).await;
        heard.extend(back.rest().await);
    }
    let indexes: Vec<_> = heard.iter().filter_map(|event| event.frame()["index"].as_u64()).collect();
    assert_eq!(indexes, (0..CHUNKS).collect::<Vec<_>>());
    other.leave().await;
    server.finish().await;
}

#[tokio::test]
async fn a_listener_that_takes_nothing_for_too_long_loses_its_socket() {
    let mut setup = setup(Duration::from_millis(400));
    setup.settings.http.user_streams_max = 1;
    let server = setup.start().await;
    burst(&server).await;
    completed(&server).await;
    let stuck = Events::narrow(server.addr, "/v1/requests/big/events", &listening("slow")).await;
    assert_eq!(stuck.status(), 200);
    // Its place is free again although it never left.
    until("it is given up", async || {
        let again = Events::listen(server.addr, "/v1/requests/big/events", &listening("slow")).await;
        again.status() == 200
    })
    .await;
    drop(stuck);
    server.finish().await;
}

#[tokio::test]
async fn a_file_is_sent_as_long_as_it_is_taken() {
    let mut setup = setup(Duration::from_millis(400));
    setup.settings.sockets_max = 1;
    setup.engine.artifact_bytes_max = 32 * 1024 * 1024;
    let server = setup.start().await;
    let keep = Http::submit(server.addr, "a", "keep", json!(24 * 1024 * 1024)).send().await;
    let url = keep.json()["data"]["url"].as_str().expect("a link").to_owned();
    let mut stuck = Raw::connect(server.addr).await;
    let get =
        format!("GET {url} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n", Token::ada());
    stuck.send(get.as_bytes()).await;
    assert!(stuck.head().await.starts_with("HTTP/1.1 200 "));
    // There is one place for all, and it is given back.
    let usage = Http::get(server.addr, "/v1/usage").bearer(&Token::ada()).send();
    assert_eq!(in_time("the socket is given up", usage).await.status, 200);
    drop(stuck);
    server.finish().await;
}
