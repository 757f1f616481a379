//! The crate as a binary uses it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod configuration;
mod example;
mod logs;
mod settings;
mod signals;
mod tasks;
