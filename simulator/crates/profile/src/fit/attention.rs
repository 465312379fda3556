//! Fit of [`AttentionLaw`]: efficiency and the length at which half of it is reached.

use orrery_operation::Attention;
use orrery_units::SimDuration;

use super::{minimise, robust, rounded, summary};
use crate::{AttentionLaw, Fitted};

/// A measured attention core.
#[derive(Clone, Copy, Debug)]
pub struct AttentionRow {
    /// Shape.
    pub shape: Attention,
    /// Whether backward was measured.
    pub backward: bool,
    /// Measured time.
    pub time: SimDuration,
}

/// Fits a law to measured cores, starting from `start`; all but efficiency and half length are kept.
#[must_use]
pub fn attention(start: &AttentionLaw, rows: &[AttentionRow]) -> (AttentionLaw, Fitted) {
    let with = |logs: &[f64]| AttentionLaw {
        efficiency: rounded(logs[0].exp().clamp(0.02, 1.0)),
        half_length: rounded(logs[1].exp().clamp(1.0, 20_000.0)),
        ..*start
    };
    let errors = |law: &AttentionLaw| -> Vec<f64> {
        rows.iter()
            .map(|row| {
                let roof = if row.backward {
                    law.backward(&row.shape)
                } else {
                    law.forward(&row.shape)
                };
                (roof.seconds() / row.time.as_secs()).ln()
            })
            .collect()
    };
    let begin = [start.efficiency.ln(), start.half_length.ln()];
    let loss = |logs: &[f64]| -> f64 {
        let shift = logs[1] - begin[1];
        let rows: f64 = errors(&with(logs)).into_iter().map(robust).sum();
        (shift * shift).mul_add(0.01, rows)
    };
    let law = with(&minimise(&begin, 400, loss));
    let fitted = summary(&errors(&law));
    (law, fitted)
}
