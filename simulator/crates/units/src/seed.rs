//! Random numbers that are keyed, not consumed: the same key gives the same numbers in any order.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use serde::{Deserialize, Serialize};

/// The seed of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(u64);

/// A place in the space of random numbers, made of a name and coordinates.
///
/// Adding a consumer never shifts the numbers of another: nothing is drawn in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key([u64; 2]);

impl Seed {
    /// The seed `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The number of this seed.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The key named `name` at `coordinates`, such as `seed.at("routing", &[layer, step, microbatch])`.
    #[must_use]
    pub fn at(self, name: &str, coordinates: &[u64]) -> Key {
        let mut key = Key([mix(self.0), mix(self.0 ^ 0x9e37_79b9_7f4a_7c15)]);
        for byte in name.bytes() {
            key = key.with(u64::from(byte));
        }
        // The length separates a name from its coordinates: ("a", [98]) is not ("ab", []).
        key = key.with(u64::MAX - name.len() as u64);
        for &coordinate in coordinates {
            key = key.with(coordinate);
        }
        key
    }
}

impl Key {
    /// This key with one more coordinate.
    #[must_use]
    #[inline]
    pub fn with(self, coordinate: u64) -> Self {
        let [low, high] = self.0;
        let low = mix(low ^ coordinate);
        let high = mix(high.rotate_left(23) ^ low ^ coordinate.wrapping_mul(0xd6e8_feb8_6659_fd93));
        Self([low, high])
    }

    /// The generator at this key: ChaCha8, named because `StdRng` may change between releases.
    #[must_use]
    pub fn rng(self) -> ChaCha8Rng {
        let [low, high] = self.0;
        let mut seed = [0; 32];
        for (word, chunk) in [low, high, mix(low ^ high), mix(high)]
            .into_iter()
            .zip(seed.chunks_exact_mut(8))
        {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        ChaCha8Rng::from_seed(seed)
    }

    /// One number in `[0, 1)` at this key, without a generator.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a float exactly")]
    #[inline]
    pub fn uniform(self) -> f64 {
        (mix(self.0[0] ^ self.0[1].rotate_left(32)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One draw of the standard normal law at this key (Box–Muller on two derived uniforms).
    #[must_use]
    pub fn normal(self) -> f64 {
        let radius = (-2.0 * (1.0 - self.with(1).uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.with(2).uniform()).cos()
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
#[inline]
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_gives_the_same_numbers() {
        let seed = Seed::new(7);
        assert_eq!(seed.at("routing", &[1, 2]), seed.at("routing", &[1, 2]));
        assert_ne!(seed.at("routing", &[1, 2]), seed.at("routing", &[2, 1]));
        assert_ne!(seed.at("routing", &[1]), Seed::new(8).at("routing", &[1]));
        assert_ne!(seed.at("a", &[98]), seed.at("ab", &[]));
    }

    #[test]
    fn normal_draws_have_mean_zero_and_variance_one() {
        let draws: Vec<f64> = (0..20_000)
            .map(|i| Seed::new(1).at("test", &[i]).normal())
            .collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.05, "variance {variance}");
    }
}
