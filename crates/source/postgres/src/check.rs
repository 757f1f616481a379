//! Whether a server is ready to be read, and what to do where it is not.

use streamer_events::source::{Error as SourceError, ErrorKind};

use crate::{
    connection::{Connection, literal, quoted},
    error::{Error, Result},
    settings::Settings,
    slot,
};

/// The oldest version that this is held against.
const VERSION_MIN: u32 = 130_000;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// What.
    what: String,
    /// What mends it, to be copied.
    mend: String,
}

impl Problem {
    fn new(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { what: what.into(), mend: mend.into() }
    }
}

/// What only who runs the server can mend.
pub(crate) async fn server(connection: &mut Connection, settings: &Settings) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    if connection.version() < VERSION_MIN {
        let what = format!("the server is older than version {}", VERSION_MIN / 10_000);
        problems.push(Problem::new(what, "a newer PostgreSQL"));
    }
    let level = connection.value("SHOW wal_level").await?.unwrap_or_default();
    if level != "logical" {
        problems.push(Problem::new(
            format!("wal_level is {level}, not logical"),
            "ALTER SYSTEM SET wal_level = 'logical'; and a restart of the server",
        ));
    }
    let role = connection
        .value("SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user")
        .await?;
    if role.as_deref() != Some("t") && !is_managed(connection).await? {
        let user = &settings.server.user;
        problems.push(Problem::new(
            format!("the role {user} may not replicate"),
            format!("ALTER ROLE {} WITH REPLICATION;", quoted(user)),
        ));
    }
    problems.extend(slots(connection, settings).await?);
    Ok(problems)
}

/// Managed servers give the right by a role of theirs.
async fn is_managed(connection: &mut Connection) -> Result<bool> {
    let sql = "SELECT bool_or(pg_has_role(current_user, oid, 'member')) FROM pg_catalog.pg_roles \
               WHERE rolname IN ('rds_replication', 'cloudsqlsuperuser', 'azure_pg_admin')";
    Ok(connection.value(sql).await?.as_deref() == Some("t"))
}

async fn slots(connection: &mut Connection, settings: &Settings) -> Result<Option<Problem>> {
    let sql = format!(
        "SELECT count(*) >= current_setting('max_replication_slots')::int AND NOT coalesce(bool_or(slot_name = {}), \
         false) FROM pg_catalog.pg_replication_slots",
        literal(&settings.slot)
    );
    let is_full = connection.value(&sql).await?.as_deref() == Some("t");
    Ok(is_full.then(|| {
        Problem::new(
            "all of max_replication_slots are in use",
            "SELECT pg_drop_replication_slot('…') of one that nobody reads; or a larger max_replication_slots and a restart",
        )
    }))
}

/// What setup makes.
pub(crate) async fn database(connection: &mut Connection, settings: &Settings) -> Result<Vec<Problem>> {
    const SETUP: &str = "streamer events setup";
    let outbox = &settings.outbox;
    let (schema, table) = (literal(&outbox.schema), literal(&outbox.table));
    let name = format!("{}.{}", outbox.schema, outbox.table);
    let of_table = format!(
        "SELECT attname FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = attrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace \
         WHERE nspname = {schema} AND relname = {table} AND attnum > 0 AND NOT attisdropped"
    );
    let columns: Vec<String> = connection.query(&of_table).await?.into_iter().flatten().flatten().collect();
    if columns.is_empty() {
        return Ok(vec![Problem::new(format!("there is no table {name}"), SETUP)]);
    }
    let wanted = [
        &outbox.event_id,
        &outbox.event_type,
        &outbox.aggregate_id,
        &outbox.aggregate_type,
        &outbox.payload,
        &outbox.created_at,
        &settings.sequence,
    ];
    let mut problems: Vec<_> = wanted
        .into_iter()
        .filter(|column| !columns.contains(*column))
        .map(|column| {
            Problem::new(format!("the table {name} has no column {column}"), "the outbox's settings")
        })
        .collect();
    problems.extend(publication(connection, settings, &name).await?);
    let ours = literal(&slot::table(settings));
    if connection.value(&format!("SELECT to_regclass({ours})")).await?.is_none() {
        problems.push(Problem::new(format!("there is no table {}", slot::table(settings)), SETUP));
    }
    Ok(problems)
}

async fn publication(
    connection: &mut Connection,
    settings: &Settings,
    table: &str,
) -> Result<Option<Problem>> {
    let publication = &settings.publication;
    let sql = format!(
        "SELECT pubinsert, pubviaroot FROM pg_catalog.pg_publication WHERE pubname = {}",
        literal(publication)
    );
    let Some(row) = connection.query(&sql).await?.into_iter().next() else {
        return Ok(Some(Problem::new(
            format!("there is no publication {publication}"),
            "streamer events setup",
        )));
    };
    if row.first() != Some(&Some("t".to_owned())) {
        let mend = format!("ALTER PUBLICATION {} SET (publish = 'insert');", quoted(publication));
        return Ok(Some(Problem::new(
            format!("the publication {publication} does not publish inserts"),
            mend,
        )));
    }
    let outbox = &settings.outbox;
    let covers = format!(
        "SELECT 1 FROM pg_catalog.pg_publication_tables WHERE pubname = {} AND schemaname = {} AND tablename = {}",
        literal(publication),
        literal(&outbox.schema),
        literal(&outbox.table)
    );
    if connection.value(&covers).await?.is_some() {
        return Ok(None);
    }
    // A partitioned table that is published by its partitions is not in the list by its own name.
    let mend = format!(
        "ALTER PUBLICATION {0} ADD TABLE {1}.{2}; ALTER PUBLICATION {0} SET (publish_via_partition_root = true);",
        quoted(publication),
        quoted(&outbox.schema),
        quoted(&outbox.table)
    );
    Ok(Some(Problem::new(format!("the publication {publication} does not publish {table}"), mend)))
}

/// All of the problems as one error, if there are any.
pub(crate) fn refuse(problems: &[Problem]) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    let what = problems.iter().map(|problem| problem.what.as_str()).collect::<Vec<_>>().join("; ");
    let mut mends: Vec<_> = problems.iter().map(|problem| problem.mend.as_str()).collect();
    mends.dedup();
    Err(Error::Fatal(SourceError::new(ErrorKind::NotReady, what).mended_by(mends.join("  "))))
}
