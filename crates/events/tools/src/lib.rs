//! What stands around the pipeline: [`load`] writes realistic events into the outbox, [`verify`] says whether every one of
//! them is where it belongs, [`report`] how long they took.

pub mod load;
pub mod report;
pub mod verify;
