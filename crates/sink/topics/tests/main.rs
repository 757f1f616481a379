//! The sink on a real engine, with its store in memory.

mod bed;
mod publishing;

mod durable {
    streamer_events_conformance::outlet_suite!(crate::bed::durable);
}

mod in_memory {
    streamer_events_conformance::outlet_suite!(crate::bed::in_memory);
}

mod without_history {
    streamer_events_conformance::outlet_suite!(crate::bed::without_history);
}
