//! Samples that no row holds yet: one entry of the journal for each flush, and the row that they will become.

use std::collections::BTreeMap;

use super::catalog::Entry;
use super::column::{Damaged, opened, sealed};
use super::tier::WINDOW;

/// Samples in a row at most: ten minutes at one a second.
const SAMPLES_PER_ROW: usize = 600;
/// Bytes of a series and its value in the journal.
const PAIR: usize = 4 + 8;

/// The values of one series in a row, each with the place of its sample there.
pub(super) type Column = Vec<(u32, f64)>;

/// The row that the next samples of one source go to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct OpenRow {
    /// When its samples were taken, in milliseconds since the Unix epoch; none is earlier than the one before.
    pub(super) times: Vec<u64>,
    /// The values of every series.
    pub(super) columns: BTreeMap<u32, Column>,
}

impl OpenRow {
    /// Whether `entry` cannot join: the row is full, another window began, or the clock was set back.
    pub(super) fn must_close_before(&self, entry: &Entry) -> bool {
        let (Some(&first), Some(&last)) = (self.times.first(), self.times.last()) else {
            return false;
        };
        self.times.len() >= SAMPLES_PER_ROW || entry.at < last || entry.at / WINDOW != first / WINDOW
    }

    /// Takes `entry` in.
    pub(super) fn push(&mut self, entry: &Entry) {
        let place = u32::try_from(self.times.len()).expect("a row has few samples");
        self.times.push(entry.at);
        for &(series, value) in &entry.values {
            self.columns.entry(series).or_default().push((place, value));
        }
    }

    /// The window that it lies in, if it holds a sample.
    pub(super) fn window(&self) -> Option<u64> {
        self.times.first().map(|first| first - first % WINDOW)
    }
}

/// The samples of one flush of one source, as bytes.
pub(super) fn write_batch(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        let num = u32::try_from(entry.values.len()).expect("a sample has few values");
        bytes.extend(entry.at.to_le_bytes());
        bytes.extend(num.to_le_bytes());
        for (series, value) in &entry.values {
            bytes.extend(series.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
    }
    sealed(bytes)
}

/// The samples that [`write_batch`] wrote, of `source`.
pub(super) fn read_batch(row: &[u8], source: u32) -> Result<Vec<Entry>, Damaged> {
    let mut rest = opened(row)?;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (at, after) = rest.split_first_chunk().ok_or(Damaged)?;
        let (num, after) = after.split_first_chunk().ok_or(Damaged)?;
        let length = (u32::from_le_bytes(*num) as usize).saturating_mul(PAIR);
        let (values, after) = after.split_at_checked(length).ok_or(Damaged)?;
        let value = |pair: &[u8]| {
            let (series, value) = pair.split_first_chunk().ok_or(Damaged)?;
            let value = value.try_into().map_err(|_size| Damaged)?;
            Ok((u32::from_le_bytes(*series), f64::from_le_bytes(value)))
        };
        entries.push(Entry {
            source,
            at: u64::from_le_bytes(*at),
            values: values.chunks_exact(PAIR).map(value).collect::<Result<_, _>>()?,
        });
        rest = after;
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: u64) -> Entry {
        Entry {
            source: 3,
            at,
            values: vec![(7, 0.5), (9, -1e300)],
        }
    }

    #[test]
    fn a_batch_comes_back_and_half_a_batch_is_damaged() {
        let entries = [
            entry(5),
            entry(6),
            Entry {
                values: Vec::new(),
                ..entry(7)
            },
        ];
        let row = write_batch(&entries);
        assert_eq!(read_batch(&row, 3).unwrap(), entries);
        assert_eq!(read_batch(&row[..row.len() - 1], 3), Err(Damaged));
    }

    #[test]
    fn a_row_closes_when_it_is_full_at_a_window_and_when_the_clock_goes_back() {
        let mut row = OpenRow::default();
        assert!(!row.must_close_before(&entry(WINDOW - 1)));
        row.push(&entry(WINDOW - 1));
        assert!(
            !row.must_close_before(&entry(WINDOW - 1)),
            "the same instant again"
        );
        assert!(row.must_close_before(&entry(WINDOW)));
        assert!(row.must_close_before(&entry(WINDOW - 2)));
        for _ in 1..SAMPLES_PER_ROW {
            row.push(&entry(WINDOW - 1));
        }
        assert!(row.must_close_before(&entry(WINDOW - 1)));
    }
}
