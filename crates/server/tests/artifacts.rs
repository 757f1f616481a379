//! Files, for their owners.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::harness::{Client, Http, Raw, Server, Setup, Token, until};

async fn keep(server: &Server, bytes: usize) -> String {
    let mut client = Client::ada(server).await;
    client.ask("a", "keep", json!(bytes)).await;
    let answer = client.frame().await;
    client.leave().await;
    answer["data"]["url"].as_str().expect("a link").to_owned()
}

#[tokio::test]
async fn the_owner_gets_the_file_to_save() {
    let server = Server::start().await;
    for bytes in [0, 1_000_000] {
        let url = keep(&server, bytes).await;
        let answer = Http::get(server.addr, &*url).bearer(&Token::ada()).send().await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, vec![b'7'; bytes]);
        assert_eq!(answer.header("content-type"), Some("application/pdf"));
        assert_eq!(answer.header("content-length"), Some(&*bytes.to_string()));
        assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"re_port.pdf\""));
        assert_eq!(answer.header("cache-control"), Some("private, no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("content-security-policy"), Some("sandbox"));
        let query = format!("{url}?Authorization={}", Token::ada());
        assert_eq!(Http::get(server.addr, query).send().await.status, 200);
    }
    server.finish().await;
}

#[tokio::test]
async fn who_does_not_read_a_file_is_closed() {
    let mut setup = Setup::default();
    setup.settings.stall_timeout = Duration::from_millis(500);
    setup.settings.sockets_max = 2;
    let server = setup.start().await;
    let url = keep(&server, 30_000_000).await;
    let get =
        format!("GET {url} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n", Token::ada());
    // One takes nothing, one takes a little now and then.
    let mut stalled = Raw::connect(server.addr).await;
    stalled.send(get.as_bytes()).await;
    let mut sipping = Raw::connect(server.addr).await;
    sipping.send(get.as_bytes()).await;
    let sips = async {
        let mut sip = [0; 16];
        loop {
            match sipping.stream.read(&mut sip).await {
                Ok(1..) => tokio::time::sleep(Duration::from_millis(20)).await,
                ended => break ended,
            }
        }
    };
    let closed = async {
        until("both are closed", async || server.counts("streamer_slow_downloads_total", 2)).await;
    };
    tokio::select! {
        ended = sips => panic!("there is always more to sip, unless it is closed: {ended:?}"),
        () = closed => {}
    }
    // Their places are free.
    let answer = Http::get(server.addr, &*url).bearer(&Token::ada()).send().await;
    assert_eq!(answer.body.len(), 30_000_000);
    drop((stalled, sipping));
    server.finish().await;
}

#[tokio::test]
async fn nobody_else_learns_that_it_is_there() {
    let server = Server::start().await;
    let url = keep(&server, 10).await;
    let unknown = Http::get(server.addr, format!("/v1/artifacts/{}", "0".repeat(32)));
    let unknown = unknown.bearer(&Token::ada()).send().await;
    assert_eq!(unknown.error(), (404, "NOT_FOUND".to_owned()));
    for stranger in [Token::of("bob", "acme"), Token::of("ada", "globex")] {
        let answer = Http::get(server.addr, &*url).bearer(&stranger).send().await;
        assert_eq!((answer.status, answer.body), (404, unknown.body.clone()));
    }
    for id in ["x", "..", "%2e%2e%2fetc%2fpasswd", "%ff", &"A".repeat(32)] {
        let answer = Http::get(server.addr, format!("/v1/artifacts/{id}")).bearer(&Token::ada()).send().await;
        assert_eq!(answer.error(), (404, "NOT_FOUND".to_owned()), "{id}");
    }
    for request in [
        Http::get(server.addr, &*url),
        Http::get(server.addr, &*url).bearer(&Token::expired()),
        Http::get(server.addr, &*url).bearer(&Token::forged()),
    ] {
        assert_eq!(request.send().await.error(), (401, "UNAUTHORIZED".to_owned()));
    }
    server.finish().await;
}
