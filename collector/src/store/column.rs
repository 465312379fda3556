//! Columns of numbers as bytes, small and checked: `pco` for the numbers, CRC-32 over all.
//!
//! A row is `version · CRC-32 of the rest · count · which are there · numbers`. What does not check is
//! [`Damaged`], never a number.

use pco::ChunkConfig;
use pco::standalone::{simple_compress, simple_decompress};
use thiserror::Error;

use super::tier::Bucket;

/// The layout of rows that this program writes, and the only one that it reads.
const VERSION: u8 = 1;
/// Bytes before what the checksum covers.
const HEAD: usize = 5;
/// Significant decimal digits of what is rounded.
const DIGITS: i32 = 6;
/// A pack whose numbers are all the same.
const CONSTANT: u8 = 0;
/// A pack of different numbers.
const PACKED: u8 = 1;
/// A row of a tier whose buckets hold one value each, or several that are equal.
const FLAT: u8 = 0;
/// A row of a tier with three numbers a bucket.
const SPREAD: u8 = 1;

/// A row of the file that is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a row of the history is damaged")]
pub(crate) struct Damaged;

/// `value` to six significant decimal digits, which is finer than any sensor here: NVML gives power to a few watts,
/// activity to a per mille.
///
/// A number of fewer digits stays the same to the last bit. Worked number: 512.123456 becomes 512.123.
pub(crate) fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a decimal exponent is below 400")]
    let magnitude = value.abs().log10().floor() as i32;
    let shift = DIGITS - 1 - magnitude;
    // A power of ten up to 22 is exact, and so is the division by it rounded once.
    match shift {
        0..=22 => {
            let scale = 10.0f64.powi(shift);
            (value * scale).round() / scale
        }
        -16..=-1 => {
            let scale = 10.0f64.powi(-shift);
            (value / scale).round() * scale
        }
        _ => value,
    }
}

/// The instants of the samples of one row, in milliseconds since the Unix epoch.
pub(crate) fn write_times(times: &[u64]) -> Vec<u8> {
    let packed = simple_compress(times, &ChunkConfig::default());
    sealed(packed.expect("a page holds as many numbers as a row"))
}

/// The instants that [`write_times`] wrote.
pub(crate) fn read_times(row: &[u8]) -> Result<Vec<u64>, Damaged> {
    simple_decompress(opened(row)?).map_err(|_fault| Damaged)
}

/// The values of one series in a row of `num` samples, each with its place there.
pub(crate) fn write_values(values: &[(u32, f64)], num: usize) -> Vec<u8> {
    let mut row = presence(values.iter().map(|&(place, _)| place as usize), values.len(), num);
    let values: Vec<f64> = values.iter().map(|&(_, value)| value).collect();
    row.extend(pack(&values));
    sealed(row)
}

/// The values that [`write_values`] wrote, each with its place.
pub(crate) fn read_values(row: &[u8]) -> Result<Vec<(usize, f64)>, Damaged> {
    let (places, rest) = read_presence(opened(row)?)?;
    let values = unpack(rest, places.len())?;
    Ok(places.into_iter().zip(values).collect())
}

/// A window of a tier: the `buckets`, of the width `width`, from `start` on.
pub(crate) fn write_buckets(buckets: &[Bucket], start: u64, width: u64, num: usize) -> Vec<u8> {
    let places = buckets
        .iter()
        .map(|bucket| usize::try_from((bucket.start - start) / width).expect("a place in a window"));
    let mut row = presence(places, buckets.len(), num);
    let column = |of: fn(&Bucket) -> f64| buckets.iter().map(of).collect::<Vec<f64>>();
    let is_flat = |bucket: &Bucket| bucket.min.to_bits() == bucket.max.to_bits();
    let nums = pack(&column(|bucket| f64::from(bucket.num)));
    let mut columns = vec![nums, pack(&column(|bucket| bucket.min))];
    if buckets.iter().all(is_flat) {
        row.push(FLAT);
    } else {
        row.push(SPREAD);
        // Rounding takes a mean nowhere beyond what it is the mean of.
        columns.push(pack(&column(|bucket| {
            rounded(bucket.mean).clamp(bucket.min, bucket.max)
        })));
        columns.push(pack(&column(|bucket| bucket.max)));
    }
    for column in columns {
        let length = u32::try_from(column.len()).expect("a column of a window is small");
        row.extend(length.to_le_bytes());
        row.extend(column);
    }
    sealed(row)
}

/// The buckets that [`write_buckets`] wrote.
pub(crate) fn read_buckets(row: &[u8], start: u64, width: u64) -> Result<Vec<Bucket>, Damaged> {
    let (places, mut rest) = read_presence(opened(row)?)?;
    let (&[shape], columns) = rest.split_first_chunk().ok_or(Damaged)?;
    rest = columns;
    let mut next = || {
        let (length, after) = rest.split_first_chunk().ok_or(Damaged)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (column, after) = after.split_at_checked(length).ok_or(Damaged)?;
        rest = after;
        unpack(column, places.len())
    };
    let (nums, mins) = (next()?, next()?);
    let (means, maxs) = match shape {
        FLAT => (mins.clone(), mins.clone()),
        SPREAD => (next()?, next()?),
        _ => return Err(Damaged),
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count that was written as one"
    )]
    let bucket = |(at, &place): (usize, &usize)| Bucket {
        start: start + place as u64 * width,
        width,
        min: mins[at],
        mean: means[at],
        max: maxs[at],
        num: nums[at] as u32,
    };
    Ok(places.iter().enumerate().map(bucket).collect())
}

/// `rest` with its version and its checksum before it.
pub(crate) fn sealed(rest: Vec<u8>) -> Vec<u8> {
    let mut row = Vec::with_capacity(HEAD + rest.len());
    row.push(VERSION);
    row.extend(crc32fast::hash(&rest).to_le_bytes());
    row.extend(rest);
    row
}

/// What [`sealed`] sealed, if it is whole.
pub(crate) fn opened(row: &[u8]) -> Result<&[u8], Damaged> {
    let (&[version, a, b, c, d], rest) = row.split_first_chunk().ok_or(Damaged)?;
    let is_whole = version == VERSION && u32::from_le_bytes([a, b, c, d]) == crc32fast::hash(rest);
    is_whole.then_some(rest).ok_or(Damaged)
}

/// Which of `num` places are taken: a count, whether all are, and if not a bit for each.
fn presence(places: impl Iterator<Item = usize>, taken: usize, num: usize) -> Vec<u8> {
    let count = u16::try_from(num).expect("a row has fewer samples than 65,536");
    let mut row = count.to_le_bytes().to_vec();
    row.push(u8::from(taken != num));
    if taken != num {
        let mut bits = vec![0u8; num.div_ceil(8)];
        for place in places {
            bits[place / 8] |= 1 << (place % 8);
        }
        row.extend(bits);
    }
    row
}

fn read_presence(row: &[u8]) -> Result<(Vec<usize>, &[u8]), Damaged> {
    let (&[low, high, has_gaps], rest) = row.split_first_chunk().ok_or(Damaged)?;
    let num = usize::from(u16::from_le_bytes([low, high]));
    if has_gaps == 0 {
        return Ok(((0..num).collect(), rest));
    }
    let (bits, rest) = rest.split_at_checked(num.div_ceil(8)).ok_or(Damaged)?;
    let is_taken = |&place: &usize| bits[place / 8] >> (place % 8) & 1 == 1;
    Ok(((0..num).filter(is_taken).collect(), rest))
}

fn pack(values: &[f64]) -> Vec<u8> {
    let is_constant = values
        .windows(2)
        .all(|pair| pair[0].to_bits() == pair[1].to_bits());
    let (kind, numbers) = match values.first() {
        Some(first) if is_constant => (CONSTANT, first.to_le_bytes().to_vec()),
        _ => {
            let packed = simple_compress(values, &ChunkConfig::default());
            (PACKED, packed.expect("a page holds as many numbers as a row"))
        }
    };
    let mut bytes = vec![kind];
    bytes.extend(numbers);
    bytes
}

fn unpack(bytes: &[u8], num: usize) -> Result<Vec<f64>, Damaged> {
    let (&[kind], numbers) = bytes.split_first_chunk().ok_or(Damaged)?;
    let values = match kind {
        CONSTANT => {
            let value = numbers.try_into().map_err(|_size| Damaged)?;
            vec![f64::from_le_bytes(value); num]
        }
        PACKED => simple_decompress(numbers).map_err(|_fault| Damaged)?,
        _ => return Err(Damaged),
    };
    (values.len() == num).then_some(values).ok_or(Damaged)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::tier::downsample;

    #[test]
    fn six_digits_are_kept_and_fewer_are_not_touched() {
        for (value, kept) in [
            (512.123_456, 512.123),
            (-0.012_345_678, -0.012_345_7),
            (74_123_456_789.0, 74_123_500_000.0),
            (1_980_000_000.0, 1_980_000_000.0),
            (0.1, 0.1),
            (0.0, 0.0),
            (1e-30, 1e-30),
        ] {
            let found: f64 = rounded(value);
            let expected: f64 = kept;
            assert_eq!(found.to_bits(), expected.to_bits(), "{value}: {found}");
        }
    }

    #[test]
    fn every_changed_byte_is_found() {
        let values: Vec<(u32, f64)> = (0..20).map(|place| (place, f64::from(place) * 1.5)).collect();
        let row = write_values(&values, 25);
        for at in 0..row.len() {
            let mut changed = row.clone();
            changed[at] ^= 1;
            assert_eq!(read_values(&changed), Err(Damaged), "byte {at}");
            assert_eq!(read_values(&row[..at]), Err(Damaged), "the first {at} bytes");
        }
    }

    proptest! {
        #[test]
        fn values_come_back_to_the_last_bit(
            column in prop::collection::vec(prop::option::of(-1e18f64..1e18), 1..700),
            constant in any::<bool>(),
        ) {
            let values: Vec<(u32, f64)> = column
                .iter()
                .zip(0..)
                .filter_map(|(value, place)| Some((place, if constant { 7.25 } else { (*value)? })))
                .collect();
            prop_assume!(!values.is_empty());
            let back = read_values(&write_values(&values, column.len())).unwrap();
            let back: Vec<(u32, u64)> =
                back.into_iter().map(|(place, value)| (place.try_into().unwrap(), value.to_bits())).collect();
            let values: Vec<(u32, u64)> =
                values.into_iter().map(|(place, value)| (place, value.to_bits())).collect();
            prop_assert_eq!(back, values);
        }

        #[test]
        fn rounding_is_close_and_settles(value in -1e15f64..1e15) {
            let once = rounded(value);
            prop_assert!((once - value).abs() <= 5.1e-6 * value.abs());
            prop_assert_eq!(rounded(once).to_bits(), once.to_bits());
        }

        #[test]
        fn times_come_back(gaps in prop::collection::vec(0u64..5_000, 1..700)) {
            let mut at = 1_700_000_000_000;
            let times: Vec<u64> = gaps.into_iter().map(|gap| { at += gap; at }).collect();
            prop_assert_eq!(read_times(&write_times(&times)).unwrap(), times);
        }

        #[test]
        fn buckets_come_back(values in prop::collection::vec((0u64..3_600_000, 0u32..1_000), 1..400)) {
            let mut values = values;
            values.sort_unstable();
            let parts = values.iter().map(|&(at, value)| Bucket::of(at, f64::from(value)));
            let buckets = downsample(parts, 10_000);
            let back = read_buckets(&write_buckets(&buckets, 0, 10_000, 360), 0, 10_000).unwrap();
            prop_assert_eq!(buckets.len(), back.len());
            for (old, new) in buckets.iter().zip(&back) {
                prop_assert_eq!((old.start, old.min.to_bits(), old.max.to_bits(), old.num),
                    (new.start, new.min.to_bits(), new.max.to_bits(), new.num));
                prop_assert!((old.mean - new.mean).abs() <= 5.1e-6 * old.mean.abs());
            }
        }
    }
}
