//! What the demonstration handlers may read, and how much of it.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

use crate::{condition::Condition, folder::Folder};

/// The configuration of the demonstration handlers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The only folder whose files are read.
    pub data_dir: PathBuf,
    /// The queries that `process_data` may name.
    #[serde(default)]
    pub queries: BTreeMap<String, Query>,
    /// The largest file that is read.
    #[serde(default = "file_bytes_max")]
    pub file_bytes_max: u64,
    /// The longest table that is read.
    #[serde(default = "rows_max")]
    pub rows_max: usize,
}

/// A named view of one file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// The file, relative to the data folder.
    pub file: String,
    /// Which rows; all when absent.
    #[serde(default)]
    pub filter: Option<Condition>,
    /// Which columns; all when absent.
    #[serde(default)]
    pub columns: Option<Vec<String>>,
}

fn file_bytes_max() -> u64 {
    16 * 1024 * 1024
}

fn rows_max() -> usize {
    200_000
}

impl Settings {
    /// The default limits over `data_dir`, without any named query.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            queries: BTreeMap::new(),
            file_bytes_max: file_bytes_max(),
            rows_max: rows_max(),
        }
    }

    /// [`new`](Self::new) with two named queries over the [example files](crate::data): `warm_machines` and
    /// `large_orders`.
    #[must_use]
    pub fn demo(data_dir: impl Into<PathBuf>) -> Self {
        let view = |file: &str, filter: &str| Query {
            file: file.to_owned(),
            filter: Some(filter.parse().expect("the examples' filters are well formed")),
            columns: None,
        };
        let queries = BTreeMap::from([
            ("warm_machines".to_owned(), view(crate::data::MEASUREMENTS_FILE, "temperature > 60")),
            ("large_orders".to_owned(), view(crate::data::ORDERS_FILE, "amount >= 500")),
        ]);
        Self { queries, ..Self::new(data_dir) }
    }

    pub(crate) fn folder(&self) -> Folder<'_> {
        Folder::new(&self.data_dir, self.file_bytes_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_checked_when_the_configuration_is_read() {
        let good = r#"{"data_dir": "d", "queries": {"a": {"file": "a.csv", "filter": "x > 1"}}}"#;
        let settings: Settings = serde_json::from_str(good).expect("reads");
        assert_eq!(settings.rows_max, rows_max());
        let bad = r#"{"data_dir": "d", "queries": {"a": {"file": "a.csv", "filter": "x is big"}}}"#;
        let error = serde_json::from_str::<Settings>(bad).expect_err("no operator");
        assert!(error.to_string().contains("column, an operator"), "{error}");
    }

    #[test]
    fn the_examples_queries_are_well_formed() {
        assert_eq!(Settings::demo("d").queries.len(), 2);
    }
}
