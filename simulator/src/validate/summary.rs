//! Errors of many rows in a few numbers.

use std::collections::BTreeMap;

use super::{Compared, Row};

/// Summary of a set of rows; shares are fractions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Rows that were compared.
    pub n: usize,
    /// Compared over all.
    pub coverage: f64,
    /// Mean of the absolute errors.
    pub mape: f64,
    /// Median of them.
    pub median: f64,
    /// Nine tenths are below.
    pub p90: f64,
    /// Mean of the errors.
    pub bias: f64,
    /// Share of measurements inside the 80 % interval.
    pub interval_coverage: f64,
}

/// The summary of `rows`.
///
/// Worked: errors of −10 %, 0 and 20 %: mean absolute error 10 %, median 10 %, bias 3.3 %.
#[must_use]
pub fn summary<'a>(rows: impl Iterator<Item = &'a Row>) -> Summary {
    let mut all = 0_usize;
    let compared: Vec<Compared> = rows
        .inspect(|_| all += 1)
        .filter_map(|row| row.result.as_ref().ok().copied())
        .collect();
    let n = compared.len();
    if n == 0 {
        return Summary::default();
    }
    let errors: Vec<f64> = compared.iter().map(Compared::error).collect();
    let mut sizes: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let inside = compared
        .iter()
        .filter(|row| (row.low..=row.high).contains(&row.measured))
        .count();
    Summary {
        n,
        coverage: share(n, all),
        mape: sizes.iter().sum::<f64>() * share(1, n),
        median: sizes[n / 2],
        p90: sizes[(n * 9 / 10).min(n - 1)],
        bias: errors.iter().sum::<f64>() * share(1, n),
        interval_coverage: share(inside, n),
    }
}

/// The summary of the largest bandwidth of each sweep: a row a sweep.
///
/// Sizes are taken from the rows' `bytes`; rows without are none of a sweep. Worked: 1 MB in 10 us and 4 MB in 20 us are
/// 200 GB/s at most; predicted in 8 and 25 us, 160: a time of 1.25, an error of 25 %.
#[must_use]
pub fn peaks<'a>(rows: impl Iterator<Item = &'a Row>) -> Summary {
    let mut sweeps: BTreeMap<&str, Compared> = BTreeMap::new();
    for row in rows {
        let (Ok(compared), Some((sweep, _))) = (&row.result, row.id.rsplit_once('/')) else {
            continue;
        };
        let bytes = row.facts.iter().find(|(name, _)| *name == "bytes");
        let Some(bytes) = bytes.and_then(|(_, bytes)| bytes.parse::<f64>().ok()) else {
            continue;
        };
        // Of each the least time for a byte, which is what a large size comes down to.
        let least = sweeps.entry(sweep).or_insert(Compared {
            measured: f64::INFINITY,
            predicted: f64::INFINITY,
            low: f64::INFINITY,
            high: f64::INFINITY,
            evidence: compared.evidence,
        });
        least.measured = least.measured.min(compared.measured / bytes);
        least.predicted = least.predicted.min(compared.predicted / bytes);
        least.low = least.low.min(compared.low / bytes);
        least.high = least.high.min(compared.high / bytes);
    }
    let rows: Vec<Row> = sweeps
        .into_iter()
        .map(|(sweep, compared)| Row {
            id: sweep.to_owned(),
            facts: Vec::new(),
            groups: Vec::new(),
            result: Ok(compared),
        })
        .collect();
    summary(rows.iter())
}

/// The middle of `values`, or the mean of the two in the middle; 0 of none.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n => f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2]),
    }
}

/// The mean of `values`; 0 of none.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() * share(1, values.len())
}

#[expect(clippy::cast_precision_loss, reason = "tables have fewer than 2^52 rows")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}
