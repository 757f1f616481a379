//! What is to be written of one group.

use std::sync::Arc;

use mongodb::bson::{Document, doc};
use streamer_events::{
    Edit,
    apply::{Applied, ID, POSITIONS, Refusal, apply},
    batch::Group,
    sink::{RefusedWrite, Result},
};

use crate::{
    command::{DOCUMENT_BYTES_MAX, Statement, Write, bytes_of},
    documents::{Opaque, from_bson, to_bson},
};

pub(super) enum Planned {
    /// It was applied before.
    Nothing,
    Refused(Vec<RefusedWrite>),
    Write(Statement),
}

/// Whether the document is most likely not there yet.
pub(super) fn begins(group: &Group) -> bool {
    let first = group.writes.first();
    group.void.is_empty()
        && first.is_some_and(|write| matches!(write.edits.first(), Some(Edit::Insert(_))))
        && group.writes.iter().all(|write| write.known_at.is_empty())
}

/// Applies the group to the document as it is stored, if it is.
pub(super) fn plan(stored: Option<Document>, group: &Group) -> Result<Planned> {
    let condition = stored.as_ref().map(|stored| match stored.get(POSITIONS) {
        Some(positions) => doc! { ID: &*group.id, POSITIONS: positions.clone() },
        None => doc! { ID: &*group.id, POSITIONS: { "$exists": false } },
    });
    let (applied, opaque) = documents(stored.clone(), group);
    match applied {
        Applied::Known => Ok(Planned::Nothing),
        Applied::Refused(refused) => {
            let refused = refused.into_iter().map(|write| of_group(group, write.author, write.refusal));
            Ok(Planned::Refused(refused.collect()))
        }
        Applied::Document(document) => {
            let whole = to_bson(document, &opaque);
            let bytes = bytes_of(&whole)?;
            if bytes > DOCUMENT_BYTES_MAX {
                return too_large(stored, group);
            }
            let write = match condition {
                Some(query) => Write::Upsert { query, update: whole },
                // 11000 says that the document is there.
                None => Write::Insert(whole),
            };
            Ok(Planned::Write(Statement { write, bytes }))
        }
    }
}

/// The document afterwards is in the core's form, with what it has no kind for beside it.
fn documents(stored: Option<Document>, group: &Group) -> (Applied, Opaque) {
    let mut opaque = Opaque::new();
    let stored = stored.map(|stored| from_bson(stored, &mut opaque));
    (apply(stored, group), opaque)
}

/// Finds the writes that make the document too large: each after those before it.
fn too_large(stored: Option<Document>, group: &Group) -> Result<Planned> {
    let mut part = Group { writes: Vec::new(), ..group.clone() };
    let mut refused = Vec::new();
    for write in &group.writes {
        part.writes.push(write.clone());
        if let (Applied::Document(document), opaque) = documents(stored.clone(), &part)
            && bytes_of(&to_bson(document, &opaque))? > DOCUMENT_BYTES_MAX
        {
            part.void.push(write.author.clone());
            refused.push(of_group(group, write.author.clone(), Refusal::TooLarge));
        }
    }
    Ok(Planned::Refused(refused))
}

fn of_group(group: &Group, author: streamer_events::batch::Author, refusal: Refusal) -> RefusedWrite {
    RefusedWrite { author, collection: Arc::clone(&group.collection), id: Arc::clone(&group.id), refusal }
}
