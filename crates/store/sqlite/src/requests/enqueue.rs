//! How requests come in.

use streamer_engine::store::{
    Enqueued, Error, ErrorKind, Fingerprint, Lease, NewRequest, Promoted, Quota, Summary, WorkerId,
};
use streamer_protocol::Timestamp;

use super::summary_of;
use crate::{error::Failure, writer::Tx};

pub(crate) fn enqueue(tx: &mut Tx<'_>, new: &NewRequest, quota: &Quota) -> Result<Enqueued, Failure> {
    Ok(match insert(tx, new, quota)? {
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
    let number = match insert(tx, new, quota)? {
        Inserted::New(number) => number,
        Inserted::Known(summary) => return Ok(Promoted::Known(*summary)),
    };
    tx.conn
        .prepare_cached(
            "UPDATE request SET status = 'PROCESSING', attempt = 1, fence = 1, holder = ?2, due_at = ?3, \
             started_at = created_at WHERE number = ?1",
        )?
        .execute((number, worker.as_str(), lease_until.as_millis()))?;
    Ok(Promoted::Leased(Lease { key: new.key.clone(), fence: 1 }))
}

enum Inserted {
    New(i64),
    Known(Box<Summary>),
}

fn insert(tx: &mut Tx<'_>, new: &NewRequest, quota: &Quota) -> Result<Inserted, Failure> {
    let admitted = tx.open.admit(&new.key.tenant, quota);
    if let Err(full) = admitted {
        return known(tx, new)?.ok_or(Failure::Refused(full));
    }
    let inserted = tx
        .conn
        .prepare_cached(
            "INSERT INTO request (tenant, user, id, connection, action, fingerprint, max_retries, repeatable, \
             created_at, run_at, due_at, status) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, 'PENDING') \
             ON CONFLICT (tenant, user, id) DO NOTHING",
        )?
        .execute((
            new.key.tenant.as_str(),
            new.key.user.as_str(),
            new.key.id.as_str(),
            new.connection.as_ref().map(AsRef::as_ref),
            new.action.as_str(),
            new.fingerprint.as_bytes().as_slice(),
            new.max_retries,
            new.repeatable,
            new.created_at.as_millis(),
            new.run_at.as_millis(),
        ))?;
    if inserted == 0 {
        let known = known(tx, new)?;
        return Ok(known.expect("an id that conflicts is there"));
    }
    let number = tx.conn.last_insert_rowid();
    tx.conn
        .prepare_cached("INSERT INTO payload (request, json) VALUES (?1, ?2)")?
        .execute((number, new.payload.as_str()))?;
    tx.open.opened(&new.key.tenant);
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
