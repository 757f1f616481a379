//! The golden frames, replayed; the schema files, held against the types.

mod golden;
mod join;
mod request;
mod schema;
mod server_frame;
mod topic;
