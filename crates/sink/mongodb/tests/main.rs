//! The sink against a server that speaks MongoDB's protocol.

mod bed;
mod faults;
mod limits;
mod refusals;
mod stored;

mod conformance {
    async fn open() -> Option<(crate::bed::Looked, ())> {
        crate::bed::open().await.map(|sink| (sink, ()))
    }

    streamer_events_conformance::sink_suite!(open);
}
