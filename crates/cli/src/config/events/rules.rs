//! What the settings must obey, and how they become the parts' own settings.

use std::net::SocketAddr;

use anyhow::Context as _;
use streamer_events::{Backoff, InvalidPath, NewEpoch, Registry};
use streamer_protocol::TenantId;
use streamer_service::config::Mistakes;
use streamer_sink_topics::{InvalidTemplate, Tenant};
use streamer_source_postgres::{Server, Tls};

use super::{Action, Events, Mapping, MongoDb, Outbox, Postgres, TlsMode, Topics, hosts};

/// The collections of ours begin so.
const RESERVED: &str = "_streamer";

/// PostgreSQL's bound for the name of a slot.
const SLOT_CHARS_MAX: usize = 63;

impl Events {
    /// Lists every mistake.
    pub(crate) fn check(&self, mistakes: &mut Mistakes) {
        for (name, value) in [
            ("events.restart_interval_s", self.restart_interval_s.0),
            ("events.batch_events_max", self.batch_events_max as u64),
            ("events.batch_bytes_max", self.batch_bytes_max as u64),
            ("events.retry_base_ms", self.retry_base_ms.0),
            ("events.summary_interval_s", self.summary_interval_s.0),
            ("events.metrics_file_interval_s", self.metrics_file_interval_s.0),
            ("events.drain_timeout_s", self.drain_timeout_s.0),
            ("events.postgres.port", self.postgres.port.into()),
            ("events.postgres.connect_timeout_ms", self.postgres.connect_timeout_ms.0),
            ("events.postgres.confirm_interval_ms", self.postgres.confirm_interval_ms.0),
            ("events.postgres.heartbeat_interval_s", self.postgres.heartbeat_interval_s.0),
            ("events.postgres.message_bytes_max", self.postgres.message_bytes_max as u64),
            ("events.postgres.takeover_interval_ms", self.postgres.takeover_interval_ms.0),
            ("events.mongodb.command_timeout_s", self.mongodb.command_timeout_s.0),
            ("events.mongodb.server_selection_timeout_s", self.mongodb.server_selection_timeout_s.0),
            ("events.mongodb.connections_max", self.mongodb.connections_max.into()),
        ] {
            if value == 0 {
                mistakes.push(name, "must be at least 1");
            }
        }
        if self.retry_max_ms < self.retry_base_ms {
            mistakes.push("events.retry_max_ms", "must be at least events.retry_base_ms");
        }
        if self.admin.enabled && self.admin.address.parse::<SocketAddr>().is_err() {
            mistakes.push("events.admin.address", "must be an address and a port, such as 127.0.0.1:8082");
        }
        self.postgres.check(mistakes);
        self.outbox.check(mistakes);
        self.mongodb.check(mistakes);
        if self.topics.enabled
            && let Err((setting, problem)) = self.topics.sink_settings()
        {
            mistakes.push(setting, problem);
        }
        for (name, mapping) in &self.mappings {
            mapping.check(&format!("events.mappings.{name}"), mistakes);
        }
    }

    /// The source's part.
    pub(crate) fn source_settings(&self) -> anyhow::Result<streamer_source_postgres::Settings> {
        let postgres = &self.postgres;
        let server = Server {
            host: postgres.host.clone(),
            port: postgres.port,
            database: postgres.database.clone(),
            user: postgres.user.clone(),
            password: postgres.password().map_err(|(setting, e)| anyhow::anyhow!("{setting}: {e}"))?,
            tls: Tls { mode: postgres.tls.into(), roots_file: postgres.tls_roots_file.clone() },
            connect_timeout: postgres.connect_timeout_ms.into(),
        };
        Ok(streamer_source_postgres::Settings {
            outbox: self.outbox.of_core(),
            sequence: self.outbox.sequence_column.clone(),
            publication: postgres.publication.clone(),
            slot: postgres.slot.clone(),
            confirm_interval: postgres.confirm_interval_ms.into(),
            heartbeat_interval: postgres.heartbeat_interval_s.into(),
            retained_bytes_warn: postgres.retained_bytes_warn,
            message_bytes_max: postgres.message_bytes_max,
            backoff: self.backoff(),
            takeover_interval: postgres.takeover_interval_ms.into(),
            server,
        })
    }

    /// The sink's part.
    pub(crate) fn sink_settings(&self) -> streamer_sink_mongodb::Settings {
        let mongodb = &self.mongodb;
        streamer_sink_mongodb::Settings {
            command_timeout: mongodb.command_timeout_s.into(),
            server_selection_timeout: mongodb.server_selection_timeout_s.into(),
            connections_max: mongodb.connections_max,
            ..streamer_sink_mongodb::Settings::of(&*mongodb.uri, &*mongodb.database)
        }
    }

    /// The pipeline's part.
    pub(crate) fn pipeline_settings(&self) -> streamer_events::Settings {
        streamer_events::Settings {
            batch_events_max: self.batch_events_max,
            batch_bytes_max: self.batch_bytes_max,
            backoff: self.backoff(),
            letter_payload_bytes_max: self.letter_payload_bytes_max,
            on_new_epoch: NewEpoch::Stop,
            summary_interval: self.summary_interval_s.into(),
        }
    }

    /// The handlers: those of `own`, and those of the mappings beside them.
    pub(crate) fn registry(&self, own: Registry) -> anyhow::Result<Registry> {
        self.mappings.iter().try_fold(own, |registry, (name, mapping)| {
            let handler = mapping.of_core().handler();
            let handler = handler.with_context(|| format!("events.mappings.{name}"))?;
            Ok(registry.on(&mapping.event_type, name, handler))
        })
    }

    fn backoff(&self) -> Backoff {
        Backoff { base: self.retry_base_ms.into(), max: self.retry_max_ms.into() }
    }
}

impl Postgres {
    fn check(&self, mistakes: &mut Mistakes) {
        for (name, value) in [
            ("host", &self.host),
            ("database", &self.database),
            ("user", &self.user),
            ("publication", &self.publication),
        ] {
            if value.is_empty() {
                mistakes.push(format!("events.postgres.{name}"), "must not be empty");
            }
        }
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if self.slot.is_empty() || self.slot.len() > SLOT_CHARS_MAX || !self.slot.bytes().all(plain) {
            mistakes.push("events.postgres.slot", "must be 1 to 63 of a-z, 0-9 and _");
        }
        if let Err((setting, problem)) = self.password() {
            mistakes.push(setting, problem);
        }
        if let Some(file) = &self.tls_roots_file
            && let Err(e) = std::fs::metadata(file)
        {
            mistakes
                .push("events.postgres.tls_roots_file", format!("{} cannot be read: {e}", file.display()));
        }
    }

    /// The password, if there is one; or the setting that is wrong, and what is.
    fn password(&self) -> Result<Option<String>, (&'static str, String)> {
        const PASSWORD: &str = "events.postgres.password";
        const FILE: &str = "events.postgres.password_file";
        match (self.password.expose(), &self.password_file) {
            ("", None) => Ok(None),
            (password, None) => Ok(Some(password.to_owned())),
            ("", Some(file)) => match std::fs::read_to_string(file) {
                Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
                Err(e) => Err((FILE, format!("{} cannot be read: {e}", file.display()))),
            },
            (_, Some(_)) => Err((PASSWORD, format!("is set, and so is {FILE}: keep one"))),
        }
    }
}

impl From<TlsMode> for streamer_source_postgres::TlsMode {
    fn from(mode: TlsMode) -> Self {
        match mode {
            TlsMode::Disable => Self::Disable,
            TlsMode::Prefer => Self::Prefer,
            TlsMode::Require => Self::Require,
            TlsMode::VerifyFull => Self::VerifyFull,
        }
    }
}

impl Outbox {
    fn check(&self, mistakes: &mut Mistakes) {
        let columns = self.columns();
        let names = [("schema", &self.schema), ("table", &self.table)].into_iter().chain(columns);
        for (name, value) in names {
            if value.is_empty() || value.contains('\0') {
                mistakes.push(format!("events.outbox.{name}"), "must be a name");
            }
        }
        for (at, (name, column)) in columns.iter().enumerate() {
            if let Some((other, _)) = columns[..at].iter().find(|(_, known)| known == column) {
                let problem = format!("is the column of events.outbox.{other} already");
                mistakes.push(format!("events.outbox.{name}"), problem);
            }
        }
    }

    fn columns(&self) -> [(&'static str, &String); 7] {
        [
            ("event_id_column", &self.event_id_column),
            ("sequence_column", &self.sequence_column),
            ("event_type_column", &self.event_type_column),
            ("aggregate_id_column", &self.aggregate_id_column),
            ("aggregate_type_column", &self.aggregate_type_column),
            ("payload_column", &self.payload_column),
            ("created_at_column", &self.created_at_column),
        ]
    }

    fn of_core(&self) -> streamer_events::Outbox {
        streamer_events::Outbox {
            schema: self.schema.clone(),
            table: self.table.clone(),
            event_id: self.event_id_column.clone(),
            event_type: self.event_type_column.clone(),
            aggregate_id: self.aggregate_id_column.clone(),
            aggregate_type: self.aggregate_type_column.clone(),
            payload: self.payload_column.clone(),
            created_at: self.created_at_column.clone(),
        }
    }
}

impl MongoDb {
    fn check(&self, mistakes: &mut Mistakes) {
        // What the driver says of an address may quote it, so only the beginning is judged here.
        if !["mongodb://", "mongodb+srv://"].iter().any(|scheme| self.uri.starts_with(scheme))
            || hosts(&self.uri).ends_with("://")
        {
            let expected = "must be an address such as mongodb://127.0.0.1:27017";
            mistakes.push("events.mongodb.uri", expected);
        }
        let forbidden = |c: char| c.is_whitespace() || "/\\.\"$*<>:|?\0".contains(c);
        if self.database.is_empty() || self.database.len() > 63 || self.database.contains(forbidden) {
            mistakes.push("events.mongodb.database", "must be the name of a database, of at most 63 bytes");
        }
    }
}

impl Topics {
    /// The sink's part; or the setting that is wrong, and what is.
    pub(crate) fn sink_settings(&self) -> Result<streamer_sink_topics::Settings, (&'static str, String)> {
        const TENANT: &str = "events.topics.tenant";
        const FIELD: &str = "events.topics.tenant_field";
        let template =
            self.template.parse().map_err(|e: InvalidTemplate| ("events.topics.template", e.to_string()))?;
        let tenant = match (self.tenant.as_deref(), self.tenant_field.as_deref()) {
            (None, None) => return Err((TENANT, format!("name the tenant, or set {FIELD}"))),
            (Some(_), Some(_)) => return Err((TENANT, format!("is set, and so is {FIELD}: keep one"))),
            (Some(""), None) => return Err((TENANT, "must not be empty".to_owned())),
            (Some(tenant), None) => Tenant::Fixed(TenantId::new(tenant)),
            (None, Some(field)) => {
                let path = field.parse().map_err(|e: InvalidPath| (FIELD, format!("{field:?}: {e}")))?;
                Tenant::Field(path)
            }
        };
        Ok(streamer_sink_topics::Settings { template, tenant })
    }
}

impl Mapping {
    fn check(&self, at: &str, mistakes: &mut Mistakes) {
        if self.event_type.is_empty() {
            mistakes.push(format!("{at}.event_type"), "name the type of the events");
        }
        let collection = &self.collection;
        if collection.is_empty() || collection.contains(['$', '\0']) || collection.starts_with("system.") {
            mistakes.push(format!("{at}.collection"), "must be the name of a collection");
        } else if collection.starts_with(RESERVED) {
            mistakes.push(format!("{at}.collection"), format!("must not begin with {RESERVED}"));
        }
        if self.action == Action::Delete && !self.fields.is_empty() {
            mistakes.push(format!("{at}.fields"), "a delete writes no fields");
        }
        let paths = self.fields.iter().flat_map(|(to, from)| [to, from]).map(|path| ("fields", path));
        for (setting, path) in self.id.iter().map(|id| ("id", id)).chain(paths) {
            if let Err(e) = path.parse::<streamer_events::Path>() {
                mistakes.push(format!("{at}.{setting}"), format!("{path:?}: {e}"));
            }
        }
    }

    fn of_core(&self) -> streamer_events::Mapping {
        streamer_events::Mapping {
            event_type: self.event_type.clone(),
            collection: self.collection.clone(),
            action: match self.action {
                Action::Insert => streamer_events::Action::Insert,
                Action::Set => streamer_events::Action::Set,
                Action::Delete => streamer_events::Action::Delete,
            },
            id: self.id.clone(),
            fields: self.fields.iter().map(|(to, from)| (to.clone(), from.clone())).collect(),
        }
    }
}
