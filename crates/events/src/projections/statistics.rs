//! How many there are.

use super::{STATISTICS, STATISTICS_ID};
use crate::{event::Event, path::Path, rejection::Rejection, write::Write};

/// Counts a user.
pub(super) fn user_created(event: &Event) -> Result<Vec<Write>, Rejection> {
    counted(event, "total_users")
}

/// Counts an activity.
pub(super) fn activity_created(event: &Event) -> Result<Vec<Write>, Rejection> {
    counted(event, "total_activities")
}

fn counted(event: &Event, what: &'static str) -> Result<Vec<Write>, Rejection> {
    Ok(vec![
        Write::on(STATISTICS, STATISTICS_ID)
            .creating()
            .increment(Path::from(what), 1)
            .set("updated_at", event.created_at),
    ])
}
