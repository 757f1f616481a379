//! The servers of the demonstration: those that were named, or of its own.

use std::{fmt::Write as _, fs, time::Duration};

use anyhow::{Context as _, bail, ensure};
use streamer_engine::random::{Random as _, SystemRandom};
use streamer_servers::{
    Lifetime, install,
    mongodb::Mongodb,
    postgres::{self, Postgres},
};
use streamer_service::config::{Loaded, Secret};
use streamer_source_postgres::{Client, literal, quoted};
use tokio::task::spawn_blocking;

use super::outcome::{Addresses, Kept};
use crate::{
    config::{Config, Events, events::TlsMode},
    events::{flags::is_given, processor},
};

/// The databases of own servers.
const DATABASE: &str = "streamer";
/// What MongoDB's stand-in may take: its documents are in memory.
const HEAP_MB: u32 = 512;
/// How long the look into a named outbox may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

const NAMED: &str =
    "to use servers of your own, name both, by POSTGRES_HOST and MONGODB_URI or their settings";

/// Whether the servers were named.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named(bool);

impl Named {
    /// Both or none: positions in the read models of one are nothing to another's log.
    pub(super) fn of(loaded: &Loaded<Config>) -> anyhow::Result<Self> {
        let of_postgres = ["host", "port", "database", "user", "password", "password_file"];
        let postgres = of_postgres.into_iter().map(|name| format!("events.postgres.{name}"));
        let postgres = postgres.into_iter().find(|setting| is_given(loaded, setting));
        let mongodb = is_given(loaded, "events.mongodb.uri");
        match (postgres, mongodb) {
            (None, false) => Ok(Self(false)),
            (Some(_), true) => Ok(Self(true)),
            (Some(setting), false) => bail!("{setting} is set, and events.mongodb.uri is not: {NAMED}"),
            (None, true) => bail!("events.mongodb.uri is set, and events.postgres.host is not: {NAMED}"),
        }
    }

    /// Makes sure that what was not named can be started.
    pub(super) fn install_others(self) -> anyhow::Result<()> {
        if self.0 {
            return Ok(());
        }
        let installed = || {
            install::postgres()?;
            let tools = install::tools().context("there is no place for MongoDB's stand-in: set HOME")?;
            Ok(install::mongodb(&tools)?)
        };
        installed().map_err(|e: anyhow::Error| anyhow::anyhow!("{e:#}; {NAMED}"))
    }
}

/// Where it all happens. Servers that it started end when it is dropped.
pub(super) struct Servers {
    events: Events,
    own: Option<(Postgres, Mongodb)>,
}

impl Servers {
    pub(super) async fn open(named: Named, mut events: Events, keep: bool) -> anyhow::Result<Self> {
        if named.0 {
            return Ok(Self { events, own: None });
        }
        println!("Starting PostgreSQL and what speaks MongoDB's protocol …");
        let lifetime = if keep { Lifetime::Keepable } else { Lifetime::OfStarter };
        let password = SystemRandom.unguessable();
        events.postgres.host = "127.0.0.1".to_owned();
        events.postgres.database = DATABASE.to_owned();
        events.postgres.user = postgres::USER.to_owned();
        events.postgres.password = Secret::from(password.clone());
        events.postgres.tls = TlsMode::Disable;
        events.mongodb.database = DATABASE.to_owned();
        let cluster = spawn_blocking(move || start_cluster(password, lifetime));
        let models = spawn_blocking(move || Mongodb::start_for(HEAP_MB, lifetime));
        // One that fails leaves the other to its end.
        let (cluster, models) = (cluster.await?, models.await?);
        let (cluster, models) = (cluster?, models?);
        events.postgres.port = cluster.port();
        events.mongodb.uri = models.uri();
        Ok(Self { events, own: Some((cluster, models)) })
    }

    /// The configuration with their addresses.
    pub(super) fn events(&self) -> &Events {
        &self.events
    }

    /// Where they are.
    pub(super) fn describe(&self, addresses: &mut Addresses) {
        let postgres = &self.events.postgres;
        *addresses = Addresses {
            postgres: format!("{}@{}:{}/{}", postgres.user, postgres.host, postgres.port, postgres.database),
            mongodb: format!("{:?}", self.events.mongodb),
            are_own: self.own.is_some(),
        };
        print!("{}", addresses.text());
    }

    /// Looks whether both answer and whether the outbox may be written to, and makes what is missing.
    pub(super) async fn prepare(&self, may_have_rows: bool) -> anyhow::Result<()> {
        let settings = self.events.source_settings()?;
        if !may_have_rows {
            self.ensure_no_rows().await?;
        }
        drop(processor::models(&self.events).await?);
        for piece in streamer_source_postgres::setup(&settings).await? {
            println!("made: {piece}");
        }
        if self.own.is_none() {
            println!(
                "From here on the slot {} makes {:?} keep its log: read it by streamer events run, or undo all of this by \
                 streamer events cleanup all --yes",
                settings.slot, settings.server
            );
        }
        Ok(())
    }

    async fn ensure_no_rows(&self) -> anyhow::Result<()> {
        let settings = self.events.source_settings()?;
        let outbox = &settings.outbox;
        let table = format!("{}.{}", quoted(&outbox.schema), quoted(&outbox.table));
        let mut client = Client::connect(&settings.server, 1024, LOOK_TIMEOUT).await?;
        let found = client.query(&format!("SELECT to_regclass({})", literal(&table))).await?;
        if found.first().and_then(|row| row.first()).is_some_and(Option::is_some) {
            let rows = client.query(&format!("SELECT 1 FROM {table} LIMIT 1")).await?;
            ensure!(
                rows.is_empty(),
                "{}.{} of {:?} has rows, and this writes made-up events beside them: name an empty database \
                 (POSTGRES_DB, MONGODB_DATABASE), or say --yes",
                outbox.schema,
                outbox.table,
                settings.server
            );
        }
        Ok(client.close().await?)
    }

    /// Lets those that it started live on.
    pub(super) fn keep(self) -> anyhow::Result<Option<Kept>> {
        let Some((cluster, models)) = self.own else { return Ok(None) };
        let password_file = cluster.password_file();
        let folder = password_file.parent().context("a file has a folder")?;
        let config = folder.join("streamer.toml");
        let events = &self.events;
        let text = format!(
            "[events.postgres]\nhost = {:?}\nport = {}\ndatabase = {DATABASE:?}\nuser = {:?}\npassword_file = {:?}\n\n\
             [events.mongodb]\nuri = {:?}\ndatabase = {DATABASE:?}\n",
            events.postgres.host,
            events.postgres.port,
            events.postgres.user,
            password_file,
            events.mongodb.uri
        );
        fs::write(&config, text).with_context(|| format!("{} cannot be written", config.display()))?;
        let mut addresses = String::new();
        // Writing to a string does not fail.
        let _ = writeln!(
            addresses,
            "  PostgreSQL  127.0.0.1:{}, database {DATABASE}, role {}\n              (its password: {})\n  MongoDB     {}, database {DATABASE}",
            events.postgres.port,
            postgres::USER,
            password_file.display(),
            events.mongodb.uri
        );
        let kept = [cluster.keep().context("PostgreSQL has ended")?, models.keep()];
        let (pids, folders) = kept.into_iter().map(|kept| (kept.pid, kept.folder)).unzip();
        Ok(Some(Kept { config, pids, folders, addresses }))
    }
}

impl Addresses {
    fn text(&self) -> String {
        let whose = if self.are_own { "started for this alone" } else { "as configured" };
        format!("PostgreSQL  {}, {whose}\nMongoDB     {}, {whose}\n", self.postgres, self.mongodb)
    }
}

/// One that keeps what it has committed, as a server in use does.
fn start_cluster(password: String, lifetime: Lifetime) -> anyhow::Result<Postgres> {
    let settings = postgres::Settings {
        settings: vec![("fsync".into(), "on".into()), ("autovacuum".into(), "on".into())],
        password: Some(password),
        lifetime,
        ..postgres::Settings::default()
    };
    let cluster = Postgres::start(&settings)?;
    cluster.sql("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
    Ok(cluster)
}
