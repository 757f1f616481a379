//! Artifacts: a row for each, and its bytes in a file that has the row's id for a name.
//!
//! The file is whole and durable before its row is; a row goes before its file. So a row always has its file,
//! and a file without a row is what a crash left behind, for the sweep.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension, Result, Row};
use streamer_engine::{
    failpoint::{self, Step},
    store::{Artifact, ArtifactId, ErrorKind, NewArtifact, Quota},
};
use streamer_protocol::{TenantId, Timestamp, UserId};

use crate::{
    error::Failure,
    value::{Columns, int},
    writer::Tx,
};

const COLUMNS: &str = "id, name, media_type, size, created_at, expires_at";

fn read(row: &Row<'_>) -> Result<Artifact> {
    let columns = &mut Columns::of(row);
    Ok(Artifact {
        id: columns.checked(|text| ArtifactId::parse(text).ok_or(()))?,
        name: columns.get()?,
        media_type: columns.get()?,
        size: columns.count()?,
        created_at: columns.time()?,
        expires_at: columns.time()?,
    })
}

/// Who may read an artifact.
#[derive(Clone)]
pub(crate) struct Owner {
    pub(crate) tenant: TenantId,
    pub(crate) user: UserId,
}

pub(crate) fn get(conn: &Connection, owner: &Owner, id: &ArtifactId) -> Result<Option<Artifact>> {
    let sql = format!("SELECT {COLUMNS} FROM artifact WHERE id = ?1 AND tenant = ?2 AND user = ?3");
    conn.prepare_cached(&sql)?
        .query_row([id.as_str(), owner.tenant.as_str(), owner.user.as_str()], read)
        .optional()
}

pub(crate) fn is_taken(conn: &Connection, id: &ArtifactId) -> Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM artifact WHERE id = ?1)")?
        .query_row([id.as_str()], |row| row.get(0))
}

/// Refuses what the quota has no room for.
pub(crate) fn admit(tx: &mut Tx<'_>, tenant: &TenantId, bytes: u64, quota: &Quota) -> Result<(), Failure> {
    if bytes > tx.stored.room(tx.conn, tenant, quota)? { Err(ErrorKind::Full.into()) } else { Ok(()) }
}

/// Whose bytes are in their file already.
pub(crate) fn insert(
    tx: &mut Tx<'_>,
    owner: &Owner,
    artifact: &Artifact,
    quota: &Quota,
) -> Result<(), Failure> {
    if is_taken(tx.conn, &artifact.id)? {
        return Err(ErrorKind::Conflict.into());
    }
    admit(tx, &owner.tenant, artifact.size, quota)?;
    tx.conn
        .prepare_cached(
            "INSERT INTO artifact (id, tenant, user, name, media_type, size, created_at, expires_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute((
            artifact.id.as_str(),
            owner.tenant.as_str(),
            owner.user.as_str(),
            &artifact.name,
            &artifact.media_type,
            int(artifact.size),
            artifact.created_at.as_millis(),
            artifact.expires_at.as_millis(),
        ))?;
    tx.stored.add(&owner.tenant, int(artifact.size));
    Ok(())
}

/// Removes rows; their files are the caller's to remove.
pub(crate) fn purge(tx: &mut Tx<'_>, now: Timestamp, limit: u32) -> Result<Vec<ArtifactId>, Failure> {
    let mut removed = Vec::new();
    let mut removal = tx.conn.prepare_cached(
        "DELETE FROM artifact WHERE id IN \
         (SELECT id FROM artifact WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2) \
         RETURNING id, tenant, size",
    )?;
    let mut rows = removal.query((now.as_millis(), limit))?;
    while let Some(row) = rows.next()? {
        let columns = &mut Columns::of(row);
        removed.push(columns.checked(|text| ArtifactId::parse(text).ok_or(()))?);
        tx.stored.add(&columns.text(TenantId::new)?, -columns.get::<i64>()?);
    }
    Ok(removed)
}

pub(crate) fn describe(new: &NewArtifact) -> Artifact {
    Artifact {
        id: new.id.clone(),
        name: new.name.clone(),
        media_type: new.media_type.clone(),
        size: new.bytes.len() as u64,
        created_at: new.created_at,
        expires_at: new.expires_at,
    }
}

/// An id is 32 hexadecimal digits, so this stays inside the folder.
pub(crate) fn file_of(folder: &Path, id: &ArtifactId) -> PathBuf {
    folder.join(id.as_str())
}

/// Makes the file, whole and durable, before it has its name. `attempt` differs from call to call.
pub(crate) fn write_file(folder: &Path, id: &ArtifactId, attempt: u64, bytes: &[u8]) -> io::Result<()> {
    let partial = folder.join(format!("{id}.{attempt}.partial"));
    failpoint::before(Step::ArtifactBytes);
    let written = File::create(&partial).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(e) = written {
        // Of a full disk it would take the rest. What stays is swept at a later start.
        let _ = fs::remove_file(&partial);
        return Err(e);
    }
    failpoint::after(Step::ArtifactBytes);
    failpoint::before(Step::ArtifactName);
    fs::rename(&partial, file_of(folder, id))?;
    sync_folder(folder)?;
    failpoint::after(Step::ArtifactName);
    Ok(())
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
