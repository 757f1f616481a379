//! Tables from CSV text and from JSON rows.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{COLUMNS_MAX, Cells, Column, Table};
use crate::problem::Problem;

impl Table {
    /// Reads CSV with a header row. A column whose values all read as finite numbers is numeric; empty cells, `NA`,
    /// `NaN` and `null` are missing. Mistakes are told as mistakes in `field`.
    pub fn from_csv(field: &str, bytes: &[u8], rows_max: usize) -> Result<Self, Problem> {
        let invalid = |message: String| Problem::invalid(field, message);
        let unreadable = |error: csv::Error| invalid(format!("is not a CSV table: {}", explain(&error)));
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
        let names: Vec<String> = reader.headers().map_err(unreadable)?.iter().map(str::to_owned).collect();
        check_names(field, &names)?;
        let mut texts: Vec<Vec<Option<String>>> = vec![Vec::new(); names.len()];
        for (row, record) in reader.records().enumerate() {
            if row == rows_max {
                return Err(invalid(format!("has more than {rows_max} rows")));
            }
            let record = record.map_err(unreadable)?;
            for (column, text) in texts.iter_mut().zip(&record) {
                column.push(if is_missing(text) { None } else { Some(text.to_owned()) });
            }
        }
        let columns = names.into_iter().zip(texts);
        Ok(Self::new(columns.map(|(name, texts)| Column { name, cells: typed(texts) }).collect()))
    }

    /// Reads rows of `{column: number | text | boolean | null}`. The columns are all that occur, in order of name.
    pub fn from_json(field: &str, rows: &[Map<String, Value>], rows_max: usize) -> Result<Self, Problem> {
        if rows.len() > rows_max {
            return Err(Problem::invalid(field, format!("has more than {rows_max} rows")));
        }
        let names: BTreeSet<&String> = rows.iter().flat_map(Map::keys).collect();
        let names: Vec<String> = names.into_iter().cloned().collect();
        check_names(field, &names)?;
        let mut columns = Vec::with_capacity(names.len());
        for name in names {
            let texts = rows.iter().enumerate().map(|(row, cells)| match cells.get(&name) {
                None | Some(Value::Null) => Ok(None),
                Some(Value::String(text)) if is_missing(text) => Ok(None),
                Some(Value::String(text)) => Ok(Some(text.clone())),
                Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(value.to_string())),
                Some(Value::Array(_) | Value::Object(_)) => {
                    let path = format!("{field}[{row}].{name}");
                    Err(Problem::invalid(path, "must be a number, a text, a boolean or null"))
                }
            });
            let texts = texts.collect::<Result<_, _>>()?;
            columns.push(Column { name, cells: typed(texts) });
        }
        Ok(Self::new(columns))
    }
}

fn check_names(field: &str, names: &[String]) -> Result<(), Problem> {
    let mut seen = BTreeSet::new();
    if names.is_empty() {
        return Err(Problem::invalid(field, "is empty"));
    }
    if names.len() > COLUMNS_MAX {
        return Err(Problem::invalid(field, format!("has more than {COLUMNS_MAX} columns")));
    }
    if names.iter().any(|name| name.is_empty() || name.contains(char::is_control)) {
        return Err(Problem::invalid(field, "is not a CSV table: a column has no readable name"));
    }
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        Some(twice) => Err(Problem::invalid(field, format!("has two columns named `{twice}`"))),
        None => Ok(()),
    }
}

fn is_missing(text: &str) -> bool {
    matches!(text, "" | "NA" | "NaN" | "null")
}

fn typed(texts: Vec<Option<String>>) -> Cells {
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    let numbers: Option<Vec<Option<f64>>> =
        texts.iter().map(|cell| cell.as_deref().map_or(Some(None), |text| number(text).map(Some))).collect();
    match numbers {
        Some(numbers) if numbers.iter().any(Option::is_some) => Cells::Numbers(numbers),
        _ => Cells::Texts(texts),
    }
}

/// What the reader stumbled over, without any of the file's content.
fn explain(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8 text".to_owned(),
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            format!("line {line} has {len} values where the header has {expected_len}")
        }
        _ => "it cannot be read".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(bytes: &[u8]) -> String {
        Table::from_csv("f", bytes, 2).expect_err("refused").to_string()
    }

    #[test]
    fn columns_find_their_kind() {
        let csv = "\u{feff}n, t,e\n1,a,\n-2.5e3,2,NA\n,,\n".as_bytes();
        let table = Table::from_csv("f", csv, 10).expect("reads");
        assert_eq!(table.rows(), 3);
        assert_eq!(table.cells("n"), Some(&Cells::Numbers(vec![Some(1.0), Some(-2500.0), None])));
        assert_eq!(table.cells("t"), Some(&Cells::Texts(vec![Some("a".into()), Some("2".into()), None])));
        assert_eq!(table.cells("e"), Some(&Cells::Texts(vec![None, None, None])));
    }

    #[test]
    fn infinity_is_no_number() {
        let table = Table::from_csv("f", b"a\n1\ninf\n", 10).expect("reads");
        assert!(matches!(table.cells("a"), Some(Cells::Texts(_))));
    }

    #[test]
    fn what_is_no_table_is_refused() {
        assert_eq!(refusal(b""), "f: is empty");
        assert_eq!(refusal(b"a,a\n1,2\n"), "f: has two columns named `a`");
        assert_eq!(refusal(b"a,\n1,2\n"), "f: is not a CSV table: a column has no readable name");
        assert_eq!(
            refusal(b"a,b\n1,2\n3\n"),
            "f: is not a CSV table: line 3 has 1 values where the header has 2"
        );
        assert_eq!(refusal(b"a\n\xff\xfe\n"), "f: is not a CSV table: it is not UTF-8 text");
        assert_eq!(refusal(b"a\n1\n2\n3\n"), "f: has more than 2 rows");
        assert!(refusal(b"%PDF\x00\x01\x02").contains("no readable name"));
        assert_eq!(refusal(vec![b','; COLUMNS_MAX].as_slice()), "f: has more than 256 columns");
    }

    #[test]
    fn json_rows_may_lack_values() {
        let rows = [json!({"a": 1, "b": true}), json!({"a": "2.5"}), json!({"b": null})];
        let rows: Vec<_> = rows.iter().filter_map(|row| row.as_object().cloned()).collect();
        let table = Table::from_json("rows", &rows, 3).expect("reads");
        assert_eq!(table.cells("a"), Some(&Cells::Numbers(vec![Some(1.0), Some(2.5), None])));
        assert_eq!(table.cells("b"), Some(&Cells::Texts(vec![Some("true".into()), None, None])));
        assert!(Table::from_json("rows", &rows, 2).is_err());
        assert!(Table::from_json("rows", &[], 2).is_err());
    }

    #[test]
    fn a_nested_value_is_named_by_its_path() {
        let row = json!({"a": [1]}).as_object().cloned().expect("an object");
        let error = Table::from_json("rows", &[row], 3).expect_err("nested");
        assert_eq!(error.to_string(), "rows[0].a: must be a number, a text, a boolean or null");
    }
}
