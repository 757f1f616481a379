//! Stage one: load the table.

use super::DataSource;
use crate::{problem::Problem, settings::Settings, table::Table};

/// How many rows may come with a request.
pub const STREAM_ROWS_MAX: usize = 10_000;

pub(super) fn load(source: &DataSource, settings: &Settings) -> Result<Table, Problem> {
    let from_file = |field: &str, name: &str| {
        let bytes = settings.folder().read(field, name)?;
        Table::from_csv(field, &bytes, settings.rows_max)
    };
    match source {
        DataSource::File { path } => from_file("data_source.path", path),
        DataSource::Stream { rows } => Table::from_json("data_source.rows", rows, STREAM_ROWS_MAX),
        DataSource::Query { name } => {
            let field = "data_source.name";
            let query = settings.queries.get(name).ok_or_else(|| Problem::invalid(field, "no such query"))?;
            let mut table = from_file(field, &query.file)?;
            if let Some(filter) = &query.filter {
                table = table.take(&filter.rows(field, &table)?);
            }
            match &query.columns {
                Some(columns) => table.select(field, columns),
                None => Ok(table),
            }
        }
    }
}
