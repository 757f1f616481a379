//! What a process tells of itself: log lines and metrics.

mod fields;
mod json;
mod logs;
mod metrics;
mod text;

pub use logs::{Format, LogError, Logs, install, subscriber};
pub use metrics::{Metrics, MetricsError};
