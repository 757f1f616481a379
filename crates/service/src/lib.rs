//! A process's life: how it is configured, what it tells, what stops it and what runs in it.
//!
//! Only binaries use this crate. `main` reads top to bottom: [`config`] is loaded and checked as a whole,
//! [`telemetry`] is installed, [`signals`] begin to be heard, and [`tasks`] run until they are stopped; the
//! [`supervisor`] hears when they are ready, and when they stop. Sockets that are [`inherited`] are taken before all this.

pub mod config;
pub mod inherited;
pub mod signals;
pub mod supervisor;
pub mod tasks;
pub mod telemetry;
