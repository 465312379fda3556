//! Reads series out of the file, as it was at one commit.

use std::collections::BTreeMap;
use std::ops::Range;

use redb::ReadTransaction;

use super::column::{Damaged, read_times, read_values};
use super::file::{COLUMNS, FileError, TIMES};
use super::tier::{Bucket, WINDOW};
use super::writer::RAW;

/// Instants of rows that were read before, and how many rows were damaged.
#[derive(Debug, Default)]
pub(super) struct RawRows {
    times: BTreeMap<(u32, u64), Vec<u64>>,
    pub(super) num_damaged: u64,
}

/// What was read of `series`, of `source`, in `span`, in milliseconds since the Unix epoch, without what only the
/// journal has; in the order of time. A row that is damaged is left out and counted.
pub(super) fn raw_between(
    view: &ReadTransaction,
    source: u32,
    series: u32,
    span: Range<u64>,
    rows: &mut RawRows,
) -> Result<Vec<Bucket>, FileError> {
    let mut values = Vec::new();
    let columns = view.open_table(COLUMNS)?;
    let times = view.open_table(TIMES)?;
    // A row ends where its window does.
    let first = span.start - span.start % WINDOW;
    for row in columns.range((RAW, series, first)..(RAW, series, span.end))? {
        let (key, row) = row?;
        let start = key.value().2;
        let times = match rows.times.entry((source, start)) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                let found = times.get((source, start))?.map(|row| read_times(row.value()));
                match found {
                    Some(Ok(found)) => place.insert(found),
                    Some(Err(_)) | None => {
                        rows.num_damaged += 1;
                        continue;
                    }
                }
            }
        };
        match row_values(row.value(), times) {
            Ok(found) => values.extend(found.into_iter().filter(|value| span.contains(&value.start))),
            Err(_damaged) => rows.num_damaged += 1,
        }
    }
    values.sort_by_key(|value| value.start);
    Ok(values)
}

fn row_values(row: &[u8], times: &[u64]) -> Result<Vec<Bucket>, Damaged> {
    let values = read_values(row)?.into_iter();
    let values = values.map(|(place, value)| Some(Bucket::of(*times.get(place)?, value)));
    values.collect::<Option<_>>().ok_or(Damaged)
}
