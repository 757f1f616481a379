//! What every sink promises that hands events on, and knows no documents.

pub mod handing_on;

use std::sync::Arc;

use async_trait::async_trait;
use streamer_events::{Batch, Event, sink::Sink, testing::given};

/// A sink whose outcome can be looked at.
#[async_trait]
pub trait Outlet: Sink {
    /// The ids of the events that were handed on, in their order. All events of the suite are of one aggregate.
    async fn handed_on(&self) -> Vec<String>;

    /// An event that this sink refuses, otherwise like the one that is given.
    fn refused(&self, event: Event) -> Event;
}

/// A sink under test.
pub type SharedOutlet = Arc<dyn Outlet>;

/// Events of one partition, by their offsets.
fn batch(partition: u32, offsets: impl IntoIterator<Item = u64>) -> Batch {
    let mut batch = Batch::default();
    for offset in offsets {
        batch.add(event(partition, offset).into(), Vec::new());
    }
    batch
}

fn event(partition: u32, offset: u64) -> Event {
    given::event(partition, offset, "Told", r#"{"tenant":"acme"}"#)
}

fn id(partition: u32, offset: u64) -> String {
    event(partition, offset).id.to_string()
}

async fn applied(sink: &SharedOutlet, batch: &Batch) {
    assert_eq!(sink.apply(batch).await.expect("answers"), []);
}
