//! Standard normal numbers in single precision, many at once.
//!
//! One draw of a layer needs one number per expert, and a scenario hundreds of millions of them. Box and Muller's
//! transform has no branch and no table, so the compiler makes vectors of it; with polynomials good to single
//! precision it costs about half of a ziggurat on the same generator.

use orrery_units::Key;
use rand::Rng as _;

/// Words drawn at once: enough for a layer of experts, and they stay in the nearest cache.
const BLOCK: usize = 512;

/// Fills `into` with independent standard normal numbers of the generator at `key`.
///
/// `z = sqrt(−2 ln u) (cos 2πv, sin 2πv)` (Box, Muller 1958), `u` of 24 bits in `(0, 1]`, so that no number is
/// beyond 5.77.
#[inline(always)]
pub(crate) fn fill(key: Key, into: &mut [f32]) {
    let mut rng = key.rng();
    let mut bytes = [0; 4 * BLOCK];
    let mut words = [0; BLOCK];
    for part in into.chunks_mut(BLOCK) {
        let pairs = part.len().div_ceil(2);
        rng.fill_bytes(&mut bytes[..8 * pairs]);
        for (word, bytes) in words[..2 * pairs].iter_mut().zip(bytes.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        let (radii, angles) = words[..2 * pairs].split_at(pairs);
        let (cosines, sines) = part.split_at_mut(pairs);
        // Four slices of one length: without another check the loop below is one of vectors.
        let both = sines.len();
        let paired = cosines[..both].iter_mut().zip(sines);
        for ((&radius, &angle), (cosine, sine)) in radii[..both].iter().zip(&angles[..both]).zip(paired) {
            (*cosine, *sine) = pair(radius, angle);
        }
        // An odd part has one sine less than cosines.
        for at in both..pairs {
            cosines[at] = pair(radii[at], angles[at]).0;
        }
    }
}

/// Two normal numbers of two words of random bits.
#[inline(always)]
fn pair(radius: u32, angle: u32) -> (f32, f32) {
    const STEP: f32 = 1.0 / 16_777_216.0;
    // Signed: the conversion of signed words is one instruction.
    let uniform = ((radius >> 8) + 1).cast_signed() as f32 * STEP;
    let radius = (-2.0 * ln(uniform)).sqrt();
    let turn = (angle.cast_signed() >> 8) as f32 * STEP;
    let (sine, cosine) = sine_and_cosine(turn);
    (radius * cosine, radius * sine)
}

/// The natural logarithm of a positive normal number: the exponent apart, and the mantissa between `sqrt(1/2)` and
/// `sqrt(2)` by the polynomial of Cephes' `logf` (Moshier). Worked: `ln 0.5` is −0.6931472.
#[inline(always)]
fn ln(number: f32) -> f32 {
    const ROOT_OF_HALF: i32 = 0x3f35_04f3;
    let bits = number.to_bits().cast_signed();
    let exponent = (bits - ROOT_OF_HALF) >> 23;
    let x = f32::from_bits((bits - (exponent << 23)).cast_unsigned()) - 1.0;
    let square = x * x;
    let mut tail = 7.037_683_6e-2;
    for term in [
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ] {
        tail = tail * x + term;
    }
    tail * x * square - 0.5 * square + x + exponent as f32 * std::f32::consts::LN_2
}

/// Sine and cosine of `2π turn`, `turn` within one half: Taylor's series of a quarter of the angle, doubled twice.
/// Worked: an eighth of a turn gives 0.7071068 twice.
#[inline(always)]
fn sine_and_cosine(turn: f32) -> (f32, f32) {
    let x = turn * (std::f32::consts::TAU / 4.0);
    let z = x * x;
    let sine =
        x * (1.0 + z * (-1.666_666_7e-1 + z * (8.333_333e-3 + z * -1.984_127e-4 + z * z * 2.755_732e-6)));
    let cosine = 1.0 + z * (-0.5 + z * (4.166_666_6e-2 + z * (-1.388_888_9e-3 + z * 2.480_158_7e-5)));
    let (sine, cosine) = (2.0 * sine * cosine, cosine * cosine - sine * sine);
    (2.0 * sine * cosine, cosine * cosine - sine * sine)
}

#[cfg(test)]
mod tests {
    use orrery_units::Seed;
    use rand_distr::{Distribution as _, StandardNormal};

    use super::*;

    #[test]
    fn polynomials_are_good_to_single_precision() {
        assert!((ln(0.5) + std::f32::consts::LN_2).abs() < 1e-7);
        for step in 1..=100_000_u32 {
            let x = step as f32 / 100_000.0;
            assert!((f64::from(ln(x)) - f64::from(x).ln()).abs() < 2e-6, "ln {x}");
            let turn = x - 0.5;
            let (sine, cosine) = sine_and_cosine(turn);
            let angle = std::f64::consts::TAU * f64::from(turn);
            assert!((f64::from(sine) - angle.sin()).abs() < 3e-6, "sin {turn}");
            assert!((f64::from(cosine) - angle.cos()).abs() < 3e-6, "cos {turn}");
        }
    }

    /// Kolmogorov and Smirnov's distance to as many numbers of the ziggurat: below the 1 % point,
    /// `1.63 sqrt(2 / n)`.
    #[test]
    fn they_have_the_law_of_the_ziggurat() {
        let num = 60_000;
        let mut ours = vec![0.0; num];
        fill(Seed::new(1).at("ours", &[]), &mut ours);
        let mut rng = Seed::new(1).at("twin", &[]).rng();
        let mut theirs: Vec<f32> = (0..num).map(|_| StandardNormal.sample(&mut rng)).collect();
        ours.sort_by(f32::total_cmp);
        theirs.sort_by(f32::total_cmp);
        let below = |sorted: &[f32], x: f32| sorted.partition_point(|&y| y <= x) as f64 / num as f64;
        let distance = ours
            .iter()
            .map(|&x| (below(&ours, x) - below(&theirs, x)).abs())
            .fold(0.0, f64::max);
        assert!(distance < 1.63 * (2.0 / num as f64).sqrt(), "{distance}");
    }

    #[test]
    fn every_length_is_filled() {
        for len in [0, 1, 2, 3, 255, 512, 513, 1030] {
            let mut numbers = vec![f32::NAN; len];
            fill(Seed::new(2).at("fill", &[len as u64]), &mut numbers);
            assert!(numbers.iter().all(|z| z.abs() < 5.8), "{len}");
        }
    }
}
