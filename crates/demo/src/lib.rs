//! The demonstration handlers of Streamer: reports, data pipelines and bulk work, all of it real.
//!
//! [`routes`] offers them to an engine. The work itself knows nothing of the engine: it is blocking code over files of one [data folder](folder),
//! which tells how far it is through [`Progress`] and stops there when nobody wants it any more.
//!
//! - [`report`]: sales figures of a period as CSV, HTML or PDF.
//! - [`pipeline`]: classification, regression, clustering, anomalies and standardisation of a table.
//! - [`bulk`]: many small questions at once, each with its own outcome.
//! - [`data`]: the example files that all of these run on.

pub mod bulk;
pub mod condition;
pub mod data;
mod document;
pub mod folder;
mod handlers;

pub mod pipeline;
mod problem;
mod progress;
pub mod report;
mod settings;
mod sheet;
pub mod table;

pub use document::Document;
pub use handlers::{DELAY_SECONDS_MAX, routes};
pub use problem::{Fault, Problem};
pub use progress::Progress;
pub use settings::{Query, Settings};
