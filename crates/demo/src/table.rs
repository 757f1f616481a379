//! A table in memory, column by column.

mod read;

use crate::problem::Problem;

/// The widest table that is read.
pub const COLUMNS_MAX: usize = 256;

/// A table. All columns have the same length; names are unique.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    columns: Vec<Column>,
    origin: Vec<usize>,
}

/// A column and its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The name in the header.
    pub name: String,
    /// The values, one a row.
    pub cells: Cells,
}

/// The values of a column; `None` where one is missing.
#[derive(Debug, Clone, PartialEq)]
pub enum Cells {
    /// Finite numbers only.
    Numbers(Vec<Option<f64>>),
    /// Anything else.
    Texts(Vec<Option<String>>),
}

impl Cells {
    fn take(&self, rows: &[usize]) -> Self {
        match self {
            Self::Numbers(cells) => Self::Numbers(rows.iter().map(|row| cells[*row]).collect()),
            Self::Texts(cells) => Self::Texts(rows.iter().map(|row| cells[*row].clone()).collect()),
        }
    }
}

impl Table {
    /// Rows numbered from 1 in the order of `columns`, which must be of one length.
    #[must_use]
    pub fn new(columns: Vec<Column>) -> Self {
        let lengths: Vec<usize> = columns
            .iter()
            .map(|column| match &column.cells {
                Cells::Numbers(cells) => cells.len(),
                Cells::Texts(cells) => cells.len(),
            })
            .collect();
        let rows = lengths.first().copied().unwrap_or(0);
        debug_assert!(lengths.iter().all(|length| *length == rows), "columns of one length");
        Self { columns, origin: (1..=rows).collect() }
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.origin.len()
    }

    /// All columns, in order.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// For each row its number in the source, counted from 1 without the header.
    #[must_use]
    pub fn origin(&self) -> &[usize] {
        &self.origin
    }

    /// The values of the column `name`.
    #[must_use]
    pub fn cells(&self, name: &str) -> Option<&Cells> {
        self.columns.iter().find(|column| column.name == name).map(|column| &column.cells)
    }

    /// The values of a numeric column; `field` of the payload named it.
    pub fn numbers(&self, field: &str, name: &str) -> Result<&[Option<f64>], Problem> {
        match self.cells(name) {
            Some(Cells::Numbers(cells)) => Ok(cells),
            Some(Cells::Texts(_)) => {
                Err(Problem::invalid(field, format!("the column `{name}` is not numeric")))
            }
            None => Err(self.unknown(field, name)),
        }
    }

    /// Only the given rows, by index.
    #[must_use]
    pub fn take(&self, rows: &[usize]) -> Self {
        let columns = self
            .columns
            .iter()
            .map(|column| Column { name: column.name.clone(), cells: column.cells.take(rows) })
            .collect();
        Self { columns, origin: rows.iter().map(|row| self.origin[*row]).collect() }
    }

    /// Only the given columns, in the given order; `field` of the payload named them.
    pub fn select(&self, field: &str, names: &[String]) -> Result<Self, Problem> {
        let columns = names
            .iter()
            .map(|name| {
                let found = self.columns.iter().find(|column| column.name == *name);
                found.cloned().ok_or_else(|| self.unknown(field, name))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { columns, origin: self.origin.clone() })
    }

    /// That there is no column `name`, and which there are.
    pub(crate) fn unknown(&self, field: &str, name: &str) -> Problem {
        let names: Vec<&str> = self.columns.iter().take(12).map(|column| column.name.as_str()).collect();
        let more = if self.columns.len() > names.len() { ", …" } else { "" };
        Problem::invalid(field, format!("no column `{name}`: there are {}{more}", names.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table::from_csv("f", b"a,b\n1,x\n2,y\n3,\n", 10).expect("reads")
    }

    #[test]
    fn rows_keep_their_number_in_the_source() {
        let taken = table().take(&[0, 2]);
        assert_eq!(taken.origin(), [1, 3]);
        assert_eq!(taken.cells("a"), Some(&Cells::Numbers(vec![Some(1.0), Some(3.0)])));
        assert_eq!(taken.cells("b"), Some(&Cells::Texts(vec![Some("x".into()), None])));
    }

    #[test]
    fn unknown_columns_are_named_with_those_there_are() {
        let error = table().select("columns", &["z".into()]).expect_err("no such column");
        assert_eq!(error.to_string(), "columns: no column `z`: there are a, b");
        let error = table().numbers("target", "b").expect_err("texts");
        assert_eq!(error.to_string(), "target: the column `b` is not numeric");
    }
}
