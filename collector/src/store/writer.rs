//! Writes samples into the file: to the journal at every flush, to rows when a row is full, to tiers when a window
//! is over.
//!
//! Every change is one transaction. After a fault the writer is as far as the file is not: it is thrown away, and
//! a new one loaded from the file.

use std::collections::BTreeMap;
use std::sync::Arc;

use orrery_telemetry::Sample;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, Table, WriteTransaction};

use super::catalog::{Catalog, Entry, News};
use super::column::{sealed, write_buckets, write_times, write_values};
use super::file::{COLUMNS, DIRTY, FileError, JOURNAL, META, SERIES, SOURCES, TIMES, read_catalog};
use super::journal::{OpenRow, read_batch, write_batch};
use super::read::{RawRows, raw_between};
use super::tier::{TIERS, WINDOW, downsample};

/// Where [`META`] has how many bytes the rows take.
const STORED: &str = "stored";
/// What a row costs beside its bytes: its key, and its place in a page.
const ROW_COST: u64 = 24;
/// The tier of what was read.
pub(super) const RAW: u8 = 0;

/// What writes, and what it knows of the file.
#[derive(Debug)]
pub(super) struct Writer {
    database: Arc<Database>,
    catalog: Catalog,
    rows: BTreeMap<u32, OpenRow>,
    next_in_journal: u64,
    /// Bytes that the rows take.
    stored: u64,
    /// Rows that did not check while they were read.
    num_damaged: u64,
}

/// The rows of one transaction, and the bytes that they take.
pub(super) struct Rows<'t> {
    pub(super) columns: Table<'t, (u8, u32, u64), &'static [u8]>,
    pub(super) times: Table<'t, (u32, u64), &'static [u8]>,
    pub(super) stored: u64,
}

impl Writer {
    /// The writer of a file, with what its journal holds.
    pub(super) fn load(database: Arc<Database>) -> Result<Self, FileError> {
        let catalog = read_catalog(&database)?;
        let view = database.begin_read()?;
        let meta = view.open_table(META)?;
        let stored = meta.get(STORED)?;
        let stored = stored.and_then(|bytes| Some(u64::from_le_bytes(bytes.value().try_into().ok()?)));
        let mut writer = Self {
            database,
            catalog,
            rows: BTreeMap::new(),
            next_in_journal: 0,
            stored: stored.unwrap_or(0),
            num_damaged: 0,
        };
        for batch in view.open_table(JOURNAL)?.iter()? {
            let (key, batch) = batch?;
            let (source, order) = key.value();
            writer.next_in_journal = writer.next_in_journal.max(order + 1);
            let row = writer.rows.entry(source).or_default();
            match read_batch(batch.value(), source) {
                Ok(entries) => entries.iter().for_each(|entry| row.push(entry)),
                Err(_damaged) => writer.num_damaged += 1,
            }
        }
        Ok(writer)
    }

    /// How many series the file has.
    pub(super) fn num_series(&self) -> usize {
        self.catalog.num_series()
    }

    /// How many bytes the rows take.
    pub(super) fn stored(&self) -> u64 {
        self.stored
    }

    /// How many rows did not check while they were read.
    pub(super) fn num_damaged(&self) -> u64 {
        self.num_damaged
    }

    /// Writes `samples`, in the order in which they came. They are on the disk when this returns.
    pub(super) fn commit<'s>(
        &mut self,
        samples: impl IntoIterator<Item = &'s Sample>,
    ) -> Result<(), FileError> {
        let mut news = News::default();
        let catalog = &mut self.catalog;
        let entries: Vec<Entry> = samples
            .into_iter()
            .map(|sample| catalog.entry(sample, &mut news))
            .collect();
        let change = self.database.begin_write()?;
        write_news(&change, &news)?;
        let mut rows = Rows::of(&change, self.stored)?;
        let mut journal = change.open_table(JOURNAL)?;
        let mut dirty = change.open_table(DIRTY)?;
        let mut batches: BTreeMap<u32, Vec<Entry>> = BTreeMap::new();
        for entry in entries {
            let source = entry.source;
            let row = self.rows.entry(source).or_default();
            if row.must_close_before(&entry) {
                let closed = std::mem::take(row);
                rows.close(source, &closed)?;
                journal.retain_in((source, 0)..=(source, u64::MAX), |_, _| false)?;
                dirty.insert(
                    (source, closed.window().expect("a row that closes has samples")),
                    (),
                )?;
                batches.remove(&source);
            }
            row.push(&entry);
            batches.entry(source).or_default().push(entry);
        }
        for (source, batch) in batches {
            journal.insert((source, self.next_in_journal), write_batch(&batch).as_slice())?;
            self.next_in_journal += 1;
        }
        drop((journal, dirty));
        self.stored = rows.end(&change)?;
        change.commit()?;
        Ok(())
    }

    /// Makes the tiers of one window that is over, if there is one whose rows are newer than they; whether there
    /// was.
    pub(super) fn roll_one(&mut self) -> Result<bool, FileError> {
        let Some((source, window)) = self.next_to_roll()? else {
            return Ok(false);
        };
        let view = self.database.begin_read()?;
        let change = self.database.begin_write()?;
        let mut rows = Rows::of(&change, self.stored)?;
        let mut found = RawRows::default();
        for series in self.catalog.series_of(source) {
            let mut buckets = raw_between(&view, source, series, window..window + WINDOW, &mut found)?;
            for tier in TIERS {
                buckets = downsample(buckets, tier.width);
                if buckets.is_empty() {
                    break;
                }
                let num = usize::try_from(WINDOW / tier.width).expect("a window has few buckets");
                let row = write_buckets(&buckets, window, tier.width, num);
                rows.put((tier.number, series, window), &row)?;
            }
        }
        self.num_damaged += found.num_damaged;
        change.open_table(DIRTY)?.remove((source, window))?;
        self.stored = rows.end(&change)?;
        change.commit()?;
        Ok(true)
    }

    /// A window that is over, with rows that its tiers do not have.
    fn next_to_roll(&self) -> Result<Option<(u32, u64)>, FileError> {
        let view = self.database.begin_read()?;
        for row in view.open_table(DIRTY)?.iter()? {
            let (source, window) = row?.0.value();
            if self.rows.get(&source).and_then(OpenRow::window) != Some(window) {
                return Ok(Some((source, window)));
            }
        }
        Ok(None)
    }

    /// Changes rows as `change` does, in a transaction, with the catalogue at hand.
    pub(super) fn change_rows(
        &mut self,
        change_them: impl FnOnce(&mut Rows<'_>, &Catalog) -> Result<(), FileError>,
    ) -> Result<(), FileError> {
        let change = self.database.begin_write()?;
        let mut rows = Rows::of(&change, self.stored)?;
        change_them(&mut rows, &self.catalog)?;
        let gone = self.series_without_rows(&rows)?;
        self.stored = rows.end(&change)?;
        let mut series = change.open_table(SERIES)?;
        for &number in &gone {
            series.remove(number)?;
        }
        drop(series);
        change.commit()?;
        for number in gone {
            self.catalog.forget(number);
        }
        Ok(())
    }

    /// Series of which neither the file nor an open row has a value.
    fn series_without_rows(&self, rows: &Rows<'_>) -> Result<Vec<u32>, FileError> {
        let mut gone = Vec::new();
        for series in self.catalog.series() {
            let is_open = self.rows.values().any(|row| row.columns.contains_key(&series));
            let tiers = [RAW].into_iter().chain(TIERS.map(|tier| tier.number));
            let mut is_stored = false;
            for tier in tiers {
                let all = (tier, series, 0)..=(tier, series, u64::MAX);
                is_stored |= rows.columns.range(all)?.next().is_some();
            }
            if !is_open && !is_stored {
                gone.push(series);
            }
        }
        Ok(gone)
    }
}

fn write_news(change: &WriteTransaction, news: &News) -> Result<(), FileError> {
    let mut sources = change.open_table(SOURCES)?;
    for (number, name) in &news.sources {
        sources.insert(number, name.as_str())?;
    }
    let mut series = change.open_table(SERIES)?;
    for (number, key) in &news.series {
        let key = serde_json::to_vec(key).expect("a key is plain data");
        series.insert(number, sealed(key).as_slice())?;
    }
    Ok(())
}

impl<'t> Rows<'t> {
    fn of(change: &'t WriteTransaction, stored: u64) -> Result<Self, FileError> {
        Ok(Self {
            columns: change.open_table(COLUMNS)?,
            times: change.open_table(TIMES)?,
            stored,
        })
    }

    /// Says in the file how many bytes the rows take, which is given back.
    fn end(self, change: &WriteTransaction) -> Result<u64, FileError> {
        let Self { stored, .. } = self;
        let mut meta = change.open_table(META)?;
        meta.insert(STORED, stored.to_le_bytes().as_slice())?;
        Ok(stored)
    }

    fn put(&mut self, key: (u8, u32, u64), row: &[u8]) -> Result<(), FileError> {
        let before = self.columns.insert(key, row)?.map(|before| cost(before.value()));
        self.stored = (self.stored + cost(row)).saturating_sub(before.unwrap_or(0));
        Ok(())
    }

    /// Writes a row that nothing joins any more.
    fn close(&mut self, source: u32, row: &OpenRow) -> Result<(), FileError> {
        let Some(&first) = row.times.first() else {
            return Ok(());
        };
        // A clock that was set back may come to the same instant again.
        let mut start = first;
        while self.times.get((source, start))?.is_some() {
            start += 1;
        }
        let times = write_times(&row.times);
        self.times.insert((source, start), times.as_slice())?;
        self.stored += cost(&times);
        for (&series, values) in &row.columns {
            self.put((RAW, series, start), &write_values(values, row.times.len()))?;
        }
        Ok(())
    }

    /// Removes the rows of `series` in `tier` that begin before `end`.
    pub(super) fn remove_columns(&mut self, tier: u8, series: u32, end: u64) -> Result<(), FileError> {
        let stored = &mut self.stored;
        self.columns
            .retain_in((tier, series, 0)..(tier, series, end), |_, row| {
                *stored = stored.saturating_sub(cost(row));
                false
            })?;
        Ok(())
    }

    /// Removes the instants of the rows of `source` that begin before `end`.
    pub(super) fn remove_times(&mut self, source: u32, end: u64) -> Result<(), FileError> {
        let stored = &mut self.stored;
        self.times.retain_in((source, 0)..(source, end), |_, row| {
            *stored = stored.saturating_sub(cost(row));
            false
        })?;
        Ok(())
    }
}

/// The bytes that a row takes.
fn cost(row: &[u8]) -> u64 {
    ROW_COST + row.len() as u64
}
