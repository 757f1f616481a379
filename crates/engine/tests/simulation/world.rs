//! What a seed comes to: nodes over one store, the weather between them, devices, and deaths.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use streamer_engine::{
    Backoff, Caller, Settings,
    clock::Clock,
    protocol::{Action, ErrorBody, ErrorCode, Json, Permissions, RequestId, TenantId, Timestamp, UserId},
    store::{Enqueued, Fingerprint, NewRequest, Outcome, Priority, Quota, RequestKey, Requests},
    testing::{MemoryStore, PausedClock},
};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    device::{Ask, Device},
    dice::Dice,
    ledger::{Ledger, at_once},
    node::Node,
    panics,
    weather::Weather,
    work::{ACTIONS, Work},
};

/// When every world begins.
pub(crate) const BEGIN: Timestamp = Timestamp::from_millis(1_800_000_000_000);

const TENANTS: [&str; 2] = ["acme", "globex"];
const USERS: [&str; 2] = ["ada", "bob"];

/// By when everything must have ended once the weather has cleared up.
const END: Duration = Duration::from_secs(15 * 60);

/// A world that takes longer gets nowhere.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: PausedClock,
    pub(crate) weather: Arc<Weather>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) settings: Settings,
    nodes: Mutex<BTreeMap<usize, Arc<Node>>>,
    lives: Mutex<u64>,
    /// Whether the devices have done all that chance told them to.
    played: AtomicBool,
    /// Whether everything has ended.
    over: AtomicBool,
}

/// Runs the world of a seed. Answers the trace of what happened, or the promise that was broken. `told` prints all
/// that happens.
pub(crate) fn run(seed: u64, told: bool) -> Result<u64, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("there is room for a runtime");
    runtime.block_on(async {
        let dice = Dice::new(seed);
        let world = World::new(seed, &dice, told);
        if timeout(DAY, Box::pin(happens(Arc::clone(&world), dice))).await.is_err() {
            world.ledger.broken("it comes to no end".to_owned());
        }
        if panics::was_unplanned() {
            world.ledger.broken("something panicked".to_owned());
        }
        world.ledger.verdict()
    })
}

async fn happens(world: Arc<World>, dice: Dice) {
    let slots = 1 + usize::try_from(dice.below(3)).expect("fits");
    for slot in 0..slots {
        world.start(slot);
    }
    let devices = devices(&world, &dice);
    let (dying, dead) = (Arc::clone(&world), dice.other());
    let dying = tokio::spawn(async move { deaths(&dying, &dead, slots).await });
    let playing: Vec<_> = devices.into_iter().map(|device| tokio::spawn(play(device))).collect();
    let mut devices = Vec::new();
    for playing in playing {
        devices.extend(playing.await);
    }
    world.played.store(true, Ordering::Relaxed);
    dying.await.expect("does not panic");
    world.weather.clear_up();
    for slot in 0..slots {
        world.start(slot);
    }
    let listening: Vec<_> = devices.into_iter().map(|device| tokio::spawn(listen(device))).collect();
    world.wait_for_the_end().await;
    world.over.store(true, Ordering::Relaxed);
    for listening in listening {
        if let Ok(mut device) = listening.await {
            device.hear_all_answers().await;
            device.understand_all().await;
        }
    }
    world.ledger.close();
    world.quotas_are_free().await;
}

async fn play(mut device: Device) -> Device {
    device.play().await;
    device
}

async fn listen(mut device: Device) -> Device {
    while !device.world.over.load(Ordering::Relaxed) {
        device.listen(Duration::from_millis(500)).await;
    }
    device
}

/// Kills, stops and starts nodes.
async fn deaths(world: &World, dice: &Dice, slots: usize) {
    for _ in 0..dice.below(6) {
        sleep(dice.millis(5_000)).await;
        if world.played.load(Ordering::Relaxed) {
            return;
        }
        let slot = usize::try_from(dice.below(slots as u64)).expect("fits");
        let Some(node) = world.nodes.lock().remove(&slot) else { continue };
        if dice.percent(70) {
            world.ledger.note(format_args!("node {slot} dies"));
            node.crash();
        } else {
            world.ledger.note(format_args!("node {slot} stops"));
            node.stop().await;
        }
        // At once, soon, or after its leases have run out.
        sleep(Duration::from_millis(*dice.one_of(&[0, 0, 300, 2_000, 9_000]))).await;
        world.start(slot);
    }
}

fn devices(world: &Arc<World>, dice: &Dice) -> Vec<Device> {
    let mut devices = Vec::new();
    for (tenant, user) in TENANTS.iter().flat_map(|tenant| USERS.iter().map(move |user| (tenant, user))) {
        let caller = Caller { tenant: TenantId::new(*tenant), user: UserId::new(*user) };
        let owner = format!("{tenant}/{user}");
        let ask = |n: u64| Ask {
            // The same ids everywhere: they mean nothing outside of a user and a tenant.
            id: format!("r{n}"),
            action: (*dice.one_of(&ACTIONS)).to_owned(),
            work: Work::of(&owner, dice),
            delay_ms: if dice.percent(12) { 500 + dice.below(4_000) } else { 0 },
            priority: if dice.percent(30) { dice.below(21).cast_signed() - 10 } else { 0 },
        };
        let asks: Vec<Ask> = (0..1 + dice.below(3)).map(ask).collect();
        for name in ["desk", "phone"].iter().take(1 + usize::from(dice.percent(40))) {
            devices.push(Device {
                world: Arc::clone(world),
                caller: caller.clone(),
                name: (*name).to_owned(),
                dice: dice.other(),
                asks: asks.clone(),
                views: BTreeMap::new(),
                link: None,
                count: 0,
            });
        }
    }
    devices
}

impl World {
    fn new(seed: u64, dice: &Dice, told: bool) -> Arc<Self> {
        let store = Arc::new(MemoryStore::new());
        let clock = PausedClock::starting_at(BEGIN);
        let weather = Arc::new(Weather::of(dice.other()));
        let ledger = Arc::new(Ledger::new(Arc::clone(&store), clock, Arc::clone(&weather), told));
        let settings = Settings {
            short_limit: Duration::from_secs(1),
            attempt_timeout: Duration::from_secs(20),
            lease: Duration::from_secs(5),
            running_max: 1 + usize::try_from(dice.below(8)).expect("fits"),
            quota: Quota {
                open_max: 4 + dice.below(8),
                tenant_open_max: 2 + dice.below(5),
                ..Settings::default().quota
            },
            retry_backoff: Backoff { base: Duration::from_millis(200), max: Duration::from_secs(2) },
            cancel_grace: Duration::from_millis(500),
            connection_in_flight_max: 6,
            connection_listeners_max: 16,
            listener_buffer_max: 1 + usize::try_from(dice.below(16)).expect("fits"),
            ..Settings::default()
        };
        Arc::new(Self {
            seed,
            store,
            clock,
            weather,
            ledger,
            settings,
            nodes: Mutex::default(),
            lives: Mutex::default(),
            played: AtomicBool::new(false),
            over: AtomicBool::new(false),
        })
    }

    /// The nodes that are there.
    pub(crate) fn nodes(&self) -> Vec<Arc<Node>> {
        self.nodes.lock().values().cloned().collect()
    }

    /// Starts a node, if it is not there.
    fn start(&self, slot: usize) {
        self.nodes.lock().entry(slot).or_insert_with(|| {
            let mut lives = self.lives.lock();
            *lives += 1;
            self.ledger.note(format_args!("node {slot} starts"));
            Node::start(self, &format!("node {slot}"), *lives)
        });
    }

    async fn wait_for_the_end(&self) {
        let until = Instant::now() + END;
        // What was said just now is stored soon.
        sleep(Duration::from_secs(10)).await;
        while at_once(self.store.open_requests()) > 0 && !self.ledger.is_broken() {
            if Instant::now() > until {
                return self.ledger.broken("not every request has come to its end".to_owned());
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Nothing is open any more: as many requests can be stored as at the beginning.
    async fn quotas_are_free(&self) {
        for tenant in TENANTS {
            let free = self.settings.quota.tenant_open_max.min(self.settings.quota.open_max);
            for n in 0..=free {
                let stored = self.store.enqueue(&self.one_more(tenant, n), &self.settings.quota).await;
                if matches!(stored, Ok(Enqueued::New)) != (n < free) {
                    return self.ledger.broken(format!("{n} of {free} requests of {tenant}: {stored:?}"));
                }
            }
            // Room for the next tenant.
            for n in 0..free {
                let outcome = Outcome::Cancelled(ErrorBody::new(ErrorCode::Cancelled, "it was only to see"));
                let (key, now) = (self.one_more(tenant, n).key, self.clock.now());
                at_once(self.store.cancel(&key, &outcome, now, now));
            }
        }
    }

    fn one_more(&self, tenant: &str, n: u64) -> NewRequest {
        let action = Action::parse("long").expect("valid");
        let now = self.clock.now();
        // Not due for a day: no worker takes it.
        let run_at = now + DAY;
        let fingerprint = Fingerprint::of(&action, &Json::null());
        let key = RequestKey::new(TenantId::new(tenant), UserId::new("zoe"), id_of(n));
        NewRequest {
            key,
            connection: None,
            action,
            payload: Json::null(),
            fingerprint,
            permissions: Permissions::default(),
            created_at: now,
            run_at,
            priority: Priority::default(),
            max_retries: 0,
            repeatable: true,
            announced: false,
        }
    }
}

fn id_of(n: u64) -> RequestId {
    RequestId::parse(&format!("one more {n}")).expect("valid")
}
