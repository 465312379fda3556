//! What is kept, and how long: by age first, then by size, fine before coarse.

use std::time::Duration;

use super::catalog::Catalog;
use super::file::FileError;
use super::tier::{TIERS, WINDOW};
use super::writer::{RAW, Rows, Writer};

/// What the rows may take of the file: redb doubles a file that has no room, and a page is two thirds full on
/// average. So the file's size stays below what was asked for, as a test holds.
const SHARE_OF_ROWS: f64 = 0.3;

/// How long what is kept, and how large the file may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long every value is kept.
    pub raw: Duration,
    /// How long the least, the mean and the largest of every ten seconds are.
    pub ten_seconds: Duration,
    /// How long those of every five minutes are.
    pub five_minutes: Duration,
    /// How large the file may become, in bytes.
    pub max_bytes: u64,
}

impl Default for Retention {
    /// Two days, a fortnight, 400 days, and 1 GiB.
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self {
            raw: 2 * day,
            ten_seconds: 14 * day,
            five_minutes: 400 * day,
            max_bytes: 1 << 30,
        }
    }
}

impl Writer {
    /// Removes what is older than it may be at `now`, in milliseconds since the Unix epoch, and what there is no
    /// room for.
    pub(super) fn retain(&mut self, keep: &Retention, now: u64) -> Result<(), FileError> {
        let ages = [keep.raw, keep.ten_seconds, keep.five_minutes];
        let ends = ages.map(|age| {
            let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            // A row goes when its last value may.
            now.saturating_sub(age).saturating_sub(WINDOW)
        });
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a number of bytes"
        )]
        let room = (keep.max_bytes as f64 * SHARE_OF_ROWS) as u64;
        self.change_rows(|rows, catalog| {
            for (tier, end) in tiers().zip(ends) {
                remove(rows, catalog, tier, end)?;
            }
            for tier in tiers() {
                while rows.stored > room {
                    let Some(oldest) = oldest(rows, catalog, tier)? else {
                        break;
                    };
                    remove(rows, catalog, tier, oldest - oldest % WINDOW + WINDOW)?;
                }
            }
            Ok(())
        })
    }
}

fn tiers() -> impl Iterator<Item = u8> {
    [RAW].into_iter().chain(TIERS.map(|tier| tier.number))
}

/// Removes the rows of `tier` that begin before `end`.
fn remove(rows: &mut Rows<'_>, catalog: &Catalog, tier: u8, end: u64) -> Result<(), FileError> {
    for series in catalog.series() {
        rows.remove_columns(tier, series, end)?;
    }
    if tier == RAW {
        for source in catalog.sources() {
            rows.remove_times(source, end)?;
        }
    }
    Ok(())
}

/// When the oldest row of `tier` begins.
fn oldest(rows: &Rows<'_>, catalog: &Catalog, tier: u8) -> Result<Option<u64>, FileError> {
    use redb::ReadableTable as _;
    let mut oldest = None;
    for series in catalog.series() {
        let first = rows
            .columns
            .range((tier, series, 0)..=(tier, series, u64::MAX))?
            .next();
        let start = first.transpose()?.map(|(key, _)| key.value().2);
        oldest = match (oldest, start) {
            (Some(one), Some(other)) => Some(u64::min(one, other)),
            (one, other) => one.or(other),
        };
    }
    Ok(oldest)
}
