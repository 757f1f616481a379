//! The source against a real PostgreSQL.

mod bed;
mod connecting;
mod crowd;
mod faults;
mod handled;
mod rows;
mod setup;
mod slots;

mod conformance {
    async fn open() -> Option<(crate::bed::Place, ())> {
        crate::bed::Place::open().await.map(|place| (place, ()))
    }

    streamer_events_conformance::source_suite!(open);
}
