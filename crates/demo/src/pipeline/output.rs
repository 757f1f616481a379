//! Stage five: write the file.

mod parquet;

use serde_json::{Map, Value, json};

use super::{
    Output, Request,
    findings::{Findings, Values},
};
use crate::{
    document::Document,
    problem::Problem,
    sheet::{Cell, Sheet},
};

pub(super) fn write(request: &Request, findings: &Findings) -> Result<Document, Problem> {
    let pipeline = serde_json::to_value(request.pipeline).map_err(Problem::failed("writing JSON"))?;
    let (extension, media_type, bytes) = match request.output {
        Output::Json => ("json", "application/json", json(&pipeline, findings)?),
        Output::Csv => ("csv", "text/csv; charset=utf-8", csv(findings)?),
        Output::Parquet => {
            let bytes = parquet::write(findings).map_err(Problem::failed("writing Parquet"))?;
            ("parquet", "application/vnd.apache.parquet", bytes)
        }
    };
    let name = format!("{}.{extension}", pipeline.as_str().unwrap_or("result"));
    Ok(Document { name, media_type, bytes, pages: 1 })
}

fn json(pipeline: &Value, findings: &Findings) -> Result<Vec<u8>, Problem> {
    let rows: Vec<Map<String, Value>> = (0..findings.rows())
        .map(|row| {
            let value = |values: &Values| match values {
                Values::Whole(values) => json!(values[row]),
                Values::Numbers(values) => json!(values[row]),
                Values::Texts(values) => json!(values[row]),
            };
            findings.columns().iter().map(|(name, values)| (name.clone(), value(values))).collect()
        })
        .collect();
    let document = json!({ "pipeline": pipeline, "metrics": findings.metrics, "rows": rows });
    serde_json::to_vec(&document).map_err(Problem::failed("writing JSON"))
}

fn csv(findings: &Findings) -> Result<Vec<u8>, Problem> {
    let mut sheet = Sheet::new();
    sheet.row(findings.columns().iter().map(|(name, _)| Cell::Text(name)))?;
    for row in 0..findings.rows() {
        sheet.row(findings.columns().iter().map(|(_, values)| match values {
            Values::Whole(values) => Cell::Number(values[row] as f64),
            Values::Numbers(values) => values[row].map_or(Cell::Empty, Cell::Number),
            Values::Texts(values) => values[row].as_deref().map_or(Cell::Empty, Cell::Text),
        }))?;
    }
    sheet.finish()
}
