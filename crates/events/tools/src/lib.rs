//! What stands around the pipeline: [`load`] writes realistic events into the outbox.

pub mod load;
