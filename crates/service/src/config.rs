//! Settings from five places, checked as a whole, every mistake listed at once.
//!
//! Weakest first: the defaults of the settings struct, a TOML file, a `.env` file, environment variables and
//! flags of the command line. A [`Loader`] puts them together:
//!
//! ```
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//! use streamer_service::config::{Loader, Mistakes};
//!
//! /// The settings of the process.
//! #[derive(Debug, Serialize, Deserialize, JsonSchema)]
//! #[serde(default)]
//! struct Config {
//!     /// How many requests may wait.
//!     queue_depth_max: u32,
//! }
//!
//! impl Default for Config {
//!     fn default() -> Self {
//!         Self { queue_depth_max: 10_000 }
//!     }
//! }
//!
//! fn check(config: &Config, mistakes: &mut Mistakes) {
//!     if config.queue_depth_max == 0 {
//!         mistakes.push("queue_depth_max", "must be at least 1");
//!     }
//! }
//!
//! let variables = [("STREAMER_QUEUE_DEPTH_MAX".into(), "5".into())];
//! let loaded = Loader::new("STREAMER_").variables(variables).load(check).expect("no mistake");
//! assert_eq!(loaded.config.queue_depth_max, 5);
//! ```
//!
//! What a settings struct looks like: structs, lists and maps of plain values, unit enums and more structs;
//! `Option` where a setting may be absent; units last in a name (`idle_timeout_ms`). Unknown settings are
//! reported, so no `deny_unknown_fields`; and no `flatten`, `untagged` or `alias`, which hide from the loader
//! which setting is meant. An enum with fields is internally tagged (`#[serde(tag = "kind")]`).

mod example;
mod loader;
mod mistake;
mod node;
mod origin;
mod path;
mod reader;
mod setting;
mod suggestion;
mod toml_text;
mod unit;
mod variables;

pub use example::example;
pub use loader::{Loaded, Loader};
pub use mistake::{Mistake, Mistakes};
pub use origin::Origin;
pub use setting::Setting;
pub use unit::{Millis, Seconds, Secret};
