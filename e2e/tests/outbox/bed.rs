//! Servers for all of these tests, and a database in each for every test.

use std::{
    fs::File,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::{
        Arc, OnceLock, RwLock,
        atomic::{AtomicU32, Ordering},
    },
};

use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use streamer_e2e::{
    command::Shell,
    http::{self, Answer},
    patience::{until, within},
    server::Setup,
};
use streamer_servers::{
    mongodb::Mongodb,
    or_skip,
    postgres::{PASSWORD, Postgres, Settings, USER},
};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{folder, shell};

/// A cluster. Whoever writes to the lock restarts it, and everybody else waits meanwhile.
type Cluster = Arc<RwLock<Postgres>>;

fn start_cluster() -> Option<Cluster> {
    or_skip(Postgres::start(&Settings::default())).map(|cluster| Arc::new(RwLock::new(cluster)))
}

/// The cluster that the tests share: none restarts it.
fn cluster() -> Option<Cluster> {
    static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
    SHARED.get_or_init(start_cluster).clone()
}

fn models() -> Option<&'static Mongodb> {
    static SHARED: OnceLock<Option<Mongodb>> = OnceLock::new();
    SHARED.get_or_init(|| or_skip(Mongodb::start(512))).as_ref()
}

/// A database in PostgreSQL, one of the same name in MongoDB, and commands that know both.
pub(crate) struct Place {
    pub(crate) database: String,
    pub(crate) folder: TempDir,
    pub(crate) shell: Shell,
    cluster: Cluster,
    port: u16,
    models: mongodb::Database,
}

/// An event to commit.
pub(crate) struct Told<'a>(pub(crate) &'a str, pub(crate) u64, pub(crate) Value);

impl Place {
    /// Empty databases; or none if there are no servers here, which is said.
    pub(crate) async fn bare() -> Option<Self> {
        Self::on(cluster).await
    }

    /// Set up, on a cluster of its own, which may be restarted.
    pub(crate) async fn alone() -> Option<Self> {
        let place = Self::on(start_cluster).await?;
        let _ = place.shell.run(["events", "setup"]).await.succeeded();
        Some(place)
    }

    async fn on(cluster: fn() -> Option<Cluster>) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let database = format!("db{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let make = format!("CREATE DATABASE {database}");
        let starting = tokio::task::spawn_blocking(move || {
            let (cluster, models) = (cluster()?, models()?);
            let port = {
                let running = cluster.read().expect("nobody panicked");
                running.sql("postgres", &make).expect("makes a database");
                running.port()
            };
            Some((cluster, port, models))
        });
        let (cluster, port, server) = starting.await.expect("does not panic")?;
        let folder = folder();
        let shell = shell(folder.path())
            .variable("POSTGRES_HOST", "127.0.0.1")
            .variable("POSTGRES_PORT", port.to_string())
            .variable("POSTGRES_DB", &database)
            .variable("POSTGRES_USER", USER)
            .variable("POSTGRES_PASSWORD", PASSWORD)
            .variable("MONGODB_URI", server.uri())
            .variable("MONGODB_DATABASE", &database)
            .variable("STREAMER_EVENTS__POSTGRES__SLOT", format!("slot_{database}"))
            .variable("STREAMER_EVENTS__POSTGRES__TAKEOVER_INTERVAL_MS", "50")
            // What is confirmed too early is soon told.
            .variable("STREAMER_EVENTS__POSTGRES__CONFIRM_INTERVAL_MS", "10")
            .variable("STREAMER_EVENTS__ADMIN__ADDRESS", "127.0.0.1:0")
            .variable("STREAMER_LOGS__FORMAT", "json");
        let client = mongodb::Client::with_uri_str(server.uri()).await.expect("an address");
        let models = client.database(&database);
        Some(Self { database, folder, shell, cluster, port, models })
    }

    /// The same, set up.
    pub(crate) async fn open() -> Option<Self> {
        let place = Self::bare().await?;
        let _ = place.shell.run(["events", "setup"]).await.succeeded();
        Some(place)
    }

    /// A server that does a processor's work too.
    pub(crate) fn server(&self) -> Setup {
        let variable = |name| self.shell.value(name).expect("is set");
        crate::server()
            .set("events.enabled", true)
            .set("events.restart_interval_s", 1)
            .set("events.postgres.confirm_interval_ms", 10)
            .set("events.postgres.host", "127.0.0.1")
            .set("events.postgres.port", self.port)
            .set("events.postgres.database", &self.database)
            .set("events.postgres.user", USER)
            .set("events.postgres.password", PASSWORD)
            .set("events.postgres.slot", format!("slot_{}", self.database))
            .set("events.mongodb.uri", variable("MONGODB_URI"))
            .set("events.mongodb.database", &self.database)
    }

    /// Runs SQL.
    pub(crate) async fn sql(&self, sql: impl Into<String>) -> String {
        self.try_sql(sql).await.expect("is done")
    }

    async fn try_sql(&self, sql: impl Into<String>) -> std::io::Result<String> {
        let (cluster, database, sql) = (Arc::clone(&self.cluster), self.database.clone(), sql.into());
        let ran = tokio::task::spawn_blocking(move || {
            cluster.read().expect("nobody panicked").sql(&database, &sql)
        });
        ran.await.expect("does not panic")
    }

    /// Ends the cluster and starts it again. Only for one of its own.
    pub(crate) async fn restart(&self, end: fn(&mut Postgres)) {
        let cluster = Arc::clone(&self.cluster);
        let restarting = tokio::task::spawn_blocking(move || {
            let mut cluster = cluster.write().expect("nobody panicked");
            end(&mut cluster);
            cluster.resume().expect("starts again");
        });
        restarting.await.expect("does not panic");
    }

    /// Where MongoDB listens.
    pub(crate) fn models_port(&self) -> u16 {
        models().expect("was started").port()
    }

    /// Every event is accounted for, and every document as it should be.
    pub(crate) async fn verify(&self) {
        let said = self.shell.run(["events", "verify", "--wait", "20"]).await.succeeded();
        assert!(said.contains("No difference"), "{said}");
    }

    /// Takes the slot away from whoever reads it, however often they come back for it.
    pub(crate) async fn lose_slot(&self) {
        let slot = format!("slot_{}", self.database);
        let lose = format!(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{slot}'; \
             SELECT pg_drop_replication_slot('{slot}')"
        );
        until("the slot to be lost", async || self.try_sql(&lose).await.ok()).await;
    }

    /// Gives back what the servers keep for it: there are only so many slots.
    pub(crate) async fn leave(&self) {
        let slot = format!("slot_{}", self.database);
        let read = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name =";
        let drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name =";
        let leave = format!("{read} '{slot}'; {drop} '{slot}'");
        until("the slot to be free", async || self.try_sql(&leave).await.ok()).await;
    }

    /// Commits events, in one transaction.
    pub(crate) async fn commit(&self, events: &[Told<'_>]) {
        let values = events.iter().map(|Told(event_type, aggregate, payload)| {
            let kind = if event_type.starts_with("User") { "User" } else { "Activity" };
            let payload = payload.to_string().replace('\'', "''");
            format!("('{}', '{kind}', '{event_type}', '{payload}')", id(*aggregate))
        });
        let values = values.collect::<Vec<_>>().join(", ");
        self.sql(format!(
            "INSERT INTO activity.event_outbox (aggregate_id, aggregate_type, event_type, payload) VALUES {values}"
        ))
        .await;
    }

    /// So many users who came to be, numbered from `first`.
    pub(crate) async fn commit_users(&self, first: u64, count: u64) {
        let users: Vec<_> = (first..first + count).map(|n| Told("UserCreated", n, user(n))).collect();
        self.commit(&users).await;
    }

    /// A document of the read models.
    pub(crate) async fn document(&self, collection: &str, id: &str) -> Option<Value> {
        let found = self.models.collection::<Document>(collection).find_one(doc! { "_id": id }).await;
        found.expect("answers").map(|document| serde_json::to_value(&document).expect("prints"))
    }

    /// Takes a document of the read models away.
    pub(crate) async fn remove(&self, collection: &str, id: &str) {
        let removed = self.models.collection::<Document>(collection).delete_one(doc! { "_id": id }).await;
        assert_eq!(removed.expect("answers").deleted_count, 1);
    }

    /// All documents of a collection.
    pub(crate) async fn documents(&self, collection: &str) -> Vec<Value> {
        let mut cursor = self.models.collection::<Document>(collection).find(doc! {}).await.expect("answers");
        let mut documents = Vec::new();
        while cursor.advance().await.expect("answers") {
            let document = cursor.deserialize_current().expect("a document");
            documents.push(serde_json::to_value(&document).expect("prints"));
        }
        documents
    }

    /// How many documents there are.
    pub(crate) async fn count(&self, collection: &str) -> u64 {
        self.models.collection::<Document>(collection).count_documents(doc! {}).await.expect("answers")
    }

    /// How many users the statistics count.
    pub(crate) async fn total_users(&self) -> u64 {
        let statistics = self.document("statistics", "global").await;
        statistics.and_then(|document| document["total_users"].as_u64()).unwrap_or(0)
    }

    /// Waits until so many users are there, and counted once each.
    pub(crate) async fn await_users(&self, count: u64) {
        until("the users", async || (self.count("users").await >= count).then_some(())).await;
        until("the statistics", async || (self.total_users().await >= count).then_some(())).await;
        assert_eq!((self.count("users").await, self.total_users().await), (count, count));
    }

    /// A processor that runs.
    pub(crate) async fn processor(&self, name: &str, more: &[&str]) -> Processor {
        Processor::start(&self.shell, self.folder.path(), name, more).await
    }

    /// One that follows what is committed, with one more variable.
    pub(crate) async fn streaming_with(&self, variable: &str, value: &str) -> Processor {
        let shell = self.shell.clone().variable(variable, value);
        let processor = Processor::start(&shell, self.folder.path(), "first", &[]).await;
        processor.await_state("streaming").await;
        processor
    }

    /// A processor that follows what is committed.
    pub(crate) async fn streaming(&self) -> Processor {
        let processor = self.processor("first", &[]).await;
        processor.await_state("streaming").await;
        processor
    }
}

pub(crate) fn id(n: u64) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

pub(crate) fn user(n: u64) -> Value {
    json!({ "email": format!("u{n}@example.com"), "username": format!("u{n}"), "first_name": "Ada" })
}

/// SIGTERM to a process that runs.
pub(crate) async fn terminate(process: &Child) {
    signal(process, "TERM").await;
}

/// A signal to a process that runs.
pub(crate) async fn signal(process: &Child, name: &str) {
    let id = process.id().expect("it runs").to_string();
    let asked = Command::new("kill").args(["-s", name, &id]).status().await;
    assert!(asked.expect("there is a kill").success(), "SIG{name} could not be sent");
}

/// `streamer events run`, started. Killed when it is dropped.
pub(crate) struct Processor {
    process: Child,
    admin: String,
    log: std::path::PathBuf,
}

impl Processor {
    async fn start(shell: &Shell, folder: &Path, name: &str, more: &[&str]) -> Self {
        let (ready, log) = (folder.join(format!("{name}.json")), folder.join(format!("{name}.log")));
        drop(std::fs::remove_file(&ready));
        let to_log = File::options().create(true).append(true).open(&log).expect("the folder is ours");
        let mut command = shell.command(["events", "run", "--ready-file"]);
        command.arg(&ready).args(more);
        command.stdout(to_log.try_clone().expect("a second handle")).stderr(Stdio::from(to_log));
        let mut process = command.spawn().expect("the binary can be run");
        let admin = until("the processor to listen", async || {
            if let Some(status) = process.try_wait().expect("it is our child") {
                panic!(
                    "the processor ended: {status}: {}",
                    std::fs::read_to_string(&log).unwrap_or_default()
                );
            }
            let written: Value = serde_json::from_slice(&std::fs::read(&ready).ok()?).expect("is whole");
            Some(written["admin"].as_str().expect("an address").to_owned())
        })
        .await;
        Self { process, admin, log }
    }

    /// Where it answers operators.
    pub(crate) fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        http::get(self.admin.parse().expect("an address"), path, None).await
    }

    /// The value of a metric without labels; 0 before it was counted.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let metrics = self.get("/metrics").await.text();
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or(0.0)
    }

    /// The state that it says it is in; none as long as it does not answer yet.
    pub(crate) async fn state(&self) -> Option<String> {
        // Until the read models answered, nobody listens.
        let listens = tokio::net::TcpStream::connect(&self.admin).await.is_ok();
        if !listens {
            return None;
        }
        let answer =
            tokio::time::timeout(std::time::Duration::from_secs(2), self.get("/readyz")).await.ok()?;
        Some(answer.json()["status"].as_str()?.to_owned())
    }

    pub(crate) async fn await_state(&self, state: &str) {
        let reached = async || (self.state().await.as_deref() == Some(state)).then_some(());
        until(&format!("the state {state}"), reached).await;
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("there is a log")
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.expect("it is our child");
    }

    /// SIGTERM; it must end well.
    pub(crate) async fn stop(mut self) -> String {
        terminate(&self.process).await;
        let status = self.ended().await;
        assert!(status.success(), "{status}: {}", self.log());
        self.log()
    }

    /// How it ends by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        within("the processor's end", self.process.wait()).await.expect("it is our child")
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("The processor's log:\n{}", lines[lines.len().saturating_sub(30)..].join("\n"));
        }
    }
}
