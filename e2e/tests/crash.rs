//! SIGKILL at random moments under load: what was acknowledged is done, once, and who comes back misses nothing.
//!
//! `CRASH_ROUNDS=100 CRASH_SEED=7 cargo test -p streamer-e2e crash` kills more often, and at other moments.

use std::time::Duration;

use futures_util::future::join_all;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use streamer_e2e::{
    issuer::Issuer,
    patience::{until, within},
    peer::{Peer, Said},
    promises::Heard,
    scenario::Place as _,
    server::Server,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use crate::server;

const CLIENTS: u64 = 3;
const TENANT: &str = "acme";

/// How many requests one client has under way at most.
const OPEN_MAX: usize = 8;

/// A request that a client sent, and what it heard of it.
struct Sent {
    action: &'static str,
    payload: Value,
    heard: Heard,
}

impl Sent {
    fn chunks(&self) -> u64 {
        self.payload["chunks"].as_u64().unwrap_or(0)
    }
}

/// Sends requests, loses its connection, comes back and goes on where it stood.
struct Client {
    user: String,
    url: String,
    random: StdRng,
    open: Vec<Sent>,
    ended: Vec<Sent>,
    resumes: u32,
}

impl Client {
    fn new(n: u64, seed: u64, url: String) -> Self {
        let random = StdRng::seed_from_u64(seed + n);
        Self { user: format!("user-{n}"), url, random, open: Vec::new(), ended: Vec::new(), resumes: 0 }
    }

    /// Until it is told to stop and everything has ended.
    async fn live(mut self, mut stop: watch::Receiver<bool>) -> Self {
        let token = Issuer::shared().token(&self.user, TENANT);
        loop {
            let url = self.url.clone();
            let connected = async || Peer::try_connect(&url, Some(&token)).await.ok();
            let mut peer = until("the server to be back", connected).await;
            self.take_up(&mut peer).await;
            if self.talk(&mut peer, &mut stop).await {
                peer.leave().await;
                return self;
            }
        }
    }

    /// Goes on with what was under way: what was promised is followed, what was not is sent again.
    async fn take_up(&mut self, peer: &mut Peer) {
        for sent in &self.open {
            let id = &sent.heard.id;
            if sent.heard.acknowledged {
                self.resumes += 1;
                let resume = json!({ "request_id": id, "after_seq": sent.heard.last_seq });
                peer.send(&format!("resume-{}", self.resumes), "resume", resume).await;
            } else {
                peer.send(id, sent.action, sent.payload.clone()).await;
            }
        }
    }

    /// True once there is nothing left to do; false if the connection was lost.
    async fn talk(&mut self, peer: &mut Peer, stop: &mut watch::Receiver<bool>) -> bool {
        let mut next = Instant::now();
        loop {
            let stopping = *stop.borrow_and_update();
            if stopping && self.open.is_empty() {
                return true;
            }
            tokio::select! {
                said = peer.listen() => match said {
                    Said::Frame(frame) => self.take(&frame),
                    Said::Closed(_) | Said::Broken => return false,
                },
                () = sleep_until(next), if !stopping && self.open.len() < OPEN_MAX => {
                    self.send(peer).await;
                    next = Instant::now() + Duration::from_millis(self.random.random_range(5..60));
                }
                changed = stop.changed() => changed.expect("the test goes on"),
            }
        }
    }

    async fn send(&mut self, peer: &mut Peer) {
        let id = format!("{}-{}", self.user, self.open.len() + self.ended.len());
        let (action, payload) = match self.random.random_range(0..4) {
            0 => ("echo_async", json!({ "n": id })),
            // Some are queued, and some are short until their first chunk.
            _ => {
                let seconds = f64::from(self.random.random_range(50..900)) / 1000.0;
                ("delay", json!({ "seconds": seconds, "chunks": self.random.random_range(1..12) }))
            }
        };
        peer.send(&id, action, payload.clone()).await;
        self.open.push(Sent { action, payload, heard: Heard::nothing_of(id) });
    }

    fn take(&mut self, frame: &Value) {
        let id = frame["request_id"].as_str().expect("all that comes is about a request");
        if id.starts_with("resume-") {
            assert_eq!(frame["type"], "response", "what was promised is there: {frame}");
            return;
        }
        if let Some(at) = self.open.iter().position(|sent| sent.heard.id == id) {
            self.open[at].heard.take(frame);
            if self.open[at].heard.end.is_some() {
                self.ended.push(self.open.swap_remove(at));
            }
            return;
        }
        // Nothing comes after the end.
        let ended = self.ended.iter_mut().find(|sent| sent.heard.id == id);
        ended.expect("it was sent").heard.take(frame);
    }
}

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

/// Holds what a client heard against what is stored. Gives how often its requests were begun anew.
async fn check(server: &Server, client: &Client, kills: u64) -> u64 {
    let mut peer = server.peer(&client.user, TENANT).await;
    let mut restarts = 0;
    for sent in &client.ended {
        let heard = &sent.heard;
        let result = heard.result();
        if !heard.acknowledged {
            continue;
        }
        assert_eq!(heard.chunks.len() as u64, sent.chunks(), "{}", heard.id);
        let asked = format!("status-{}", heard.id);
        let standing = peer.ask(&asked, "status", json!({ "request_id": heard.id })).await["data"].clone();
        assert_eq!(standing["status"], "COMPLETED", "{standing}");
        assert_eq!(&standing["result"], result, "two outcomes: {standing}");
        let attempts = standing["attempt"].as_u64().expect("a number");
        assert!((1..=kills + 1).contains(&attempts), "{standing}");

        let log = log_of(&mut peer, &heard.id).await;
        assert_eq!((log.result(), log.last_seq), (result, heard.last_seq), "{}", heard.id);
        assert_eq!(log.chunks, heard.chunks, "what was heard is what is kept: {}", heard.id);
        // Of restarts from one place the log keeps the last, and who listened heard each that it keeps.
        assert_eq!(log.restarts > 0, attempts > 1, "a new attempt is announced: {} {standing}", heard.id);
        assert!((log.restarts..attempts).contains(&heard.restarts), "{} {standing}", heard.id);
        restarts += log.restarts;
    }
    peer.leave().await;
    restarts
}

/// What was done is not done again, however often it is sent.
async fn send_again(server: &Server, client: &Client) {
    let mut peer = server.peer(&client.user, TENANT).await;
    for sent in client.ended.iter().filter(|sent| sent.heard.acknowledged) {
        let mut again = Heard::nothing_of(sent.heard.id.as_str());
        peer.send(&again.id, sent.action, sent.payload.clone()).await;
        while again.end.is_none() {
            again.take(&peer.frame().await);
        }
        assert_eq!((again.result(), again.last_seq), (sent.heard.result(), sent.heard.last_seq));
    }
    peer.leave().await;
}

/// A variable's number, or what is usual.
fn chosen(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("a number"))
}

#[tokio::test]
async fn kills_at_random_moments_lose_double_and_reorder_nothing() {
    let (seed, rounds) = (chosen("CRASH_SEED", 1), chosen("CRASH_ROUNDS", 5));
    // Shown if it fails.
    eprintln!("CRASH_SEED={seed} CRASH_ROUNDS={rounds}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = server().set("engine.short_limit_ms", 400).start().await;
    let (stop, stopped) = watch::channel(false);
    let clients = (0..CLIENTS).map(|n| Client::new(n, seed, server.ws_url()).live(stopped.clone()));
    let mut clients = join_all(clients);
    let kills = async {
        for _ in 0..rounds {
            // Not a wait for anything: the moment of the crash.
            sleep(Duration::from_millis(random.random_range(300..1500))).await;
            server.kill().await;
            server.restart().await;
        }
        stop.send(true).expect("the clients live");
    };
    tokio::select! {
        _ = &mut clients => panic!("nobody told the clients to stop"),
        () = kills => {}
    }
    let clients = within("the clients to be done", clients).await;

    let mut restarts = 0;
    for client in &clients {
        assert!(client.ended.len() > 10, "{} sent only {}", client.user, client.ended.len());
        restarts += check(&server, client, rounds).await;
    }
    assert!(restarts > 0, "no kill hit running work: the test proves nothing");
    let resumes: u32 = clients.iter().map(|client| client.resumes).sum();
    assert!(resumes > 0, "nobody had to resume: the test proves nothing");

    let runs = async || server.metric("streamer_attempt_duration_seconds_count", &[]).await;
    let before = runs().await;
    for client in &clients {
        send_again(&server, client).await;
    }
    assert_eq!(runs().await, before);
    server.stop().await;
    let checked = server.shell().run(["store", "check", "streamer.db"]).await.succeeded();
    assert!(checked.contains("(0 open)") && checked.contains("the store is sound"), "{checked}");
}
