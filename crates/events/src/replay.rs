//! Dead letters, tried again: by hand, after the handler or the data was mended.
//!
//! A letter's place in the source is long passed: documents cover it, and would take the event for known. So each letter
//! is a partition of its own, in which the event stands at 1. Applied twice, after a crash between the writing and the
//! discarding, it changes nothing; and it is in the ledger, so that a later snapshot knows the event by it.

use std::sync::Arc;

use crate::{
    batch::{Arrival, Batch},
    change::Passed,
    event::{Event, Payload},
    letter::DeadLetter,
    position::{Offset, Partition, Position},
    registry::Registry,
    sink::{ReadModels, Result, Sink},
};

/// What became of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replayed {
    /// Its writes are done, and it is gone.
    Applied,
    /// It is refused again, and stays.
    Refused(String),
    /// It cannot be tried, and stays.
    Impossible(String),
}

const TRUNCATED: &str = "its payload is kept only in part";

/// Tries one letter again: only its own handler, and only what the letter is about. It goes once its writes are durable.
/// Safe to repeat, and beside a pipeline that runs.
pub async fn replay(models: &dyn ReadModels, registry: &Registry, letter: &DeadLetter) -> Result<Replayed> {
    if letter.truncated {
        return Ok(Replayed::Impossible(TRUNCATED.into()));
    }
    if !registry.has(&letter.event_type, &letter.handler) {
        return Ok(Replayed::Impossible("its handler is not here".into()));
    }
    let event = event(letter);
    let projected = registry.project(&event);
    if let Some((_, rejection)) =
        projected.rejected.into_iter().find(|(handler, _)| **handler == *letter.handler)
    {
        return Ok(Replayed::Refused(rejection.to_string()));
    }
    let ours = projected.writes.into_iter().filter(|(handler, write)| {
        let of_document = letter.document.as_ref();
        let concerned =
            of_document.is_none_or(|(collection, id)| *write.collection == **collection && *write.id == **id);
        **handler == *letter.handler && concerned
    });
    let mut batch = Batch::default();
    batch.add(Arrival { event: Arc::new(event), known_at: Arc::default() }, ours.collect());
    finish(models, models, &batch, letter).await
}

/// Tries one letter again that a sink beside the read models has written: the sink is given the event, and the letter goes
/// once the sink has it. Safe to repeat as far as the sink knows positions.
pub async fn hand_on(models: &dyn ReadModels, sink: &dyn Sink, letter: &DeadLetter) -> Result<Replayed> {
    match letter.truncated {
        true => Ok(Replayed::Impossible(TRUNCATED.into())),
        false => finish(models, sink, &batch(letter), letter).await,
    }
}

/// The letter's event, for a sink that knows no documents.
#[must_use]
pub fn batch(letter: &DeadLetter) -> Batch {
    let mut batch = Batch::default();
    batch.add(Arrival { event: Arc::new(event(letter)), known_at: Arc::default() }, Vec::new());
    batch
}

async fn finish(
    models: &dyn ReadModels,
    sink: &(impl Sink + ?Sized),
    batch: &Batch,
    letter: &DeadLetter,
) -> Result<Replayed> {
    models.record(&[(letter.event_id.clone(), position(letter))]).await?;
    if let Some(refused) = sink.apply(batch).await?.into_iter().next() {
        return Ok(Replayed::Refused(refused.refusal.to_string()));
    }
    models.discard(std::slice::from_ref(&letter.id)).await?;
    Ok(Replayed::Applied)
}

fn position(letter: &DeadLetter) -> Position {
    Position { partition: Partition::replay(&letter.id), offset: Offset::at(1) }
}

fn event(letter: &DeadLetter) -> Event {
    Event {
        id: letter.event_id.clone(),
        event_type: letter.event_type.as_str().into(),
        aggregate_id: letter.aggregate_id.as_str().into(),
        aggregate_type: letter.aggregate_type.as_str().into(),
        payload: Payload::new(letter.payload.as_str()),
        created_at: letter.created_at,
        committed_at: None,
        passed: Passed::default(),
        position: position(letter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        letter::Why,
        rejection::Rejection,
        sink::{DeadLetters as _, Ledger as _},
        testing::{MemorySink, given},
        write::Write,
    };

    fn counts(event: &Event) -> std::result::Result<Vec<Write>, Rejection> {
        Ok(vec![
            Write::on("c", &*event.aggregate_id).creating().increment("n", 1),
            Write::on("c", "other").creating().increment("n", 1),
        ])
    }

    fn refuses(_: &Event) -> std::result::Result<Vec<Write>, Rejection> {
        Err(Rejection::new("no").at("x"))
    }

    fn registry() -> Registry {
        Registry::new().on("Told", "counts", counts).on("Told", "refuses", refuses)
    }

    async fn buried(sink: &MemorySink, handler: &str, document: Option<&str>) -> DeadLetter {
        let why = Why {
            handler: handler.into(),
            document: document.map(|id| ("c".to_owned(), id.to_owned())),
            error: "no".into(),
            path: None,
        };
        let letter = DeadLetter::about(&given::event(0, 7, "Told", "{}"), why, given::moment(1), 100);
        sink.bury(std::slice::from_ref(&letter)).await.expect("buries");
        letter
    }

    fn n(sink: &MemorySink, id: &str) -> Option<i64> {
        sink.document("c", id)?.get("n")?.as_int()
    }

    #[tokio::test]
    async fn a_letter_is_applied_once_and_goes() {
        let sink = MemorySink::new();
        // The document is beyond the letter's place already.
        let mut later = Batch::default();
        let event = given::event(0, 9, "Told", "{}");
        later.add(
            event.clone().into(),
            vec![("counts".into(), Write::on("c", "a").creating().increment("n", 1))],
        );
        sink.apply(&later).await.expect("applies");
        let letter = buried(&sink, "counts", None).await;
        for _ in 0..2 {
            // The second time as after a crash before it was discarded.
            assert_eq!(replay(&sink, &registry(), &letter).await.expect("answers"), Replayed::Applied);
        }
        assert_eq!((n(&sink, "a"), n(&sink, "other")), (Some(2), Some(1)));
        assert_eq!(sink.count_letters().await.expect("counts"), 0);
        let known = sink.recall(&[letter.event_id]).await.expect("answers");
        assert_eq!(known.len(), 1, "a snapshot will know it");
    }

    #[tokio::test]
    async fn a_documents_letter_concerns_that_document_alone() {
        let sink = MemorySink::new();
        let letter = buried(&sink, "counts", Some("other")).await;
        replay(&sink, &registry(), &letter).await.expect("answers");
        assert_eq!((n(&sink, "a"), n(&sink, "other")), (None, Some(1)));
    }

    #[tokio::test]
    async fn what_is_refused_again_or_cannot_be_tried_stays() {
        let sink = MemorySink::new();
        let refused = buried(&sink, "refuses", None).await;
        assert_eq!(
            replay(&sink, &registry(), &refused).await.expect("answers"),
            Replayed::Refused("x: no".into())
        );
        let unknown = buried(&sink, "outbox", None).await;
        let part = DeadLetter { truncated: true, ..refused };
        for letter in [unknown, part] {
            let replayed = replay(&sink, &registry(), &letter).await.expect("answers");
            assert!(matches!(replayed, Replayed::Impossible(_)), "{replayed:?}");
        }
        assert_eq!(sink.count_letters().await.expect("counts"), 2);
    }
}
