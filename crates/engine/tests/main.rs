//! What the engine promises, under paused time and over ports in memory.

mod accept;
mod cancel;
mod clock;
mod follow;
mod handler;
mod log;
mod promotion;
mod queue;
mod resume;
mod retry;
mod sender;
mod share;
mod short;
mod stop;
mod support;
mod takeover;
mod threads;
mod topics;
mod visit;
