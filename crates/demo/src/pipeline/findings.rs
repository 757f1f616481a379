//! What a pipeline found: figures in short, and columns for the file.

use serde::Serialize;

use super::{Anomalies, Classification, Clustering, Regression, Transformation};

/// The findings in short.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Metrics {
    /// Of a classification.
    Classification(Classification),
    /// Of a regression.
    Regression(Regression),
    /// Of a clustering.
    Clustering(Clustering),
    /// Of a search for anomalies.
    Anomaly(Anomalies),
    /// Of a transformation.
    Transformation(Transformation),
}

/// Metrics, and a table of columns of one length.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) metrics: Metrics,
    columns: Vec<(String, Values)>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    Whole(Vec<i64>),
    Numbers(Vec<Option<f64>>),
    Texts(Vec<Option<String>>),
}

impl Values {
    pub(super) fn whole(values: impl IntoIterator<Item = usize>) -> Self {
        Self::Whole(values.into_iter().map(|value| i64::try_from(value).unwrap_or(i64::MAX)).collect())
    }

    fn len(&self) -> usize {
        match self {
            Self::Whole(values) => values.len(),
            Self::Numbers(values) => values.len(),
            Self::Texts(values) => values.len(),
        }
    }
}

impl Findings {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { metrics, columns: Vec::new() }
    }

    /// Adds a column; a name that is taken gets underscores.
    pub(super) fn with(mut self, name: &str, values: Values) -> Self {
        debug_assert!(self.columns.is_empty() || self.rows() == values.len(), "columns of one length");
        let mut name = name.to_owned();
        while self.columns.iter().any(|(taken, _)| *taken == name) {
            name.push('_');
        }
        self.columns.push((name, values));
        self
    }

    pub(super) fn columns(&self) -> &[(String, Values)] {
        &self.columns
    }

    pub(super) fn rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, values)| values.len())
    }
}
