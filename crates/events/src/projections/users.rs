//! Users.

use super::{
    USERS,
    payload::{Fields, aggregate, metadata, update},
};
use crate::{event::Event, rejection::Rejection, value::Document, write::Write};

/// What an update may name flat, and where it goes.
const FLAT: &[(&str, &str)] = &[
    ("email", "email"),
    ("username", "username"),
    ("name", "name"),
    ("first_name", "first_name"),
    ("last_name", "last_name"),
    ("bio", "profile.bio"),
    ("avatar_url", "profile.avatar_url"),
    ("profile", "profile"),
    ("allowed_users", "allowed_users"),
];

/// What no update changes.
const FIXED: &[&str] = &["user_id", "created_at", "metadata"];

/// Makes the user's document.
pub(super) fn created(event: &Event) -> Result<Vec<Write>, Rejection> {
    let mut fields = Fields::of(event)?;
    let email = fields.required(&["email"])?;
    let username = fields.text(&["username"])?;
    let (first, last) = (fields.text(&["first_name"])?, fields.text(&["last_name"])?);
    let whole = [first.as_deref(), last.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let name = fields.text(&["name"])?.or((!whole.is_empty()).then_some(whole));
    let mut given = fields.document("profile", &[("bio", &["bio"]), ("avatar_url", &["avatar_url"])])?;
    let mut profile = Document::new();
    for name in ["bio", "avatar_url"] {
        profile.set(name, given.as_mut().and_then(|given| given.remove(name)));
    }
    for (name, value) in given.unwrap_or_default() {
        profile.set(name, value);
    }
    let id = aggregate(event);
    let document = Document::new()
        .with("user_id", &*id)
        .with("email", email)
        .with("username", username)
        .with("name", name)
        .with("first_name", first)
        .with("last_name", last)
        .with("profile", profile)
        .with("metadata", metadata(event))
        .with("allowed_users", fields.allowed_users(Some(&id))?)
        .with("created_at", event.created_at);
    Ok(vec![Write::on(USERS, id).insert(document)])
}

/// Changes what the update names.
pub(super) fn updated(event: &Event) -> Result<Vec<Write>, Rejection> {
    Ok(vec![update(event, Write::on(USERS, aggregate(event)), FLAT, FIXED)?])
}
