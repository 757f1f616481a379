//! Stage two: what is computed, and whether it can be.

use std::collections::BTreeSet;

use super::{Kind, Request};
use crate::{
    problem::Problem,
    table::{Cells, Table},
};

/// The most columns that are computed with.
pub const FEATURES_MAX: usize = 32;

/// The most clusters.
pub const CLUSTERS_MAX: usize = 50;

const THRESHOLD_MAX: f64 = 100.0;

/// Columns that stand for an answer are no features unless asked for.
const ANSWERS: [&str; 2] = ["label", "target"];

/// The columns of a pipeline, all found in the table and of the right kind.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) columns: Vec<String>,
    pub(super) target: Option<String>,
}

impl Plan {
    pub(super) fn check(request: &Request, table: &Table) -> Result<Self, Problem> {
        if table.rows() == 0 {
            return Err(Problem::invalid("data_source", "has no rows"));
        }
        check_parameters(request, table)?;
        let target = target(request, table)?;
        let columns = columns(request, table, target.as_deref())?;
        if columns.is_empty() {
            return Err(Problem::invalid("columns", "there is no numeric column to compute with"));
        }
        if columns.len() > FEATURES_MAX {
            return Err(Problem::invalid(
                "columns",
                format!("are more than {FEATURES_MAX}: name those that matter"),
            ));
        }
        Ok(Self { columns, target })
    }
}

fn check_parameters(request: &Request, table: &Table) -> Result<(), Problem> {
    match request.pipeline {
        Kind::Clustering if !(2..=CLUSTERS_MAX).contains(&request.k) => {
            Err(Problem::invalid("k", format!("must be between 2 and {CLUSTERS_MAX}")))
        }
        Kind::Clustering if request.k > table.rows() => {
            Err(Problem::invalid("k", format!("must not exceed the number of rows, {}", table.rows())))
        }
        Kind::Anomaly if !(request.threshold > 0.0 && request.threshold <= THRESHOLD_MAX) => {
            Err(Problem::invalid("threshold", format!("must be over 0 and at most {THRESHOLD_MAX}")))
        }
        _ => Ok(()),
    }
}

fn target(request: &Request, table: &Table) -> Result<Option<String>, Problem> {
    let usual = match request.pipeline {
        Kind::Classification => ANSWERS[0],
        Kind::Regression => ANSWERS[1],
        Kind::Clustering | Kind::Anomaly | Kind::Transformation => return Ok(None),
    };
    let name = request.target.as_deref().unwrap_or(usual);
    if request.pipeline == Kind::Regression {
        table.numbers("target", name)?;
    } else if table.cells(name).is_none() {
        return Err(table.unknown("target", name));
    }
    Ok(Some(name.to_owned()))
}

fn columns(request: &Request, table: &Table, target: Option<&str>) -> Result<Vec<String>, Problem> {
    let Some(asked) = &request.columns else {
        let numeric = table.columns().iter().filter(|column| matches!(column.cells, Cells::Numbers(_)));
        let names = numeric.map(|column| column.name.clone());
        return Ok(names
            .filter(|name| Some(name.as_str()) != target && !ANSWERS.contains(&name.as_str()))
            .collect());
    };
    let mut seen = BTreeSet::new();
    for (at, name) in asked.iter().enumerate() {
        let field = format!("columns[{at}]");
        table.numbers(&field, name)?;
        if Some(name.as_str()) == target {
            return Err(Problem::invalid(field, "is the target: it cannot explain itself"));
        }
        if !seen.insert(name) {
            return Err(Problem::invalid(field, "is named twice"));
        }
    }
    Ok(asked.clone())
}
