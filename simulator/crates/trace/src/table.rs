//! Spans as a table (Parquet), for data frames: a row for each, with what it was in words and its times in picoseconds.

use std::io::{self, Write};
use std::sync::Arc;

use orrery_timeline::{Span, Timeline};
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};

/// Spans of a row group: what is held at a time.
const GROUP: usize = 1 << 17;

/// Columns and what their values are.
const COLUMNS: [(&str, Cell); 13] = [
    (
        "program",
        Cell::Text(|timeline, span| &timeline.lanes[span.lane].program),
    ),
    (
        "lane",
        Cell::Text(|timeline, span| &timeline.lanes[span.lane].name),
    ),
    (
        "kind",
        Cell::Text(|timeline, span| &timeline.kinds.kind(span.kind).name),
    ),
    (
        "class",
        Cell::Text(|timeline, span| timeline.kinds.kind(span.kind).class.name()),
    ),
    ("step", Cell::Whole(|span| Some(u64::from(span.step)))),
    ("layer", Cell::Whole(|span| Some(u64::from(span.tag.0)))),
    ("microbatch", Cell::Whole(|span| Some(u64::from(span.tag.1)))),
    ("start_ps", Cell::Whole(|span| Some(span.start.as_picos()))),
    ("duration_ps", Cell::Whole(|span| Some(span.duration.as_picos()))),
    ("flops", Cell::Number(|span| span.flops.get())),
    ("bytes", Cell::Whole(|span| Some(span.bytes.get()))),
    ("evidence", Cell::Text(|_, span| span.evidence.name())),
    ("released_by", Cell::Whole(|span| span.released_by.map(u64::from))),
];

/// The value of a column of a span.
#[derive(Clone, Copy)]
enum Cell {
    Text(for<'t> fn(&'t Timeline, &Span) -> &'t str),
    Whole(fn(&Span) -> Option<u64>),
    Number(fn(&Span) -> f64),
}

/// Writes the spans of `timeline` as a Parquet file; `released_by` is the row of the span that released one.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_spans(timeline: &Timeline, out: &mut (impl Write + Send)) -> io::Result<()> {
    put(timeline, out).map_err(|fault| match fault {
        ParquetError::External(fault) => io::Error::other(fault),
        fault => io::Error::other(fault.to_string()),
    })
}

fn put(timeline: &Timeline, out: &mut (impl Write + Send)) -> Result<()> {
    let fields: Result<Vec<TypePtr>> = COLUMNS.iter().map(|&(name, cell)| field(name, cell)).collect();
    let schema = Arc::new(Type::group_type_builder("spans").with_fields(fields?).build()?);
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .build();
    let mut writer = SerializedFileWriter::new(out, schema, Arc::new(properties))?;
    let mut spans = timeline.spans();
    loop {
        let group: Vec<Span> = spans.by_ref().take(GROUP).collect();
        if group.is_empty() {
            break;
        }
        let mut rows = writer.next_row_group()?;
        for (_, cell) in COLUMNS {
            let Some(mut column) = rows.next_column()? else {
                break;
            };
            write(timeline, &group, cell, column.untyped())?;
            column.close()?;
        }
        rows.close()?;
    }
    writer.close().map(|_about| ())
}

fn field(name: &str, cell: Cell) -> Result<TypePtr> {
    let (kind, logical) = match cell {
        Cell::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Cell::Whole(_) => (Physical::INT64, None),
        Cell::Number(_) => (Physical::DOUBLE, None),
    };
    let field = Type::primitive_type_builder(name, kind)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical);
    Ok(Arc::new(field.build()?))
}

/// One column of a row group: values, and for each row whether it has one.
fn write(timeline: &Timeline, spans: &[Span], cell: Cell, column: &mut ColumnWriter<'_>) -> Result<()> {
    let all = vec![1; spans.len()];
    let written = match (cell, column) {
        (Cell::Text(text), ColumnWriter::ByteArrayColumnWriter(column)) => {
            let texts = spans.iter().map(|span| ByteArray::from(text(timeline, span)));
            column.write_batch(&texts.collect::<Vec<_>>(), Some(&all), None)
        }
        (Cell::Number(number), ColumnWriter::DoubleColumnWriter(column)) => {
            let numbers: Vec<f64> = spans.iter().map(number).collect();
            column.write_batch(&numbers, Some(&all), None)
        }
        (Cell::Whole(number), ColumnWriter::Int64ColumnWriter(column)) => {
            let levels: Vec<i16> = spans
                .iter()
                .map(|span| i16::from(number(span).is_some()))
                .collect();
            let numbers = spans.iter().filter_map(number);
            let numbers: Vec<i64> = numbers
                .map(|number| i64::try_from(number).unwrap_or(i64::MAX))
                .collect();
            column.write_batch(&numbers, Some(&levels), None)
        }
        _ => unreachable!("`field` gives each column the type of its cells"),
    };
    written.map(|_rows| ())
}

#[cfg(test)]
mod tests {
    use orrery_timeline::{KindTable, OpClass, TimelineBuilder};
    use orrery_units::{Bytes, Evidence, Flops, SimTime};
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::Field;

    use super::*;

    #[test]
    fn spans_come_back_as_rows() {
        let mut kinds = KindTable::new();
        let kind = kinds.intern("experts", OpClass::Compute);
        let mut builder = TimelineBuilder::new(kinds, 10);
        let lane = builder.add_lane("rank 3", "compute");
        let at = |picos: u64| SimTime::from_picos(picos);
        for (start, end, released_by) in [(5, 9, None), (10, 12, Some(0))] {
            builder.add(Span {
                lane,
                kind,
                start: at(start),
                duration: at(end) - at(start),
                step: 1,
                tag: (60, 2),
                released_by,
                flops: Flops::new(1.5),
                bytes: Bytes::new(8),
                evidence: Evidence::Analytic,
            });
        }
        let mut file = Vec::new();
        write_spans(&builder.finish(), &mut file).expect("a vector can be written");
        let reader = SerializedFileReader::new(bytes::Bytes::from(file)).expect("a Parquet file");
        let rows: Vec<Vec<(String, Field)>> = reader
            .get_row_iter(None)
            .expect("rows")
            .map(|row| row.expect("a row").into_columns())
            .collect();
        let names: Vec<&str> = rows[0].iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, COLUMNS.map(|(name, _)| name));
        let of = |row: usize, name: &str| {
            let found = rows[row].iter().find(|(column, _)| column == name);
            found.expect("a column").1.clone()
        };
        assert_eq!(
            (of(0, "start_ps"), of(1, "duration_ps")),
            (Field::Long(5), Field::Long(2))
        );
        assert_eq!(
            (of(0, "released_by"), of(1, "released_by")),
            (Field::Null, Field::Long(0))
        );
        assert_eq!(of(1, "program"), Field::Str("rank 3".to_owned()));
        assert_eq!(of(1, "class"), Field::Str("compute".to_owned()));
        assert_eq!(
            (of(1, "layer"), of(1, "flops")),
            (Field::Long(60), Field::Double(1.5))
        );
    }
}
