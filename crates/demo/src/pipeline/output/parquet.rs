//! Parquet, by the column writer: one row group, every column but whole numbers nullable.

use std::sync::Arc;

use parquet::{
    basic::{LogicalType, Repetition, Type as Physical},
    data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type},
    errors::Result,
    file::writer::{SerializedColumnWriter, SerializedFileWriter},
    schema::types::Type,
};

use super::{Findings, Values};

pub(super) fn write(findings: &Findings) -> Result<Vec<u8>> {
    let fields = findings.columns().iter().map(|(name, values)| field(name, values).map(Arc::new));
    let fields = fields.collect::<Result<Vec<_>>>()?;
    let schema = Type::group_type_builder("findings").with_fields(fields).build()?;
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::default())?;
    let mut group = file.next_row_group()?;
    for (_, values) in findings.columns() {
        if let Some(mut column) = group.next_column()? {
            fill(&mut column, values)?;
            column.close()?;
        }
    }
    group.close()?;
    file.close()?;
    Ok(bytes)
}

fn field(name: &str, values: &Values) -> Result<Type> {
    let (physical, logical, repetition) = match values {
        Values::Whole(_) => (Physical::INT64, None, Repetition::REQUIRED),
        Values::Numbers(_) => (Physical::DOUBLE, None, Repetition::OPTIONAL),
        Values::Texts(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String), Repetition::OPTIONAL),
    };
    Type::primitive_type_builder(name, physical)
        .with_logical_type(logical)
        .with_repetition(repetition)
        .build()
}

fn fill(column: &mut SerializedColumnWriter<'_>, values: &Values) -> Result<()> {
    match values {
        Values::Whole(values) => column.typed::<Int64Type>().write_batch(values, None, None)?,
        Values::Numbers(values) => {
            let present: Vec<f64> = values.iter().flatten().copied().collect();
            column.typed::<DoubleType>().write_batch(&present, Some(&levels(values)), None)?
        }
        Values::Texts(values) => {
            let present: Vec<ByteArray> = values.iter().flatten().map(|text| text.as_str().into()).collect();
            column.typed::<ByteArrayType>().write_batch(&present, Some(&levels(values)), None)?
        }
    };
    Ok(())
}

/// Definition levels: 1 where there is a value.
fn levels<T>(values: &[Option<T>]) -> Vec<i16> {
    values.iter().map(|value| i16::from(value.is_some())).collect()
}
