//! What events are read from and written to: a PostgreSQL cluster with databases of its own, and what speaks MongoDB's
//! protocol.

use std::cell::Cell;

use anyhow::{Context as _, Result};
use streamer_events_tools::load::{self, Loaded, NewEvent, Plan};
use streamer_servers::{
    mongodb::Mongodb,
    postgres::{PASSWORD, Postgres, Settings as Cluster, USER},
};
use streamer_source_postgres::{Server, Settings, Tls};

use crate::block_on;

/// Megabytes: a million events leave their places behind.
const HEAP_MB: u32 = 3072;

/// What the events of every load follow from.
const SEED: u64 = 7;

/// Servers that the rows of a group share.
pub(crate) struct Servers {
    cluster: Postgres,
    models: Mongodb,
    databases: Cell<u32>,
}

impl Servers {
    pub(crate) fn start() -> Result<Self> {
        // So that it can be asked when something was committed.
        let settings = vec![("track_commit_timestamp".to_owned(), "on".to_owned())];
        let cluster = Postgres::start(&Cluster { settings, ..Cluster::default() })?;
        Ok(Self { cluster, models: Mongodb::start(HEAP_MB)?, databases: Cell::new(0) })
    }

    /// A database with an empty outbox, for one turn. What was read before is not read again: a slot that is made now
    /// begins now.
    pub(crate) fn outbox(&self) -> Result<Outbox<'_>> {
        self.databases.set(self.databases.get() + 1);
        let database = format!("turn{}", self.databases.get());
        self.cluster.sql("postgres", &format!("CREATE DATABASE {database}"))?;
        let outbox = Outbox { servers: self, database };
        block_on(async { Ok(streamer_source_postgres::setup(&outbox.settings()).await?) })?;
        // Setup makes the product's slot: so the first snapshot has nothing to read.
        Ok(outbox)
    }

    /// The address of the read models' server.
    pub(crate) fn models_uri(&self) -> String {
        self.models.uri()
    }
}

/// An outbox, and a database of read models by the same name.
pub(crate) struct Outbox<'a> {
    servers: &'a Servers,
    database: String,
}

impl Outbox<'_> {
    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    pub(crate) fn port(&self) -> u16 {
        self.servers.cluster.port()
    }

    pub(crate) fn models_uri(&self) -> String {
        self.servers.models_uri()
    }

    /// How the product reads it, unless told otherwise.
    pub(crate) fn settings(&self) -> Settings {
        settings(self.port(), &self.database)
    }

    pub(crate) fn sql(&self, sql: &str) -> Result<String> {
        Ok(self.servers.cluster.sql(&self.database, sql)?)
    }

    /// Whether somebody reads the product's slot.
    pub(crate) fn is_read(&self) -> Result<bool> {
        let slot = self.settings().slot;
        let active = format!("SELECT active FROM pg_replication_slots WHERE slot_name = '{slot}'");
        Ok(self.sql(&active)? == "t")
    }

    /// Commits so many users in transactions of so many each, as fast as the server can.
    pub(crate) fn commit_users(&self, transactions: usize, of: usize) -> Result<()> {
        self.sql(&format!(
            "DO $$ BEGIN FOR turn IN 1..{transactions} LOOP \
                 INSERT INTO activity.event_outbox (event_id, aggregate_id, aggregate_type, event_type, payload) \
                 SELECT gen_random_uuid(), gen_random_uuid(), 'User', 'UserCreated', jsonb_build_object( \
                     'email', 'ada.' || turn || '.' || n || '@example.com', 'username', 'ada_' || turn || '_' || n, \
                     'first_name', 'Ada', 'last_name', 'Lovelace', 'bio', 'Likes engines and poetry.', \
                     'avatar_url', 'https://images.example/ada-' || n || '.jpg', \
                     'address', n || ' St James''s Square', 'city', 'London') \
                 FROM generate_series(1, {of}) n; \
                 COMMIT; \
             END LOOP; END $$"
        ))
        .map(drop)
    }

    /// Commits so many changes of ten activities in one transaction.
    pub(crate) fn commit_changes(&self, count: usize) -> Result<()> {
        self.sql(&format!(
            "INSERT INTO activity.event_outbox (event_id, aggregate_id, aggregate_type, event_type, payload) \
             SELECT gen_random_uuid(), lpad((n % 10)::text, 32, '0')::uuid, 'Activity', \
                 CASE WHEN n < 10 THEN 'ActivityCreated' ELSE 'ActivityUpdated' END, jsonb_build_object( \
                     'title', 'Walk ' || n, 'description', 'Along the river, and back through the old town.', \
                     'creator_user_id', '00000000-0000-0000-0000-000000000001', 'max_participants', 12) \
             FROM generate_series(0, {}) n",
            count.saturating_sub(1)
        ))
        .map(drop)
    }

    /// Commits what an application might write, by that plan.
    pub(crate) async fn load(&self, plan: Plan, transaction_events_max: usize) -> Result<Loaded> {
        let settings = load::Settings {
            transaction_events_max,
            ..load::Settings::of(self.settings().server, plan, SEED)
        };
        Ok(load::load(&settings, &mut |_: &[NewEvent], _| {}).await?)
    }
}

impl Drop for Outbox<'_> {
    fn drop(&mut self) {
        // The log is not to be kept for a slot that nobody will read. If that fails, it is, and nothing else.
        let _ = self.sql(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
             WHERE database = current_database() AND NOT active",
        );
    }
}

/// The settings of a source that reads an outbox on this machine.
pub(crate) fn settings(port: u16, database: &str) -> Settings {
    Settings::of(Server {
        host: "127.0.0.1".to_owned(),
        port,
        database: database.to_owned(),
        user: USER.to_owned(),
        password: Some(PASSWORD.to_owned()),
        tls: Tls::default(),
        connect_timeout: std::time::Duration::from_secs(10),
    })
}

/// Waits until `reached` gives something.
pub(crate) fn until<T>(what: &str, mut reached: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(300);
    let began = std::time::Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(found) = reached()? {
            return Ok(found);
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    None.with_context(|| format!("{what} did not come"))
}
