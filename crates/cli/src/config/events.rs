//! The events' half: from a PostgreSQL outbox to read models in MongoDB and to live topics.

mod rules;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use streamer_service::config::{Millis, Seconds, Secret};

/// From an outbox in PostgreSQL to read models in MongoDB, and to live topics.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Events {
    /// Whether `streamer serve` does the work of `streamer events run` too, in the same process.
    pub(crate) enabled: bool,
    /// How long `streamer serve` waits before it tries again after events could not go on, which a person must mend.
    pub(crate) restart_interval_s: Seconds,
    /// At most so many events are applied at once. For `streamer events`, also read from BATCH_SIZE.
    pub(crate) batch_events_max: usize,
    /// No more events are applied at once than have about so many bytes.
    pub(crate) batch_bytes_max: usize,
    /// The wait before a second attempt at a database that does not answer; it doubles from attempt to attempt.
    pub(crate) retry_base_ms: Millis,
    /// The longest wait between two attempts.
    pub(crate) retry_max_ms: Millis,
    /// The longest payload that a dead letter keeps.
    pub(crate) letter_payload_bytes_max: usize,
    /// How often a summary goes to the log, as long as there are events.
    pub(crate) summary_interval_s: Seconds,
    /// A file that the latencies and counts are written to, as JSON, now and then and at the end. For `streamer events`,
    /// also read from METRICS_FILE.
    pub(crate) metrics_file: Option<PathBuf>,
    /// How often it is written.
    pub(crate) metrics_file_interval_s: Seconds,
    /// How long `streamer events run` may take to finish what it has in hand when it is told to stop.
    pub(crate) drain_timeout_s: Seconds,
    /// Where `streamer events run` shows its health and its metrics.
    pub(crate) admin: Admin,
    /// The server whose outbox is read.
    pub(crate) postgres: Postgres,
    /// The table of events.
    pub(crate) outbox: Outbox,
    /// Where the read models are.
    pub(crate) mongodb: MongoDb,
    /// Every event as a message of a live topic, where `streamer serve` does the work.
    pub(crate) topics: Topics,
    /// Handlers by configuration, beside those that ship, by names of your choice: each makes documents of a collection
    /// out of the events of one type.
    pub(crate) mappings: BTreeMap<String, Mapping>,
}

impl Default for Events {
    fn default() -> Self {
        let pipeline = streamer_events::Settings::default();
        Self {
            enabled: false,
            restart_interval_s: Seconds(30),
            batch_events_max: pipeline.batch_events_max,
            batch_bytes_max: pipeline.batch_bytes_max,
            retry_base_ms: millis(pipeline.backoff.base),
            retry_max_ms: millis(pipeline.backoff.max),
            letter_payload_bytes_max: pipeline.letter_payload_bytes_max,
            summary_interval_s: Seconds(pipeline.summary_interval.as_secs()),
            metrics_file: None,
            metrics_file_interval_s: Seconds(10),
            drain_timeout_s: Seconds(30),
            admin: Admin::default(),
            postgres: Postgres::default(),
            outbox: Outbox::default(),
            mongodb: MongoDb::default(),
            topics: Topics::default(),
            mappings: BTreeMap::new(),
        }
    }
}

/// Where `streamer events run` shows its health and its metrics.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Admin {
    /// Whether it does.
    pub(crate) enabled: bool,
    /// The address: /healthz, /readyz and /metrics, and nothing else.
    pub(crate) address: String,
}

impl Default for Admin {
    fn default() -> Self {
        Self { enabled: true, address: "127.0.0.1:8082".to_owned() }
    }
}

/// The server whose outbox is read.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Postgres {
    /// A name or an address; one that begins with / is the folder of a Unix socket. Also read from POSTGRES_HOST.
    pub(crate) host: String,
    /// The port. Also read from POSTGRES_PORT.
    pub(crate) port: u16,
    /// The database. Also read from POSTGRES_DB.
    pub(crate) database: String,
    /// The role. Also read from POSTGRES_USER.
    pub(crate) user: String,
    /// The role's password, if it has one. Also read from POSTGRES_PASSWORD.
    pub(crate) password: Secret,
    /// A file that holds the password instead. Also read from POSTGRES_PASSWORD_FILE.
    pub(crate) password_file: Option<PathBuf>,
    /// Whether the connection is encrypted.
    pub(crate) tls: TlsMode,
    /// A file of the authorities that are trusted, PEM; the system's own unless said.
    pub(crate) tls_roots_file: Option<PathBuf>,
    /// How long connecting may take.
    pub(crate) connect_timeout_ms: Millis,
    /// The publication that the outbox is in.
    pub(crate) publication: String,
    /// The replication slot: at most 63 of a-z, 0-9 and _.
    pub(crate) slot: String,
    /// How often what is confirmed is told to the server.
    pub(crate) confirm_interval_ms: Millis,
    /// How often something is written into an idle log, so that the slot holds nothing back, and the slot is looked at.
    pub(crate) heartbeat_interval_s: Seconds,
    /// A warning is logged once the slot keeps the server from removing so many bytes of its log.
    pub(crate) retained_bytes_warn: u64,
    /// The largest message of the server's, which is the largest row.
    pub(crate) message_bytes_max: usize,
    /// How often a slot that another process reads is asked for.
    pub(crate) takeover_interval_ms: Millis,
}

impl Default for Postgres {
    fn default() -> Self {
        let server = streamer_source_postgres::Server {
            host: "127.0.0.1".to_owned(),
            port: 5432,
            database: "streamer".to_owned(),
            user: "streamer".to_owned(),
            password: None,
            tls: streamer_source_postgres::Tls::default(),
            connect_timeout: Duration::from_secs(10),
        };
        let source = streamer_source_postgres::Settings::of(server);
        Self {
            host: source.server.host,
            port: source.server.port,
            database: source.server.database,
            user: source.server.user,
            password: Secret::default(),
            password_file: None,
            tls: TlsMode::default(),
            tls_roots_file: None,
            connect_timeout_ms: millis(source.server.connect_timeout),
            publication: source.publication,
            slot: source.slot,
            confirm_interval_ms: millis(source.confirm_interval),
            heartbeat_interval_s: Seconds(source.heartbeat_interval.as_secs()),
            retained_bytes_warn: source.retained_bytes_warn,
            message_bytes_max: source.message_bytes_max,
            takeover_interval_ms: millis(source.takeover_interval),
        }
    }
}

/// Whether a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TlsMode {
    /// Never.
    Disable,
    /// If the server offers it; its certificate is not checked.
    #[default]
    Prefer,
    /// Always; its certificate is not checked.
    Require,
    /// Always, and its certificate must be for its name, by an authority that is trusted.
    VerifyFull,
}

/// The table of events, and which of its columns hold what.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Outbox {
    /// The table's schema.
    pub(crate) schema: String,
    /// The table; of a partitioned one, its root.
    pub(crate) table: String,
    /// The event's id: unique.
    pub(crate) event_id_column: String,
    /// What rises with each row, and is unique: snapshots read in its order.
    pub(crate) sequence_column: String,
    /// What happened.
    pub(crate) event_type_column: String,
    /// To what.
    pub(crate) aggregate_id_column: String,
    /// Of which kind that is.
    pub(crate) aggregate_type_column: String,
    /// What is told, as JSON.
    pub(crate) payload_column: String,
    /// When.
    pub(crate) created_at_column: String,
}

impl Default for Outbox {
    fn default() -> Self {
        let outbox = streamer_events::Outbox::default();
        Self {
            schema: outbox.schema,
            table: outbox.table,
            event_id_column: outbox.event_id,
            sequence_column: "sequence_id".to_owned(),
            event_type_column: outbox.event_type,
            aggregate_id_column: outbox.aggregate_id,
            aggregate_type_column: outbox.aggregate_type,
            payload_column: outbox.payload,
            created_at_column: outbox.created_at,
        }
    }
}

/// Where the read models are.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct MongoDb {
    /// The server's address with its options, such as mongodb://name:password@host/?tls=true. Also read from MONGODB_URI.
    #[serde(serialize_with = "without_login")]
    pub(crate) uri: String,
    /// The database. Also read from MONGODB_DATABASE.
    pub(crate) database: String,
    /// How long one command may take.
    pub(crate) command_timeout_s: Seconds,
    /// How long a server may be looked for before that counts as a failure.
    pub(crate) server_selection_timeout_s: Seconds,
    /// At most so many connections.
    pub(crate) connections_max: u32,
}

impl Default for MongoDb {
    fn default() -> Self {
        let sink = streamer_sink_mongodb::Settings::of("mongodb://127.0.0.1:27017", "streamer");
        Self {
            uri: sink.uri,
            database: sink.database,
            command_timeout_s: Seconds(sink.command_timeout.as_secs()),
            server_selection_timeout_s: Seconds(sink.server_selection_timeout.as_secs()),
            connections_max: sink.connections_max,
        }
    }
}

impl std::fmt::Debug for MongoDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", hosts(&self.uri), self.database)
    }
}

/// An address as it is shown: without who logs in, and without its options, which may hold secrets too.
fn without_login<S: Serializer>(uri: &str, serializer: S) -> Result<S::Ok, S::Error> {
    hosts(uri).serialize(serializer)
}

/// The scheme and the hosts of an address.
pub(crate) fn hosts(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return "(not an address)".to_owned() };
    // A password that was not encoded may hold a /, so the last @ decides before anything else does.
    let hosts = rest.rsplit_once('@').map_or(rest, |(_, hosts)| hosts);
    let hosts = hosts.split(['/', '?', '#']).next().unwrap_or_default();
    format!("{scheme}://{hosts}")
}

/// Every event as a message of a live topic.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Topics {
    /// Whether there are any. Who may subscribe, and that nobody else publishes there, is for the tokens to say.
    pub(crate) enabled: bool,
    /// The topic's name, with {aggregate_type}, {aggregate_id} and {event_type} for what the event is about.
    pub(crate) template: String,
    /// The tenant whose topics they are.
    pub(crate) tenant: Option<String>,
    /// Where in the payload the event's tenant stands instead, with dots. An event without one is a dead letter.
    pub(crate) tenant_field: Option<String>,
}

impl Default for Topics {
    fn default() -> Self {
        let template = streamer_sink_topics::Template::default().to_string();
        Self { enabled: false, template, tenant: None, tenant_field: None }
    }
}

/// Makes documents of a collection out of the events of one type.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Mapping {
    /// The type of the events.
    pub(crate) event_type: String,
    /// Where the documents are kept.
    pub(crate) collection: String,
    /// What is done.
    pub(crate) action: Action,
    /// Where in the payload the document's id stands, with dots; the event's aggregate id unless said.
    pub(crate) id: Option<String>,
    /// Which fields are written: the document's field, and the payload's that it comes from, both with dots. All of the
    /// payload's own fields if there are none here.
    pub(crate) fields: BTreeMap<String, String>,
}

/// What an event does to a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// It is made, with the fields.
    #[default]
    Insert,
    /// The fields are put into it; if it is not there yet, they wait for it.
    Set,
    /// It is removed.
    Delete,
}

fn millis(span: Duration) -> Millis {
    Millis(span.as_millis().try_into().unwrap_or(u64::MAX))
}
