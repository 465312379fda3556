//! Fit of [`ContentionLaw`]: one weight for all products, and of each product its time alone.

use std::collections::BTreeMap;

use orrery_units::SimDuration;

use super::{minimise, rounded, summary};
use crate::Fitted;
use crate::contention::ContentionLaw;

/// The heaviest that a kernel can be: one that takes four units for each that it holds is measured wrong.
const HEAVIEST: f64 = 4.0;

/// A product measured beside a kernel, or alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContentionRow {
    /// Which product.
    pub shape: [u64; 3],
    /// Share of the units that the kernel beside it holds; 0 alone.
    pub held: f64,
    /// Measured time.
    pub time: SimDuration,
}

/// The law that the rows agree with best: the weight with the least squares of `ln(predicted / measured)`, where a product's
/// time alone is the one that suits its own rows. None where no product was measured beside two different kernels.
#[must_use]
pub fn contention(rows: &[ContentionRow]) -> Option<(ContentionLaw, Fitted)> {
    let mut products: BTreeMap<[u64; 3], Vec<&ContentionRow>> = BTreeMap::new();
    for row in rows {
        products.entry(row.shape).or_default().push(row);
    }
    products.retain(|_, rows| {
        rows.iter()
            .any(|row| row.held.to_bits() != rows[0].held.to_bits())
    });
    if products.is_empty() {
        return None;
    }
    let errors = |law: &ContentionLaw| -> Vec<f64> {
        let of_product = products.values().flat_map(|rows| {
            let ratio = |row: &ContentionRow| (law.slow_down(row.held) / row.time.as_secs()).ln();
            #[expect(clippy::cast_precision_loss, reason = "a fit has few rows")]
            let alone = rows.iter().map(|row| ratio(row)).sum::<f64>() / rows.len() as f64;
            rows.iter().map(move |row| ratio(row) - alone)
        });
        of_product.collect()
    };
    let with = |weight: f64| ContentionLaw {
        weight: weight.clamp(0.0, HEAVIEST),
    };
    // Beyond the clamp the loss leads back.
    let loss = |at: &[f64]| {
        let law = with(at[0]);
        let beyond = (at[0] - law.weight).powi(2);
        errors(&law).iter().map(|error| error * error).sum::<f64>() + beyond
    };
    let start = ContentionLaw::WHOLE_UNITS.weight;
    let law = with(rounded(minimise(&[start], 200, loss)[0].clamp(0.0, HEAVIEST)));
    Some((law, summary(&errors(&law))))
}

#[cfg(test)]
mod tests {
    use orrery_units::Seed;
    use rand::RngExt as _;

    use super::*;

    const UNITS: f64 = 132.0;

    /// Two products beside 0 to 32 blocks by a law of this weight, with noise of this relative spread.
    fn measured(weight: f64, noise: f64, seed: u64) -> Vec<ContentionRow> {
        let law = ContentionLaw { weight };
        let mut rng = Seed::new(seed).at("noise", &[]).rng();
        let mut rows = Vec::new();
        for (side, alone) in [(4096, 180e-6), (8192, 1.4e-3)] {
            for blocks in [0.0, 8.0, 16.0, 24.0, 32.0] {
                let held = blocks / UNITS;
                // A sum of uniforms: nearly normal.
                let error: f64 = (0..12).map(|_| rng.random_range(-0.5..0.5)).sum();
                let seconds = alone * law.slow_down(held) * (noise * error).exp();
                rows.push(ContentionRow {
                    shape: [side; 3],
                    held,
                    time: SimDuration::from_secs(seconds),
                });
            }
        }
        rows
    }

    /// The slow twin: every weight of a grid, and of each product every time alone of a grid.
    fn twin(rows: &[ContentionRow]) -> f64 {
        let residual = |weight: f64, shape: [u64; 3]| -> f64 {
            let law = ContentionLaw { weight };
            let own: Vec<&ContentionRow> = rows.iter().filter(|row| row.shape == shape).collect();
            let of = |alone: f64| -> f64 {
                let errors = own
                    .iter()
                    .map(|row| (alone * law.slow_down(row.held) / row.time.as_secs()).ln());
                errors.map(|error| error * error).sum()
            };
            let first = own[0].time.as_secs();
            (0..=400)
                .map(|step| of(first * (0.8 + 0.001 * f64::from(step))))
                .fold(f64::MAX, f64::min)
        };
        let loss = |weight: f64| residual(weight, [4096; 3]) + residual(weight, [8192; 3]);
        let grid = (0..=300).map(|step| 0.01 * f64::from(step));
        grid.min_by(|&a, &b| loss(a).total_cmp(&loss(b))).unwrap()
    }

    #[test]
    fn a_law_without_noise_is_found_exactly() {
        for weight in [0.0, 0.4, 1.0, 1.25, 2.5] {
            let (law, fitted) = contention(&measured(weight, 0.0, 1)).unwrap();
            assert!((law.weight - weight).abs() < 2e-3, "{weight}: {law:?}");
            assert!(fitted.mape < 1e-3 && fitted.rows == 10, "{fitted:?}");
        }
    }

    /// Half a percent of noise: each fit is where its twin is, and forty of them lie around the truth.
    #[test]
    fn a_law_with_noise_is_found_and_the_twin_agrees() {
        let mut sum = 0.0;
        for seed in 0..40 {
            let rows = measured(1.3, 0.005, seed);
            let (law, fitted) = contention(&rows).unwrap();
            assert!((law.weight - 1.3).abs() < 0.15, "{seed}: {law:?}");
            assert!(fitted.mape < 0.01, "{fitted:?}");
            if seed < 5 {
                let twin = twin(&rows);
                assert!((law.weight - twin).abs() < 0.03, "{seed}: {law:?}, twin {twin}");
            }
            sum += law.weight;
        }
        assert!((sum / 40.0 - 1.3).abs() < 0.02, "{}", sum / 40.0);
    }

    #[test]
    fn what_was_measured_alone_tells_nothing() {
        let rows = measured(1.0, 0.0, 1);
        assert_eq!(contention(&[]), None);
        assert_eq!(contention(&rows[..1]), None);
        // A product that is faster beside others is noise, and no law.
        let mut faster = measured(0.0, 0.0, 1);
        for row in &mut faster {
            row.time = SimDuration::from_secs(row.time.as_secs() * (1.0 - 0.1 * row.held));
        }
        let (law, _) = contention(&faster).unwrap();
        assert!(law.weight < 1e-6, "{law:?}");
    }
}
