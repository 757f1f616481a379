//! Activities.

use serde_json::Value as Json;

use super::{
    ACTIVITIES,
    payload::{Fields, aggregate, metadata, update},
};
use crate::{
    event::Event,
    rejection::Rejection,
    value::{Document, Value},
    write::Write,
};

const LOCATION: &[(&str, &[&str])] = &[
    ("name", &["location_name"]),
    ("address", &["location_address"]),
    ("city", &["location_city", "city"]),
    ("latitude", &["location_latitude", "location_lat", "latitude"]),
    ("longitude", &["location_longitude", "location_lng", "longitude"]),
];

const SCHEDULE: &[(&str, &[&str])] = &[
    ("start_time", &["start_time", "scheduled_at", "starts_at"]),
    ("end_time", &["end_time", "ends_at"]),
    ("duration_minutes", &["duration_minutes"]),
    ("timezone", &["timezone"]),
];

/// What an update may name flat, and where it goes.
const FLAT: &[(&str, &str)] = &[
    ("title", "title"),
    ("description", "description"),
    ("activity_type", "type"),
    ("type", "type"),
    ("status", "status"),
    ("location_name", "location.name"),
    ("location_address", "location.address"),
    ("location_city", "location.city"),
    ("location_latitude", "location.latitude"),
    ("location_longitude", "location.longitude"),
    ("start_time", "schedule.start_time"),
    ("end_time", "schedule.end_time"),
    ("duration_minutes", "schedule.duration_minutes"),
    ("timezone", "schedule.timezone"),
    ("max_participants", "participants.max_count"),
    ("location", "location"),
    ("schedule", "schedule"),
    ("allowed_users", "allowed_users"),
];

/// What no update changes.
const FIXED: &[&str] = &["activity_id", "creator_id", "created_at", "metadata"];

/// Makes the activity's document.
pub(super) fn created(event: &Event) -> Result<Vec<Write>, Rejection> {
    let mut fields = Fields::of(event)?;
    let title = fields.required(&["title"])?;
    let description = fields.text(&["description"])?;
    let creator = fields.required(&["creator_id", "creator_user_id"])?;
    let kind = fields.text(&["type", "activity_type"])?;
    let status = fields.text(&["status"])?.unwrap_or_else(|| "active".to_owned());
    let id = aggregate(event);
    let document = Document::new()
        .with("activity_id", &*id)
        .with("title", title)
        .with("description", description)
        .with("creator_id", creator.as_str())
        .with("type", kind)
        .with("location", fields.document("location", LOCATION)?)
        .with("schedule", fields.document("schedule", SCHEDULE)?)
        .with("participants", participants(&mut fields)?)
        .with("status", status)
        .with("metadata", metadata(event))
        .with("allowed_users", fields.allowed_users(Some(&creator))?)
        .with("created_at", event.created_at);
    Ok(vec![Write::on(ACTIVITIES, id).insert(document)])
}

/// Changes what the update names.
pub(super) fn updated(event: &Event) -> Result<Vec<Write>, Rejection> {
    let write = update(event, Write::on(ACTIVITIES, aggregate(event)), FLAT, FIXED)?;
    // Who takes part is counted; a count that an update brings would be another's.
    let counted = ["participants", "participants.list", "participants.current_count"];
    let sets = |name: &str| {
        write
            .edits
            .iter()
            .any(|edit| matches!(edit, crate::write::Edit::Set(path, _) if path.as_str() == name))
    };
    match counted.into_iter().find(|name| sets(name)) {
        Some(name) => Err(Rejection::new("changes by who joins").at(format!("updates.{name}"))),
        None => Ok(vec![write]),
    }
}

/// Those who take part from the start, and how many may.
fn participants(fields: &mut Fields) -> Result<Document, Rejection> {
    let flat_max = fields.int(&["max_participants"])?;
    let nested = fields.object("participants")?;
    let (max, list) = match nested {
        Some(mut nested) => (nested.int(&["max_count"])?.or(flat_max), nested.list("list")?),
        None => (flat_max, None),
    };
    let list = list.unwrap_or_default();
    Ok(Document::new()
        .with("current_count", i64::try_from(list.len()).unwrap_or(i64::MAX))
        .with("max_count", max)
        .with("list", Value::from(Json::Array(list))))
}
