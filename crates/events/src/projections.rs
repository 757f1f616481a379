//! The handlers that ship: users, activities, who takes part, and how many there are.
//!
//! Payloads come flat (`first_name`, `creator_user_id`, `location_name`) or nested (`profile {…}`, `location {…}`,
//! `updates {…}` with dotted paths); both work, and what is nested wins.

mod activities;
mod participants;
mod payload;
mod statistics;
mod users;

use crate::registry::Registry;

/// The collection of users.
pub const USERS: &str = "users";
/// The collection of activities.
pub const ACTIVITIES: &str = "activities";
/// The collection of counts, which has one document.
pub const STATISTICS: &str = "statistics";
/// The one document of [`STATISTICS`].
pub const STATISTICS_ID: &str = "global";

/// The handlers that ship.
#[must_use]
pub fn registry() -> Registry {
    Registry::new()
        .on("UserCreated", "users", users::created)
        .on("UserCreated", "statistics", statistics::user_created)
        .on("UserUpdated", "users", users::updated)
        .on("ActivityCreated", "activities", activities::created)
        .on("ActivityCreated", "statistics", statistics::activity_created)
        .on("ActivityUpdated", "activities", activities::updated)
        .on("ParticipantJoined", "activities", participants::joined)
}

#[cfg(test)]
mod tests;
