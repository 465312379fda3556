//! How popular each expert of a layer is: drawn once per layer from the law, so that it persists over steps.

use orrery_scenario::plan::Law;
use orrery_units::Key;
use rand::RngExt as _;
use rand_distr::{Distribution as _, Gamma};

/// Shares of the assignments that each expert attracts; they add up to one, none above `1 / top_k`.
///
/// A token goes to `top_k` different experts, so no expert can attract more than one assignment of each
/// token: what the law gives beyond that is spread over the other experts in proportion.
///
/// [`Law::Balanced`] and [`Law::Uniform`] give equal shares. Worked: 256 experts give 1/256 each.
pub(super) fn shares(law: Law, experts: usize, top_k: u64, key: Key) -> Vec<f64> {
    let mut shares = match law {
        Law::Balanced | Law::Uniform => vec![1.0; experts],
        Law::LogNormal { sigma } => {
            let draw = |expert: usize| (sigma * key.with(expert as u64).normal()).exp();
            (0..experts).map(draw).collect()
        }
        Law::Zipf { exponent } => zipf(exponent, experts, key),
        Law::Dirichlet { concentration } => dirichlet(concentration, experts, key),
    };
    let sum: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= sum);
    limit(&mut shares, top_k);
    shares
}

/// `rank^-exponent`, the ranks shuffled (Fisher–Yates).
#[expect(clippy::cast_precision_loss, reason = "a model has fewer than 2^53 experts")]
fn zipf(exponent: f64, experts: usize, key: Key) -> Vec<f64> {
    let mut shares: Vec<f64> = (1..=experts).map(|rank| (rank as f64).powf(-exponent)).collect();
    let mut rng = key.rng();
    for last in (1..experts).rev() {
        shares.swap(last, rng.random_range(0..=last));
    }
    shares
}

/// A symmetric Dirichlet law, as normalised gamma draws.
fn dirichlet(concentration: f64, experts: usize, key: Key) -> Vec<f64> {
    let gamma = Gamma::new(concentration, 1.0).expect("a validated concentration is positive");
    let mut rng = key.rng();
    // A draw can underflow to nothing when the concentration is tiny.
    (0..experts)
        .map(|_| gamma.sample(&mut rng).max(f64::MIN_POSITIVE))
        .collect()
}

/// Caps every share at `1 / top_k` and spreads the excess over the others in proportion, until none is above.
#[expect(clippy::cast_precision_loss, reason = "top-k is small")]
fn limit(shares: &mut [f64], top_k: u64) {
    let cap = 1.0 / top_k as f64;
    // Every pass caps at least one more expert, or is the last.
    for _ in 0..shares.len() {
        if shares.iter().all(|&share| share <= cap * (1.0 + 1e-12)) {
            return;
        }
        let capped = shares.iter().filter(|&&share| share >= cap).count() as f64 * cap;
        let free: f64 = shares.iter().filter(|&&share| share < cap).sum();
        let factor = if free > 0.0 { (1.0 - capped) / free } else { 1.0 };
        for share in shares.iter_mut() {
            *share = if *share >= cap { cap } else { *share * factor };
        }
    }
}

#[cfg(test)]
mod tests {
    use orrery_units::Seed;

    use super::*;

    const LAWS: [Law; 5] = [
        Law::Balanced,
        Law::Uniform,
        Law::LogNormal { sigma: 0.8 },
        Law::Zipf { exponent: 1.2 },
        Law::Dirichlet { concentration: 0.3 },
    ];

    #[test]
    fn shares_add_up_and_respect_top_k() {
        for law in LAWS {
            for (experts, top_k) in [(256, 8), (8, 2), (8, 8), (64, 1)] {
                let shares = shares(law, experts, top_k, Seed::new(3).at("popularity", &[1]));
                assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{law:?}");
                let most = shares.iter().copied().fold(0.0, f64::max);
                assert!(
                    most <= (1.0 + 1e-9) / f64::from(u32::try_from(top_k).unwrap()),
                    "{law:?} {most}"
                );
            }
        }
    }

    #[test]
    fn equal_laws_are_equal_and_skewed_laws_are_skewed() {
        let key = Seed::new(3).at("popularity", &[1]);
        assert!(
            shares(Law::Uniform, 256, 8, key)
                .iter()
                .all(|share| (share - 1.0 / 256.0).abs() < 1e-15)
        );
        // The most popular of 256 experts under Zipf 1: 1 / H(256) = 0.163, capped at 1/8.
        let zipf = shares(Law::Zipf { exponent: 1.0 }, 256, 8, key);
        assert!((zipf.iter().copied().fold(0.0, f64::max) - 0.125).abs() < 1e-12);
        let other = shares(
            Law::Zipf { exponent: 1.0 },
            256,
            8,
            Seed::new(3).at("popularity", &[2]),
        );
        assert_ne!(zipf, other, "layers are shuffled apart");
    }
}
