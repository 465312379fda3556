//! Fit of [`TransferLaw`]: latency, fill, fill size and peak of a sweep.

use orrery_units::{Bytes, BytesPerSec, SimDuration};

use super::{minimise, robust, rounded, summary};
use crate::{Fitted, TransferLaw};

/// One size of a sweep.
#[derive(Clone, Copy, Debug)]
pub struct TransferRow {
    /// Size as nccl-tests counts it.
    pub bytes: Bytes,
    /// Measured time.
    pub time: SimDuration,
}

fn law_of(logs: &[f64]) -> TransferLaw {
    TransferLaw {
        latency_picos: SimDuration::from_secs(rounded(logs[0].exp().clamp(1e-7, 1e-1))),
        fill_picos: SimDuration::from_secs(rounded(logs[1].exp().clamp(1e-8, 1e-1))),
        fill_bytes: Bytes::from_f64(rounded(logs[2].exp().clamp(1e4, 1e9))),
        bandwidth: BytesPerSec::new(rounded(logs[3].exp().clamp(1e8, 1e13))),
    }
}

/// Fits the four parameters to a sweep; none when it has fewer than four sizes.
///
/// The start is read off the sweep: latency from its smallest size, peak from its largest.
#[must_use]
pub fn transfer(rows: &[TransferRow]) -> Option<(TransferLaw, Fitted)> {
    if rows.len() < 4 {
        return None;
    }
    let seconds = |row: &TransferRow| row.time.as_secs();
    let smallest = rows.iter().min_by_key(|row| row.bytes)?;
    let largest = rows.iter().max_by_key(|row| row.bytes)?;
    let begin = [
        seconds(smallest).ln(),
        (seconds(smallest) * 2.0).ln(),
        (2e6_f64).ln(),
        (largest.bytes.as_f64() / seconds(largest)).ln(),
    ];
    let errors = |law: &TransferLaw| -> Vec<f64> {
        rows.iter()
            .map(|row| {
                let time = law.latency_picos.as_secs() + law.moving_seconds(row.bytes.as_f64());
                (time / seconds(row)).ln()
            })
            .collect()
    };
    // No law extrapolates from small sizes to large ones: the peak is the measured peak, so the last factor of eight
    // in size counts more.
    let weights: Vec<f64> = rows
        .iter()
        .map(|row| {
            if row.bytes.get() >= largest.bytes.get() / 8 {
                4.0
            } else {
                1.0
            }
        })
        .collect();
    let loss = |logs: &[f64]| -> f64 {
        let errors = errors(&law_of(logs));
        errors
            .into_iter()
            .zip(&weights)
            .map(|(error, weight)| robust(error) * weight)
            .sum()
    };
    let law = law_of(&minimise(&begin, 1500, loss));
    let fitted = summary(&errors(&law));
    Some((law, fitted))
}
