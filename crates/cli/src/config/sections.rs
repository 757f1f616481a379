//! The sections of the configuration.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use streamer_auth::Algorithm;
use streamer_protocol::History;
use streamer_service::config::{Millis, Seconds, Secret};

/// The public address.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Listen {
    /// Where the doors listen: an address and a port, 0 for a free one.
    pub(crate) address: String,
    /// The node's address as connection records have it; the listening address unless said.
    pub(crate) endpoint: Option<String>,
    /// Path prefixes under which the doors are found too, such as "/prod": clients of API Gateway use a stage.
    pub(crate) path_prefixes: Vec<String>,
    /// Proxies, as addresses or networks, whose X-Forwarded-For names the client's address.
    pub(crate) trusted_proxies: Vec<String>,
    /// How long a client may take for the head of a request.
    pub(crate) head_timeout_s: Seconds,
    /// How many sockets are open at once; more wait to be accepted.
    pub(crate) sockets_max: usize,
    /// How many connections one client address (of IPv6: one /64 network) may ask for in a minute, and at once after
    /// a quiet minute; more are answered 429. 0: any number. Behind a proxy, name it in trusted_proxies.
    pub(crate) address_connections_per_minute: u32,
    /// How many calls over HTTP of one client address may be refused for their tokens in a minute, and at once after a
    /// quiet minute; more are answered 429, and good tokens are let in all the same. 0: any number.
    pub(crate) address_refusals_per_minute: u32,
    /// For how many addresses each of these is counted at once.
    pub(crate) addresses_max: usize,
    /// The server's certificate, followed by those that lead to its issuer, in PEM. With it the doors speak TLS (https
    /// and wss), and nothing in the clear.
    pub(crate) tls_certificate_file: Option<PathBuf>,
    /// The certificate's private key, in PEM, not encrypted.
    pub(crate) tls_key_file: Option<PathBuf>,
    /// How often these files are looked at for a new certificate; SIGHUP has it done at once.
    pub(crate) tls_reload_interval_s: Seconds,
    /// How long a client may take for its TLS handshake.
    pub(crate) tls_handshake_timeout_s: Seconds,
    /// How many TLS handshakes are under way at once; more wait, and slow ones make room for them.
    pub(crate) tls_handshakes_max: usize,
}

impl Default for Listen {
    fn default() -> Self {
        let server = streamer_server::Settings::default();
        Self {
            address: "127.0.0.1:8080".to_owned(),
            endpoint: None,
            path_prefixes: Vec::new(),
            trusted_proxies: Vec::new(),
            head_timeout_s: Seconds(server.head_timeout.as_secs()),
            sockets_max: server.sockets_max,
            address_connections_per_minute: server.address_connections_per_minute,
            address_refusals_per_minute: server.address_refusals_per_minute,
            addresses_max: server.addresses_max,
            tls_certificate_file: None,
            tls_key_file: None,
            tls_reload_interval_s: Seconds(30),
            tls_handshake_timeout_s: Seconds(server.tls_handshake_timeout.as_secs()),
            tls_handshakes_max: server.tls_handshakes_max,
        }
    }
}

/// The operators' address.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Admin {
    /// Whether there is one.
    pub(crate) enabled: bool,
    /// Where it listens: keep it on loopback, or in a network of operators.
    pub(crate) address: String,
    /// What an operator presents. Without one, only /healthz, /readyz and /metrics answer. At least 16 characters.
    pub(crate) token: Secret,
    /// A file that holds the token instead, read once at the start: a mounted secret, say.
    pub(crate) token_file: Option<PathBuf>,
    /// The host names under which it may be called, beside localhost and addresses.
    pub(crate) allowed_hosts: Vec<String>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            enabled: true,
            address: "127.0.0.1:8081".to_owned(),
            token: Secret::default(),
            token_file: None,
            allowed_hosts: Vec::new(),
        }
    }
}

/// Who may connect.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Auth {
    /// How tokens are signed: RS256, ES256 or EdDSA.
    #[schemars(with = "String")]
    pub(crate) algorithm: Algorithm,
    /// The public key of the tokens' issuer, as PEM text. Also read from JWT_PUBLIC_KEY.
    pub(crate) public_key: Option<String>,
    /// A file that holds the public key. Also read from JWT_PUBLIC_KEY_FILE.
    pub(crate) public_key_file: Option<PathBuf>,
    /// Where the issuer publishes its public keys (a JSON Web Key Set), which then may change while the server
    /// runs. Also read from JWT_JWKS_URL.
    #[serde(serialize_with = "without_query")]
    pub(crate) jwks_url: Option<String>,
    /// The `iss` that tokens must have; any unless said.
    pub(crate) issuer: Option<String>,
    /// The `aud` that tokens must have; any unless said.
    pub(crate) audience: Option<String>,
    /// How far clocks may differ.
    pub(crate) leeway_s: Seconds,
    /// How long a connection outlives its token, for a `refresh`.
    pub(crate) token_grace_s: Seconds,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            public_key: None,
            public_key_file: None,
            jwks_url: None,
            issuer: None,
            audience: None,
            leeway_s: Seconds(30),
            token_grace_s: Seconds(30),
        }
    }
}

/// An address as it is shown: its query may hold a secret.
fn without_query<S: Serializer>(url: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    url.as_deref().and_then(|url| url.split(['?', '#']).next()).serialize(serializer)
}

/// Where everything durable is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Store {
    /// The SQLite file. It is made if it is missing; its folder must be there.
    pub(crate) path: PathBuf,
    /// Where artifacts are kept; beside the file unless said.
    pub(crate) artifacts_dir: Option<PathBuf>,
    /// A file of at most so many bytes is looked through for damage at the start (0: never); `streamer store check`
    /// looks through any.
    pub(crate) start_check_bytes_max: u64,
    /// How long to wait at the start for another process that has the file, which may be draining; 0 is not at all.
    pub(crate) lock_timeout_s: Seconds,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            path: "streamer.db".into(),
            artifacts_dir: None,
            start_check_bytes_max: 32 * 1024 * 1024,
            lock_timeout_s: Seconds(45),
        }
    }
}

/// How requests are run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Engine {
    /// This node's name as a worker: the same after a restart.
    pub(crate) node: String,
    /// Requests estimated to take less run at once; a run that takes longer is promoted.
    pub(crate) short_limit_ms: Millis,
    /// How long one attempt may take, unless its action says otherwise.
    pub(crate) attempt_timeout_s: Seconds,
    /// How long a lease holds without renewal.
    pub(crate) lease_s: Seconds,
    /// How many queued requests run at once.
    pub(crate) running_max: usize,
    /// How many of those may be of one tenant, so that one whose handlers hang leaves places to the others; three
    /// quarters of them unless said. As many as running_max: no bound.
    pub(crate) tenant_running_max: Option<usize>,
    /// How many requests of an action run at once, by the action's name. Such an action is always queued.
    pub(crate) action_running_max: BTreeMap<String, u32>,
    /// On how many threads handlers run. One that blocks keeps a thread; once all are kept, the others' handlers wait.
    pub(crate) handler_threads: usize,
    /// How many requests may be open (not ended) in all tenants.
    pub(crate) queue_depth_max: u64,
    /// How many requests may be open in one tenant.
    pub(crate) tenant_queue_depth_max: u64,
    /// How many bytes of payloads, chunks, outcomes and artifacts may be kept, of all tenants. Above it nothing more
    /// is taken in.
    pub(crate) stored_bytes_max: u64,
    /// How many of them one tenant may keep.
    pub(crate) tenant_stored_bytes_max: u64,
    /// What a client is told to wait when the queue is full.
    pub(crate) overloaded_retry_after_ms: Millis,
    /// The wait before the second attempt; it doubles from attempt to attempt.
    pub(crate) retry_base_ms: Millis,
    /// The longest wait between two attempts.
    pub(crate) retry_max_ms: Millis,
    /// How often a request is taken over from a dead worker before it fails.
    pub(crate) takeovers_max: u32,
    /// How long an ended request, its log and its artifacts are kept.
    pub(crate) retention_s: Seconds,
    /// How often what is past its time is removed.
    pub(crate) purge_interval_s: Seconds,
    /// The shortest time between two shown progresses of one request.
    pub(crate) progress_interval_ms: Millis,
    /// The largest chunk.
    pub(crate) chunk_bytes_max: u64,
    /// The sum of one request's chunks.
    pub(crate) log_bytes_max: u64,
    /// A larger result is kept as an artifact and referred to.
    pub(crate) result_bytes_max: usize,
    /// The largest artifact.
    pub(crate) artifact_bytes_max: usize,
    /// How long a handler may go on after it was asked to stop.
    pub(crate) cancel_grace_ms: Millis,
}

impl Default for Engine {
    fn default() -> Self {
        let engine = streamer_engine::Settings::default();
        let millis = |span: std::time::Duration| Millis(span.as_millis().try_into().unwrap_or(u64::MAX));
        let seconds = |span: std::time::Duration| Seconds(span.as_secs());
        Self {
            node: "local".to_owned(),
            short_limit_ms: millis(engine.short_limit),
            attempt_timeout_s: seconds(engine.attempt_timeout),
            lease_s: seconds(engine.lease),
            running_max: engine.running_max,
            tenant_running_max: None,
            action_running_max: BTreeMap::new(),
            handler_threads: 64,
            queue_depth_max: engine.quota.open_max,
            tenant_queue_depth_max: engine.quota.tenant_open_max,
            stored_bytes_max: engine.quota.stored_bytes_max,
            tenant_stored_bytes_max: engine.quota.tenant_stored_bytes_max,
            overloaded_retry_after_ms: millis(engine.overloaded_retry_after),
            retry_base_ms: millis(engine.retry_backoff.base),
            retry_max_ms: millis(engine.retry_backoff.max),
            takeovers_max: engine.takeovers_max,
            retention_s: seconds(engine.retention),
            purge_interval_s: seconds(engine.purge_interval),
            progress_interval_ms: millis(engine.progress_interval),
            chunk_bytes_max: engine.chunk_bytes_max,
            log_bytes_max: engine.log_bytes_max,
            result_bytes_max: engine.result_bytes_max,
            artifact_bytes_max: engine.artifact_bytes_max,
            cancel_grace_ms: millis(engine.cancel_grace),
        }
    }
}

/// How many connections there may be, and what one of them may do.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Connections {
    /// How many there are at once; more are answered 429.
    pub(crate) connections_max: usize,
    /// How many of them one tenant has.
    pub(crate) tenant_connections_max: usize,
    /// How many messages one may send in a minute, and at once after a quiet minute; more are refused, and a flood of
    /// them ends it. Over HTTP, one user's calls. 0: any number.
    pub(crate) messages_per_minute: u32,
    /// How long a client may take for one message, from its first byte to its last.
    pub(crate) message_timeout_s: Seconds,
    /// The largest message a client may send.
    pub(crate) message_bytes_max: usize,
    /// How many of its messages are worked on at once; the next ones wait.
    pub(crate) in_flight_max: usize,
    /// How many requests it follows at once.
    pub(crate) listeners_max: usize,
    /// How many entries are held for it while it reads a request's log; what comes above them it reads again.
    pub(crate) held_entries_max: usize,
    /// How many topics it subscribes to.
    pub(crate) subscriptions_max: usize,
    /// How many bytes may wait for its peer, at least 4096. A single larger message passes when nothing waits.
    pub(crate) outbound_bytes_max: usize,
    /// How many messages may wait for its peer.
    pub(crate) outbound_messages_max: usize,
    /// How long its peer may take nothing while something waits.
    pub(crate) stall_timeout_s: Seconds,
    /// Between two pings. Silent for two of them, it is closed.
    pub(crate) heartbeat_s: Seconds,
    /// So many failed sends in a row open its circuit.
    pub(crate) breaker_failures_max: u32,
    /// So long an open circuit lets nothing through.
    pub(crate) breaker_open_ms: Millis,
}

impl Default for Connections {
    fn default() -> Self {
        let engine = streamer_engine::Settings::default();
        let server = streamer_server::Settings::default();
        Self {
            connections_max: server.connections_max,
            tenant_connections_max: server.tenant_connections_max,
            messages_per_minute: server.messages_per_minute,
            message_timeout_s: Seconds(server.message_timeout.as_secs()),
            message_bytes_max: server.message_bytes_max,
            in_flight_max: engine.connection_in_flight_max,
            listeners_max: engine.connection_listeners_max,
            held_entries_max: engine.listener_buffer_max,
            subscriptions_max: engine.topics.subscriptions_max,
            outbound_bytes_max: server.outbound_bytes_max,
            outbound_messages_max: server.outbound_messages_max,
            stall_timeout_s: Seconds(server.stall_timeout.as_secs()),
            heartbeat_s: Seconds(server.heartbeat.as_secs()),
            breaker_failures_max: engine.breaker.failures_max,
            breaker_open_ms: Millis(engine.breaker.open_for.as_millis().try_into().unwrap_or(u64::MAX)),
        }
    }
}

/// Topics.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Topics {
    /// What topics keep for those who come back, by how their names begin; the longest beginning counts, and a topic
    /// without one keeps nothing.
    pub(crate) histories: BTreeMap<String, TopicHistory>,
    /// How the names of topics begin that only the server publishes to, such as "activity.".
    pub(crate) server_only_prefixes: Vec<String>,
    /// The largest message; never more than connections.message_bytes_max.
    pub(crate) message_bytes_max: usize,
    /// How many topics are in use at once, in all tenants.
    pub(crate) topics_max: u64,
    /// How many topics one tenant has.
    pub(crate) tenant_topics_max: u64,
    /// What all histories in memory hold.
    pub(crate) memory_bytes_max: u64,
    /// What one tenant's histories in memory hold.
    pub(crate) tenant_memory_bytes_max: u64,
    /// What all durable histories hold.
    pub(crate) stored_bytes_max: u64,
    /// What one tenant's durable histories hold.
    pub(crate) tenant_stored_bytes_max: u64,
    /// How many messages may wait to be published on one topic.
    pub(crate) publish_depth_max: usize,
    /// How many users of a topic are listed. With more than these, no one is told who joins and leaves.
    pub(crate) present_users_max: usize,
    /// How long a topic that nobody is on and that keeps nothing is remembered.
    pub(crate) idle_s: Seconds,
    /// How long a durable topic is remembered beyond the age of its newest message.
    pub(crate) forget_after_s: Seconds,
}

impl Default for Topics {
    fn default() -> Self {
        let topics = streamer_engine::TopicSettings::default();
        Self {
            histories: BTreeMap::new(),
            server_only_prefixes: Vec::new(),
            message_bytes_max: topics.message_bytes_max,
            topics_max: topics.topics_max,
            tenant_topics_max: topics.tenant_topics_max,
            memory_bytes_max: topics.memory_bytes_max,
            tenant_memory_bytes_max: topics.tenant_memory_bytes_max,
            stored_bytes_max: topics.stored_bytes_max,
            tenant_stored_bytes_max: topics.tenant_stored_bytes_max,
            publish_depth_max: topics.publish_depth_max,
            present_users_max: topics.present_users_max,
            idle_s: Seconds(topics.idle.as_secs()),
            forget_after_s: Seconds(topics.forget_after.as_secs()),
        }
    }
}

/// What the topics keep whose names begin alike.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct TopicHistory {
    /// Where: none, memory or durable. Only the last outlives the process.
    #[schemars(with = "String")]
    pub(crate) kind: History,
    /// At most so many messages of one topic.
    pub(crate) messages_max: u64,
    /// At most so many bytes of one topic; never less than its newest message.
    pub(crate) bytes_max: u64,
    /// For at most so long.
    pub(crate) age_s: Seconds,
}

impl Default for TopicHistory {
    fn default() -> Self {
        let rule = streamer_engine::HistoryRule::default();
        Self {
            kind: rule.history,
            messages_max: rule.messages_max,
            bytes_max: rule.bytes_max,
            age_s: Seconds(rule.age_max.as_secs()),
        }
    }
}

/// Requests over HTTP.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Http {
    /// How long a call may wait for an outcome, whatever it prefers (Prefer: wait=N). Below what proxies allow.
    pub(crate) wait_max_s: Seconds,
    /// How long a client may take for the body of a request.
    pub(crate) body_timeout_s: Seconds,
    /// How many calls of one user are worked on at once; more are answered 429. What is queued does not count.
    pub(crate) user_calls_max: usize,
    /// How many streams of events one user has at once; more are answered 429. Each counts as a connection of its tenant.
    pub(crate) user_streams_max: usize,
    /// How long a stream of events is silent at most.
    pub(crate) events_heartbeat_s: Seconds,
    /// The origins whose pages may call, such as "https://app.example"; "*" for all.
    pub(crate) allowed_origins: Vec<String>,
    /// Whether such pages may send the browser's credentials along. Not together with "*".
    pub(crate) allow_credentials: bool,
}

impl Default for Http {
    fn default() -> Self {
        let http = streamer_server::HttpSettings::default();
        Self {
            wait_max_s: Seconds(http.wait_max.as_secs()),
            body_timeout_s: Seconds(http.body_timeout.as_secs()),
            user_calls_max: http.user_calls_max,
            user_streams_max: http.user_streams_max,
            events_heartbeat_s: Seconds(http.events_heartbeat.as_secs()),
            allowed_origins: http.allowed_origins,
            allow_credentials: http.allow_credentials,
        }
    }
}

/// How the process goes away.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Drain {
    /// How long it may take in all.
    pub(crate) timeout_s: Seconds,
    /// How long new connections are refused with 503 before the address is given up.
    pub(crate) linger_ms: Millis,
    /// Within how long clients are told to reconnect.
    pub(crate) spread_ms: Millis,
}

impl Default for Drain {
    fn default() -> Self {
        Self { timeout_s: Seconds(30), linger_ms: Millis(250), spread_ms: Millis(5000) }
    }
}

/// The demonstration handlers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Demo {
    /// Whether they are offered.
    pub(crate) enabled: bool,
    /// The only folder whose files they read. Example files are put into it if it is empty.
    pub(crate) data_dir: PathBuf,
    /// The queries that `process_data` may name, beside `warm_machines` and `large_orders` over the example files.
    pub(crate) queries: BTreeMap<String, Query>,
}

/// A named view of one file.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Query {
    /// The file, in the data folder.
    pub(crate) file: String,
    /// Which rows, such as "amount >= 500"; all unless said.
    pub(crate) filter: Option<String>,
    /// Which columns; all unless said.
    pub(crate) columns: Option<Vec<String>>,
}

impl Default for Demo {
    fn default() -> Self {
        Self { enabled: false, data_dir: "streamer-data".into(), queries: BTreeMap::new() }
    }
}
