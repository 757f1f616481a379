//! A cluster for all of these tests, and a database in it for each.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use streamer_events::{
    Backoff, Change,
    clock::SystemClock,
    random::SystemRandom,
    source::{Limit, Read, Source},
};
use streamer_events_conformance::source::NewRow;
use streamer_servers::{
    or_skip,
    postgres::{PASSWORD, Postgres, Settings as ClusterSettings, USER},
};
use streamer_source_postgres::{PostgresSource, Server, Settings, Tls, TlsMode};

pub(crate) const LIMIT: Limit = Limit { changes: 1000, bytes: 1024 * 1024 };

/// The cluster that the tests share: none restarts it.
pub(crate) fn shared() -> Option<&'static Postgres> {
    static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
    SHARED.get_or_init(|| or_skip(Postgres::start(&ClusterSettings::default()))).as_ref()
}

/// A database, and the settings of a source that reads it.
pub(crate) struct Place {
    pub(crate) settings: Settings,
    port: u16,
}

impl Place {
    /// A database with an outbox and its publication, and no slot yet.
    pub(crate) async fn open() -> Option<Self> {
        let place = Self::bare(shared()?);
        place.make_outbox().await;
        Some(place)
    }

    /// An empty database.
    pub(crate) fn bare(cluster: &Postgres) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let database = format!("db{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        cluster.sql("postgres", &format!("CREATE DATABASE {database}")).expect("makes a database");
        Self { settings: settings(cluster.port(), &database), port: cluster.port() }
    }

    /// All that setup makes, but for the slot: that is made by the first source, with its snapshot.
    pub(crate) async fn make_outbox(&self) {
        streamer_source_postgres::setup(&self.settings).await.expect("makes it");
        self.source().forget_slot().await.expect("forgets it");
    }

    pub(crate) fn source(&self) -> PostgresSource {
        source(self.settings.clone())
    }

    /// Runs SQL by `psql`, off the threads of the runtime.
    pub(crate) async fn sql(&self, sql: impl Into<String>) -> String {
        let (sql, database, port) = (sql.into(), self.settings.server.database.clone(), self.port);
        tokio::task::spawn_blocking(move || psql(port, &database, &sql)).await.expect("runs")
    }

    pub(crate) async fn insert(&self, rows: &[NewRow]) {
        self.sql(format!("BEGIN; {} COMMIT", inserts(rows))).await;
    }
}

pub(crate) fn psql(port: u16, database: &str, sql: &str) -> String {
    let output = std::process::Command::new(
        streamer_servers::postgres::programs().expect("is installed").join("psql"),
    )
    .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", USER])
    .args(["-p", &port.to_string(), "-d", database, "-c", sql])
    .env("PGPASSWORD", PASSWORD)
    .output()
    .expect("runs");
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn inserts(rows: &[NewRow]) -> String {
    let values = rows.iter().map(|row| {
        let NewRow { event_id, event_type, aggregate_id, aggregate_type, payload } = row;
        format!(
            "INSERT INTO activity.event_outbox (event_id, event_type, aggregate_id, aggregate_type, payload) \
             VALUES ('{event_id}', '{event_type}', '{aggregate_id}', '{aggregate_type}', '{payload}');"
        )
    });
    values.collect()
}

pub(crate) fn settings(port: u16, database: &str) -> Settings {
    let server = Server {
        host: "127.0.0.1".into(),
        port,
        database: database.into(),
        user: USER.into(),
        password: Some(PASSWORD.into()),
        tls: Tls { mode: TlsMode::Prefer, roots_file: None },
        connect_timeout: Duration::from_secs(10),
    };
    Settings {
        slot: format!("slot_{database}"),
        confirm_interval: Duration::from_millis(20),
        heartbeat_interval: Duration::from_millis(500),
        takeover_interval: Duration::from_millis(20),
        backoff: Backoff { base: Duration::from_millis(20), max: Duration::from_millis(200) },
        ..Settings::of(server)
    }
}

pub(crate) fn source(settings: Settings) -> PostgresSource {
    PostgresSource::new(settings, Arc::new(SystemClock), Arc::new(SystemRandom))
}

#[async_trait]
impl streamer_events_conformance::source::Place for Place {
    async fn lay_under(&self, rows: &[NewRow]) {
        self.insert(rows).await;
    }

    async fn commit(&self, rows: &[NewRow]) {
        self.insert(rows).await;
    }

    async fn source(&self) -> Arc<dyn Source> {
        Arc::new(self.source())
    }
}

/// A row of its own.
pub(crate) fn row(n: u64) -> NewRow {
    NewRow {
        event_id: id(n),
        event_type: "Told".into(),
        aggregate_id: id(0),
        aggregate_type: "Thing".into(),
        payload: format!(r#"{{"n": {n}}}"#),
    }
}

pub(crate) fn id(n: u64) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

/// The next so many changes.
pub(crate) async fn changes(source: &PostgresSource, count: usize) -> Vec<Change> {
    let mut changes = Vec::new();
    while changes.len() < count {
        let reads =
            within(source.read(Limit { changes: count - changes.len(), ..LIMIT })).await.expect("reads");
        changes.extend(reads.into_iter().filter_map(|read| match read {
            Read::Change(change) => Some(change),
            Read::SnapshotEnd => None,
        }));
    }
    changes
}

pub(crate) async fn begun(source: PostgresSource) -> PostgresSource {
    within(source.open()).await.expect("opens");
    source.start(None).await.expect("starts");
    source
}

pub(crate) fn event_id(change: &Change) -> String {
    use streamer_events::change::Field;
    match change.after.as_ref().and_then(|row| row.field("event_id")) {
        Some(Field::Value(value)) => value.as_str().expect("is text").to_owned(),
        other => panic!("no id: {other:?}"),
    }
}

pub(crate) async fn within<T>(doing: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), doing).await.expect("in time")
}
