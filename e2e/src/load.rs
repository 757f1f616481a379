//! A load of requests as chance will have them, for as long as something is done to the server.

use std::time::Duration;

use futures_util::future::join_all;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use tokio::sync::watch;

use crate::{
    audit::{self, Anew},
    client::{Client, Errand},
    patience::within,
    server::Server,
};

const CLIENTS: u64 = 3;

/// Requests without end.
fn errands(mut random: StdRng) -> impl Iterator<Item = Errand> {
    std::iter::repeat_with(move || {
        let errand = match random.random_range(0..5) {
            0 => Errand::new("echo_async", json!({ "n": random.random_range(0..1000) })),
            1 => {
                let period = json!({ "start_date": "2024-01-01", "end_date": "2024-01-31", "format": "csv" });
                Errand::new("generate_report", period)
            }
            // Some are queued, and some are short until their first chunk.
            _ => {
                let seconds = f64::from(random.random_range(50..900)) / 1000.0;
                let chunks = random.random_range(1..12);
                Errand::new("delay", json!({ "seconds": seconds, "chunks": chunks }))
            }
        };
        Errand { pause: Duration::from_millis(random.random_range(5..60)), ..errand }
    })
}

/// Has the server at `url` under load until `disturbance` is over; then gives the clients, all of whose requests have
/// ended.
pub async fn during(url: &str, seed: u64, disturbance: impl Future<Output = ()>) -> Vec<Client> {
    let (stop, stopped) = watch::channel(false);
    let clients = (0..CLIENTS).map(|n| {
        let errands = errands(StdRng::seed_from_u64(seed + n));
        Client::new(format!("user-{n}"), url, errands).live(stopped.clone())
    });
    let mut clients = join_all(clients);
    tokio::select! {
        _ = &mut clients => panic!("nobody told the clients to stop"),
        () = disturbance => {}
    }
    stop.send(true).expect("the clients live");
    within("the clients to be done", clients).await
}

/// Holds what the clients heard against what the server has stored; and that they were hit at all.
pub async fn hold(server: &Server, clients: &[Client]) -> Anew {
    let mut all = Anew::default();
    for client in clients {
        assert!(client.ended.len() > 10, "{} sent only {}", client.user, client.ended.len());
        let anew = audit::hold(server, client).await;
        all.restarts += anew.restarts;
        all.attempts_max = all.attempts_max.max(anew.attempts_max);
    }
    assert!(all.restarts > 0, "running work was never hit: the test proves nothing");
    let resumes: u32 = clients.iter().map(|client| client.resumes).sum();
    assert!(resumes > 0, "nobody had to resume: the test proves nothing");
    audit::nothing_runs_again(server, clients).await;
    all
}
