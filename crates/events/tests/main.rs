//! The ports in memory keep every promise, and the pipeline on them loses nothing and applies nothing twice.

mod bed;
mod faults;
mod lives;
mod model;
mod pipeline;

mod memory_sink {
    use streamer_events::testing::MemorySink;

    async fn open() -> Option<(MemorySink, ())> {
        Some((MemorySink::new(), ()))
    }

    streamer_events_conformance::sink_suite!(open);
}

mod memory_source {
    async fn open() -> Option<(crate::bed::MemoryPlace, ())> {
        Some((crate::bed::MemoryPlace::default(), ()))
    }

    streamer_events_conformance::source_suite!(open);
}
