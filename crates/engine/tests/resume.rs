//! Clients that come, go, lag and ask again at random moments: never a gap, a double or a falling percentage.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use streamer_engine::{
    Context, Failure, Router, Settings,
    random::Random,
    store::{EntryBody, LogEntry},
    testing::{Fault, SeededRandom},
};

use crate::support::{BEGIN, Client, Faults, Node, World, key, soon};

/// How many rows a request has. With their progress, checkpoints and restarts that makes some hundred entries.
const ROWS: u64 = 150;

/// Hands out rows at random moments, in three attempts.
fn routes(seed: u64) -> Router {
    let rows = move |cx: Context, _: Value| async move {
        let random = SeededRandom::new(seed + u64::from(cx.attempt()));
        for row in cx.restored().unwrap_or(0)..ROWS {
            let data = format!("row {row} of attempt {}", cx.attempt());
            match random.next_u64() % 4 {
                0 => cx.chunks_with_checkpoint(&[&data], &(row + 1)).await?,
                _ => cx.chunk(&data).await?,
            }
            cx.progress(row as f64 * 100.0 / ROWS as f64, &data).await?;
            match random.next_u64() % 100 {
                0..40 => tokio::time::sleep(Duration::from_millis(random.next_u64() % 40)).await,
                40..42 if cx.attempt() < 3 => return Err(Failure::retry("by chance")),
                _ => {}
            }
        }
        Ok::<_, Failure>("all rows")
    };
    Router::new().action("rows", rows).takes(Duration::from_secs(60)).retries(2)
}

/// What a client has understood of a request so far.
#[derive(Clone, Default)]
struct Understood {
    seq: u64,
    rows: Vec<Value>,
    percentage: f64,
    ended: bool,
}

impl Understood {
    fn take(&mut self, frame: &Value) {
        let Some(seq) = frame["seq"].as_u64() else { return };
        assert!(seq > self.seq, "a double, or out of order: {} then {frame}", self.seq);
        assert!(!self.ended, "after the end: {frame}");
        self.seq = seq;
        match frame["type"].as_str().expect("has a type") {
            "chunk" => {
                assert_eq!(frame["index"], self.rows.len(), "a gap: {frame}");
                self.rows.push(frame["data"].clone());
            }
            "restart" => {
                let from = frame["from_index"].as_u64().expect("a number") as usize;
                assert!(from <= self.rows.len(), "a gap before a restart: {frame}");
                self.rows.truncate(from);
            }
            "progress" => {
                let percentage = frame["percentage"].as_f64().expect("a number");
                assert!(percentage >= self.percentage, "it fell: {frame}");
                self.percentage = percentage;
            }
            "complete" => self.ended = true,
            _ => panic!("not expected: {frame}"),
        }
    }
}

/// A user's device that follows request `a` until it has seen the end.
struct Wanderer<'a> {
    node: &'a Node,
    name: &'a str,
    random: SeededRandom,
    understood: Understood,
    connections: u32,
}

impl Wanderer<'_> {
    fn chance(&self, percent: u64) -> bool {
        self.random.next_u64() % 100 < percent
    }

    async fn wander(mut self) -> Understood {
        while !self.understood.ended {
            let client = self.connect().await;
            self.ask(&client).await;
            self.read(&client).await;
            client.disconnect().await;
        }
        self.understood
    }

    async fn connect(&mut self) -> Client {
        self.connections += 1;
        assert!(self.connections < 10_000, "gets nowhere");
        let room = 3 + (self.random.next_u64() % 60) as usize;
        let name = format!("{} {}", self.name, self.connections);
        self.node.connect_with(&name, "ada", |fake, id| fake.open_with_room(id, room)).await
    }

    /// Asks for what comes after what is understood, or for everything again. What an earlier request on this
    /// connection still brings comes before the answer; from the answer on, the new one counts.
    async fn ask(&mut self, client: &Client) {
        let asked = if self.chance(20) {
            client.ask("a", "rows", json!({})).await;
            Understood::default()
        } else {
            let after = self.understood.seq;
            client.ask("r", "resume", json!({ "request_id": "a", "after_seq": after })).await;
            self.understood.clone()
        };
        loop {
            for frame in client.fake.take_at_most(client.id(), 1) {
                match frame["type"].as_str() {
                    Some("response" | "acknowledgment") => {
                        self.understood = asked;
                        return;
                    }
                    // Sent again after its end it has no acknowledgment, only its log.
                    Some(_)
                        if asked.seq == 0
                            && frame["seq"].as_u64().is_some_and(|seq| seq <= self.understood.seq) =>
                    {
                        self.understood = asked;
                        return self.understood.take(&frame);
                    }
                    _ => self.understood.take(&frame),
                }
            }
            if client.fake.closed(client.id()).is_some() && !client.fake.has_unread(client.id()) {
                return;
            }
            let come = async {
                tokio::select! {
                    () = client.fake.something(client.id()) => {}
                    _ = client.fake.closing(client.id()) => {}
                }
            };
            soon("an answer", come).await;
        }
    }

    async fn read(&mut self, client: &Client) {
        loop {
            let wait = Duration::from_millis(self.random.next_u64() % 30);
            if self.chance(30) {
                tokio::time::sleep(wait).await;
            }
            for frame in client.fake.take_at_most(client.id(), 1 + (self.random.next_u64() % 8) as usize) {
                self.understood.take(&frame);
            }
            let unread = client.fake.has_unread(client.id());
            if self.understood.ended || client.fake.closed(client.id()).is_some() && !unread {
                return;
            }
            match self.random.next_u64() % 100 {
                0..3 => return,
                3..6 => self.ask(client).await,
                _ if !unread => tokio::time::sleep(Duration::from_millis(1)).await,
                _ => {}
            }
        }
    }
}

/// Has a store be slow, and lose replies, at random: then an entry is in the log well before it is published.
async fn fumble(faults: &Faults, random: SeededRandom) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(Duration::from_millis(random.next_u64() % 100)).await;
        let slow = Fault::Delay(Duration::from_millis(random.next_u64() % 20));
        match random.next_u64() % 4 {
            0 => faults.perhaps("log", slow),
            1 => faults.perhaps("append", slow),
            _ => faults.perhaps("append", Fault::LoseReply),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_clients_do_they_see_the_log() {
    for seed in 0..10 {
        let settings = Settings { listener_buffer_max: 1 + (seed % 20) as usize, ..Settings::default() };
        let world = World::new();
        let node = world.working("n", routes(seed), settings);
        let first = node.connect("first", "ada").await;
        first.ask("a", "rows", json!({})).await;
        let wanderer = |name, n| Wanderer {
            node: &node,
            name,
            random: SeededRandom::new(seed * 10 + n),
            understood: Understood::default(),
            connections: 0,
        };
        let all = async {
            tokio::join!(
                wanderer("desk", 1).wander(),
                wanderer("phone", 2).wander(),
                wanderer("train", 3).wander()
            )
        };
        let all = async {
            tokio::select! {
                all = all => all,
                never = fumble(&world.faults, SeededRandom::new(seed)) => match never {},
            }
        };
        let (desk, phone, train) = soon("all to see the end", Box::pin(all)).await;
        let log = node.engine.store().log(&key("a"), 0, 10_000).await.expect("works");
        let rows = chunks(log);
        assert_eq!(rows.len() as u64, ROWS);
        for understood in [desk, phone, train] {
            assert_eq!(understood.rows, rows, "seed {seed}");
        }
    }
}

fn chunks(log: Vec<LogEntry>) -> Vec<Value> {
    let data = |entry: LogEntry| match entry.body {
        EntryBody::Chunk { data, .. } => Some(data.get().expect("JSON")),
        _ => None,
    };
    log.into_iter().filter_map(data).collect()
}

#[tokio::test(start_paused = true)]
async fn a_log_of_many_pages_is_read_from_anywhere() {
    let node = Node::alone(routes(1));
    let client = node.connect("c", "ada").await;
    client.ask("a", "rows", json!({})).await;
    client.until_outcome("a").await;
    let log: Arc<[LogEntry]> = node.engine.store().log(&key("a"), 0, 10_000).await.expect("works").into();
    assert!(log.len() > 2 * 64, "several pages: {}", log.len());
    for after in [0, 1, 63, 64, 65, 128, log.last().expect("some").seq - 1] {
        client.ask("r", "resume", json!({ "request_id": "a", "after_seq": after })).await;
        let frames = client.until_outcome("a").await;
        let (answer, told) = frames.split_first().expect("answered");
        assert_eq!(answer["data"]["status"], "COMPLETED");
        let seqs: Vec<_> = told.iter().filter_map(|frame| frame["seq"].as_u64()).collect();
        let expected: Vec<_> = log.iter().map(|entry| entry.seq).filter(|seq| *seq > after).collect();
        assert_eq!(seqs, expected, "after {after}");
        assert!(told[0]["timestamp"].as_str().expect("text") >= BEGIN.to_string().as_str());
    }
}
