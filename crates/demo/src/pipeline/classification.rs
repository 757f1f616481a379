//! Stage four, classification: logistic regression.

use serde::Serialize;
use smartcore::linear::logistic_regression::{LogisticRegression, LogisticRegressionParameters};

use super::{
    features::Prepared,
    findings::{Findings, Metrics, Values},
    plan::Plan,
};
use crate::{
    problem::Problem,
    progress::Progress,
    table::{Cells, Table},
};

/// More are no classes but numbers.
const CLASSES_MAX: usize = 30;

/// Keeps the weights finite where classes can be told apart without fault.
const PENALTY: f64 = 0.01;

/// How well the classes of the held-out rows were told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Classification {
    /// The share of held-out rows told right.
    pub accuracy: f64,
    /// The share of the largest class among them: what guessing would reach.
    pub baseline: f64,
    /// Rows learned from.
    pub trained_on: usize,
    /// Rows held out.
    pub held_out: usize,
    /// Class by class.
    pub classes: Vec<Class>,
}

/// How well one class was told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Class {
    /// The value of the target column.
    pub name: String,
    /// Held-out rows of this class.
    pub rows: usize,
    /// Of the rows told to be of this class, the share that is; absent when none was.
    pub precision: Option<f64>,
    /// Of the rows of this class, the share told to be; absent when there was none.
    pub recall: Option<f64>,
}

pub(super) fn run(
    table: &Table,
    plan: &Plan,
    prepared: &Prepared,
    progress: &mut dyn Progress,
) -> Result<Findings, Problem> {
    let labels = labels(table, plan);
    let classes = classes(&labels)?;
    let class_of = |row: &usize| {
        let label = labels[*row].as_deref().unwrap_or_default();
        classes.iter().position(|class| class == label).unwrap_or(0) as u32
    };
    let known: Vec<u32> = prepared.train.iter().map(class_of).collect();
    if known.iter().all(|class| *class == known[0]) {
        return Err(Problem::invalid("target", "all rows to learn from are of one class"));
    }
    progress.still_wanted()?;
    let parameters = LogisticRegressionParameters::default().with_alpha(PENALTY);
    let model = LogisticRegression::fit(&prepared.matrix(&prepared.train)?, &known, parameters)
        .map_err(Problem::failed("fitting a classifier"))?;
    progress.still_wanted()?;
    let told: Vec<u32> = model
        .predict(&prepared.matrix(&prepared.held_out)?)
        .map_err(Problem::failed("applying a classifier"))?;
    let truth: Vec<u32> = prepared.held_out.iter().map(class_of).collect();

    let metrics = metrics(&classes, &truth, &told, known.len());
    let names =
        |of: &[u32]| Values::Texts(of.iter().map(|class| Some(classes[*class as usize].clone())).collect());
    Ok(Findings::new(Metrics::Classification(metrics))
        .with("row", Values::whole(prepared.held_out.iter().map(|row| table.origin()[*row])))
        .with("actual", names(&truth))
        .with("predicted", names(&told)))
}

fn labels(table: &Table, plan: &Plan) -> Vec<Option<String>> {
    match plan.target.as_deref().and_then(|target| table.cells(target)) {
        Some(Cells::Texts(cells)) => cells.clone(),
        Some(Cells::Numbers(cells)) => {
            cells.iter().map(|cell| cell.map(|number| number.to_string())).collect()
        }
        None => Vec::new(),
    }
}

fn classes(labels: &[Option<String>]) -> Result<Vec<String>, Problem> {
    let classes: std::collections::BTreeSet<&String> = labels.iter().flatten().collect();
    if !(2..=CLASSES_MAX).contains(&classes.len()) {
        let message =
            format!("has {} different values: a classification takes 2 to {CLASSES_MAX}", classes.len());
        return Err(Problem::invalid("target", message));
    }
    Ok(classes.into_iter().cloned().collect())
}

fn metrics(classes: &[String], truth: &[u32], told: &[u32], trained_on: usize) -> Classification {
    let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
    let both =
        |test: &dyn Fn(u32, u32) -> bool| truth.iter().zip(told).filter(|(t, p)| test(**t, **p)).count();
    let class = |(class, name): (usize, &String)| {
        let class = class as u32;
        let right = both(&|t, p| t == class && p == class);
        let rows = both(&|t, _| t == class);
        Class {
            name: name.clone(),
            rows,
            precision: share(right, both(&|_, p| p == class)),
            recall: share(right, rows),
        }
    };
    let classes: Vec<Class> = classes.iter().enumerate().map(class).collect();
    let largest = classes.iter().map(|class| class.rows).max().unwrap_or(0);
    Classification {
        accuracy: share(both(&|t, p| t == p), truth.len()).unwrap_or(0.0),
        baseline: share(largest, truth.len()).unwrap_or(0.0),
        trained_on,
        held_out: truth.len(),
        classes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_follow_from_the_confusion() {
        let classes = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let found = metrics(&classes, &[0, 0, 0, 1], &[0, 0, 1, 1], 9);
        assert_eq!((found.accuracy, found.baseline), (0.75, 0.75));
        assert_eq!((found.classes[0].precision, found.classes[0].recall), (Some(1.0), Some(2.0 / 3.0)));
        assert_eq!((found.classes[1].precision, found.classes[1].recall), (Some(0.5), Some(1.0)));
        assert_eq!((found.classes[2].precision, found.classes[2].recall), (None, None));
    }
}
