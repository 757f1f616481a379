//! A cluster for all of these tests, and a database in it for each.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use mongodb::{Collection, bson};
use streamer_events::{Outbox, Parts, Pipeline, Registry, clock::SystemClock, random::SystemRandom};
use streamer_events_tools::load::{self, Loaded, NewEvent, Pace, Plan};
use streamer_servers::{
    mongodb::Mongodb,
    or_skip,
    postgres::{PASSWORD, Postgres, Settings as ClusterSettings, USER},
};
use streamer_sink_mongodb::MongoSink;
use streamer_source_postgres::{PostgresSource, Server, Settings, Tls, TlsMode};
use tokio_util::sync::CancellationToken;

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
        let place = Self { settings };
        // Made again by the first source, with its snapshot: with this one the rows would come twice.
        place.source().forget_slot().await.expect("forgets the slot");
        place
    }

    pub(crate) fn source(&self) -> PostgresSource {
        PostgresSource::new(self.settings.clone(), Arc::new(SystemClock), Arc::new(SystemRandom))
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

/// A place with read models, whose events are applied by a real pipeline.
pub(crate) struct Bed {
    pub(crate) place: Place,
    pub(crate) sink: Arc<MongoSink>,
}

impl Bed {
    pub(crate) async fn open() -> Option<Self> {
        static SHARED: OnceLock<Option<Mongodb>> = OnceLock::new();
        let server = SHARED.get_or_init(|| or_skip(Mongodb::start(512))).as_ref()?;
        let place = Place::open().await?;
        let settings = streamer_sink_mongodb::Settings::of(server.uri(), &*place.server().database);
        let sink = Arc::new(MongoSink::open(&settings).await.expect("opens"));
        Some(Self { place, sink })
    }

    pub(crate) async fn load(&self, count: u64, seed: u64) -> Loaded {
        let plan = Plan { count, pace: Pace::Unpaced };
        let settings = load::Settings::of(self.place.server().clone(), plan, seed);
        load::load(&settings, &mut |_: &[NewEvent], _: u64| {}).await.expect("loads")
    }

    /// Runs a pipeline until it has so many events.
    pub(crate) async fn run(&self, events: u64, registry: Registry) -> Arc<Pipeline> {
        let pipeline = Arc::new(self.pipeline(registry, streamer_events::Settings::default()));
        let done = async {
            while pipeline.tally().events() < events {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        beside(&pipeline, done).await;
        assert_eq!(pipeline.tally().events(), events);
        pipeline
    }

    pub(crate) fn pipeline(&self, registry: Registry, settings: streamer_events::Settings) -> Pipeline {
        let parts = Parts {
            source: Arc::new(self.place.source()),
            models: Arc::clone(&self.sink) as _,
            sinks: Vec::new(),
            registry,
            outbox: Outbox::default(),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
        };
        Pipeline::new(parts, settings)
    }

    pub(crate) fn documents(&self, collection: &str) -> Collection<bson::Document> {
        self.sink.database().collection(collection)
    }
}

/// Does something while a pipeline runs.
pub(crate) async fn beside<T>(pipeline: &Arc<Pipeline>, doing: impl Future<Output = T>) -> T {
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (pipeline, stop) = (Arc::clone(pipeline), stop.clone());
        async move { pipeline.run(stop).await }
    });
    let done = tokio::time::timeout(Duration::from_secs(60), doing).await.expect("all in time");
    stop.cancel();
    running.await.expect("runs").expect("ends well");
    done
}
