//! What a law expects of the sorted shares of its experts.

use statrs::distribution::{ContinuousCDF as _, Normal};
use statrs::function::gamma::gamma_lr;

use crate::load::{Law, power_law, zipf_sorted};

/// Shapes that stand for all experts of a Dirichlet law over Zipf's.
const MOST_SHAPES: usize = 12;

/// Places at which the law of a mixture of gammas is tabled, between which its quantiles are interpolated.
const TABLED: usize = 48;

/// The shares that `law` expects of `experts` experts, largest first; they add up to one.
///
/// The share of rank i is the quantile of the law at `(i − 1/2) / E` from above, over the sum of all (Hazen's
/// plotting positions). The cap of one assignment per token and expert is left out.
///
/// Worked: Zipf with exponent 1 of 3 experts: 6/11, 3/11, 2/11.
///
/// # Panics
/// When there are no experts.
#[must_use]
pub fn sorted_shares(law: Law, experts: usize) -> Vec<f64> {
    assert!(experts > 0, "a law is of some experts");
    let chances = (0..experts).map(|rank| 1.0 - (rank as f64 + 0.5) / experts as f64);
    let mut shares: Vec<f64> = match law {
        Law::Balanced | Law::Uniform => vec![1.0; experts],
        Law::LogNormal { sigma } => {
            let normal = Normal::standard();
            chances
                .map(|chance| (sigma * normal.inverse_cdf(chance)).exp())
                .collect()
        }
        Law::Zipf { exponent } => zipf_sorted(exponent, experts),
        Law::PowerLaw { alpha, span } => chances.map(|chance| power_law(alpha, span, chance)).collect(),
        Law::Dirichlet { concentration } => gamma_quantiles(&[(concentration, 1.0)], experts),
        Law::DirichletZipf {
            exponent,
            concentration,
        } => gamma_quantiles(&shapes(exponent, concentration, experts), experts),
    };
    let sum: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= sum);
    shares
}

/// Shapes of the gamma laws of a Dirichlet law over Zipf's, with their weights: neighbours in rank stand together
/// where there are many.
fn shapes(exponent: f64, concentration: f64, experts: usize) -> Vec<(f64, f64)> {
    let means = zipf_sorted(exponent, experts);
    let scale = concentration * experts as f64 / means.iter().sum::<f64>();
    let num = experts.min(MOST_SHAPES);
    // Ranks are grouped evenly in their logarithm, for the first ones differ most.
    let edge = |at: usize| ((experts as f64 + 1.0).powf(at as f64 / num as f64) - 1.0).round() as usize;
    (0..num)
        .filter_map(|at| {
            let group = means
                .get(edge(at)..edge(at + 1))
                .filter(|group| !group.is_empty())?;
            let mean = group.iter().sum::<f64>() / group.len() as f64;
            Some((scale * mean, group.len() as f64 / experts as f64))
        })
        .collect()
}

/// Quantiles, largest first, of a mixture of gamma laws of scale one, by their shapes and weights.
fn gamma_quantiles(shapes: &[(f64, f64)], experts: usize) -> Vec<f64> {
    let largest = shapes.iter().map(|(shape, _)| *shape).fold(0.0, f64::max);
    let least = shapes
        .iter()
        .map(|(shape, _)| *shape)
        .fold(f64::INFINITY, f64::min);
    let top = largest + 12.0 * largest.sqrt() + 24.0;
    // Below this the least shape has less than half of half an expert: `P(a, x) ≈ x^a / Γ(a + 1)`.
    let bottom = (0.25 / experts as f64)
        .powf(1.0 / least.max(0.02))
        .clamp(1e-12, 0.5)
        * least.min(1.0);
    let below = |x: f64| -> f64 {
        shapes
            .iter()
            .map(|(shape, weight)| weight * gamma_lr(*shape, x))
            .sum()
    };
    let places: Vec<f64> = (0..TABLED)
        .map(|at| bottom * (top / bottom).powf(at as f64 / (TABLED - 1) as f64))
        .collect();
    let chances: Vec<f64> = places.iter().map(|&x| below(x)).collect();
    (0..experts)
        .map(|rank| {
            let chance = 1.0 - (rank as f64 + 0.5) / experts as f64;
            let after = chances
                .partition_point(|&tabled| tabled < chance)
                .clamp(1, TABLED - 1);
            let (low, high) = (chances[after - 1], chances[after]);
            let part = if high > low {
                ((chance - low) / (high - low)).clamp(0.0, 1.0)
            } else {
                0.0
            };
            places[after - 1] * (places[after] / places[after - 1]).powf(part)
        })
        .collect()
}
