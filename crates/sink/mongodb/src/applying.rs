//! Writes, applied.

mod planned;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use async_trait::async_trait;
use futures_util::{
    TryStreamExt as _,
    future::{try_join, try_join_all},
};
use mongodb::bson::{RawBsonRef, RawDocumentBuf, doc};
use streamer_events::{
    Batch,
    apply::{ID, Refusal},
    batch::Group,
    sink::{Error, ErrorKind, RefusedWrite, Result, Sink},
};

use crate::{
    command::{self, Failed, Write},
    error::of_driver,
    sink::MongoSink,
};
use planned::{Planned, plan};

/// So many documents are read and written together. While the server has one part, the next is made ready.
const PART_MAX: usize = 250;

/// How often a document may be changed by somebody else between its reading and its writing. That many times in turn is
/// no coincidence any more.
const CONFLICTS_MAX: usize = 200;

type Key = (Arc<str>, Arc<str>);

#[async_trait]
impl Sink for MongoSink {
    async fn apply(&self, batch: &Batch) -> Result<Vec<RefusedWrite>> {
        let mut refused = Vec::new();
        let mut waiting: Vec<&Group> = batch.groups.iter().collect();
        while !waiting.is_empty() {
            // Two partitions may have a group each for one document: one after the other.
            let mut taken: HashSet<(&str, &str)> = HashSet::new();
            let (now, later) =
                waiting.into_iter().partition(|group| taken.insert((&group.collection, &group.id)));
            self.apply_groups(now, &mut refused).await?;
            waiting = later;
        }
        Ok(refused)
    }
}

impl MongoSink {
    /// Groups of documents that are all different.
    async fn apply_groups(&self, groups: Vec<&Group>, refused: &mut Vec<RefusedWrite>) -> Result<()> {
        // What begins with an insert is most likely not there: it is not read unless that was wrong.
        let (begins, known): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| planned::begins(group));
        let written = try_join(self.write_parts(begins, false), self.write_parts(known, true)).await?;
        let mut written = written.0.and(written.1);
        for _ in 0..CONFLICTS_MAX {
            refused.append(&mut written.refused);
            if written.again.is_empty() {
                return Ok(());
            }
            written = self.write_parts(written.again, true).await?;
        }
        Err(Error::new(ErrorKind::Unavailable, "a document changes faster than it can be written"))
    }

    /// Writes groups part by part, many of them at once; reads their documents before, if they may be there.
    async fn write_parts<'a>(&self, groups: Vec<&'a Group>, may_be_there: bool) -> Result<Written<'a>> {
        let parts = parts(groups).into_iter().map(|part| async move {
            let stored = if may_be_there { Some(self.read(&part).await?) } else { None };
            self.write(part, stored).await
        });
        Ok(try_join_all(parts).await?.into_iter().fold(Written::default(), Written::and))
    }

    /// The documents of the groups, as they are stored.
    async fn read(&self, groups: &[&Group]) -> Result<HashMap<Key, RawDocumentBuf>> {
        let mut by_collection: HashMap<&Arc<str>, Vec<&str>> = HashMap::new();
        for group in groups {
            by_collection.entry(&group.collection).or_default().push(&group.id);
        }
        let reads = by_collection.into_iter().map(|(collection, ids)| self.read_some(collection, ids));
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    async fn read_some(&self, collection: &Arc<str>, ids: Vec<&str>) -> Result<Vec<(Key, RawDocumentBuf)>> {
        let documents = self.database.collection::<RawDocumentBuf>(collection);
        let find = documents.find(doc! { ID: { "$in": ids } });
        let finding =
            async { find.await.map_err(of_driver)?.try_collect::<Vec<_>>().await.map_err(of_driver) };
        let found = self.within(finding).await?;
        let keyed = found.into_iter().filter_map(|document| {
            let id = document.get(ID).ok()?.and_then(RawBsonRef::as_str)?;
            Some(((Arc::clone(collection), Arc::from(id)), document))
        });
        Ok(keyed.collect())
    }

    /// Replaces each document, if it still is what was read; without `stored`, none was, and those that are there are
    /// to be read.
    async fn write<'a>(
        &self,
        groups: Vec<&'a Group>,
        stored: Option<HashMap<Key, RawDocumentBuf>>,
    ) -> Result<Written<'a>> {
        let was_read = stored.is_some();
        let stored = stored.unwrap_or_default();
        let mut written = Written::default();
        let mut by_collection: HashMap<&'a str, (Vec<&'a Group>, Vec<Write>)> = HashMap::new();
        for group in groups {
            let key = (Arc::clone(&group.collection), Arc::clone(&group.id));
            match plan(stored.get(&key).map(|stored| &**stored), group)? {
                Planned::Nothing => {}
                // Of a document that is there, something else may be refused.
                Planned::Refused(_) if !was_read => written.again.push(group),
                Planned::Refused(refused) => written.refused.extend(refused),
                Planned::Write(write) => {
                    let (of, writes) = by_collection.entry(&group.collection).or_default();
                    of.push(group);
                    writes.push(write);
                }
            }
        }
        let updates = by_collection.into_iter().map(|(collection, (groups, writes))| async move {
            let failed = command::write(self, collection, writes).await?;
            Ok::<_, Error>((groups, failed))
        });
        for (groups, failed) in try_join_all(updates).await? {
            for failed in failed {
                let group = groups.get(failed.at).copied().ok_or_else(|| {
                    Error::new(ErrorKind::Corrupt, "an error of a statement that was not sent")
                })?;
                match failed.is_conflict() {
                    true => written.again.push(group),
                    false => written.refused.extend(self.find_refused(group, failed).await?),
                }
            }
        }
        Ok(written)
    }

    /// The database does not take a document: which event's writes make it so. They are tried event by event; what
    /// is applied of the group by that is before the one that is refused.
    async fn find_refused(&self, group: &Group, failed: Failed) -> Result<Vec<RefusedWrite>> {
        let mut ends: Vec<usize> = (1..group.writes.len())
            .filter(|at| group.writes[*at].offset != group.writes[*at - 1].offset)
            .collect();
        ends.push(group.writes.len());
        let mut last = failed;
        let mut begin = 0;
        for end in ends {
            let part = Group { writes: group.writes[..end].to_vec(), ..group.clone() };
            let stored = self.read(&[&part]).await?;
            let key = (Arc::clone(&group.collection), Arc::clone(&group.id));
            match plan(stored.get(&key).map(|stored| &**stored), &part)? {
                Planned::Nothing => {}
                Planned::Refused(refused) => return Ok(refused),
                Planned::Write(write) => {
                    match command::write(self, &group.collection, vec![write]).await?.pop() {
                        None => {}
                        Some(failed) if failed.is_conflict() => {
                            return Err(Error::new(ErrorKind::Unavailable, "the document changes meanwhile"));
                        }
                        Some(failed) => {
                            last = failed;
                            return Ok(refused_writes(group, &group.writes[begin..end], &last));
                        }
                    }
                }
            }
            begin = end;
        }
        // It went in this time: whatever stood in its way is gone.
        drop(last);
        Ok(Vec::new())
    }
}

/// What is done together, each of as few collections as possible.
fn parts(mut groups: Vec<&Group>) -> Vec<Vec<&Group>> {
    groups.sort_by_key(|group| &group.collection);
    groups.chunks(PART_MAX).map(<[_]>::to_vec).collect()
}

#[derive(Default)]
struct Written<'a> {
    refused: Vec<RefusedWrite>,
    /// Changed by somebody else since it was read, or there though it was not looked for.
    again: Vec<&'a Group>,
}

impl Written<'_> {
    fn and(mut self, mut other: Self) -> Self {
        self.refused.append(&mut other.refused);
        self.again.append(&mut other.again);
        self
    }
}

fn refused_writes(
    group: &Group,
    writes: &[streamer_events::batch::Placed],
    failed: &Failed,
) -> Vec<RefusedWrite> {
    let refusal = match &failed.index {
        Some(index) => Refusal::Duplicate(index.clone()),
        // Its own words may quote the document.
        None => Refusal::Invalid(format!("code {}", failed.code)),
    };
    let left = writes.iter().filter(|write| !group.void.contains(&write.author));
    left.map(|write| RefusedWrite {
        author: write.author.clone(),
        collection: Arc::clone(&group.collection),
        id: Arc::clone(&group.id),
        refusal: refusal.clone(),
    })
    .collect()
}
