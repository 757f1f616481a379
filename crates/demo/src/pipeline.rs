//! Data pipelines: a table goes in, findings come out, in five stages.

mod anomaly;
mod classification;
mod clustering;
mod features;
mod findings;
mod output;
mod plan;
mod regression;
mod source;
mod transformation;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{document::Document, problem::Problem, progress::Progress, settings::Settings};

pub use anomaly::Anomalies;
pub use classification::{Class, Classification};
pub use clustering::{Cluster, Clustering};
pub use features::Scale;
pub use findings::Metrics;
pub use plan::{CLUSTERS_MAX, FEATURES_MAX};
pub use regression::Regression;
pub use source::STREAM_ROWS_MAX;
pub use transformation::Transformation;

/// What `process_data` takes.
#[derive(Debug, Clone, Deserialize)]
#[serde(expecting = "an object")]
pub struct Request {
    /// What to do.
    pub pipeline: Kind,
    /// On which table.
    pub data_source: DataSource,
    /// How the findings are written.
    #[serde(default)]
    pub output: Output,
    /// The numeric columns to compute with; all but those named `label` or `target` when absent.
    #[serde(default)]
    pub columns: Option<Vec<String>>,
    /// The column to learn: `label` for a classification and `target` for a regression when absent.
    #[serde(default)]
    pub target: Option<String>,
    /// How many clusters.
    #[serde(default = "three")]
    pub k: usize,
    /// How many standard deviations from the mean make an anomaly.
    #[serde(default = "three_deviations")]
    pub threshold: f64,
}

/// What a pipeline does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Learns a class by logistic regression and tries itself on a held-out quarter.
    Classification,
    /// Learns a number by least squares and tries itself on a held-out quarter.
    Regression,
    /// Groups the rows by k-means.
    Clustering,
    /// Finds values far from their column's mean.
    Anomaly,
    /// Standardises columns to mean 0 and deviation 1 and fills their gaps.
    Transformation,
}

/// Where the table comes from.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", expecting = "an object such as {type, path}")]
pub enum DataSource {
    /// A CSV file in the data folder.
    File {
        /// Its name, relative to the folder.
        path: String,
    },
    /// A view named in the configuration.
    Query {
        /// Its name.
        name: String,
    },
    /// Rows that come with the request.
    Stream {
        /// At most [`STREAM_ROWS_MAX`].
        rows: Vec<Map<String, Value>>,
    },
}

/// How findings are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// `{pipeline, metrics, rows}`.
    #[default]
    Json,
    /// The rows, with formulas neutralised.
    Csv,
    /// The rows, in one row group.
    Parquet,
}

/// What came out.
#[derive(Debug)]
pub struct Processed {
    /// The findings, row by row.
    pub file: Document,
    /// How many rows were read.
    pub rows: usize,
    /// The findings in short.
    pub metrics: Metrics,
}

fn three() -> usize {
    3
}

fn three_deviations() -> f64 {
    3.0
}

/// Runs the five stages. Reports 5, 20, 40, 60 and 80 % at their starts; what is left is to store the file.
pub fn run(
    request: &Request,
    settings: &Settings,
    progress: &mut dyn Progress,
) -> Result<Processed, Problem> {
    progress.report(5.0, "Loading data…")?;
    let table = source::load(&request.data_source, settings)?;

    progress.report(20.0, &format!("Validating {} rows…", table.rows()))?;
    let plan = plan::Plan::check(request, &table)?;

    progress.report(40.0, &format!("Preparing {} columns…", plan.columns.len()))?;
    let prepared = features::Prepared::of(&table, &plan, progress)?;

    progress.report(60.0, "Computing…")?;
    let findings = match request.pipeline {
        Kind::Classification => classification::run(&table, &plan, &prepared, progress)?,
        Kind::Regression => regression::run(&table, &plan, &prepared, progress)?,
        Kind::Clustering => clustering::run(&table, &prepared, request.k, progress)?,
        Kind::Anomaly => anomaly::run(&table, &plan, &prepared, request.threshold, progress)?,
        Kind::Transformation => transformation::run(&table, &prepared),
    };

    progress.report(80.0, "Writing results…")?;
    let file = output::write(request, &findings)?;
    Ok(Processed { file, rows: table.rows(), metrics: findings.metrics })
}

#[cfg(test)]
mod tests;
