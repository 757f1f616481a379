//! The tables, and how an older file becomes a newer one.

use rusqlite::{Connection, Result};

/// "STRM": tells our files from other programs'.
pub(crate) const APPLICATION_ID: i32 = 0x5354_524d;

/// What this version reads and writes.
pub(crate) const VERSION: usize = MIGRATIONS.len();

/// One step per version. A step that was released never changes: another follows it.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/001.sql"),
    include_str!("schema/002.sql"),
    include_str!("schema/003_topics.sql"),
    include_str!("schema/004_outbox.sql"),
    include_str!("schema/005_permissions.sql"),
    include_str!("schema/006_message_keys.sql"),
    include_str!("schema/007_checkpoint_bytes.sql"),
];

/// Takes a file of version `found` to this version, or leaves it as it was.
pub(crate) fn migrate(conn: &mut Connection, found: usize) -> Result<()> {
    if found == VERSION {
        return Ok(());
    }
    let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    for step in &MIGRATIONS[found..] {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", i32::try_from(VERSION).expect("few versions"))?;
    tx.commit()
}
