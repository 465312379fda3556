//! Rows from Parquet.

use bytes::Bytes;
use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::file::reader::{FileReader as _, SerializedFileReader};

use super::{OperationType, PipelineOperation};

/// Most rows that are read: a job of a thousand ranks over a hundred steps.
const MOST_ROWS: i64 = 200_000_000;

/// Reads a trace from the bytes of its Parquet file.
///
/// # Errors
/// When it is no Parquet file, lacks a column, or holds a type of operation that is not known; the text says which.
pub fn read(file: Bytes) -> Result<Vec<PipelineOperation>, String> {
    // The decoder panics on some damaged pages rather than to refuse them: an index beyond a dictionary, for one.
    let decoded = std::panic::catch_unwind(|| decoded(file));
    decoded.unwrap_or_else(|_panic| {
        Err(
            "the file is damaged: a page of it cannot be decoded\n  = help: write or copy it again"
                .to_owned(),
        )
    })
}

fn decoded(file: Bytes) -> Result<Vec<PipelineOperation>, String> {
    let reader = SerializedFileReader::new(file).map_err(|fault| format!("no Parquet file: {fault}"))?;
    let rows = reader.metadata().file_metadata().num_rows();
    if !(0..=MOST_ROWS).contains(&rows) {
        return Err(format!("{rows} rows; at most {MOST_ROWS} are read"));
    }
    let column = |name: &str| Column::read(&reader, name);
    let known = column("optype")?.types("optype")?;
    let numbers = |name: &'static str| column(name)?.numbers(name);
    let (replica, stage, rank) = (numbers("dp_rank")?, numbers("stage")?, numbers("rank")?);
    let (step, sequence) = (numbers("step")?, numbers("seq_id")?);
    let (chunk, microbatch) = (numbers("gmc")?, numbers("mb_id")?);
    let (start, duration) = (numbers("start_ts")?, numbers("duration")?);
    let longest = [
        &replica,
        &stage,
        &rank,
        &step,
        &sequence,
        &chunk,
        &microbatch,
        &start,
        &duration,
    ];
    if longest.iter().any(|column| column.len() != known.len()) {
        return Err("columns of different lengths: a value is missing".to_owned());
    }
    let row = |at: usize| {
        Ok(PipelineOperation {
            replica: count(replica[at], "dp_rank")?,
            stage: count(stage[at], "stage")?,
            rank: count(rank[at], "rank")?,
            step: u64::from(count(step[at], "step")?),
            of: known[at],
            start: time(start[at], "start_ts")?,
            duration: time(duration[at], "duration")?,
            sequence: count(sequence[at], "seq_id")?,
            chunk: count(chunk[at], "gmc").ok(),
            microbatch: count(microbatch[at], "mb_id").ok(),
        })
    };
    (0..known.len()).map(row).collect()
}

fn count(number: f64, column: &str) -> Result<u32, String> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be a whole number within u32"
    )]
    if number >= 0.0 && number <= f64::from(u32::MAX) && number.fract().abs() < f64::EPSILON {
        Ok(number as u32)
    } else {
        Err(format!(
            "`{column}` is {number}; a number from 0 to {} is meant",
            u32::MAX
        ))
    }
}

/// Seconds of a step; a day at most.
fn time(seconds: f64, column: &str) -> Result<f64, String> {
    if (0.0..=86_400.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(format!(
            "`{column}` is {seconds}; seconds from the start of the step are meant"
        ))
    }
}

/// All values of a column.
enum Column {
    Numbers(Vec<f64>),
    /// Texts that are types of operations: a name is not kept for each of many million rows.
    Types(Vec<OperationType>),
}

impl Column {
    fn read(reader: &SerializedFileReader<Bytes>, name: &str) -> Result<Self, String> {
        let schema = reader.metadata().file_metadata().schema_descr();
        let place = schema
            .columns()
            .iter()
            .position(|column| column.name() == name)
            .ok_or_else(|| {
                format!(
                    "there is no column `{name}`\n  = help: traces by operation have the columns dp_rank, stage, rank, step, \
                     optype, start_ts, duration, seq_id, gmc and mb_id"
                )
            })?;
        let is_text = schema.column(place).physical_type() == Type::BYTE_ARRAY;
        let mut all = if is_text {
            Self::Types(Vec::new())
        } else {
            Self::Numbers(Vec::new())
        };
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group).map_err(|fault| fault.to_string())?;
            let column = group
                .get_column_reader(place)
                .map_err(|fault| fault.to_string())?;
            all.extend(column)
                .map_err(|fault| format!("column `{name}`: {fault}"))?;
        }
        Ok(all)
    }

    #[expect(clippy::cast_precision_loss, reason = "ranks and steps are far below 2^53")]
    fn extend(&mut self, column: ColumnReader) -> Result<(), String> {
        match (self, column) {
            (Self::Numbers(into), ColumnReader::Int32ColumnReader(column)) => {
                into.extend(values(column)?.into_iter().map(f64::from));
            }
            (Self::Numbers(into), ColumnReader::Int64ColumnReader(column)) => {
                into.extend(values(column)?.into_iter().map(|value| value as f64));
            }
            (Self::Numbers(into), ColumnReader::FloatColumnReader(column)) => {
                into.extend(values(column)?.into_iter().map(f64::from));
            }
            (Self::Numbers(into), ColumnReader::DoubleColumnReader(column)) => into.extend(values(column)?),
            (Self::Types(into), ColumnReader::ByteArrayColumnReader(column)) => {
                for name in values(column)? {
                    into.push(named(&name)?);
                }
            }
            _ => return Err("its type is not one of a number or a text".to_owned()),
        }
        Ok(())
    }

    fn numbers(self, name: &str) -> Result<Vec<f64>, String> {
        match self {
            Self::Numbers(numbers) => Ok(numbers),
            Self::Types(_) => Err(format!("column `{name}` holds texts, not numbers")),
        }
    }

    fn types(self, name: &str) -> Result<Vec<OperationType>, String> {
        match self {
            Self::Types(types) => Ok(types),
            Self::Numbers(_) => Err(format!("column `{name}` holds numbers, not texts")),
        }
    }
}

fn named(name: &ByteArray) -> Result<OperationType, String> {
    let text = std::str::from_utf8(name.data()).unwrap_or("no text");
    OperationType::named(text).ok_or_else(|| format!("`{text}` is no type of operation that is known"))
}

/// The values of a column of a row group; those that are null are left out.
fn values<T: DataType>(mut column: ColumnReaderImpl<T>) -> Result<Vec<T::T>, String> {
    let (mut all, mut levels) = (Vec::new(), Vec::new());
    loop {
        let read = column.read_records(1 << 16, Some(&mut levels), None, &mut all);
        let (records, _, _) = read.map_err(|fault| fault.to_string())?;
        if records == 0 {
            return Ok(all);
        }
    }
}
