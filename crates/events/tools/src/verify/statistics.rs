//! Numbers, counted again.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use streamer_events::{
    Path, Value,
    projections::{ACTIVITIES, STATISTICS, STATISTICS_ID, USERS},
};

use super::{Documents, Error, Findings, Kind, Window, models::Models};

/// A number in a document, and what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statistic {
    /// Where it stands: `collection/id path`.
    pub name: String,
    /// What it says; nothing if it is not there.
    pub stored: Option<i64>,
    /// What was counted.
    pub recounted: i64,
    /// Of what.
    pub counted: Counted,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// The events of the outbox, all of which are there.
    Events,
    /// The documents, since the outbox was pruned.
    Documents,
}

/// What the shipped statistics count: the path, the events, and the collection where each of them makes a document.
const SHIPPED: &[(&str, &str, &str)] =
    &[("total_users", "UserCreated", USERS), ("total_activities", "ActivityCreated", ACTIVITIES)];

/// Who counts.
const COUNTER: &str = "statistics";

pub(super) async fn compare(
    models: &Models<'_>,
    window: &Window,
    documents: &BTreeMap<String, Documents>,
    findings: &mut Findings,
) -> Result<Vec<Statistic>, Error> {
    let wanted = match window.is_everything {
        true => findings.recount.sums.clone(),
        false => of_documents(models, documents).await?,
    };
    let counted = if window.is_everything { Counted::Events } else { Counted::Documents };
    let mut statistics = Vec::new();
    let places: BTreeSet<_> =
        wanted.keys().map(|(collection, id, _)| (collection.clone(), id.clone())).collect();
    for (collection, id) in places {
        let document = models.documents(&collection, &[&id]).await?.next().await?;
        let of_document = wanted.iter().filter(|((of, its, _), _)| *of == collection && *its == id);
        for ((.., path), recounted) in of_document {
            let name = format!("{collection}/{id} {path}");
            let value = document
                .as_ref()
                .and_then(|(_, document)| path.parse::<Path>().ok()?.find(document).cloned());
            let stored = value.as_ref().and_then(Value::as_int);
            if stored.unwrap_or(0) != *recounted {
                let stored = stored.map_or("nothing".to_owned(), |stored| stored.to_string());
                let detail = format!("{path} says {stored}, and {recounted} were counted");
                findings.differences.add(Kind::Miscounted, format!("{collection}/{id}"), detail);
            }
            statistics.push(Statistic { name, stored, recounted: *recounted, counted });
        }
    }
    Ok(statistics)
}

/// Each event has made a document, or was refused by it; and was counted, unless that was refused.
async fn of_documents(
    models: &Models<'_>,
    documents: &BTreeMap<String, Documents>,
) -> Result<BTreeMap<(String, String, String), i64>, Error> {
    let mut wanted = BTreeMap::new();
    for (path, event_type, collection) in SHIPPED {
        let of_collection = documents.get(*collection).copied().unwrap_or_default();
        let made = of_collection.live + of_collection.deleted;
        let refused = models.count_letters(collection, Some(event_type)).await?;
        let uncounted = models.count_letters(COUNTER, Some(event_type)).await?;
        let count = i64::try_from((made + refused).saturating_sub(uncounted)).unwrap_or(i64::MAX);
        let is_empty = count == 0;
        if !is_empty {
            wanted.insert((STATISTICS.to_owned(), STATISTICS_ID.to_owned(), (*path).to_owned()), count);
        }
    }
    Ok(wanted)
}
