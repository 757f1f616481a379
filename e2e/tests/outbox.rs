//! From an outbox in a real PostgreSQL to read models, by `streamer events`.

mod bed;
mod cleanup;
mod demo;
mod failpoints;
mod faults;
mod kills;
mod letters;
mod mapping;
mod relay;
mod running;
mod settings;
mod setup;
mod slots;
mod tools;
mod topics;
mod work;
