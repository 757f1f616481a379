//! The second stage: what must be durable before the first write.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Core, Error, Prepared, stopped};
use crate::letter::DeadLetter;

/// Records and buries until the first stage has ended.
pub(super) async fn run(
    core: &Core,
    mut batches: mpsc::Receiver<Prepared>,
    next: mpsc::Sender<Prepared>,
    halt: &CancellationToken,
) -> Result<(), Error> {
    while let Some(prepared) = batches.recv().await {
        if record(core, &prepared, halt).await?.is_none() {
            return Ok(());
        }
        // The next stage has ended if it does not take it, and says why.
        if next.send(prepared).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

async fn record(core: &Core, prepared: &Prepared, halt: &CancellationToken) -> Result<Option<()>, Error> {
    if bury(core, &prepared.letters, halt).await?.is_none() {
        return Ok(None);
    }
    let events = prepared.batch.events.iter();
    let events: Vec<_> = events.map(|a| (a.event.id.clone(), a.event.position.clone())).collect();
    if events.is_empty() {
        return Ok(Some(()));
    }
    stopped(core.patience(halt).insist("record", || core.parts.models.record(&events)).await)
}

/// Puts letters where they stay.
pub(super) async fn bury(
    core: &Core,
    letters: &[DeadLetter],
    halt: &CancellationToken,
) -> Result<Option<()>, Error> {
    if letters.is_empty() {
        return Ok(Some(()));
    }
    let buried = stopped(core.patience(halt).insist("bury", || core.parts.models.bury(letters)).await)?;
    core.tally.count_letters(letters.len());
    Ok(buried)
}
