//! The tools against real servers.

mod bed;
mod load;
mod verify;
