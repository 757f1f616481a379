//! `streamer serve`: the life of the server.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use streamer_engine::{Engine, Ports, Router, store::WorkerId};
use streamer_events::Registry;
use streamer_server::{Admin, AdminSettings, Door, Hub, Management, PublishLetter};
use streamer_service::{
    config::Loaded,
    signals::{Hangups, Stop},
    supervisor::Supervisor,
    tasks::Tasks,
    telemetry::{self, Metrics},
};
use tokio::net::TcpListener;
use tracing::info;

use crate::{
    Application,
    certificate::Certificate,
    config::{Config, Sources},
    events::Beside,
    faults,
    listeners::{Doors, Passed},
    open_files, opening,
    remote::Urls,
    threads::HandlerThreads,
};

/// How long a metric is shown after it was last counted.
const METRICS_IDLE: Duration = Duration::from_secs(60 * 60);

/// Run the server.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    sources: Sources,
    /// Where the doors listen (listen.address)
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where operators are served (admin.address)
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// The store's file (store.path)
    #[arg(long, value_name = "FILE")]
    store: Option<String>,
    /// The file with the public key of the tokens' issuer (auth.public_key_file)
    #[arg(long, value_name = "FILE")]
    public_key_file: Option<String>,
    /// Where the tokens' issuer publishes its public keys (auth.jwks_url)
    #[arg(long, value_name = "URL")]
    jwks_url: Option<String>,
    /// Offer the demonstration handlers (demo.enabled)
    #[arg(long)]
    demo: bool,
    /// Write the addresses to this file, as JSON, once they are open
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

impl Arguments {
    fn flags(&self) -> Vec<(&'static str, &'static str, String)> {
        let mut flags = Vec::new();
        let mut add = |flag, setting, value: &Option<String>| {
            if let Some(value) = value {
                flags.push((flag, setting, value.clone()));
            }
        };
        add("--listen", "listen.address", &self.listen);
        add("--admin", "admin.address", &self.admin);
        add("--store", "store.path", &self.store);
        add("--public-key-file", "auth.public_key_file", &self.public_key_file);
        add("--jwks-url", "auth.jwks_url", &self.jwks_url);
        add("--demo", "demo.enabled", &self.demo.then(|| "true".to_owned()));
        flags
    }
}

/// Where a server can be reached.
#[derive(Debug, Clone, Serialize, serde::Deserialize)]
pub(crate) struct Addresses {
    /// The doors.
    pub(crate) listen: SocketAddr,
    /// The operators' address, if there is one.
    pub(crate) admin: Option<SocketAddr>,
}

pub(crate) fn command(arguments: &Arguments, application: Application) -> anyhow::Result<ExitCode> {
    // Before there are threads.
    let passed = Passed::of_environment();
    crate::block_on(async {
        let parts = application.parts();
        let loaded = match arguments.sources.load(&arguments.flags(), &parts.0) {
            Ok(loaded) => loaded,
            Err(mistakes) => {
                eprintln!("{mistakes}");
                return Ok(ExitCode::FAILURE);
            }
        };
        let passed = passed?;
        passed.check(&loaded.config)?;
        serve(loaded, parts, passed, arguments.ready_file.as_deref()).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Serves until a signal says stop. Every mistake in the configuration was reported before.
async fn serve(
    loaded: Loaded<Config>,
    (routes, registry): (Router, Registry),
    mut passed: Passed,
    ready_file: Option<&Path>,
) -> anyhow::Result<()> {
    let config = &loaded.config;
    faults::arm()?;
    telemetry::install(&config.logs)?;
    let metrics = Metrics::install(METRICS_IDLE)?;
    let stop = Stop::on_signals()?;
    // Ends nothing, also where there is no certificate to look at again.
    let hangups = Hangups::listen()?;
    let supervisor = Supervisor::of_environment()?;
    let (verifier, rotation) = tokio::select! {
        verifier = config.auth.verifier() => verifier?,
        () = stop.fired() => return Ok(()),
    };

    let certificate = Certificate::load(&config.listen)?;
    let Some(store) = opening::open(config, &stop).await? else { return Ok(()) };
    // Not before: whoever comes now waits in a socket that was passed, or for the address.
    let Doors { listener, outlives } = passed.doors(config)?;
    let listen = listener.local_addr()?;
    let mut server = config.server_settings(listen);
    server.sockets_max = open_files::sockets_max(server.sockets_max);
    let hub = Hub::new(&server);
    let threads = HandlerThreads::start(config.engine.handler_threads)?;
    let ports = Ports::new(Arc::clone(&store) as _, Arc::new(hub.clone()));
    let ports = faults::ports(Ports { handlers: threads.handlers(), ..ports });
    let clock = Arc::clone(&ports.clock);
    let urls = Urls::new(config, Arc::clone(&clock))?;
    let mut routes = bounded(config, urls.offer(offer_demo(config, routes)?)?)?;
    let webhooks = urls.webhooks(&mut routes)?;
    let worker = WorkerId::new(config.engine.node.as_str());
    let engine = Engine::new(ports, routes, worker, config.engine_settings());
    let forgotten = engine.store().forget_endpoint(&server.endpoint).await?;
    let management = Management::new(engine.clone(), &server, config.management.keys()?);
    let mut door = Door::new(engine.clone(), hub.clone(), verifier, server);
    if let Some(certificate) = &certificate {
        door = door.with_tls(certificate.tls());
    }
    if let Some(gate) = urls.gate(clock)? {
        door = door.with_gate(gate);
    }
    if config.management.is_public() {
        door = door.with_management(management.clone());
    }
    let events = Beside::new(&config.events, registry, &engine)?;
    let shown = shown(&metrics, events.as_ref());
    let admin = admin(&loaded, &mut passed, &engine, &hub, &door, shown)?;

    let addresses = Addresses { listen, admin: admin.as_ref().map(|(_, address, _)| *address) };
    if let Some(file) = ready_file {
        announce(&addresses, file)?;
    }
    info!(address = %addresses.listen, admin = addresses.admin.map(tracing::field::display), forgotten, "listening");

    // Stopped in this order, each given its share of the deadline.
    let drain_timeout = config.drain.timeout_s.duration();
    // Nobody needs to be sent elsewhere from a socket that the next process serves.
    let linger = if outlives { Duration::ZERO } else { config.drain.linger_ms.duration() };
    let mut tasks = Tasks::new(stop, drain_timeout);
    tasks.spawn("supervisor", |stop| supervisor.follow(stop));
    tasks.spawn("doors", move |stop| async move {
        door.accept(listener, stop, linger).await;
        anyhow::Ok(())
    });
    if let Some(events) = events {
        tasks.spawn("events", move |stop| events.run(stop));
    }
    let workers = engine.clone();
    tasks.spawn("workers", move |stop| async move {
        workers.work(stop, drain_timeout / 2).await;
        anyhow::Ok(())
    });
    if let Some(webhooks) = webhooks {
        let (engine, settings) = (engine.clone(), config.remote.outbox());
        tasks.spawn("webhooks", move |stop| async move {
            engine.announce(Arc::new(webhooks), settings, stop, drain_timeout / 4).await;
            anyhow::Ok(())
        });
    }
    tasks.spawn("sockets", move |stop| async move {
        hub.run(&engine, stop).await;
        anyhow::Ok(())
    });
    if let Some(certificate) = certificate {
        tasks.spawn("certificate", move |stop| certificate.keep_fresh(hangups, stop));
    }
    if let Some(rotation) = rotation {
        tasks.spawn("keys", move |stop| async move {
            rotation.run(stop).await;
            anyhow::Ok(())
        });
    }
    if let Some((admin, _, listener)) = admin {
        tasks.spawn("admin", move |stop| async move {
            admin.with_management(management).serve(listener, stop).await;
            anyhow::Ok(())
        });
    }
    tasks.spawn("metrics", |stop| metrics.upkeep(stop));
    let joined = tasks.join().await;
    drop(threads);
    store.close().await;
    info!("stopped");
    Ok(joined?)
}

/// What operators are shown that is measured, and what they may do with events.
struct Shown {
    /// All metrics, those of the events too.
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The figures of the events.
    events: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// What publishes dead letters of the topics again.
    letters: Option<PublishLetter>,
}

fn shown(metrics: &Metrics, events: Option<&Beside>) -> Shown {
    let (metrics, of_events) = (metrics.clone(), events.map(Beside::metrics));
    let figures = events.map(Beside::figures);
    Shown {
        metrics: Arc::new(move || {
            metrics.render() + &of_events.as_ref().map_or_else(String::new, |shown| shown())
        }),
        events: Arc::new(move || figures.as_ref().and_then(|figures| figures())),
        letters: events.and_then(Beside::letters),
    }
}

fn admin(
    loaded: &Loaded<Config>,
    passed: &mut Passed,
    engine: &Engine,
    hub: &Hub,
    door: &Door,
    shown: Shown,
) -> anyhow::Result<Option<(Admin, SocketAddr, TcpListener)>> {
    let config = &loaded.config.admin;
    if !config.enabled {
        return Ok(None);
    }
    let listener = passed.admin(&loaded.config)?;
    let address = listener.local_addr()?;
    let token = config.operators_token();
    let token = token.map_err(|(setting, problem)| anyhow::anyhow!("{setting}: {problem}"))?;
    let settings = AdminSettings {
        token,
        allowed_hosts: config.allowed_hosts.clone(),
        metrics: shown.metrics,
        events: shown.events,
        letters: shown.letters,
        configuration: serde_json::to_value(loaded.sources())?,
    };
    let admin = Admin::new(engine.clone(), hub.clone(), door.readiness(), settings);
    Ok(Some((admin, address, listener)))
}

/// Written under another name first: who waits for the file finds it whole.
pub(crate) fn announce(addresses: &impl Serialize, file: &Path) -> anyhow::Result<()> {
    let written = || {
        let fresh = file.with_extension("new");
        std::fs::write(&fresh, serde_json::to_vec(addresses)?)?;
        std::fs::rename(&fresh, file)?;
        anyhow::Ok(())
    };
    written().with_context(|| format!("the ready file {} cannot be written", file.display()))
}

/// With the bounds that the configuration sets.
fn bounded(config: &Config, mut routes: Router) -> anyhow::Result<Router> {
    for (action, most) in &config.engine.action_running_max {
        let known = routes.bound(action, *most);
        anyhow::ensure!(known, "engine.action_running_max: there is no action {action:?}");
    }
    Ok(routes)
}

#[cfg(feature = "demo")]
fn offer_demo(config: &Config, routes: Router) -> anyhow::Result<Router> {
    if !config.demo.enabled {
        return Ok(routes);
    }
    const SEED: u64 = 1;
    let data_dir = &config.demo.data_dir;
    let filled = streamer_demo::data::fill(data_dir, SEED)
        .with_context(|| format!("demo.data_dir {} cannot be filled", data_dir.display()))?;
    info!(data_dir = %data_dir.display(), files = filled.len(), "the demonstration handlers are offered");
    let mut settings = streamer_demo::Settings::demo(data_dir);
    settings.queries.extend(config.demo.views()?);
    Ok(routes.merge(streamer_demo::routes(settings)))
}

#[cfg(not(feature = "demo"))]
fn offer_demo(config: &Config, routes: Router) -> anyhow::Result<Router> {
    // The check of the configuration saw to it that it is not enabled.
    let _ = config;
    Ok(routes)
}
