//! When a source is asked, and what is in force meanwhile; by a clock that the tests move.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use metrics_exporter_prometheus::PrometheusBuilder;
use parking_lot::Mutex;
use streamer_auth::{
    ASK_INTERVAL, Algorithm, Fetched, KeyPair, KeySource, Keys, LiveVerifier, Rejected, Rotation, Settings,
    SourceError, Verifier,
};
use tokio::{
    sync::Semaphore,
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{NOW, grant, key, signer};

const MINUTE: Duration = Duration::from_secs(60);

/// Answers what stands next in its script, the last of it again and again.
#[derive(Clone)]
struct Scripted {
    answers: Arc<Mutex<VecDeque<Option<Fetched>>>>,
    asked: Arc<AtomicUsize>,
    /// An answer takes a permit.
    gate: Arc<Semaphore>,
}

impl Scripted {
    /// `None` is a failure.
    fn new(answers: impl IntoIterator<Item = Option<Fetched>>) -> Self {
        Self {
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            asked: Arc::default(),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// From now on answers wait.
    fn hold(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Lets one answer out.
    fn let_go(&self) {
        self.gate.add_permits(1);
    }
}

#[async_trait]
impl KeySource for Scripted {
    async fn fetch(&self) -> Result<Fetched, SourceError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.expect("open").forget();
        let mut answers = self.answers.lock();
        let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        next.expect("a script").ok_or(SourceError::Status(503))
    }

    fn place(&self) -> &str {
        "a script"
    }
}

fn fresh() -> KeyPair {
    KeyPair::generate(Algorithm::EdDsa).expect("a pair")
}

/// The pair's key, by the name "k" and a number.
fn keys(pairs: &[&KeyPair]) -> Keys {
    Keys::new(pairs.iter().enumerate().map(|(n, pair)| key(pair).with_id(format!("k{n}")))).expect("keys")
}

fn having(pairs: &[&KeyPair]) -> Option<Fetched> {
    Some(Fetched { keys: keys(pairs), max_age: None })
}

fn fresh_for(pairs: &[&KeyPair], max_age: Duration) -> Option<Fetched> {
    Some(Fetched { keys: keys(pairs), max_age: Some(max_age) })
}

fn token(pair: &KeyPair, kid: &str) -> String {
    signer(pair).with_id(kid).issue(&grant(), NOW).expect("a token").as_str().to_owned()
}

struct Running {
    live: LiveVerifier,
    source: Scripted,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(answers: impl IntoIterator<Item = Option<Fetched>>) -> Self {
        let source = Scripted::new(answers);
        let started = Rotation::start(Box::new(source.clone()), Settings::new).await;
        let (live, rotation) = started.expect("keys");
        let stop = CancellationToken::new();
        let task = tokio::spawn(rotation.run(stop.clone()));
        Self { live, source, stop, task }
    }

    /// Begins checking, until it waits or is done.
    async fn verifying(&self, token: String) -> JoinHandle<Result<(), Rejected>> {
        let live = self.live.clone();
        let task = tokio::spawn(async move { live.verify(&token, NOW).await.map(drop) });
        self.turn().await;
        task
    }

    /// Everybody who can go on does; with the clock stopped, this takes no time.
    async fn turn(&self) {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn all_who_meet_an_unknown_key_share_one_answer() {
    let (old, new) = (fresh(), fresh());
    let running = Running::start([having(&[&old]), having(&[&old, &new])]).await;
    running.source.hold();
    let good = running.verifying(token(&new, "k1")).await;
    let too_late = running.verifying(token(&new, "k2")).await;
    let forged = running.verifying(token(&old, "k1")).await;
    assert!(!good.is_finished() && !too_late.is_finished() && !forged.is_finished());
    assert!(running.live.verify(&token(&old, "k0"), NOW).await.is_ok(), "a known key waits for nothing");

    running.source.let_go();
    assert_eq!(good.await.expect("ends"), Ok(()));
    assert_eq!(too_late.await.expect("ends"), Err(Rejected::UnknownKey));
    assert_eq!(forged.await.expect("ends"), Err(Rejected::BadSignature));
    assert_eq!(running.source.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_asks_again_only_after_the_interval() {
    let pair = fresh();
    let running = Running::start([having(&[&pair])]).await;
    let unknown = token(&pair, "unheard-of");
    let begun = Instant::now();
    assert_eq!(running.live.verify(&unknown, NOW).await, Err(Rejected::UnknownKey));
    assert_eq!(running.source.asked(), 2, "the first one may ask right after the start");
    while begun.elapsed() < ASK_INTERVAL {
        assert_eq!(running.live.verify(&unknown, NOW).await, Err(Rejected::UnknownKey));
        assert_eq!(running.source.asked(), 2);
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(running.live.verify(&unknown, NOW).await, Err(Rejected::UnknownKey));
    assert_eq!(running.source.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_failed_answer_also_counts_and_harms_nobody() {
    let (old, new) = (fresh(), fresh());
    let running = Running::start([having(&[&old]), None, having(&[&new])]).await;
    for _ in 0..3 {
        assert_eq!(running.live.verify(&token(&new, "k1"), NOW).await, Err(Rejected::UnknownKey));
    }
    assert_eq!(running.source.asked(), 2);
    assert!(running.live.verify(&token(&old, "k0"), NOW).await.is_ok());

    // A minute after the failure it is asked by itself.
    sleep(MINUTE + Duration::from_secs(1)).await;
    assert_eq!(running.source.asked(), 3);
    assert!(running.live.verify(&token(&new, "k0"), NOW).await.is_ok());
    assert_eq!(running.live.verify(&token(&old, "k0"), NOW).await, Err(Rejected::BadSignature));
}

#[tokio::test(start_paused = true)]
async fn keys_are_renewed_when_their_source_says_within_bounds() {
    let pair = fresh();
    for (answer, wait) in [
        (having(&[&pair]), 10 * MINUTE),
        (fresh_for(&[&pair], 5 * MINUTE), 5 * MINUTE),
        (fresh_for(&[&pair], Duration::ZERO), MINUTE),
        (fresh_for(&[&pair], Duration::MAX), 24 * 60 * MINUTE),
    ] {
        let running = Running::start([answer]).await;
        let first = running.live.current();
        for asked in 1..4 {
            sleep(wait - Duration::from_secs(1)).await;
            assert_eq!(running.source.asked(), asked, "{wait:?}");
            sleep(Duration::from_secs(1)).await;
            running.turn().await;
            assert_eq!(running.source.asked(), asked + 1, "{wait:?}");
        }
        assert!(Arc::ptr_eq(&running.live.current(), &first), "the same keys are no change");
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_source_fails_the_last_keys_stay_in_force() {
    let (old, new) = (fresh(), fresh());
    let failures = 200;
    let answers = [having(&[&old])].into_iter().chain(vec![None; failures]).chain([having(&[&new])]);
    let running = Running::start(answers).await;
    sleep(10 * MINUTE + MINUTE * (u32::try_from(failures).expect("few") - 1)).await;
    assert!(running.live.verify(&token(&old, "k0"), NOW).await.is_ok(), "hours later");
    assert_eq!(running.source.asked(), failures);
    sleep(2 * MINUTE).await;
    assert!(running.live.verify(&token(&new, "k0"), NOW).await.is_ok(), "and then it is there again");
}

#[tokio::test(start_paused = true)]
async fn at_the_start_a_source_is_waited_for_but_not_for_ever() {
    let pair = fresh();
    let running = Running::start([None, None, having(&[&pair])]).await;
    assert!(running.live.verify(&token(&pair, "k0"), NOW).await.is_ok());
    assert_eq!(running.source.asked(), 3);

    let (begun, source) = (Instant::now(), Scripted::new([None]));
    let started = Rotation::start(Box::new(source.clone()), Settings::new).await;
    assert!(matches!(started.map(drop), Err(SourceError::Status(503))));
    assert_eq!(source.asked(), 6);
    assert!(begun.elapsed() < Duration::from_secs(16), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_leaves_early_spoils_nothing_for_the_others() {
    let (old, new) = (fresh(), fresh());
    let running = Running::start([having(&[&old]), having(&[&new])]).await;
    running.source.hold();
    let leaving = running.verifying(token(&old, "unheard-of")).await;
    let staying = running.verifying(token(&new, "k1")).await;
    leaving.abort();
    running.turn().await;
    running.source.let_go();
    assert_eq!(staying.await.expect("ends"), Err(Rejected::UnknownKey));
    assert!(running.live.verify(&token(&new, "k0"), NOW).await.is_ok(), "the answer arrived");
    assert_eq!(running.source.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_cannot_wait_asks_for_the_next_one() {
    let (old, new) = (fresh(), fresh());
    let running = Running::start([having(&[&old]), having(&[&old, &new])]).await;
    let fresh_token = token(&new, "k1");
    assert_eq!(running.live.verify_at_once(&fresh_token, NOW), Err(Rejected::UnknownKey));
    running.turn().await;
    assert!(running.live.verify_at_once(&fresh_token, NOW).is_ok());
    assert_eq!(running.source.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_rotation_that_has_ended() {
    let pair = fresh();
    for aborted in [false, true] {
        let running = Running::start([having(&[&pair])]).await;
        running.source.hold();
        let waiting = running.verifying(token(&pair, "unheard-of")).await;
        assert!(!waiting.is_finished());
        if aborted {
            running.task.abort();
        } else {
            running.stop.cancel();
        }
        assert_eq!(waiting.await.expect("ends"), Err(Rejected::UnknownKey));
        let unknown = running.live.verify(&token(&pair, "unheard-of"), NOW).await;
        assert_eq!(unknown, Err(Rejected::UnknownKey));
        assert!(running.live.verify(&token(&pair, "k0"), NOW).await.is_ok(), "the last keys stay");
    }
}

#[tokio::test(start_paused = true)]
async fn fixed_keys_are_checked_the_same_way() {
    let pair = fresh();
    let live = LiveVerifier::from(Verifier::new(Settings::new(keys(&[&pair]))));
    let begun = Instant::now();
    assert!(live.verify(&token(&pair, "k0"), NOW).await.is_ok());
    assert_eq!(live.verify(&token(&pair, "k1"), NOW).await, Err(Rejected::UnknownKey));
    assert_eq!(live.verify_at_once(&token(&pair, "k1"), NOW), Err(Rejected::UnknownKey));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn fetches_and_failures_are_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let shown = recorder.handle();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let (old, new) = (fresh(), fresh());
    let running = Running::start([None, having(&[&old]), None, having(&[&old, &new])]).await;
    assert!(shown.render().contains("streamer_keys 1\n"), "{}", shown.render());
    sleep(12 * MINUTE).await;
    assert_eq!(running.source.asked(), 4);
    let shown = shown.render();
    for line in [
        "streamer_key_fetches_total 4\n",
        "streamer_key_fetch_failures_total{reason=\"status\"} 2\n",
        "streamer_keys 2\n",
    ] {
        assert!(shown.contains(line), "{line} is missing in:\n{shown}");
    }
}
