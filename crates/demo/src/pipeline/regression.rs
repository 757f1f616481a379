//! Stage four, regression: least squares.

use std::collections::BTreeMap;

use serde::Serialize;
use smartcore::{
    linalg::basic::arrays::Array,
    linear::linear_regression::{LinearRegression, LinearRegressionParameters},
    metrics::{mean_absolute_error, mean_squared_error, r2},
};

use super::{
    features::Prepared,
    findings::{Findings, Metrics, Values},
    plan::Plan,
};
use crate::{problem::Problem, progress::Progress, table::Table};

/// How well the targets of the held-out rows were told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Regression {
    /// The share of the held-out targets' variance that is explained (R²); absent when they are all the same.
    pub r2: Option<f64>,
    /// The mean error, without sign.
    pub mean_absolute_error: f64,
    /// The root of the mean squared error.
    pub root_mean_squared_error: f64,
    /// What the target is where all columns are 0.
    pub intercept: f64,
    /// By how much the target rises when a column rises by 1.
    pub coefficients: BTreeMap<String, f64>,
    /// Rows learned from.
    pub trained_on: usize,
    /// Rows held out.
    pub held_out: usize,
}

pub(super) fn run(
    table: &Table,
    plan: &Plan,
    prepared: &Prepared,
    progress: &mut dyn Progress,
) -> Result<Findings, Problem> {
    let target = table.numbers("target", plan.target.as_deref().unwrap_or_default())?;
    // `Prepared` splits only rows that have a target.
    let targets = |rows: &[usize]| -> Vec<f64> { rows.iter().filter_map(|row| target[*row]).collect() };
    if prepared.train.len() <= plan.columns.len() {
        return Err(Problem::invalid("data_source", "has too few rows for so many columns"));
    }
    progress.still_wanted()?;
    let known = targets(&prepared.train);
    let model = LinearRegression::fit(
        &prepared.matrix(&prepared.train)?,
        &known,
        LinearRegressionParameters::default(),
    )
    .map_err(Problem::failed("fitting a regression"))?;
    progress.still_wanted()?;
    let truth = targets(&prepared.held_out);
    let told: Vec<f64> = model
        .predict(&prepared.matrix(&prepared.held_out)?)
        .map_err(Problem::failed("applying a regression"))?;
    if told.iter().any(|value| !value.is_finite()) {
        return Err(Problem::invalid(
            "target",
            "its values are too large or the columns do not determine it",
        ));
    }

    let mut intercept = *model.intercept();
    let mut coefficients = BTreeMap::new();
    for (at, scale) in prepared.scales.iter().enumerate() {
        // The model saw standardised columns; these are the weights of the columns as they are.
        let rise = scale.standardised(scale.mean + 1.0) * model.coefficients().get((at, 0));
        intercept -= rise * scale.mean;
        coefficients.insert(scale.column.clone(), rise);
    }
    let metrics = Regression {
        r2: truth.iter().any(|value| *value != truth[0]).then(|| r2(&truth, &told)),
        mean_absolute_error: mean_absolute_error(&truth, &told),
        root_mean_squared_error: mean_squared_error(&truth, &told).sqrt(),
        intercept,
        coefficients,
        trained_on: known.len(),
        held_out: truth.len(),
    };
    let numbers = |values: Vec<f64>| Values::Numbers(values.into_iter().map(Some).collect());
    let residuals = truth.iter().zip(&told).map(|(truth, told)| truth - told).collect();
    Ok(Findings::new(Metrics::Regression(metrics))
        .with("row", Values::whole(prepared.held_out.iter().map(|row| table.origin()[*row])))
        .with("actual", numbers(truth))
        .with("predicted", numbers(told))
        .with("residual", numbers(residuals)))
}
