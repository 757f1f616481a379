//! What stands around the pipeline: [`load`] writes realistic events into the outbox, [`verify`] says whether every one of
//! them is where it belongs, [`report`] how long they took, and [`monitor`] shows it all while it goes on. [`ledger`] forgets
//! events that cannot come again.

pub mod ledger;
pub mod load;
mod lookup;
pub mod monitor;
pub mod report;
pub mod verify;
