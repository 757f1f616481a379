//! A cluster for all of these tests, and a database in it for each.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use streamer_servers::{
    or_skip,
    postgres::{PASSWORD, Postgres, Settings as ClusterSettings, USER},
};
use streamer_source_postgres::{Server, Settings, Tls, TlsMode};

/// The cluster that the tests share: none restarts it.
pub(crate) fn shared() -> Option<&'static Postgres> {
    static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
    SHARED.get_or_init(|| or_skip(Postgres::start(&ClusterSettings::default()))).as_ref()
}

/// A database with an outbox.
pub(crate) struct Place {
    pub(crate) settings: Settings,
}

impl Place {
    pub(crate) async fn open() -> Option<Self> {
        Some(Self::open_in(shared()?).await)
    }

    pub(crate) async fn open_in(cluster: &Postgres) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let database = format!("db{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        cluster.sql("postgres", &format!("CREATE DATABASE {database}")).expect("makes a database");
        let settings = Settings {
            slot: format!("slot_{database}"),
            confirm_interval: Duration::from_millis(20),
            ..Settings::of(server(cluster.port(), &database))
        };
        streamer_source_postgres::setup(&settings).await.expect("makes the outbox");
        Self { settings }
    }

    pub(crate) fn server(&self) -> &Server {
        &self.settings.server
    }

    /// Runs SQL, off the threads of the runtime.
    pub(crate) async fn sql(&self, sql: impl Into<String>) -> String {
        let (sql, database) = (sql.into(), self.settings.server.database.clone());
        let cluster = shared().expect("a place was opened");
        tokio::task::spawn_blocking(move || cluster.sql(&database, &sql))
            .await
            .expect("runs")
            .expect("is right")
    }
}

pub(crate) fn server(port: u16, database: &str) -> Server {
    Server {
        host: "127.0.0.1".into(),
        port,
        database: database.into(),
        user: USER.into(),
        password: Some(PASSWORD.into()),
        tls: Tls { mode: TlsMode::Prefer, roots_file: None },
        connect_timeout: Duration::from_secs(10),
    }
}
