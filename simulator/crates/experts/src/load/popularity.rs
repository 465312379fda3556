//! How popular each expert of a layer is: drawn once per layer from the law, so that it persists over steps.

use orrery_units::Key;
use rand::{Rng, RngExt as _};
use rand_distr::{Distribution as _, Gamma};

/// A law of expert popularity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Law {
    /// Every expert equally, to the token: what benchmarks call forced balance.
    Balanced,
    /// Every expert equally likely, drawn.
    Uniform,
    /// Log-normal popularity with this sigma of the logarithm.
    LogNormal {
        /// Standard deviation of the logarithm of popularity.
        sigma: f64,
    },
    /// Popularity of rank r proportional to `r^-exponent`, shuffled per layer.
    Zipf {
        /// The exponent.
        exponent: f64,
    },
    /// Popularity drawn with a density that falls as `x^-alpha`, the largest possible `span` times the least.
    PowerLaw {
        /// The exponent of the density.
        alpha: f64,
        /// The largest popularity that can be drawn over the least.
        span: f64,
    },
    /// Symmetric Dirichlet popularity.
    Dirichlet {
        /// Concentration per expert.
        concentration: f64,
    },
    /// Dirichlet popularity about Zipf's: a hierarchy of experts that each model draws its own variant of.
    DirichletZipf {
        /// The exponent of the means.
        exponent: f64,
        /// Concentration per expert, on average over the experts.
        concentration: f64,
    },
}

/// Shares of the assignments that each expert attracts; they add up to one, none above `1 / top_k`.
///
/// A token goes to `top_k` different experts, so no expert can attract more than one assignment of each
/// token: what the law gives beyond that is spread over the other experts in proportion.
///
/// [`Law::Balanced`] and [`Law::Uniform`] give equal shares. Worked: 256 experts give 1/256 each.
#[must_use]
pub fn shares(law: Law, experts: usize, top_k: u64, key: Key) -> Vec<f64> {
    let mut shares = match law {
        Law::Balanced | Law::Uniform => vec![1.0; experts],
        Law::LogNormal { sigma } => {
            let draw = |expert: usize| (sigma * key.with(expert as u64).normal()).exp();
            (0..experts).map(draw).collect()
        }
        Law::Zipf { exponent } => zipf(exponent, experts, key),
        Law::PowerLaw { alpha, span } => (0..experts)
            .map(|expert| power_law(alpha, span, key.with(expert as u64).uniform()))
            .collect(),
        Law::Dirichlet { concentration } => dirichlet(concentration, experts, key),
        Law::DirichletZipf {
            exponent,
            concentration,
        } => dirichlet_zipf(exponent, concentration, experts, key),
    };
    let sum: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= sum);
    cap(&mut shares, 1.0 / top_k as f64);
    shares
}

/// `rank^-exponent`, the ranks shuffled.
fn zipf(exponent: f64, experts: usize, key: Key) -> Vec<f64> {
    let mut shares = zipf_sorted(exponent, experts);
    shuffle(&mut shares, &mut key.rng());
    shares
}

/// `rank^-exponent` of ranks from one, not normalised. Worked: exponent 1 gives 1, 1/2, 1/3, …
#[must_use]
pub fn zipf_sorted(exponent: f64, experts: usize) -> Vec<f64> {
    (1..=experts).map(|rank| (rank as f64).powf(-exponent)).collect()
}

/// Fisher–Yates.
fn shuffle(shares: &mut [f64], rng: &mut impl Rng) {
    for last in (1..shares.len()).rev() {
        shares.swap(last, rng.random_range(0..=last));
    }
}

/// The `chance` quantile of the density `x^-alpha` between 1 and `span`, by inversion:
/// `[1 + chance (span^(1−alpha) − 1)]^(1 / (1−alpha))`, and `span^chance` at alpha 1.
///
/// It is the generator behind the imbalance labels of aiconfigurator (`collector/helper.py`), without their
/// redistribution of overflow. Worked: alpha 2, span 4: the median is 1.6.
#[must_use]
pub fn power_law(alpha: f64, span: f64, chance: f64) -> f64 {
    let power = 1.0 - alpha;
    if power.abs() < 1e-9 {
        return span.powf(chance);
    }
    (1.0 + chance * (span.powf(power) - 1.0)).powf(power.recip())
}

/// Loads of which none is above `most`, with the same sum: what is over goes to the others in proportion, as a token that
/// takes an expert once takes another one instead.
///
/// Worked: 6, 1 and 1 with at most 4: the 2 that are over double the other two, to 4, 2 and 2.
pub fn cap(loads: &mut [f64], most: f64) {
    // Every pass fills at least one more, or is the last.
    for _ in 0..loads.len() {
        let over: f64 = loads.iter().map(|load| (load - most).max(0.0)).sum();
        if over <= most * 1e-12 {
            return;
        }
        let room: f64 = loads.iter().filter(|load| **load < most).sum();
        let factor = if room > 0.0 { 1.0 + over / room } else { 1.0 };
        for load in loads.iter_mut() {
            *load = if *load < most { *load * factor } else { most };
        }
    }
}

/// A symmetric Dirichlet law, as normalised gamma draws.
fn dirichlet(concentration: f64, experts: usize, key: Key) -> Vec<f64> {
    let mut rng = key.rng();
    (0..experts).map(|_| gamma(concentration, &mut rng)).collect()
}

/// A Dirichlet law whose means are Zipf's, as gamma draws of those shapes, shuffled.
fn dirichlet_zipf(exponent: f64, concentration: f64, experts: usize, key: Key) -> Vec<f64> {
    let mut rng = key.rng();
    let means = zipf_sorted(exponent, experts);
    let scale = concentration * experts as f64 / means.iter().sum::<f64>();
    let mut shares: Vec<f64> = means.iter().map(|mean| gamma(scale * mean, &mut rng)).collect();
    shuffle(&mut shares, &mut rng);
    shares
}

/// A gamma draw of scale one. It can underflow to nothing when the shape is tiny, which no share may be.
fn gamma(shape: f64, rng: &mut impl Rng) -> f64 {
    let law = Gamma::new(shape, 1.0).expect("a validated concentration is positive");
    law.sample(rng).max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use orrery_units::Seed;

    use super::*;

    const LAWS: [Law; 7] = [
        Law::Balanced,
        Law::Uniform,
        Law::LogNormal { sigma: 0.8 },
        Law::Zipf { exponent: 1.2 },
        Law::Dirichlet { concentration: 0.3 },
        Law::PowerLaw {
            alpha: 1.2,
            span: 100.0,
        },
        Law::DirichletZipf {
            exponent: 0.8,
            concentration: 2.0,
        },
    ];

    #[test]
    fn what_is_over_goes_to_the_others() {
        let mut loads = [6.0, 1.0, 1.0];
        cap(&mut loads, 4.0);
        assert!(
            loads
                .iter()
                .zip([4.0, 2.0, 2.0])
                .all(|(a, b)| (a - b).abs() < 1e-12),
            "{loads:?}"
        );
        let law = |chance| power_law(1.0, 16.0, chance);
        assert!(
            (law(0.5) - 4.0).abs() < 1e-12,
            "at an exponent of one the median is the root of the span"
        );
    }

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

    #[test]
    fn a_power_law_has_the_quantiles_of_its_density() {
        assert!((power_law(2.0, 4.0, 0.5) - 1.6).abs() < 1e-12);
        assert!((power_law(1.0, 100.0, 0.5) - 10.0).abs() < 1e-12);
        // Continuous at alpha one, and its ends are 1 and the span.
        assert!((power_law(1.0 + 1e-6, 100.0, 0.5) - 10.0).abs() < 1e-3);
        assert!((power_law(1.2, 100.0, 1.0) - 100.0).abs() < 1e-9);
    }

    /// The larger the concentration, the closer to Zipf's own shares, whose largest of 64 at 1 is 0.211.
    #[test]
    fn dirichlet_over_zipf_tends_to_zipf() {
        let most = |concentration: f64| {
            let law = Law::DirichletZipf {
                exponent: 1.0,
                concentration,
            };
            let drawn = shares(law, 64, 1, Seed::new(4).at("popularity", &[1]));
            drawn.iter().copied().fold(0.0, f64::max)
        };
        assert!((most(1e6) - 0.2108).abs() < 1e-3, "{}", most(1e6));
    }
}
