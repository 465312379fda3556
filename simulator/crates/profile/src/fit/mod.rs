//! Measurements into curves: pure functions, deterministic, robust against a few bad rows.

mod attention;
mod contention;
mod kriging;
mod levenberg;
mod library;
mod simplex;
mod tiled;
mod transfer;

pub use attention::{AttentionRow, attention};
pub use contention::{ContentionRow, contention};
pub use kriging::{Component, Kriging};
pub use levenberg::{Prior, least_squares};
pub use library::{LibraryFit, LibraryRow};
pub use simplex::minimise;
pub use tiled::{GemmRow, GroupedRow, grouped, sustained, tiled};
pub use transfer::{TransferRow, transfer};

use crate::Fitted;

/// Loss of one row: like a square near zero, like an absolute value beyond 5 %.
fn robust(log_error: f64) -> f64 {
    let scaled = log_error / 0.05;
    scaled.mul_add(scaled, 1.0).sqrt() - 1.0
}

/// Value rounded to four significant digits: more would claim what no fit can know, and fewer characters
/// make files that people can compare.
#[must_use]
pub fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

/// The spread that a curve of fewer than three rows is given: its residuals say nothing (assumption, the size of
/// curves with many rows).
const UNKNOWN_SPREAD: f64 = 0.1;

/// Summary of residuals `ln(predicted / measured)`.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a fit has fewer than 2^32 rows"
)]
pub fn summary(log_errors: &[f64]) -> Fitted {
    let count = log_errors.len().max(1) as f64;
    let mape = log_errors.iter().map(|e| e.exp_m1().abs()).sum::<f64>() / count;
    let mean = log_errors.iter().sum::<f64>() / count;
    let variance = log_errors.iter().map(|e| (e - mean) * (e - mean)).sum::<f64>() / count;
    Fitted {
        rows: log_errors.len() as u32,
        mape: rounded(mape),
        spread: if log_errors.len() < 3 {
            UNKNOWN_SPREAD
        } else {
            rounded((variance + mean * mean).sqrt())
        },
    }
}
