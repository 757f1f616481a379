//! Stage four, transformation: columns of mean 0 and deviation 1, without gaps.

use serde::Serialize;

use super::{
    features::{Prepared, Scale},
    findings::{Findings, Metrics, Values},
};
use crate::table::{Cells, Table};

/// What was done to each column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Transformation {
    /// The columns standardised, with what they were before.
    pub columns: Vec<Scale>,
    /// How many gaps were filled with their column's mean.
    pub filled: usize,
}

pub(super) fn run(table: &Table, prepared: &Prepared) -> Findings {
    let metrics = Transformation {
        columns: prepared.scales.clone(),
        filled: prepared.scales.iter().map(|scale| scale.missing).sum(),
    };
    table.columns().iter().fold(Findings::new(Metrics::Transformation(metrics)), |findings, column| {
        let at = prepared.scales.iter().position(|scale| scale.column == column.name);
        let values = match (at, &column.cells) {
            (Some(at), _) => Values::Numbers(prepared.rows.iter().map(|row| Some(row[at])).collect()),
            (None, Cells::Numbers(cells)) => Values::Numbers(cells.clone()),
            (None, Cells::Texts(cells)) => Values::Texts(cells.clone()),
        };
        findings.with(&column.name, values)
    })
}
