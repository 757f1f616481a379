//! Making what the source needs: schema, table, publication, slot. Safe to repeat.

use streamer_events::{
    failpoint::{self, Step},
    source,
};

use crate::{
    check,
    connection::{Connection, Purpose, literal, quoted},
    error::Result,
    settings::Settings,
    slot,
};

/// Makes what is missing, and says what it made. What is there stays as it is; what is wrong with it, and with the
/// server, is the error.
pub async fn setup(settings: &Settings) -> source::Result<Vec<String>> {
    try_setup(settings).await.map_err(|e| {
        e.fatal().unwrap_or_else(|e| source::Error::new(source::ErrorKind::NotReady, e.to_string()))
    })
}

async fn try_setup(settings: &Settings) -> Result<Vec<String>> {
    let mut control =
        Connection::open(&settings.server, Purpose::Queries, settings.message_bytes_max).await?;
    check::refuse(&check::server(&mut control, settings).await?)?;
    let mut made = Vec::new();
    for (what, is_there, statements) in pieces(settings) {
        if control.value(&is_there).await?.is_none() {
            failpoint::around(Step::Make, control.query(&statements)).await?;
            made.push(what);
        }
    }
    check::refuse(&check::database(&mut control, settings).await?)?;
    let mut replication =
        Connection::open(&settings.server, Purpose::Replication, settings.message_bytes_max).await?;
    let was_there = format!(
        "SELECT 1 FROM pg_catalog.pg_replication_slots WHERE slot_name = {}",
        literal(&settings.slot)
    );
    let was_there = control.value(&was_there).await?.is_some();
    slot::open(&mut control, &mut replication, settings).await?;
    if !was_there {
        made.push(format!("slot {}", settings.slot));
    }
    replication.close().await?;
    control.close().await?;
    Ok(made)
}

/// Each piece, what finds it, and what makes it.
fn pieces(settings: &Settings) -> Vec<(String, String, String)> {
    let outbox = &settings.outbox;
    let (schema, publication) = (quoted(&outbox.schema), quoted(&settings.publication));
    let table = format!("{schema}.{}", quoted(&outbox.table));
    let named = literal(&format!("{}.{}", outbox.schema, outbox.table));
    let regclass = |name: &str| format!("SELECT to_regclass({})", literal(name));
    let slots = slot::table(settings);
    vec![
        (
            format!("schema {}", outbox.schema),
            format!("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = {}", literal(&outbox.schema)),
            format!("CREATE SCHEMA {schema}"),
        ),
        (
            format!("table {}.{}", outbox.schema, outbox.table),
            regclass(&table),
            table_definition(settings, &table),
        ),
        (format!("table {slots}"), regclass(&slots), slot::table_definition(settings)),
        (
            format!("publication {} of {named}", settings.publication),
            format!(
                "SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = {}",
                literal(&settings.publication)
            ),
            // Marking and pruning rows must not come back as events.
            format!(
                "CREATE PUBLICATION {publication} FOR TABLE {table} WITH (publish = 'insert', \
                 publish_via_partition_root = true)"
            ),
        ),
    ]
}

/// The outbox as specified; under the settings' names where those are columns that the source reads.
fn table_definition(settings: &Settings, table: &str) -> String {
    let outbox = &settings.outbox;
    let kind = format!("{}.{}", quoted(&outbox.schema), quoted(&format!("{}_status", outbox.table)));
    let [id, sequence, aggregate, aggregate_type, event_type, payload, created] = [
        &outbox.event_id,
        &settings.sequence,
        &outbox.aggregate_id,
        &outbox.aggregate_type,
        &outbox.event_type,
        &outbox.payload,
        &outbox.created_at,
    ]
    .map(|name| quoted(name));
    // One query is one transaction: the type and the table, or neither.
    format!(
        "CREATE TYPE {kind} AS ENUM ('pending', 'processing', 'processed', 'failed', 'retry'); \
         CREATE TABLE {table} ({id} uuid PRIMARY KEY DEFAULT gen_random_uuid(), {sequence} bigserial NOT NULL UNIQUE, \
         {aggregate} uuid NOT NULL, {aggregate_type} text NOT NULL, {event_type} text NOT NULL, \
         {payload} jsonb NOT NULL, status {kind} NOT NULL DEFAULT 'pending', retry_count int NOT NULL DEFAULT 0, \
         last_error text, lock_id uuid, {created} timestamptz NOT NULL DEFAULT now(), published_at timestamptz)"
    )
}
