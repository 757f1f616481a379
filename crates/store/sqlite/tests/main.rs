//! The SQLite store keeps every promise, and its answers outlive a crash.

mod damage;
mod durability;
mod given;
mod histories;
mod isolation;
mod maintenance;
mod opening;

streamer_store_conformance::suite!(given::fresh);
