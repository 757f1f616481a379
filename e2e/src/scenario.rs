//! The shared scenarios of `e2e/scenarios`, played against a [`Place`] where Streamer runs.
//!
//! The format is documented beside the files, so that runners in other languages read the same ones. This one speaks
//! plain WebSocket and no SDK, as it must be able to say what no SDK would.

mod file;
mod follow;
mod http;
mod party;
mod pattern;
mod place;
mod play;
mod report;
#[cfg(test)]
mod tests;
mod variables;

use std::path::Path;

use futures_util::{StreamExt as _, stream};

pub use file::{File, Scenario, Unreadable};
pub use place::{Place, TokenKind, Wanted};
pub use report::{Failure, Report, Verdict};

/// How many scenarios are played at once: most of their time they wait.
const AT_ONCE: usize = 4;

/// Plays every scenario of a file at a place. Fails only if the file cannot be read: what the place does wrong stands
/// in the report.
pub async fn run(file: &Path, place: &dyn Place) -> Result<Report, Unreadable> {
    let file = File::read(file)?;
    let verdicts = stream::iter(&file.scenarios)
        .map(|scenario| async move { (scenario.name.clone(), Box::pin(play::play(scenario, place)).await) })
        .buffered(AT_ONCE)
        .collect()
        .await;
    Ok(Report { verdicts })
}
