//! Stage three: numbers that can be computed with.
//!
//! What is learned from data (means, deviations) is learned from the training rows alone, so that the held-out rows stay
//! unseen.

use rand::{SeedableRng, rngs::ChaCha8Rng, seq::SliceRandom};
use serde::Serialize;
use smartcore::linalg::basic::matrix::DenseMatrix;

use super::plan::Plan;
use crate::{
    problem::Problem,
    progress::Progress,
    table::{Cells, Table},
};

/// Rows with a target that a model needs at least.
const LEARNABLE_ROWS_MIN: usize = 12;

/// The most rows that a model learns from: a fit cannot be interrupted, so it must be short.
pub(super) const LEARNED_ROWS_MAX: usize = 5_000;

/// Of four rows with a target, one is held out.
const HELD_OUT_OF: usize = 4;

/// Fixed, so that the same data always gives the same result.
const SPLIT_SEED: u64 = 42;

/// How many rows are prepared between two looks at whether the result is still wanted.
const BATCH: usize = 4_096;

/// Where a column's values lie.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scale {
    /// The column.
    pub column: String,
    /// The mean of its values.
    pub mean: f64,
    /// Their standard deviation (of the population).
    pub deviation: f64,
    /// How many are missing.
    pub missing: usize,
}

impl Scale {
    fn of(column: &str, cells: &[Option<f64>], rows: &[usize]) -> Result<Self, Problem> {
        let values = || rows.iter().filter_map(|row| cells[*row]);
        let count = values().count();
        // Divided first: the sum of large values must not overflow.
        let weight = 1.0 / count.max(1) as f64;
        let mean: f64 = values().map(|value| value * weight).sum();
        let variance: f64 = values().map(|value| (value - mean) * (value - mean) * weight).sum();
        if !mean.is_finite() || !variance.is_finite() {
            return Err(Problem::invalid("columns", format!("the values of `{column}` are too large")));
        }
        Ok(Self { column: column.to_owned(), mean, deviation: variance.sqrt(), missing: rows.len() - count })
    }

    /// How many deviations from the mean; 0 in a constant column.
    pub(super) fn standardised(&self, value: f64) -> f64 {
        if self.deviation > f64::EPSILON * self.mean.abs() {
            (value - self.mean) / self.deviation
        } else {
            0.0
        }
    }
}

/// The features, standardised; what is missing stands at the mean.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) scales: Vec<Scale>,
    /// A row of features for each row of the table.
    pub(super) rows: Vec<Vec<f64>>,
    /// The rows to learn from, by index.
    pub(super) train: Vec<usize>,
    /// The rows to try the model on, by index.
    pub(super) held_out: Vec<usize>,
}

impl Prepared {
    pub(super) fn of(table: &Table, plan: &Plan, progress: &mut dyn Progress) -> Result<Self, Problem> {
        let (train, held_out) = match &plan.target {
            Some(target) => split(table, target)?,
            None => ((0..table.rows()).collect(), Vec::new()),
        };
        let columns: Vec<&[Option<f64>]> =
            plan.columns.iter().map(|name| table.numbers("columns", name)).collect::<Result<_, _>>()?;
        let mut scales = Vec::with_capacity(columns.len());
        for (name, cells) in plan.columns.iter().zip(&columns) {
            progress.still_wanted()?;
            scales.push(Scale::of(name, cells, &train)?);
        }
        let mut rows = Vec::with_capacity(table.rows());
        for row in 0..table.rows() {
            if row % BATCH == 0 {
                progress.still_wanted()?;
            }
            let value = |(cells, scale): (&&[Option<f64>], &Scale)| {
                cells[row].map_or(0.0, |value| scale.standardised(value))
            };
            rows.push(columns.iter().zip(&scales).map(value).collect());
        }
        Ok(Self { scales, rows, train, held_out })
    }

    /// The given rows as a matrix.
    pub(super) fn matrix(&self, rows: &[usize]) -> Result<DenseMatrix<f64>, Problem> {
        let rows = rows.iter().map(|row| self.rows[*row].clone()).collect();
        DenseMatrix::from_2d_vec(&rows).map_err(Problem::failed("building a matrix"))
    }
}

/// Rows to learn from and rows held out, among those that have a target.
fn split(table: &Table, target: &str) -> Result<(Vec<usize>, Vec<usize>), Problem> {
    let has_target = |row: &usize| match table.cells(target) {
        Some(Cells::Numbers(cells)) => cells[*row].is_some(),
        Some(Cells::Texts(cells)) => cells[*row].is_some(),
        None => false,
    };
    let mut rows: Vec<usize> = (0..table.rows()).filter(has_target).collect();
    if rows.len() < LEARNABLE_ROWS_MIN {
        let message = format!("only {} rows have a target: {LEARNABLE_ROWS_MIN} are needed", rows.len());
        return Err(Problem::invalid("data_source", message));
    }
    rows.shuffle(&mut ChaCha8Rng::seed_from_u64(SPLIT_SEED));
    let held_out = rows.split_off(rows.len() - rows.len() / HELD_OUT_OF);
    // They are in random order: the first stand for all.
    rows.truncate(LEARNED_ROWS_MAX);
    Ok((rows, held_out))
}
