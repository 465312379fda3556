//! Rows of values as a Parquet file: a column for each key, of the narrowest type that holds all of its values.

use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};
use serde_json::Value;

/// `rows`, objects of one shape, as a Parquet file. What is null in a row is null in the file; what is neither a number
/// nor a truth value is text.
pub(crate) fn parquet(rows: &[Value]) -> Result<Vec<u8>> {
    let names: Vec<&str> = rows
        .first()
        .and_then(Value::as_object)
        .map(|row| row.keys().map(String::as_str).collect())
        .unwrap_or_default();
    let kinds: Vec<Physical> = names.iter().map(|name| kind(rows, name)).collect();
    let fields: Result<Vec<TypePtr>> = names
        .iter()
        .zip(&kinds)
        .map(|(name, kind)| field(name, *kind))
        .collect();
    let schema = Arc::new(Type::group_type_builder("rows").with_fields(fields?).build()?);
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for name in names {
        let Some(mut column) = group.next_column()? else {
            break;
        };
        write(rows, name, column.untyped())?;
        column.close()?;
    }
    group.close()?;
    writer.into_inner()
}

/// Whole numbers, numbers, truth values, or text.
fn kind(rows: &[Value], name: &str) -> Physical {
    let known = || rows.iter().map(|row| &row[name]).filter(|value| !value.is_null());
    if known().all(Value::is_boolean) {
        Physical::BOOLEAN
    } else if known().all(|value| value.as_i64().is_some()) {
        Physical::INT64
    } else if known().all(Value::is_number) {
        Physical::DOUBLE
    } else {
        Physical::BYTE_ARRAY
    }
}

fn field(name: &str, kind: Physical) -> Result<TypePtr> {
    let text = (kind == Physical::BYTE_ARRAY).then_some(LogicalType::String);
    let field = Type::primitive_type_builder(name, kind)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(text);
    Ok(Arc::new(field.build()?))
}

/// One column: its values that are not null, and for each row whether it has one.
fn write(rows: &[Value], name: &str, column: &mut ColumnWriter<'_>) -> Result<()> {
    let cells = || rows.iter().map(|row| &row[name]);
    let levels: Vec<i16> = cells().map(|value| i16::from(!value.is_null())).collect();
    let written = match column {
        ColumnWriter::BoolColumnWriter(column) => {
            let values: Vec<bool> = cells().filter_map(Value::as_bool).collect();
            column.write_batch(&values, Some(&levels), None)
        }
        ColumnWriter::Int64ColumnWriter(column) => {
            let values: Vec<i64> = cells().filter_map(Value::as_i64).collect();
            column.write_batch(&values, Some(&levels), None)
        }
        ColumnWriter::DoubleColumnWriter(column) => {
            let values: Vec<f64> = cells().filter_map(Value::as_f64).collect();
            column.write_batch(&values, Some(&levels), None)
        }
        ColumnWriter::ByteArrayColumnWriter(column) => {
            let text = |value: &Value| match value {
                Value::String(text) => ByteArray::from(text.as_str()),
                other => ByteArray::from(other.to_string().as_str()),
            };
            let values: Vec<ByteArray> = cells().filter(|value| !value.is_null()).map(text).collect();
            column.write_batch(&values, Some(&levels), None)
        }
        ColumnWriter::Int32ColumnWriter(_)
        | ColumnWriter::Int96ColumnWriter(_)
        | ColumnWriter::FloatColumnWriter(_)
        | ColumnWriter::FixedLenByteArrayColumnWriter(_) => unreachable!("`kind` knows four types"),
    };
    written.map(|_rows| ())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::Field;
    use serde_json::json;

    use super::*;

    /// Two rows with every type come back as they went, nulls included.
    #[test]
    fn rows_come_back() {
        let rows = [
            json!({"tp": 8, "step": 1.5, "fits": true, "schedule": "1f1b", "peak": null, "mixed": 1}),
            json!({"tp": 4, "step": 2, "fits": null, "schedule": null, "peak": null, "mixed": [1, 2]}),
        ];
        let mut file = tempfile::tempfile().expect("there is room for a file");
        let bytes = parquet(&rows).expect("its columns have types");
        file.write_all(&bytes).expect("there is room for it");
        let reader = SerializedFileReader::new(file).expect("it is a Parquet file");
        let back: Vec<Vec<Field>> = reader
            .get_row_iter(None)
            .expect("it has rows")
            .map(|row| {
                row.expect("a row")
                    .into_columns()
                    .into_iter()
                    .map(|(_, field)| field)
                    .collect()
            })
            .collect();
        let text = |text: &str| Field::Str(text.to_owned());
        assert_eq!(
            back[0],
            [
                Field::Long(8),
                Field::Double(1.5),
                Field::Bool(true),
                text("1f1b"),
                Field::Null,
                text("1")
            ]
        );
        assert_eq!(
            back[1],
            [
                Field::Long(4),
                Field::Double(2.0),
                Field::Null,
                Field::Null,
                Field::Null,
                text("[1,2]")
            ]
        );
    }
}
