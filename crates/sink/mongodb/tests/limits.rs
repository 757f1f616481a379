//! MongoDB's limits: 16 MiB for a document and for a command, 100,000 writes in a command.

use mongodb::bson::{Document as Stored, doc};
use streamer_events::{Document, Write, apply::Refusal, sink::Sink as _};

use crate::bed::{batch, open};

const MIB: usize = 1024 * 1024;

fn large(id: &str, bytes: usize) -> Write {
    Write::on("large", id).insert(Document::new().with("text", "x".repeat(bytes)))
}

#[tokio::test]
async fn a_batch_of_more_writes_than_a_command_may_have_is_applied_whole() {
    const WRITES: u64 = 100_001;
    let Some(sink) = open().await else { return };
    let one = |n: u64| (n, vec![Write::on("many", format!("d{n}")).insert(Document::new().with("n", 1))]);
    assert_eq!(sink.apply(&batch((1..=WRITES).map(one).collect())).await.expect("answers"), []);
    let many = sink.0.database().collection::<Stored>("many");
    assert_eq!(many.count_documents(doc! { "n": 1 }).await.expect("answers"), WRITES);
}

#[tokio::test]
async fn a_batch_of_more_bytes_than_a_command_may_have_is_applied_whole() {
    const DOCUMENTS: u64 = 40;
    let Some(sink) = open().await else { return };
    let one = |n: u64| (n, vec![large(&format!("d{n}"), MIB / 2)]);
    assert_eq!(sink.apply(&batch((1..=DOCUMENTS).map(one).collect())).await.expect("answers"), []);
    let count = sink.0.database().collection::<Stored>("large").count_documents(doc! {}).await;
    assert_eq!(count.expect("answers"), DOCUMENTS);
}

#[tokio::test]
async fn what_makes_a_document_too_large_is_refused_and_nothing_else() {
    let Some(sink) = open().await else { return };
    let batch = batch(vec![
        (1, vec![large("a", 17 * MIB), large("b", 10 * MIB)]),
        // It would fit by itself.
        (2, vec![Write::on("large", "b").set("more", "y".repeat(7 * MIB))]),
        (3, vec![Write::on("large", "b").set("note", "fits"), large("c", 10)]),
    ]);
    let mut refused = sink.apply(&batch).await.expect("answers");
    refused.sort_by(|a, b| a.id.cmp(&b.id));
    let told: Vec<_> = refused.iter().map(|r| (&*r.id, r.author.event.as_str(), &r.refusal)).collect();
    assert_eq!(told, [("a", "e0-1", &Refusal::TooLarge), ("b", "e0-2", &Refusal::TooLarge)]);
    // Left out, the rest goes on.
    let rest = batch.without(&refused).expect("was not left out before");
    assert_eq!(sink.apply(&rest).await.expect("answers"), []);
    let b = sink.bson("large", "b").await.expect("is there");
    assert_eq!(
        (b.get_str("text").map(str::len).ok(), b.get_str("note").ok()),
        (Some(10 * MIB), Some("fits"))
    );
    assert!(!b.contains_key("more"));
    assert!(sink.bson("large", "c").await.is_some() && sink.bson("large", "a").await.is_none());
}

#[tokio::test]
async fn a_name_that_cannot_be_written_is_refused_and_nothing_else() {
    let Some(sink) = open().await else { return };
    let write = |id: &str, name: &str| Write::on("names", id).set("inside", Document::new().with(name, 1));
    let batch =
        batch(vec![(1, vec![write("a", "n\0ul"), write("b", "fine")]), (2, vec![write("a", "fine")])]);
    let refused = sink.apply(&batch).await.expect("answers");
    let told: Vec<_> = refused.iter().map(|r| (&*r.id, r.author.event.as_str())).collect();
    assert_eq!(told, [("a", "e0-1")]);
    assert!(matches!(&refused[0].refusal, Refusal::Invalid(_)), "{:?}", refused[0].refusal);
}
