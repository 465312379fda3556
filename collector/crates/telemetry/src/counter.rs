//! How far a counter went between two readings, across wraps and resets.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How many bits a counter has before it begins again at zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CounterWidth {
    /// It wraps at 2³².
    #[serde(rename = "32")]
    Bits32,
    /// It wraps at 2⁶⁴, which no byte and no nanosecond of this world reaches.
    #[serde(rename = "64")]
    Bits64,
}

/// Why two readings of a counter do not tell how far it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CounterError {
    /// It began again.
    #[error("the counter went back: the driver or the device was reset")]
    Reset,
    /// It may have wrapped more than once.
    #[error("the counter wraps faster than it is read; a shorter `--interval` helps")]
    TooSlow,
}

impl CounterWidth {
    /// The number at which it begins again.
    const fn modulus(self) -> u128 {
        match self {
            Self::Bits32 => 1 << 32,
            Self::Bits64 => 1 << 64,
        }
    }
}

/// How far a counter of `width` went from `earlier` to `later`: `(later − earlier) mod 2^width`.
///
/// `most` is what it can have counted in the time between, if that is known; the answer is never above it. A
/// counter that went back wrapped if that explains it: within `most`, or, where that is not known, within half of
/// its range; else it was reset, and nobody knows what it counted before. A counter that can go around more than
/// once between two readings tells nothing.
///
/// Ignores a reset after which the counter passed `earlier` again, and, without `most`, takes a reset of a 32-bit
/// counter from its upper half to its start for a wrap. Worked number: 32 bits, from 4 294 967 000 to 704 are 1000.
///
/// # Errors
/// When the counter was reset, or is read too seldom.
pub fn advance(
    earlier: u64,
    later: u64,
    width: CounterWidth,
    most: Option<u64>,
) -> Result<u64, CounterError> {
    let modulus = width.modulus();
    if most.is_some_and(|most| u128::from(most) >= modulus) {
        return Err(CounterError::TooSlow);
    }
    if u128::from(earlier.max(later)) >= modulus {
        // Not of this width: whoever said so was wrong, and a number would be made up.
        return Err(CounterError::Reset);
    }
    let went = (modulus + u128::from(later) - u128::from(earlier)) % modulus;
    let went = u64::try_from(went).expect("what is left by 2^64 at most fits 64 bits");
    let believable = most.unwrap_or(match width {
        CounterWidth::Bits32 => 1 << 31,
        CounterWidth::Bits64 => 1 << 63,
    });
    if later < earlier && went > believable || most.is_some_and(|most| went > most) {
        return Err(CounterError::Reset);
    }
    Ok(went)
}

#[cfg(test)]
mod tests {
    use super::*;
    use CounterWidth::{Bits32, Bits64};

    const TOP: u64 = 1 << 32;

    #[test]
    fn a_counter_that_goes_on_wraps_or_was_reset() {
        for (earlier, later, width, most, wanted) in [
            (100, 1_300, Bits64, None, Ok(1_200)),
            (7, 7, Bits64, None, Ok(0)),
            // Wraps.
            (4_294_967_000, 704, Bits32, None, Ok(1_000)),
            (TOP - 1, 0, Bits32, Some(10), Ok(1)),
            (u64::MAX, 4, Bits64, None, Ok(5)),
            (u64::MAX - 1, 1, Bits64, Some(3), Ok(3)),
            // Resets.
            (100_000, 5_000, Bits64, None, Err(CounterError::Reset)),
            (1_000_000, 5_000, Bits32, None, Err(CounterError::Reset)),
            (4_294_967_000, 704, Bits32, Some(999), Err(CounterError::Reset)),
            // 64 bits do not wrap at 32.
            (4_294_967_000, 704, Bits64, None, Err(CounterError::Reset)),
            // More than can be.
            (0, 2_000, Bits64, Some(1_999), Err(CounterError::Reset)),
            (TOP, TOP + 1, Bits32, None, Err(CounterError::Reset)),
            // Around more than once.
            (5, 6, Bits32, Some(TOP), Err(CounterError::TooSlow)),
        ] {
            assert_eq!(
                advance(earlier, later, width, most),
                wanted,
                "{earlier} to {later}, {width:?}, {most:?}"
            );
        }
    }

    #[test]
    fn a_wrapping_counter_read_often_enough_counts_all() {
        // The twin: a counter that does not wrap.
        let (mut whole, mut counted, mut last) = (0u64, 0u64, 0u64);
        let mut step = 1u64;
        for _ in 0..10_000 {
            // A linear congruential generator, as in Knuth.
            step = step
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let more = step >> 34;
            whole += more;
            let now = whole % TOP;
            counted += advance(last, now, Bits32, Some(1 << 30)).unwrap();
            last = now;
        }
        assert!(whole > 100 * TOP, "it wrapped often: {whole}");
        assert_eq!(counted, whole);
    }
}
