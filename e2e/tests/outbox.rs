//! From an outbox in a real PostgreSQL to read models, by `streamer events`.

mod bed;
mod cleanup;
mod demo;
mod kills;
mod letters;
mod mapping;
mod running;
mod settings;
mod setup;
mod slots;
mod tools;
mod topics;
