//! What stands around the pipeline: [`load`] writes realistic events into the outbox, [`verify`] says whether every one of
//! them is where it belongs.

pub mod load;
pub mod verify;
