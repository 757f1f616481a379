//! What is to be written of one group.

use std::sync::Arc;

use mongodb::bson::{RawDocument, RawDocumentBuf, cstr, rawdoc};
use streamer_events::{
    Document, Edit,
    apply::{Applied, POSITIONS, Refusal, apply},
    batch::Group,
    sink::{Error, ErrorKind, RefusedWrite, Result},
};

use crate::{
    command::{DOCUMENT_BYTES_MAX, Write},
    documents::{Opaque, from_bson, to_bson},
};

pub(super) enum Planned {
    /// It was applied before.
    Nothing,
    Refused(Vec<RefusedWrite>),
    Write(Write),
}

/// Whether the document is most likely not there yet.
pub(super) fn begins(group: &Group) -> bool {
    let first = group.writes.first();
    group.void.is_empty()
        && first.is_some_and(|write| matches!(write.edits.first(), Some(Edit::Insert(_))))
        && group.writes.iter().all(|write| write.known_at.is_empty())
}

/// Applies the group to the document as it is stored, if it is.
pub(super) fn plan(stored: Option<&RawDocument>, group: &Group) -> Result<Planned> {
    let (applied, opaque) = applied(stored, group)?;
    match applied {
        Applied::Known => Ok(Planned::Nothing),
        Applied::Refused(refused) => {
            let refused = refused.into_iter().map(|write| of_group(group, write.author, write.refusal));
            Ok(Planned::Refused(refused.collect()))
        }
        Applied::Document(document) => match (storable(&document, &opaque), stored) {
            (Err(_), _) => unstorable(stored, group),
            (Ok(update), Some(stored)) => {
                Ok(Planned::Write(Write::Upsert { query: still(stored, group)?, update }))
            }
            // 11000 says that the document is there.
            (Ok(document), None) => Ok(Planned::Write(Write::Insert(document))),
        },
    }
}

/// Asks for the document as it was read.
fn still(stored: &RawDocument, group: &Group) -> Result<RawDocumentBuf> {
    let mut query = rawdoc! { "_id": &*group.id };
    match stored.get(POSITIONS).map_err(corrupt)? {
        Some(positions) => query.append(cstr!("pos"), positions),
        None => query.append(cstr!("pos"), rawdoc! { "$exists": false }),
    }
    Ok(query)
}

/// The document afterwards is in the core's form, with what it has no kind for beside it.
fn applied(stored: Option<&RawDocument>, group: &Group) -> Result<(Applied, Opaque)> {
    let mut opaque = Opaque::new();
    let stored = stored.map(|stored| from_bson(stored, &mut opaque)).transpose().map_err(corrupt)?;
    Ok((apply(stored, group), opaque))
}

/// The document as it is stored, if the database takes such a one at all.
fn storable(document: &Document, opaque: &Opaque) -> std::result::Result<RawDocumentBuf, Refusal> {
    // Its own words quote the name.
    let raw = to_bson(document, opaque).map_err(|_| Refusal::Invalid("a name has a NUL".to_owned()))?;
    match raw.as_bytes().len() > DOCUMENT_BYTES_MAX {
        true => Err(Refusal::TooLarge),
        false => Ok(raw),
    }
}

/// Finds the writes after which the document cannot be stored: each after those before it.
fn unstorable(stored: Option<&RawDocument>, group: &Group) -> Result<Planned> {
    let mut part = Group { writes: Vec::new(), ..group.clone() };
    let mut refused = Vec::new();
    for write in &group.writes {
        part.writes.push(write.clone());
        if let (Applied::Document(document), opaque) = applied(stored, &part)?
            && let Err(refusal) = storable(&document, &opaque)
        {
            part.void.push(write.author.clone());
            refused.push(of_group(group, write.author.clone(), refusal));
        }
    }
    Ok(Planned::Refused(refused))
}

fn of_group(group: &Group, author: streamer_events::batch::Author, refusal: Refusal) -> RefusedWrite {
    RefusedWrite { author, collection: Arc::clone(&group.collection), id: Arc::clone(&group.id), refusal }
}

fn corrupt(e: mongodb::bson::error::Error) -> Error {
    Error::new(ErrorKind::Corrupt, e)
}
