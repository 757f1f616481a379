//! Who takes part in an activity.

use super::{
    ACTIVITIES,
    payload::{Fields, aggregate},
};
use crate::{event::Event, rejection::Rejection, value::Document, write::Write};

/// Adds the participant to the activity once, however often the event comes.
pub(super) fn joined(event: &Event) -> Result<Vec<Write>, Rejection> {
    let mut fields = Fields::of(event)?;
    // Some writers nest who it is.
    let mut who = fields.object("participant")?;
    let mut who = |names: &[&str]| match &mut who {
        Some(who) => who.text(names),
        None => fields.text(names),
    };
    let user = who(&["user_id"])?.ok_or_else(|| Rejection::new("is missing").at("user_id"))?;
    let name = who(&["user_name", "username", "name"])?;
    let status = who(&["status"])?.unwrap_or_else(|| "joined".to_owned());
    let activity = fields.text(&["activity_id"])?.map_or_else(|| aggregate(event), Into::into);
    let joined_at = match fields.text(&["joined_at"])? {
        None => event.created_at,
        Some(text) => text.parse().map_err(|e| Rejection::new(format!("{e}")).at("joined_at"))?,
    };
    let entry = Document::new()
        .with("user_id", user)
        .with("name", name)
        .with("status", status)
        .with("joined_at", joined_at);
    Ok(vec![
        Write::on(ACTIVITIES, activity)
            .add_once("participants.list", "user_id", entry)
            .counting("participants.current_count")
            .set("metadata.updated_at", event.created_at),
    ])
}
