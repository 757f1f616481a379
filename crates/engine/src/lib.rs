//! The engine of Streamer: requests, handlers, topics and connections, with the ports they need.
//!
//! A request's way: a door hands its text to [`Engine::accept`]; short work is answered at once, long work is
//! stored (`enqueue`), claimed by a worker, run by its handler, and logged (`append`, `finish`) before it is
//! pushed to whoever follows it. **Persist before push, always**: a reader who was away reads the log from
//! where it was, and misses nothing.
//!
//! What the engine needs of the outside are ports: [`store`], [`push`], [`clock`] and [`random`]. In-memory
//! ones for tests are in [`testing`].

mod accept;
mod backoff;
mod breaker;
mod builtin;
pub mod clock;
mod context;
mod core;
mod drive;
mod engine;
#[doc(hidden)]
pub mod failpoint;
mod failure;
mod frame;
mod handler;
mod handlers;
mod live;
mod outbox;
#[doc(hidden)]
pub mod planted;
mod progress;
pub mod push;
pub mod random;
mod renewal;
mod router;
mod run;
mod sender;
mod session;
mod settings;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod topics;
mod view;
mod worker;

pub use backoff::Backoff;
pub use breaker::{BreakerSettings, BreakerState, Breakers};
pub use context::{ArtifactLink, Context};
pub use engine::{CancelView, Engine, Ports};
pub use failure::Failure;
pub use frame::Frame;
pub use handler::{Function, Handler, IntoHandler};
pub use handlers::Handlers;
pub use outbox::{OutboxSettings, Then, Undelivered, Webhooks};
pub use router::Router;
pub use sender::{Broadcast, ConnectionHealth, SendError, Sender};
pub use session::{Caller, Credentials, Session};
pub use settings::Settings;
pub use streamer_protocol as protocol;
pub use topics::{HistoryRule, Rights, Sourced, TopicSettings};
pub use view::RequestView;
