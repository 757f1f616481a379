//! Undoing what setup made.

use streamer_events::{
    failpoint::{self, Step},
    source,
};

use crate::{
    connection::{Connection, Purpose, literal, quoted},
    error::Result,
    settings::Settings,
    slot,
};

/// Removes slot, publication and the table of slots; the outbox and what is in it only if that is wanted. Says what it
/// removed. Safe to repeat. A slot that somebody reads is the error, and nothing is removed then.
pub async fn teardown(settings: &Settings, with_outbox: bool) -> source::Result<Vec<String>> {
    try_teardown(settings, with_outbox).await.map_err(|e| {
        e.fatal().unwrap_or_else(|e| source::Error::new(source::ErrorKind::NotReady, e.to_string()))
    })
}

async fn try_teardown(settings: &Settings, with_outbox: bool) -> Result<Vec<String>> {
    let mut control =
        Connection::open(&settings.server, Purpose::Queries, settings.message_bytes_max).await?;
    let mut removed = Vec::new();
    let slots = slot::table(settings);
    let is_there = format!(
        "SELECT 1 FROM pg_catalog.pg_replication_slots WHERE slot_name = {}",
        literal(&settings.slot)
    );
    if control.value(&is_there).await?.is_some() {
        let drop = format!("SELECT pg_catalog.pg_drop_replication_slot({})", literal(&settings.slot));
        failpoint::around(Step::DropSlot, control.query(&drop)).await?;
        removed.push(format!("slot {}", settings.slot));
    }
    for (what, is_there, drop) in pieces(settings, &slots, with_outbox) {
        if control.value(&is_there).await?.is_some() {
            failpoint::around(Step::Unmake, control.query(&drop)).await?;
            removed.push(what);
        }
    }
    control.close().await?;
    Ok(removed)
}

/// Each piece, what finds it, and what removes it.
fn pieces(settings: &Settings, slots: &str, with_outbox: bool) -> Vec<(String, String, String)> {
    let outbox = &settings.outbox;
    let publication = &settings.publication;
    let schema = quoted(&outbox.schema);
    let table = format!("{schema}.{}", quoted(&outbox.table));
    let kind = format!("{schema}.{}", quoted(&format!("{}_status", outbox.table)));
    let regclass = |name: &str| format!("SELECT to_regclass({})", literal(name));
    let mut pieces = vec![
        (
            format!("publication {publication}"),
            format!("SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = {}", literal(publication)),
            format!("DROP PUBLICATION {}", quoted(publication)),
        ),
        // Others' slots may be in it too.
        (
            format!("table {slots}"),
            regclass(slots),
            format!(
                "DELETE FROM {slots} WHERE slot_name = {0}; \
                 DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM {slots}) THEN DROP TABLE {slots}; END IF; END $$",
                literal(&settings.slot)
            ),
        ),
    ];
    if with_outbox {
        pieces.push((
            format!("table {}.{}", outbox.schema, outbox.table),
            regclass(&table),
            format!("DROP TABLE {table}; DROP TYPE IF EXISTS {kind}"),
        ));
    }
    pieces
}
