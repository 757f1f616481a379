//! The same id sent again never runs queued work twice.

use futures_util::future::join_all;
use serde_json::{Value, json};
use streamer_e2e::{patience::until, promises::Heard, server::Server};

use crate::server;

/// How often the action has run, as the server counts it.
async fn runs(server: &Server, action: &str) -> f64 {
    let label = format!("action=\"{action}\"");
    server.metric("streamer_attempt_duration_seconds_count", &[&label]).await
}

/// Sends it on a connection of its own and reads to the end.
async fn sent(server: &Server, id: &str, action: &str, payload: Value) -> Heard {
    let mut peer = server.peer("ada", "acme").await;
    let mut heard = Heard::nothing_of(id);
    peer.send(id, action, payload).await;
    while heard.end.is_none() {
        heard.take(&peer.frame().await);
    }
    peer.leave().await;
    heard
}

#[tokio::test]
async fn connections_that_send_one_id_at_once_share_one_run() {
    const CONNECTIONS: usize = 12;
    let server = server().set("engine.short_limit_ms", 500).start().await;
    let payload = json!({ "seconds": 1.2, "chunks": 5 });
    let all = join_all((0..CONNECTIONS).map(|_| sent(&server, "once", "delay", payload.clone()))).await;
    for heard in &all {
        assert!(heard.acknowledged);
        assert_eq!((heard.chunks.len(), heard.restarts), (5, 0));
        assert_eq!((&heard.chunks, heard.result()), (&all[0].chunks, all[0].result()));
    }
    // Whoever asks once it is done hears the same.
    let late = sent(&server, "once", "delay", payload.clone()).await;
    assert_eq!((&late.chunks, late.result()), (&all[0].chunks, all[0].result()));
    // It is counted a moment after its end is told.
    until("the run to be counted", async || (runs(&server, "delay").await > 0.0).then_some(())).await;
    assert_eq!(runs(&server, "delay").await, 1.0);

    let spaced = json!({ "chunks": 5, "seconds": 1.2 });
    assert_eq!(
        sent(&server, "once", "delay", spaced).await.result(),
        late.result(),
        "order is no difference"
    );
    let other = sent(&server, "once", "delay", json!({ "seconds": 1.2, "chunks": 6 })).await;
    assert_eq!(other.end.expect("an answer")["error"]["code"], "CONFLICT");
    assert_eq!(runs(&server, "delay").await, 1.0);
}

#[tokio::test]
async fn an_id_is_known_after_a_restart() {
    let mut server = server().start().await;
    let first = sent(&server, "kept", "echo_async", json!({ "n": 1 })).await;
    server.stop().await;
    server.restart().await;
    let again = sent(&server, "kept", "echo_async", json!({ "n": 1 })).await;
    assert_eq!((first.result(), first.last_seq), (again.result(), again.last_seq));
    assert_eq!(runs(&server, "echo_async").await, 0.0, "this life of the server ran nothing");
}
