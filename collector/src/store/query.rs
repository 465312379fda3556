//! Answers questions about the history, out of the file as it was at its last commit.

use std::collections::BTreeMap;
use std::ops::Range;

use redb::{Database, ReadTransaction, ReadableDatabase as _};

use super::catalog::SeriesKey;
use super::column::read_buckets;
use super::file::{COLUMNS, DIRTY, FileError, JOURNAL, SERIES, series};
use super::journal::read_batch;
use super::read::{RawRows, raw_between};
use super::tier::{Bucket, TIERS, Tier, WINDOW, downsample};
use super::writer::RAW;

/// The file at one commit.
pub(crate) struct View {
    view: ReadTransaction,
    series: BTreeMap<u32, SeriesKey>,
    /// What only the journal has, by series.
    journal: BTreeMap<u32, Vec<Bucket>>,
    raw: RawRows,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "View of {} series", self.series.len())
    }
}

impl View {
    /// The file of `database` as it is now.
    pub(super) fn new(database: &Database) -> Result<Self, FileError> {
        let view = database.begin_read()?;
        let series = series(&view.open_table(SERIES)?)?;
        let mut journal: BTreeMap<u32, Vec<Bucket>> = BTreeMap::new();
        let mut raw = RawRows::default();
        for batch in view.open_table(JOURNAL)?.range::<(u32, u64)>(..)? {
            let (key, batch) = batch?;
            let Ok(entries) = read_batch(batch.value(), key.value().0) else {
                raw.num_damaged += 1;
                continue;
            };
            for entry in entries {
                for (series, value) in entry.values {
                    journal
                        .entry(series)
                        .or_default()
                        .push(Bucket::of(entry.at, value));
                }
            }
        }
        Ok(Self {
            view,
            series,
            journal,
            raw,
        })
    }

    /// Every series, by number.
    pub(crate) fn series(&self) -> &BTreeMap<u32, SeriesKey> {
        &self.series
    }

    /// Rows that did not check and were left out so far.
    pub(crate) fn num_damaged(&self) -> u64 {
        self.raw.num_damaged
    }

    /// What there is of a series in `span`, in milliseconds since the Unix epoch: every value where `step` is 0,
    /// else buckets of `step`, and wider ones where nothing finer is kept.
    pub(crate) fn read(
        &mut self,
        number: u32,
        span: Range<u64>,
        step: u64,
    ) -> Result<Vec<Bucket>, FileError> {
        let Some(source) = self.series.get(&number).map(|key| key.source) else {
            return Ok(Vec::new());
        };
        // The coarsest whose buckets fit into a step without being cut.
        let chosen = TIERS
            .iter()
            .rposition(|tier| step > 0 && step.is_multiple_of(tier.width));
        let mut found = match chosen {
            None => raw_between(&self.view, source, number, span.clone(), &mut self.raw)?,
            Some(_) => Vec::new(),
        };
        let mut end = match chosen {
            None => self.begins(RAW, number)?.or_else(|| self.journal_begins(number)),
            Some(_) => None,
        };
        let windows = self.windows_without_tiers(source, &span)?;
        for tier in &TIERS[chosen.unwrap_or(0)..] {
            let until = end.unwrap_or(span.end).min(span.end);
            found.extend(self.tier_between(*tier, number, span.start..until, &windows)?);
            let begin = self.begins(tier.number, number)?;
            end = [end, begin].into_iter().flatten().min();
        }
        if chosen.is_some() {
            for window in windows {
                let within = window.max(span.start)..(window + WINDOW).min(span.end);
                found.extend(raw_between(&self.view, source, number, within, &mut self.raw)?);
            }
        }
        let journal = self.journal.get(&number).into_iter().flatten();
        found.extend(journal.filter(|value| span.contains(&value.start)));
        found.sort_by_key(|bucket| bucket.start);
        Ok(if step == 0 { found } else { downsample(found, step) })
    }

    /// When the rows of a series in `tier` begin.
    fn begins(&self, tier: u8, number: u32) -> Result<Option<u64>, FileError> {
        let columns = self.view.open_table(COLUMNS)?;
        let first = columns
            .range((tier, number, 0)..=(tier, number, u64::MAX))?
            .next();
        Ok(first.transpose()?.map(|(key, _)| key.value().2))
    }

    fn journal_begins(&self, number: u32) -> Option<u64> {
        let values = self.journal.get(&number)?;
        values.iter().map(|value| value.start).min()
    }

    /// The windows of `span` whose tiers are not made, or older than their rows.
    fn windows_without_tiers(&self, source: u32, span: &Range<u64>) -> Result<Vec<u64>, FileError> {
        let dirty = self.view.open_table(DIRTY)?;
        let first = span.start - span.start % WINDOW;
        let mut windows = Vec::new();
        for row in dirty.range((source, first)..(source, span.end))? {
            windows.push(row?.0.value().1);
        }
        Ok(windows)
    }

    /// The buckets of `tier` that begin in `span`, but for those of the windows `without`.
    fn tier_between(
        &mut self,
        tier: Tier,
        number: u32,
        span: Range<u64>,
        without: &[u64],
    ) -> Result<Vec<Bucket>, FileError> {
        let mut found = Vec::new();
        if span.is_empty() {
            return Ok(found);
        }
        let columns = self.view.open_table(COLUMNS)?;
        let first = span.start - span.start % WINDOW;
        for row in columns.range((tier.number, number, first)..(tier.number, number, span.end))? {
            let (key, row) = row?;
            let window = key.value().2;
            if without.contains(&window) {
                continue;
            }
            match read_buckets(row.value(), window, tier.width) {
                Ok(mut buckets) => {
                    buckets.retain(|bucket| span.contains(&bucket.start));
                    found.extend(buckets);
                }
                Err(_damaged) => self.raw.num_damaged += 1,
            }
        }
        Ok(found)
    }
}
