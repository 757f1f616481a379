//! The tools against real servers.

mod bed;
mod ledger;
mod load;
mod verify;
