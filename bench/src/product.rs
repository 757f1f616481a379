//! The server that is measured: every part of the product, with actions that do no work of their own.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Result;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use streamer_auth::{Algorithm, Keys, PublicKey, Verifier};
use streamer_engine::{
    BreakerSettings, Context, Engine, Failure, Handlers, HistoryRule, Ports, Router, TopicSettings,
    clock::SystemClock,
    store::{ConnectionFilter, PageQuery, Quota, WorkerId},
};
use streamer_protocol::{ConnectionId, History};
use streamer_remote::{
    Address, HandlerSettings, PoolSettings, Remote, RemoteSettings, SECRET_CHARS_MIN, SigningKey, UrlHandler,
    trust,
};
use streamer_server::{Door, Hub};
use streamer_service::telemetry::{self, Logs, Metrics};
use streamer_store_sqlite::SqliteStore;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{contender, machine::micros, rows::share::SLOT};

/// How many connections are asked for at once.
const CENSUS_PAGE: u32 = 1000;

/// More than any row asks for.
const MANY: usize = 10_000_000;
/// As many as the binary has unless told otherwise.
const HANDLER_THREADS: usize = 64;

/// What every connection is sent.
#[derive(Serialize)]
pub(crate) struct Notice {
    notice: &'static str,
}

/// A message of a hundred bytes.
pub(crate) const NOTICE: Notice = Notice { notice: NOTICE_TEXT };

const NOTICE_TEXT: &str =
    "the quick brown fox jumps over the lazy dog, and then the dog jumps over the brown fox";

/// Serves until the process is killed.
pub(crate) async fn serve(
    folder: &Path,
    public_key: &Path,
    url: Option<&str>,
    listener: TcpListener,
) -> Result<()> {
    telemetry::install(&Logs::default())?;
    let metrics = Metrics::install(Duration::from_secs(3600))?;
    let store = Arc::new(SqliteStore::open(streamer_store_sqlite::Settings::at(folder.join("streamer.db")))?);
    let server = streamer_server::Settings {
        endpoint: listener.local_addr()?.to_string(),
        // One tenant at one address asks for all of it, as fast as it can.
        address_connections_per_minute: 0,
        address_refusals_per_minute: 0,
        messages_per_minute: 0,
        connections_max: MANY,
        tenant_connections_max: MANY,
        ..streamer_server::Settings::default()
    };
    let hub = Hub::new(&server);
    // As the binary does it.
    let threads =
        tokio::runtime::Builder::new_multi_thread().worker_threads(HANDLER_THREADS).enable_all().build()?;
    let handlers = Handlers::on(HANDLER_THREADS, threads.handle().clone());
    let ports = Ports { handlers, ..Ports::new(store, Arc::new(hub.clone())) };
    let crowd = Arc::<OnceLock<Crowd>>::default();
    let mut routes = routes(&crowd);
    if let Some(url) = url {
        routes = routes.action("bench.url", by_url(url)?);
    }
    let engine = Engine::new(ports, routes, WorkerId::new("bench"), limits());
    let _ = crowd.set(Crowd { engine: engine.clone(), ids: tokio::sync::OnceCell::new() });
    let verifier = verifier(public_key)?;
    let door = Door::new(engine.clone(), hub.clone(), verifier, server);
    let stop = CancellationToken::new();
    let (_, _, _, kept) = tokio::join!(
        door.accept(listener, stop.clone(), Duration::ZERO),
        engine.work(stop.clone(), Duration::from_secs(1)),
        hub.run(&engine, stop.clone()),
        metrics.upkeep(stop.clone()),
    );
    threads.shutdown_background();
    Ok(kept?)
}

/// Checks tokens by the issuer's key. The floor does that too.
pub(crate) fn verifier(public_key: &Path) -> Result<Verifier> {
    let key = PublicKey::from_file(Algorithm::Rs256, public_key)?;
    Ok(Verifier::new(streamer_auth::Settings::new(Keys::new([key])?)))
}

/// The product's own, but for how much may be open and followed: it is one tenant that asks for all of it.
fn limits() -> streamer_engine::Settings {
    streamer_engine::Settings {
        quota: Quota {
            open_max: MANY as u64,
            tenant_open_max: MANY as u64,
            stored_bytes_max: u64::MAX,
            tenant_stored_bytes_max: u64::MAX,
        },
        connection_listeners_max: MANY,
        topics: TopicSettings { histories: histories(), ..TopicSettings::default() },
        ..streamer_engine::Settings::default()
    }
}

/// What topics keep, by how their names begin.
fn histories() -> Vec<HistoryRule> {
    let rule = |prefix: &str, history| HistoryRule {
        prefix: prefix.to_owned(),
        history,
        messages_max: contender::KEPT as u64,
        ..HistoryRule::default()
    };
    vec![rule("kept.", History::Memory), rule("durable.", History::Durable)]
}

/// An action that is done at an address, as the binary does it.
fn by_url(url: &str) -> Result<UrlHandler> {
    let settings = RemoteSettings {
        pool: PoolSettings::default(),
        breaker: BreakerSettings::default(),
        keys: vec![SigningKey::new("bench", &"k".repeat(SECRET_CHARS_MIN))?],
        tls: trust::platform(),
    };
    let remote = Remote::new(settings, Arc::new(SystemClock));
    let target = remote.target(Address::parse(url, &["127.0.0.1"])?);
    Ok(UrlHandler::new(target, HandlerSettings::default()))
}

/// Everybody who is connected, for the actions that send to them.
struct Crowd {
    engine: Engine,
    ids: tokio::sync::OnceCell<Vec<ConnectionId>>,
}

impl Crowd {
    /// Whoever was connected when this was first asked, in the order in which they came: so the floor has them too.
    async fn ids(&self) -> Result<&[ConnectionId], Failure> {
        let ids = self.ids.get_or_try_init(async || {
            let mut connections = Vec::new();
            let mut page = PageQuery { limit: CENSUS_PAGE, cursor: None };
            loop {
                let found = self.engine.connections(&ConnectionFilter::default(), &page).await;
                let found = found.map_err(|e| Failure::reject(e.message))?;
                connections.extend(found.items);
                page.cursor = found.cursor;
                if page.cursor.is_none() {
                    connections.sort_by_key(|connection| connection.connected_at);
                    return Ok(connections.into_iter().map(|connection| connection.id).collect());
                }
            }
        });
        ids.await.map(Vec::as_slice)
    }
}

#[derive(Deserialize)]
struct Count {
    count: usize,
}

#[derive(Deserialize)]
struct Sent {
    sent_at_micros: u64,
}

#[derive(Serialize)]
struct Started {
    after_micros: u64,
}

fn routes(crowd: &Arc<OnceLock<Crowd>>) -> Router {
    let long = Duration::from_secs(60);
    let with_crowd = || {
        let crowd = Arc::clone(crowd);
        move || Arc::clone(&crowd)
    };
    let (census, broadcast, sends) = (with_crowd(), with_crowd(), with_crowd());
    Router::new()
        .action("bench.life", life)
        .takes(long)
        .action("bench.start", start)
        .takes(long)
        .action("bench.slot", slot)
        .takes(long)
        .action("bench.chunks", chunks)
        .takes(long)
        .action("bench.census", move |_: Context, _: IgnoredAny| {
            let crowd = census();
            async move { Ok::<_, Failure>(connected(&crowd)?.ids().await?.len()) }
        })
        .action("bench.broadcast", move |_: Context, _: IgnoredAny| {
            let crowd = broadcast();
            async move {
                let crowd = connected(&crowd)?;
                let sent = crowd.engine.sender().broadcast(crowd.ids().await?, &NOTICE).await;
                Ok::<_, Failure>(sent.map_err(Failure::retry)?.delivered)
            }
        })
        .action("bench.sends", move |_: Context, Count { count }: Count| {
            let crowd = sends();
            async move {
                let crowd = connected(&crowd)?;
                let ids = crowd.ids().await?.iter().take(count);
                let sent = join_all(ids.map(|id| crowd.engine.sender().send(id, &NOTICE))).await;
                Ok::<_, Failure>(sent.iter().filter(|sent| sent.is_ok()).count())
            }
        })
}

fn connected(crowd: &OnceLock<Crowd>) -> Result<&Crowd, Failure> {
    crowd.get().ok_or_else(|| Failure::reject("nobody is connected yet"))
}

/// A long request that does nothing but show that it lives.
async fn life(cx: Context, _: IgnoredAny) -> Result<bool, Failure> {
    cx.progress(50.0, "half").await?;
    Ok(true)
}

/// How long it took from the client's send to here.
async fn start(_: Context, sent: Sent) -> Result<Started, Failure> {
    Ok(Started { after_micros: micros().saturating_sub(sent.sent_at_micros) })
}

/// As [`start`], and then has its place for a slot time.
async fn slot(cx: Context, sent: Sent) -> Result<Started, Failure> {
    let started = start(cx, sent).await;
    tokio::time::sleep(SLOT).await;
    started
}

/// Leaves a log of so many chunks behind.
async fn chunks(cx: Context, Count { count }: Count) -> Result<bool, Failure> {
    let chunks: Vec<&str> = vec![NOTICE_TEXT; count];
    cx.chunks_with_checkpoint(&chunks, &count).await?;
    Ok(true)
}
