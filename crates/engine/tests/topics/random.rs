//! Random lives of topics: readers that come, go, lag and come back, publishers, a store that fails, processes that
//! die. Never a gap, a double, another order or another message in its place.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use streamer_engine::{
    HistoryRule, Router, Settings,
    protocol::History,
    random::Random,
    testing::{Fault, SeededRandom},
};

use super::{key, rule, settings};
use crate::support::{Client, Node, World, pass, soon};

const SEEDS: u64 = 12;
const STEPS: u32 = 500;
const TOPICS: [&str; 4] = ["none.a", "memory.a", "durable.a", "durable.b"];

/// What was at each place of each life of each topic, as the first who saw it saw it.
#[derive(Default)]
struct Model {
    seen: BTreeMap<(&'static str, String, u64), Value>,
    published: u64,
}

impl Model {
    fn see(&mut self, topic: &'static str, epoch: &str, offset: u64, data: &Value) {
        let first = self.seen.entry((topic, epoch.to_owned(), offset)).or_insert_with(|| data.clone());
        assert_eq!(first, data, "another message in the place {offset} of {topic}");
    }
}

/// One who reads a topic, over many connections.
struct Reader {
    name: String,
    topic: &'static str,
    connections: u32,
    client: Option<Client>,
    /// Where it has come to: a life, and the last message of it that was seen.
    position: Option<(String, u64)>,
    /// From where it wants to go on, until it is answered.
    wanted: Option<Option<(String, u64)>>,
    /// It is not the first subscription of its connection.
    again: bool,
}

impl Reader {
    fn of(n: usize, topic: &'static str) -> Self {
        let name = format!("r{n}");
        Self { name, topic, connections: 0, client: None, position: None, wanted: None, again: false }
    }

    async fn connect(&mut self, node: &Node, room: usize, from_the_start: bool) {
        self.connections += 1;
        let connection = format!("{}-{}", self.name, self.connections);
        let client =
            node.connect_with(&connection, &self.name, |fake, id| fake.open_with_room(id, room)).await;
        (self.client, self.again) = (Some(client), false);
        let start = from_the_start.then(|| (String::new(), 0));
        self.subscribe(self.position.clone().or(start)).await;
    }

    async fn subscribe(&mut self, since: Option<(String, u64)>) {
        let Some(client) = &self.client else { return };
        let mut payload = json!({ "topic": self.topic });
        if let Some((epoch, offset)) = &since {
            payload["since"] = json!({ "epoch": epoch, "offset": offset });
        }
        self.wanted = Some(since);
        let Some(room) = client.session.try_room() else { return };
        let message = json!({ "id": "s", "action": "subscribe", "payload": payload }).to_string();
        // Its answer is always pushed: it is under the topic's lock.
        assert!(client.engine().accept(&client.session, room, &message).is_none());
    }

    async fn leave(&mut self) {
        if let Some(client) = self.client.take() {
            client.disconnect().await;
        }
        self.wanted = None;
    }

    /// Reads at most so many frames. False if its connection is closed and read up.
    fn read(&mut self, frames: usize, model: &mut Model) -> bool {
        let Some(client) = &self.client else { return true };
        let taken = client.fake.take_at_most(client.id(), frames);
        let done = taken.is_empty() && client.fake.closed(client.id()).is_some();
        for frame in taken {
            match frame["type"].as_str() {
                Some("event") => self.event(&frame, model),
                Some("response") => self.answered(&frame["data"]),
                _ if frame["error"]["code"] == "INTERNAL_ERROR" => return false,
                other => panic!("unexpected {other:?}: {frame}"),
            }
        }
        !done
    }

    fn answered(&mut self, data: &Value) {
        let since = self.wanted.take().expect("asked once");
        let number = |name: &str| data[name].as_u64().expect("a number");
        let epoch = data["epoch"].as_str().expect("a text").to_owned();
        let after = match (&since, data["resumed"].as_bool()) {
            (None, None) => number("offset"),
            (Some((life, offset)), Some(true)) => {
                assert_eq!(*life, epoch, "resumed in another life");
                *offset
            }
            (Some((life, offset)), Some(false)) => {
                // A durable topic that keeps everything loses nothing; what was never stored had no life.
                let known = !life.is_empty() && *offset > 0;
                assert!(!known || !self.topic.starts_with("durable."), "{}: {data}", self.topic);
                number("kept_from") - 1
            }
            other => panic!("{other:?}: {data}"),
        };
        self.position = Some((epoch, after));
    }

    fn event(&mut self, frame: &Value, model: &mut Model) {
        let (epoch, offset) =
            (frame["epoch"].as_str().expect("a text"), frame["offset"].as_u64().expect("a number"));
        // Until a further subscription is answered, the earlier one goes on.
        assert!(self.wanted.is_none() || self.again, "{}: before the answer: {frame}", self.name);
        let (life, last) = self.position.as_mut().expect("answered");
        assert_eq!(epoch, life, "{}", self.name);
        assert_eq!(offset, *last + 1, "{}: a gap or a double", self.name);
        *last = offset;
        model.see(self.topic, epoch, offset, &frame["data"]);
    }
}

fn limits() -> Settings {
    let mut settings = settings();
    // Durable topics keep everything; those in memory do not.
    settings.topics.histories = vec![
        HistoryRule { messages_max: 20, ..rule("memory.", History::Memory) },
        HistoryRule {
            messages_max: 1_000_000,
            bytes_max: 1_000_000_000,
            age_max: Duration::from_secs(7 * 24 * 60 * 60),
            ..rule("durable.", History::Durable)
        },
    ];
    settings
}

async fn live(seed: u64) {
    let dice = SeededRandom::new(seed);
    let below = |bound: u64| dice.next_u64() % bound;
    let world = World::new();
    let mut node = world.working("life0", Router::new(), limits());
    let mut model = Model::default();
    let mut lives = 0;
    let mut readers: Vec<Reader> = Vec::new();
    readers.extend(TOPICS.into_iter().cycle().take(12).enumerate().map(|(n, topic)| Reader::of(n, topic)));
    for _ in 0..STEPS {
        let who = below(readers.len() as u64) as usize;
        match below(100) {
            0..35 => {
                let topic = TOPICS[below(4) as usize];
                model.published += 1;
                let (engine, data) = (node.engine.clone(), json!(model.published));
                // Some are waited for, some are not.
                let publishing = tokio::spawn(async move { engine.publish(&key(topic), data.into()).await });
                if below(3) > 0 {
                    let published = soon("a publish", publishing).await.expect("no panic");
                    if let Ok(published) = published {
                        let data = json!(model.published);
                        model.see(topic, published.epoch.as_str(), published.offset, &data);
                    }
                }
            }
            35..75 => {
                let alive = readers[who].read(1 + below(6) as usize, &mut model);
                if !alive {
                    readers[who].leave().await;
                }
            }
            75..83 => {
                let reader = &mut readers[who];
                match reader.client {
                    Some(_) => reader.leave().await,
                    None => {
                        let room = [2, 5, 50][below(3) as usize];
                        reader.connect(&node, room, below(2) == 0).await;
                    }
                }
            }
            83..86 => {
                // Once more, over the same connection.
                let reader = &mut readers[who];
                if reader.wanted.is_none() && reader.client.is_some() {
                    while reader.client.as_ref().is_some_and(|c| c.fake.has_unread(c.id())) {
                        reader.read(10, &mut model);
                    }
                    if reader.wanted.is_none() {
                        let since = reader.position.clone();
                        reader.again = true;
                        reader.subscribe(since).await;
                    }
                }
            }
            86..94 => {
                let method = ["append_messages", "messages", "topic"][below(3) as usize];
                let span = Duration::from_millis(below(300));
                let fault = [Fault::Refuse, Fault::LoseReply, Fault::Delay(span), Fault::DelayReply(span)];
                world.faults.perhaps(method, fault[below(4) as usize]);
            }
            94..99 => pass(Duration::from_millis(below(400))).await,
            _ => {
                // The process dies: nobody hears anything of it any more, but what was on its way to the store may
                // have arrived.
                lives += 1;
                for reader in &mut readers {
                    reader.leave().await;
                }
                pass(Duration::from_secs(60)).await;
                node.die();
                node = world.working(&format!("life{lives}"), Router::new(), limits());
            }
        }
    }
    // Those who come last read all from its beginning.
    readers.extend(TOPICS.into_iter().enumerate().map(|(n, topic)| Reader::of(12 + n, topic)));
    settle(&node, &mut readers, &mut model).await;
    // No message has two places in a life.
    let mut places = BTreeMap::new();
    for ((topic, epoch, offset), data) in &model.seen {
        if let Some(other) = places.insert((topic, epoch, data.to_string()), offset) {
            panic!("{data} of {topic} is at {other} and at {offset}");
        }
    }
    // What readers saw of the durable topics is what the store has.
    for topic in ["durable.a", "durable.b"] {
        let stored = world.store.messages(&key(topic), 0, i64::MAX as u64, u32::MAX).await.expect("reads");
        let seen: Vec<(u64, Value)> = model
            .seen
            .iter()
            .filter(|((of, _, _), _)| *of == topic)
            .map(|((_, _, at), data)| (*at, data.clone()))
            .collect();
        let stored: Vec<(u64, Value)> =
            stored.iter().map(|message| (message.offset, message.data.get().expect("JSON"))).collect();
        assert_eq!(seen, stored, "{topic}");
    }
}

/// Everybody comes back and hears a last message.
async fn settle(node: &Node, readers: &mut [Reader], model: &mut Model) {
    pass(Duration::from_secs(60)).await;
    for reader in &mut *readers {
        reader.leave().await;
        reader.connect(node, 10_000, true).await;
    }
    pass(Duration::from_secs(60)).await;
    let mut last = BTreeMap::new();
    for topic in TOPICS {
        last.insert(topic, node.publish(topic, json!("last")).await);
    }
    for reader in readers {
        assert!(reader.read(usize::MAX, model), "{} is not closed", reader.name);
        let (_, seen) = reader.position.clone().expect("answered");
        assert_eq!(seen, last[reader.topic], "{} has come to the end of {}", reader.name, reader.topic);
        reader.leave().await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_missed_doubled_or_disordered() {
    for seed in 0..SEEDS {
        live(seed).await;
    }
}
