//! The store in memory keeps every promise: it is the model for the others.

use streamer_engine::testing::MemoryStore;

async fn open() -> (MemoryStore, ()) {
    (MemoryStore::new(), ())
}

streamer_store_conformance::suite!(open);
