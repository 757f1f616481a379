//! A user's device: asks, asks again, comes back, cancels, reads slowly, and goes away without a word.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use streamer_engine::{
    Caller, Credentials, Rights, Session,
    clock::Clock,
    protocol::{ConnectionId, ErrorBody, ErrorCode, RequestId, Timestamp},
    push::Push,
    store::{ConnectionRecord, RequestKey},
};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::{
    dice::Dice,
    node::{Node, connection_of},
    view::View,
    work::Work,
    world::World,
};

/// How long a device waits for anything before it does something else.
const PATIENCE: Duration = Duration::from_secs(15);

/// A request that a user's devices may send, again and again.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) id: String,
    pub(crate) action: String,
    pub(crate) work: Work,
    pub(crate) delay_ms: u64,
    pub(crate) priority: i64,
}

pub(crate) struct Device {
    pub(crate) world: Arc<World>,
    pub(crate) caller: Caller,
    pub(crate) name: String,
    pub(crate) dice: Dice,
    pub(crate) asks: Vec<Ask>,
    pub(crate) views: BTreeMap<String, View>,
    pub(crate) link: Option<Link>,
    /// How many connections it has had, and messages it has sent.
    pub(crate) count: u64,
}

/// A connection, from the device's side.
pub(crate) struct Link {
    node: Arc<Node>,
    session: Arc<Session>,
    id: ConnectionId,
    /// The messages that have no answer yet.
    waiting: BTreeSet<String>,
    heard: BTreeMap<String, Heard>,
}

/// What came of one request's log.
struct Heard {
    last: u64,
    /// How often it may begin anew: once for each further time that it was asked for.
    anew: u32,
    /// Whether it was promised that what follows is told.
    promised: bool,
}

impl Device {
    fn key(&self, id: &str) -> RequestKey {
        self.caller.key(RequestId::parse(id).expect("valid"))
    }

    /// Does what chance tells it to.
    pub(crate) async fn play(&mut self) {
        for _ in 0..8 + self.dice.below(10) {
            self.act().await;
            if self.dice.percent(15) {
                // Does not read.
                sleep(self.dice.millis(1_500)).await;
            } else {
                let span = self.dice.millis(1_200);
                self.listen(span).await;
            }
        }
    }

    async fn act(&mut self) {
        if self.link.is_none() {
            let room = 6 + self.dice.below(60);
            self.connect(room).await;
            // What is missed is asked for first, mostly.
            if self.dice.percent(60) {
                for id in self.views.keys().cloned().collect::<Vec<_>>() {
                    self.resume(&id).await;
                }
            }
        }
        let ask = self.dice.one_of(&self.asks).clone();
        match self.dice.below(100) {
            0..48 => self.send(&ask).await,
            48..54 => {
                // Another payload under the same id, at times.
                let work = Work { salt: 1, ..ask.work.clone() };
                self.send(&Ask { work, ..ask }).await;
            }
            54..58 => {
                self.send(&ask).await;
                self.send(&ask).await;
            }
            58..70 => self.resume(&ask.id).await,
            70..82 => self.control("cancel", &ask.id, json!({})).await,
            82..86 => self.control("status", &ask.id, json!({})).await,
            86..90 => self.replay(&ask.id).await,
            90..96 => self.leave(),
            _ => {}
        }
    }

    pub(crate) async fn connect(&mut self, room: u64) {
        let nodes = self.world.nodes();
        if nodes.is_empty() {
            return sleep(Duration::from_millis(200)).await;
        }
        let node = Arc::clone(self.dice.one_of(&nodes));
        self.count += 1;
        let id = connection_of(&self.caller, &format!("{}-{}", self.name, self.count));
        let room = usize::try_from(room).expect("fits");
        node.gate.fake.open_with_room(&id, room);
        let now = self.world.clock.now();
        let record = ConnectionRecord {
            id: id.clone(),
            user: self.caller.user.clone(),
            tenant: self.caller.tenant.clone(),
            endpoint: "here".to_owned(),
            connected_at: now,
            last_ping: now,
            user_agent: None,
            ip_address: None,
            expires_at: now + Duration::from_secs(24 * 60 * 60),
        };
        let connecting = node.engine.connect(&record, Arc::new(NoToken));
        if let Ok(Ok(session)) = timeout(PATIENCE, connecting).await {
            let (waiting, heard) = (BTreeSet::new(), BTreeMap::new());
            self.link = Some(Link { node, session, id, waiting, heard });
        }
    }

    /// Hangs up, with what is unread lost.
    pub(crate) fn leave(&mut self) {
        if let Some(Link { node, session, id, .. }) = self.link.take() {
            node.gate.fake.hang_up(&id);
            tokio::spawn(async move { node.engine.disconnect(&session).await });
        }
    }

    async fn send(&mut self, ask: &Ask) {
        let not_before = self.world.clock.now() + Duration::from_millis(ask.delay_ms);
        self.world.ledger.sends(&self.key(&ask.id), not_before);
        self.follows(&ask.id, 0);
        let mut metadata = json!({});
        if ask.delay_ms > 0 {
            metadata["delay_ms"] = ask.delay_ms.into();
        }
        if ask.priority != 0 {
            metadata["priority"] = ask.priority.into();
        }
        let message =
            json!({ "id": ask.id, "action": ask.action, "payload": ask.work, "metadata": metadata });
        self.say(&ask.id, &message).await;
    }

    pub(crate) async fn resume(&mut self, id: &str) {
        let seen = self.views.get(id).map_or(0, |view| view.seq);
        // Some do not remember all that they have seen.
        let after = if self.dice.percent(20) { self.dice.below(seen + 1) } else { seen };
        self.follows(id, after);
        self.control("resume", id, json!({ "after_seq": after })).await;
    }

    async fn control(&mut self, action: &str, id: &str, mut payload: Value) {
        self.count += 1;
        let name = format!("{action} {}", self.count);
        payload["request_id"] = id.into();
        self.say(&name, &json!({ "id": name, "action": action, "payload": payload })).await;
    }

    async fn replay(&self, id: &str) {
        let nodes = self.world.nodes();
        if let Some(node) = nodes.first() {
            let _ = timeout(PATIENCE, node.engine.replay(&self.key(id))).await;
        }
    }

    fn follows(&mut self, id: &str, after: u64) {
        let Some(link) = &mut self.link else { return };
        match link.heard.get_mut(id) {
            Some(heard) => heard.anew += 1,
            None => {
                link.heard.insert(id.to_owned(), Heard { last: after, anew: 0, promised: false });
            }
        }
    }

    async fn say(&mut self, id: &str, message: &Value) {
        let Some(link) = &mut self.link else { return };
        if link.node.life.is_over() {
            return;
        }
        let Ok(room) = timeout(PATIENCE, link.session.room()).await else { return };
        self.world.ledger.note(format_args!("{} says {message}", link.id));
        link.waiting.insert(id.to_owned());
        if let Some(answer) = link.node.engine.accept(&link.session, room, &message.to_string()) {
            // As the door does: it waits for its peer.
            while link.node.gate.push(&link.id, answer.clone()).await
                == Err(streamer_engine::push::Error::Busy)
            {
                for frame in link.node.gate.fake.take_at_most(&link.id, 4) {
                    if let Err(how) = hear(&mut self.views, link, &frame, &self.caller, &self.world) {
                        self.world.ledger.broken(how);
                    }
                }
            }
        }
    }

    /// Reads what comes, for so long or until the connection is gone.
    pub(crate) async fn listen(&mut self, span: Duration) {
        let until = Instant::now() + span;
        while let Some(link) = &mut self.link {
            let (gate, id) = (Arc::clone(&link.node.gate), link.id.clone());
            let fake = &gate.fake;
            let most = 1 + usize::try_from(self.dice.below(8)).expect("fits");
            for frame in fake.take_at_most(&id, most) {
                if let Err(how) = hear(&mut self.views, link, &frame, &self.caller, &self.world) {
                    self.world.ledger.broken(how);
                }
            }
            let unread = fake.has_unread(&id);
            if !unread && (link.node.life.is_over() || fake.closed(&id).is_some()) {
                self.leave();
                break;
            }
            if Instant::now() >= until {
                return;
            }
            if !unread {
                tokio::select! {
                    biased;
                    () = fake.something(&id) => {}
                    _ = fake.closing(&id) => {}
                    () = sleep_until(until) => {}
                }
            } else if self.dice.percent(20) {
                sleep(self.dice.millis(100)).await;
            }
        }
        sleep_until(until).await;
    }

    /// Every message on a connection that is there has its answer at last.
    pub(crate) async fn hear_all_answers(&mut self) {
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until && self.link.as_ref().is_some_and(|link| !link.waiting.is_empty()) {
            self.listen(Duration::from_secs(1)).await;
        }
        if let Some(link) = &self.link
            && !link.waiting.is_empty()
        {
            self.world.ledger.broken(format!("{} has no answer to {:?}", link.id, link.waiting));
        }
        if let Some(link) = &self.link {
            for (id, _) in link.heard.iter().filter(|(_, heard)| heard.promised) {
                let ended = self.world.ledger.has_ended_in(&self.key(id), link.node.which);
                if ended && !self.views.get(id).is_some_and(View::has_ended) {
                    self.world.ledger.broken(format!("{} does not hear the end of {id}", link.id));
                }
            }
        }
        self.leave();
    }

    /// Comes back once more: what it then has understood of its requests is what their logs say.
    pub(crate) async fn understand_all(&mut self) {
        self.connect(10_000).await;
        for ask in self.asks.clone() {
            if self.world.ledger.record(&self.key(&ask.id)).is_some() {
                self.resume(&ask.id).await;
            }
        }
        self.hear_all_answers().await;
        for ask in &self.asks {
            let key = self.key(&ask.id);
            if self.world.ledger.record(&key).is_none() {
                continue;
            }
            let view = self.views.entry(ask.id.clone()).or_default();
            if let Err(how) = view.is(&self.world.ledger.log(&key)) {
                self.world.ledger.broken(format!("{} misunderstood {key:?}: {how}", self.name));
            }
        }
    }
}

/// Takes a frame. Says what is wrong with it.
fn hear(
    views: &mut BTreeMap<String, View>,
    link: &mut Link,
    frame: &Value,
    caller: &Caller,
    world: &World,
) -> Result<(), String> {
    let owner = format!("{}/{}", caller.tenant, caller.user);
    let id = frame["request_id"].as_str().ok_or_else(|| format!("about nothing: {frame}"))?;
    // That an attempt failed and will be repeated answers nothing.
    let mention = frame["seq"].is_null() && frame["error"]["retry"]["attempt"].is_u64();
    let answers =
        matches!(frame["type"].as_str(), Some("acknowledgment" | "response" | "complete" | "error"));
    if answers && !mention {
        link.waiting.remove(id);
    }
    let promised = match frame["type"].as_str() {
        Some("acknowledgment") => Some(id),
        Some("response") if id.starts_with("resume") => frame["data"]["request_id"].as_str(),
        _ => None,
    };
    if let Some(heard) = promised.and_then(|id| link.heard.get_mut(id)) {
        heard.promised = true;
    }
    // Where several messages of a connection ask for the same log, the last one is answered for all.
    if let Some(id) = promised {
        link.waiting.remove(id);
    }
    if frame["data"]["owner"].as_str().is_some_and(|of| of != owner) {
        return Err(format!("{owner} hears {frame}"));
    }
    let Some(seq) = frame["seq"].as_u64() else { return Ok(()) };
    let heard = link.heard.get_mut(id).ok_or_else(|| format!("{} did not ask for {frame}", link.id))?;
    if seq <= heard.last {
        heard.anew = heard.anew.checked_sub(1).ok_or_else(|| format!("{} hears twice: {frame}", link.id))?;
    }
    heard.last = seq;
    let key = caller.key(RequestId::parse(id).map_err(|e| e.to_string())?);
    let view = views.entry(id.to_owned()).or_default();
    view.take(seq, frame, &owner, world.ledger.was_replayed(&key))
        .map_err(|how| format!("{}: {how}", link.id))
}

struct NoToken;

impl Credentials for NoToken {
    fn rights(&self) -> Arc<Rights> {
        Arc::default()
    }

    fn refresh(&self, _: &str) -> Result<Timestamp, ErrorBody> {
        Err(ErrorBody::new(ErrorCode::Unauthorized, "there are no tokens here"))
    }
}
