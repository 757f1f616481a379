//! Conditions on one column, such as `amount >= 500`.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::Deserialize;

use crate::{
    problem::Problem,
    table::{Cells, Table},
};

/// `column operator value`, the operator between spaces and one of `=`, `!=`, `<`, `<=`, `>`, `>=`.
///
/// Numeric columns compare by number, others by text (so ISO dates compare as dates). A missing value
/// meets no condition.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Condition {
    column: String,
    operator: Operator,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// The text is no condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidCondition;

impl fmt::Display for InvalidCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a condition is a column, an operator (=, !=, <, <=, >, >=) and a value, such as `amount >= 500`",
        )
    }
}

impl std::error::Error for InvalidCondition {}

impl Operator {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "=" => Self::Equal,
            "!=" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::AtMost,
            ">" => Self::Greater,
            ">=" => Self::AtLeast,
            _ => return None,
        })
    }

    fn accepts(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::AtMost => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::AtLeast => ordering.is_ge(),
        }
    }
}

impl FromStr for Condition {
    type Err = InvalidCondition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let at = words.iter().position(|word| Operator::parse(word).is_some()).ok_or(InvalidCondition)?;
        let operator = Operator::parse(words[at]).ok_or(InvalidCondition)?;
        let (column, value) = (words[..at].join(" "), words[at + 1..].join(" "));
        if column.is_empty() || value.is_empty() {
            return Err(InvalidCondition);
        }
        let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let value = quoted.map(str::to_owned).unwrap_or(value);
        Ok(Self { column, operator, value })
    }
}

impl TryFrom<String> for Condition {
    type Error = InvalidCondition;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl Condition {
    /// The indices of the rows that meet it. Mistakes are told as mistakes in `field`.
    pub fn rows(&self, field: &str, table: &Table) -> Result<Vec<usize>, Problem> {
        let accepts = |ordering: Option<Ordering>| ordering.is_some_and(|o| self.operator.accepts(o));
        let met: Vec<bool> = match table.cells(&self.column) {
            Some(Cells::Numbers(cells)) => {
                let value: f64 = self.value.parse().map_err(|_| {
                    Problem::invalid(field, format!("`{}` is numeric, `{}` is not", self.column, self.value))
                })?;
                cells.iter().map(|cell| accepts(cell.and_then(|cell| cell.partial_cmp(&value)))).collect()
            }
            Some(Cells::Texts(cells)) => {
                let compare = |cell: &String| cell.as_str().cmp(&self.value);
                cells.iter().map(|cell| accepts(cell.as_ref().map(compare))).collect()
            }
            None => return Err(table.unknown(field, &self.column)),
        };
        Ok((0..met.len()).filter(|row| met[*row]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(condition: &str) -> Result<Vec<usize>, String> {
        let table = Table::from_csv(
            "f",
            b"n,day,the name\n1,2024-01-01,a b\n2,2024-01-02,c\n,,\n10,2024-02-01,c\n",
            9,
        )
        .expect("reads");
        let condition: Condition = condition.parse().map_err(|error: InvalidCondition| error.to_string())?;
        condition.rows("where", &table).map_err(|problem| problem.to_string())
    }

    #[test]
    fn numbers_compare_as_numbers_and_dates_as_dates() {
        assert_eq!(rows("n > 1"), Ok(vec![1, 3]));
        assert_eq!(rows("n <= 2"), Ok(vec![0, 1]));
        assert_eq!(rows("n != 2"), Ok(vec![0, 3]));
        assert_eq!(rows("day >= 2024-01-02"), Ok(vec![1, 3]));
        assert_eq!(rows("n < 0"), Ok(vec![]));
    }

    #[test]
    fn names_and_values_may_hold_spaces() {
        assert_eq!(rows("the name = a b"), Ok(vec![0]));
        assert_eq!(rows("the name = \"a b\""), Ok(vec![0]));
    }

    #[test]
    fn mistakes_are_named() {
        for bad in ["", "n", "n >", "> 1", "n is 1", "n>1"] {
            assert_eq!(rows(bad), Err(InvalidCondition.to_string()), "{bad:?}");
        }
        assert_eq!(rows("m > 1"), Err("where: no column `m`: there are n, day, the name".into()));
        assert_eq!(rows("n > x"), Err("where: `n` is numeric, `x` is not".into()));
    }
}
