//! Stage four, anomalies: values far from their column's mean, by z-score.

use serde::Serialize;

use super::{
    features::{Prepared, Scale},
    findings::{Findings, Metrics, Values},
    plan::Plan,
};
use crate::{problem::Problem, progress::Progress, table::Table};

/// The metrics list this many rows; the file lists all.
const LISTED_MAX: usize = 100;

const BATCH: usize = 4_096;

/// What stands out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Anomalies {
    /// How many values stand out.
    pub anomalies: usize,
    /// The rows they are in, numbered from 1; at most the first hundred.
    pub rows: Vec<usize>,
    /// The columns that were searched.
    pub columns: Vec<Scale>,
}

pub(super) fn run(
    table: &Table,
    plan: &Plan,
    prepared: &Prepared,
    threshold: f64,
    progress: &mut dyn Progress,
) -> Result<Findings, Problem> {
    let cells: Vec<&[Option<f64>]> =
        plan.columns.iter().map(|name| table.numbers("columns", name)).collect::<Result<_, _>>()?;
    let (mut rows, mut columns, mut values, mut scores) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (row, features) in prepared.rows.iter().enumerate() {
        if row % BATCH == 0 {
            progress.still_wanted()?;
        }
        for (column, score) in features.iter().enumerate().filter(|(_, score)| score.abs() > threshold) {
            rows.push(table.origin()[row]);
            columns.push(Some(plan.columns[column].clone()));
            values.push(cells[column][row]);
            scores.push(Some(*score));
        }
    }
    let mut listed = rows.clone();
    listed.dedup();
    listed.truncate(LISTED_MAX);
    let metrics = Anomalies { anomalies: rows.len(), rows: listed, columns: prepared.scales.clone() };
    Ok(Findings::new(Metrics::Anomaly(metrics))
        .with("row", Values::whole(rows))
        .with("column", Values::Texts(columns))
        .with("value", Values::Numbers(values))
        .with("z_score", Values::Numbers(scores)))
}
