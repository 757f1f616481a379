//! How requests come in.

use rusqlite::params;
use streamer_engine::store::{
    Enqueued, Error, ErrorKind, Fingerprint, NewRequest, Promoted, Quota, Summary, WorkerId,
};
use streamer_protocol::Timestamp;

use super::{lease_of, summary_of};
use crate::{agenda::Entry, error::Failure, stored_bytes::bytes_of, writer::Tx};

pub(crate) fn enqueue(tx: &mut Tx<'_>, new: &NewRequest, quota: &Quota) -> Result<Enqueued, Failure> {
    Ok(match insert(tx, new, quota, None)? {
        Inserted::New(_) => Enqueued::New,
        Inserted::Known(summary) => Enqueued::Known(*summary),
    })
}

pub(crate) fn promote(
    tx: &mut Tx<'_>,
    new: &NewRequest,
    quota: &Quota,
    worker: &WorkerId,
    lease_until: Timestamp,
) -> Result<Promoted, Failure> {
    match insert(tx, new, quota, Some((worker, lease_until)))? {
        Inserted::New(number) => Ok(Promoted::Leased(lease_of(number, new.key.clone(), 1))),
        Inserted::Known(summary) => Ok(Promoted::Known(*summary)),
    }
}

enum Inserted {
    New(i64),
    Known(Box<Summary>),
}

/// Stores a request that waits, or that runs already, under a lease.
fn insert(
    tx: &mut Tx<'_>,
    new: &NewRequest,
    quota: &Quota,
    lease: Option<(&WorkerId, Timestamp)>,
) -> Result<Inserted, Failure> {
    let tenant = &new.key.tenant;
    let is_full = tx.agenda.open() >= quota.open_max
        || tx.agenda.open_of(tenant) >= quota.tenant_open_max
        || tx.stored.room(tx.conn, tenant, quota)? == 0;
    if is_full {
        return known(tx, new)?.ok_or(ErrorKind::Full.into());
    }
    let due_at = lease.map_or(new.run_at, |(_, until)| until);
    let inserted = tx
        .conn
        .prepare_cached(
            "INSERT INTO request (tenant, user, id, connection, action, fingerprint, max_retries, repeatable, \
             created_at, run_at, priority, due_at, status, attempt, fence, holder, started_at, announced) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?14, ?15, ?16, ?17) \
             ON CONFLICT (tenant, user, id) DO NOTHING",
        )?
        .execute(params![
            tenant.as_str(),
            new.key.user.as_str(),
            new.key.id.as_str(),
            new.connection.as_ref().map(AsRef::as_ref),
            new.action.as_str(),
            new.fingerprint.as_bytes().as_slice(),
            new.max_retries,
            new.repeatable,
            new.created_at.as_millis(),
            new.run_at.as_millis(),
            new.priority.rank(),
            due_at.as_millis(),
            if lease.is_some() { "PROCESSING" } else { "PENDING" },
            lease.is_some(),
            lease.map(|(worker, _)| worker.as_str()),
            lease.map(|_| new.created_at.as_millis()),
            new.announced,
        ])?;
    if inserted == 0 {
        let known = known(tx, new)?;
        return Ok(known.expect("an id that conflicts is there"));
    }
    let number = tx.conn.last_insert_rowid();
    let permissions = new.permissions.kept();
    tx.conn
        .prepare_cached("INSERT INTO payload (request, json, permissions) VALUES (?1, ?2, ?3)")?
        .execute((number, new.payload.as_str(), permissions.as_deref()))?;
    let (action, priority, leased) = (new.action.clone(), new.priority, lease.is_some());
    tx.agenda.set(number, Entry { tenant: tenant.clone(), action, priority, due_at, leased });
    let bytes = bytes_of(new.payload.as_str()) + permissions.as_deref().map_or(0, bytes_of);
    tx.stored.add(tenant, bytes);
    Ok(Inserted::New(number))
}

/// The request that has this id already, unless it asks for something else.
fn known(tx: &Tx<'_>, new: &NewRequest) -> Result<Option<Inserted>, Failure> {
    let mut find = tx.conn.prepare_cached(
        "SELECT number, fingerprint FROM request WHERE tenant = ?1 AND user = ?2 AND id = ?3",
    )?;
    let mut rows = find.query([new.key.tenant.as_str(), new.key.user.as_str(), new.key.id.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    if Fingerprint::from_bytes(row.get(1)?) != new.fingerprint {
        return Err(Failure::Refused(Error::from(ErrorKind::Conflict)));
    }
    Ok(Some(Inserted::Known(Box::new(summary_of(tx.conn, row.get(0)?)?))))
}
