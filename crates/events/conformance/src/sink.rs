//! What every sink of documents promises.

pub mod applying;
pub mod ledger;
pub mod letters;
pub mod model;

use std::sync::Arc;

use async_trait::async_trait;
use streamer_events::{Batch, Document, Event, Write, sink::ReadModels, testing::given};

/// A sink whose documents can be looked at.
#[async_trait]
pub trait Documents: ReadModels {
    /// The document as it is stored, if it is there.
    async fn document(&self, collection: &str, id: &str) -> Option<Document>;
}

/// A sink under test.
pub type SharedSink = Arc<dyn Documents>;

#[async_trait]
impl Documents for streamer_events::testing::MemorySink {
    async fn document(&self, collection: &str, id: &str) -> Option<Document> {
        Self::document(self, collection, id)
    }
}

const HANDLER: &str = "h";

/// A batch of events of one partition, each with its offset and what it writes.
fn batch(partition: u32, events: Vec<(u64, Vec<Write>)>) -> Batch {
    let mut batch = Batch::default();
    for (offset, writes) in events {
        add(&mut batch, given::event(partition, offset, "Told", "{}"), writes);
    }
    batch
}

fn add(batch: &mut Batch, event: Event, writes: Vec<Write>) {
    batch.add(event.into(), writes.into_iter().map(|write| (HANDLER.into(), write)).collect());
}

fn one(partition: u32, offset: u64, write: Write) -> Batch {
    batch(partition, vec![(offset, vec![write])])
}

fn on(id: &str) -> Write {
    Write::on("things", id)
}

async fn applied(sink: &SharedSink, batch: &Batch) {
    assert_eq!(sink.apply(batch).await.expect("answers"), []);
}

async fn stored(sink: &SharedSink, id: &str) -> Document {
    sink.document("things", id).await.expect("is there")
}

/// The document without what the pipeline keeps in it.
async fn json(sink: &SharedSink, id: &str) -> serde_json::Value {
    let mut document = stored(sink, id).await;
    document.remove("pos");
    serde_json::to_value(&document).expect("prints")
}
