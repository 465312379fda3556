//! The tables of the trace.

use std::collections::BTreeMap;

use super::super::table::Table;
use super::{HIDDEN, PAIR};

type Cells = BTreeMap<String, String>;

fn number(row: &Cells, column: &str) -> Option<f64> {
    row.get(column)?.parse().ok()
}

/// The mean duration of each phase on its device, from its first kernel to its last over all its streams, and of the whole
/// pair, in seconds; none when the table is another.
pub(super) fn phases(table: &Table) -> Option<Vec<(String, f64)>> {
    if !table.has(&["idx", "phase", "gpu_start_us", "gpu_end_us"]) {
        return None;
    }
    let mut spans: BTreeMap<(&str, &str), [f64; 2]> = BTreeMap::new();
    let mut whole = [f64::INFINITY, f64::NEG_INFINITY];
    for row in &table.rows {
        let (start, end) = (number(row, "gpu_start_us")?, number(row, "gpu_end_us")?);
        let key = (row.get("phase")?.as_str(), row.get("idx")?.as_str());
        for span in [
            &mut whole,
            spans.entry(key).or_insert([f64::INFINITY, f64::NEG_INFINITY]),
        ] {
            *span = [span[0].min(start), span[1].max(end)];
        }
    }
    let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for ((phase, _), [start, end]) in spans {
        let sum = sums.entry(phase).or_default();
        *sum = (sum.0 + (end - start) * 1e-6, sum.1 + 1.0);
    }
    let means = sums
        .iter()
        .map(|(phase, (sum, count))| ((*phase).to_owned(), sum / count));
    let pair = (PAIR.to_owned(), (whole[1] - whole[0]) * 1e-6);
    Some(means.chain([pair]).collect())
}

/// The share of the time of kernels that dispatch and combine which compute covers; none when the table is another.
pub(super) fn hidden(table: &Table) -> Option<Vec<(String, f64)>> {
    if !table.has(&["phase", "kernel", "sum_us", "overlap_frac"]) {
        return None;
    }
    let (mut covered, mut all) = (0.0, 0.0);
    for row in &table.rows {
        let kernel = row.get("kernel")?;
        // Notifications wait for peers and move no tokens.
        if kernel.starts_with("ep.internode.dispatch") || kernel.starts_with("ep.internode.combine") {
            let sum = number(row, "sum_us")?;
            all += sum;
            covered += sum * number(row, "overlap_frac")?;
        }
    }
    (all > 0.0).then(|| vec![(HIDDEN.to_owned(), covered / all)])
}
