//! What every command of events takes.

use clap::Args;
use streamer_service::config::{Loaded, Origin};

use crate::config::{Config, Sources};

/// Where settings come from. Passwords have no flag: every process of a machine sees the others' arguments.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Flags {
    #[command(flatten)]
    sources: Sources,
    /// PostgreSQL's host (events.postgres.host, POSTGRES_HOST)
    #[arg(long, value_name = "HOST")]
    postgres_host: Option<String>,
    /// PostgreSQL's port (events.postgres.port, POSTGRES_PORT)
    #[arg(long, value_name = "PORT")]
    postgres_port: Option<String>,
    /// PostgreSQL's database (events.postgres.database, POSTGRES_DB)
    #[arg(long, value_name = "NAME")]
    postgres_db: Option<String>,
    /// PostgreSQL's role (events.postgres.user, POSTGRES_USER)
    #[arg(long, value_name = "NAME")]
    postgres_user: Option<String>,
    /// MongoDB's database (events.mongodb.database, MONGODB_DATABASE)
    #[arg(long, value_name = "NAME")]
    mongodb_database: Option<String>,
    /// What is logged (logs.filter, LOG_LEVEL)
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl Flags {
    /// The configuration, or none if it has mistakes, which are told then. `more` are further flags, as (flag, setting,
    /// value).
    pub(crate) fn load(
        &self,
        more: &[(&'static str, &'static str, Option<String>)],
    ) -> Option<Loaded<Config>> {
        let own = [
            ("--postgres-host", "events.postgres.host", &self.postgres_host),
            ("--postgres-port", "events.postgres.port", &self.postgres_port),
            ("--postgres-db", "events.postgres.database", &self.postgres_db),
            ("--postgres-user", "events.postgres.user", &self.postgres_user),
            ("--mongodb-database", "events.mongodb.database", &self.mongodb_database),
            ("--log-level", "logs.filter", &self.log_level),
        ];
        let more = more.iter().map(|(flag, setting, value)| (*flag, *setting, value));
        let given = own.into_iter().chain(more);
        let given = given.filter_map(|(flag, setting, value)| Some((flag, setting, value.clone()?)));
        match self.sources.load_events(&given.collect::<Vec<_>>()) {
            Ok(loaded) => Some(loaded),
            Err(mistakes) => {
                eprintln!("{mistakes}");
                None
            }
        }
    }
}

/// Whether somebody gave this setting.
pub(super) fn is_given(loaded: &Loaded<Config>, setting: &str) -> bool {
    let is_it = |given: &streamer_service::config::Setting| {
        given.name == setting && !matches!(given.origin, Origin::Default)
    };
    loaded.sources().iter().any(is_it)
}
