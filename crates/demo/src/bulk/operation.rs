//! One operation on the orders.

use std::collections::BTreeMap;

use email_address::EmailAddress;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    condition::Condition,
    problem::Problem,
    table::{Cells, Table},
};

const LIMIT_MAX: usize = 100;

/// What may be asked; `where` limits the rows.
#[derive(Debug, Clone, Deserialize)]
#[serde(
    tag = "op",
    rename_all = "snake_case",
    deny_unknown_fields,
    expecting = "an object such as {op, column}"
)]
pub enum Operation {
    /// How many orders.
    Count {
        /// Which.
        #[serde(default, rename = "where")]
        filter: Option<Condition>,
    },
    /// The sum of a column; 0 without values.
    Sum(Figure),
    /// The mean of a column; null without values.
    Average(Figure),
    /// The least value of a column; null without values.
    Min(Figure),
    /// The greatest value of a column; null without values.
    Max(Figure),
    /// The values of `by` with the greatest sums of `column`: `[{value, sum}]`.
    Top {
        /// The column to group by.
        by: String,
        /// The column to sum.
        column: String,
        /// How many groups.
        #[serde(default = "five")]
        limit: usize,
        /// Which orders.
        #[serde(default, rename = "where")]
        filter: Option<Condition>,
    },
    /// Whether `value` is written as an address of e-mail: `{valid}`.
    ValidateEmail {
        /// The address.
        value: String,
    },
}

/// A column, and which of its values.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    column: String,
    #[serde(default, rename = "where")]
    filter: Option<Condition>,
}

fn five() -> usize {
    5
}

impl Operation {
    pub(super) fn run(&self, orders: &Table) -> Result<Value, Problem> {
        Ok(match self {
            Self::Count { filter } => json!(rows(filter.as_ref(), orders)?.len()),
            Self::Sum(figure) => json!(figure.values(orders)?.iter().sum::<f64>()),
            Self::Average(figure) => {
                let values = figure.values(orders)?;
                let average = || values.iter().sum::<f64>() / values.len() as f64;
                json!((!values.is_empty()).then(average))
            }
            Self::Min(figure) => json!(figure.values(orders)?.into_iter().reduce(f64::min)),
            Self::Max(figure) => json!(figure.values(orders)?.into_iter().reduce(f64::max)),
            Self::Top { by, column, limit, filter } => top(orders, by, column, *limit, filter.as_ref())?,
            Self::ValidateEmail { value } => json!({ "valid": EmailAddress::is_valid(value) }),
        })
    }
}

impl Figure {
    fn values(&self, orders: &Table) -> Result<Vec<f64>, Problem> {
        let cells = orders.numbers("column", &self.column)?;
        Ok(rows(self.filter.as_ref(), orders)?.into_iter().filter_map(|row| cells[row]).collect())
    }
}

fn rows(filter: Option<&Condition>, orders: &Table) -> Result<Vec<usize>, Problem> {
    filter.map_or_else(|| Ok((0..orders.rows()).collect()), |filter| filter.rows("where", orders))
}

fn top(
    orders: &Table,
    by: &str,
    column: &str,
    limit: usize,
    filter: Option<&Condition>,
) -> Result<Value, Problem> {
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::invalid("limit", format!("must be between 1 and {LIMIT_MAX}")));
    }
    let groups = match orders.cells(by) {
        Some(Cells::Texts(groups)) => groups,
        Some(Cells::Numbers(_)) => return Err(Problem::invalid("by", "must be a column of texts")),
        None => return Err(orders.unknown("by", by)),
    };
    let numbers = orders.numbers("column", column)?;
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for row in rows(filter, orders)? {
        if let (Some(group), Some(number)) = (&groups[row], numbers[row]) {
            *sums.entry(group).or_default() += number;
        }
    }
    let mut sums: Vec<(&str, f64)> = sums.into_iter().collect();
    sums.sort_by(|a, b| b.1.total_cmp(&a.1));
    sums.truncate(limit);
    Ok(sums.into_iter().map(|(value, sum)| json!({ "value": value, "sum": sum })).collect())
}
