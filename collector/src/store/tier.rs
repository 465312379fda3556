//! Coarser looks at the same values: buckets of equal width, each with the least, the mean and the largest.

/// A tier: how wide its buckets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tier {
    /// Its number in the keys of the file; 0 is what was read.
    pub(crate) number: u8,
    /// Width of a bucket, in milliseconds.
    pub(crate) width: u64,
}

/// What is made of the values of one series, in milliseconds since the Unix epoch. Rows of tiers and raw rows both
/// end where a window does, and every bucket lies in one.
pub(crate) const WINDOW: u64 = 3_600_000;

/// The tiers, from fine to coarse. Each is made of what was read, and each width divides the next and the window.
pub(crate) const TIERS: [Tier; 2] = [
    Tier {
        number: 1,
        width: 10_000,
    },
    Tier {
        number: 2,
        width: 300_000,
    },
];

/// The values between `start` and `start + width`, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) start: u64,
    /// 0 for a value as it was read.
    pub(crate) width: u64,
    pub(crate) min: f64,
    pub(crate) mean: f64,
    pub(crate) max: f64,
    /// How many values there were.
    pub(crate) num: u32,
}

impl Bucket {
    /// One value, as it was read at `start`.
    pub(crate) const fn of(start: u64, value: f64) -> Self {
        Self {
            start,
            width: 0,
            min: value,
            mean: value,
            max: value,
            num: 1,
        }
    }

    /// Takes the values of `other` in: extremes of extremes, and the mean by how many values each has.
    fn take(&mut self, other: &Self) {
        let num = self.num + other.num;
        let share = f64::from(other.num) / f64::from(num);
        self.mean += (other.mean - self.mean) * share;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.num = num;
    }
}

/// `parts` in buckets of `width`, aligned to the epoch; a bucket without values is none. A part that is wider than
/// `width` stays what it is.
///
/// Parts come in the order of their starts. Worked numbers: the values 1, 2 and 6 at 0 s, 4 s and 11 s in buckets
/// of 10 s are (1, 1.5, 2) at 0 s and (6, 6, 6) at 10 s.
pub(crate) fn downsample(parts: impl IntoIterator<Item = Bucket>, width: u64) -> Vec<Bucket> {
    let mut buckets: Vec<Bucket> = Vec::new();
    for part in parts {
        if part.width > width {
            buckets.push(part);
            continue;
        }
        let start = part.start - part.start % width;
        match buckets.last_mut() {
            Some(last) if last.start == start && last.width == width => last.take(&part),
            _ => buckets.push(Bucket { start, width, ..part }),
        }
    }
    buckets
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The slow twin: every slot looks for its own values.
    fn slowly(values: &[(u64, f64)], width: u64) -> Vec<Bucket> {
        let Some(&(last, _)) = values.last() else {
            return Vec::new();
        };
        let slots = (0..=last / width).filter_map(|slot| {
            let inside = values.iter().filter(|(at, _)| at / width == slot);
            let inside: Vec<f64> = inside.map(|&(_, value)| value).collect();
            let num = u32::try_from(inside.len()).unwrap();
            (num > 0).then(|| Bucket {
                start: slot * width,
                width,
                min: inside.iter().copied().fold(f64::INFINITY, f64::min),
                mean: inside.iter().sum::<f64>() / f64::from(num),
                max: inside.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                num,
            })
        });
        slots.collect()
    }

    fn assert_same(fast: &[Bucket], slow: &[Bucket]) {
        assert_eq!(fast.len(), slow.len(), "{fast:?} {slow:?}");
        for (fast, slow) in fast.iter().zip(slow) {
            let exact = |bucket: &Bucket| (bucket.start, bucket.width, bucket.min.to_bits(), bucket.num);
            assert_eq!(exact(fast), exact(slow), "the extremes are exact");
            assert_eq!(fast.max.to_bits(), slow.max.to_bits(), "{fast:?} {slow:?}");
            let scale = slow.min.abs().max(slow.max.abs()).max(1e-300);
            assert!(
                (fast.mean - slow.mean).abs() <= 1e-12 * scale,
                "{fast:?} {slow:?}"
            );
        }
    }

    fn parts(values: &[(u64, f64)]) -> impl Iterator<Item = Bucket> {
        values.iter().map(|&(at, value)| Bucket::of(at, value))
    }

    #[test]
    fn the_worked_numbers_hold() {
        let found = downsample(parts(&[(0, 1.0), (4_000, 2.0), (11_000, 6.0)]), 10_000);
        let expected = slowly(&[(0, 1.0), (4_000, 2.0), (11_000, 6.0)], 10_000);
        assert_same(&found, &expected);
        assert_eq!((found[0].mean.to_bits(), found.len()), (1.5f64.to_bits(), 2));
    }

    #[test]
    fn tiers_nest_and_fill_the_window() {
        let mut finer = 1;
        for tier in TIERS {
            assert_eq!((tier.width % finer, WINDOW % tier.width), (0, 0));
            finer = tier.width;
        }
    }

    #[test]
    fn a_part_that_is_wider_than_asked_for_stays() {
        let wide = Bucket {
            width: 300_000,
            ..Bucket::of(0, 3.0)
        };
        assert_eq!(downsample([wide, Bucket::of(300_500, 1.0)], 1_000)[0], wide);
    }

    proptest! {
        #[test]
        fn both_ways_give_the_same(
            gaps in prop::collection::vec((0u64..40_000, -1e12f64..1e12), 0..300),
        ) {
            let mut at = 0;
            let values: Vec<(u64, f64)> = gaps
                .into_iter()
                .map(|(gap, value)| {
                    at += gap;
                    (at, value)
                })
                .collect();
            let fine = downsample(parts(&values), TIERS[0].width);
            assert_same(&fine, &slowly(&values, TIERS[0].width));
            // The coarse tier out of the fine one is the coarse tier out of what was read.
            let coarse = downsample(fine, TIERS[1].width);
            assert_same(&coarse, &slowly(&values, TIERS[1].width));
        }
    }
}
