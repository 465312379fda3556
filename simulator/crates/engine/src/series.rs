//! What links carry over time: readings at even instants, whose spacing doubles when there are too many.

use orrery_units::{Bytes, LinkId, SimDuration, SimTime};

use crate::fluid::LinkTotals;

/// The spacing of the first readings; runs shorter than that have one.
const FINEST: SimDuration = SimDuration::from_micros(1);

/// What every link carried, interval by interval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkSeries {
    interval: SimDuration,
    end: SimTime,
    /// What every link had carried at the end of each interval.
    readings: Vec<Vec<Bytes>>,
}

impl LinkSeries {
    /// Length of every interval but the last, which ends with the run.
    #[must_use]
    pub const fn interval(&self) -> SimDuration {
        self.interval
    }

    /// Number of intervals; none when nothing was sampled.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.readings.len()
    }

    /// Whether nothing was sampled.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.readings.is_empty()
    }

    /// Lengths of the intervals, in order.
    pub fn lengths(&self) -> impl Iterator<Item = SimDuration> + '_ {
        let begin = |at: u64| SimTime::ZERO + self.interval * at;
        (0u64..)
            .zip(&self.readings)
            .map(move |(at, _)| begin(at + 1).min(self.end).saturating_since(begin(at)))
    }

    /// Bytes that crossed `link` in each interval, in order.
    pub fn bytes_of(&self, link: LinkId) -> impl Iterator<Item = Bytes> + '_ {
        let mut before = Bytes::ZERO;
        self.readings.iter().map(move |reading| {
            let until = reading[link.index()];
            let passed = until.saturating_sub(before);
            before = until;
            passed
        })
    }
}

/// Takes the readings of a run.
#[derive(Debug)]
pub(crate) struct Sampler {
    /// Most readings that are kept; none are taken when that is none.
    most: u64,
    interval: SimDuration,
    readings: Vec<Vec<Bytes>>,
}

impl Sampler {
    pub(crate) const fn new(most: u32) -> Self {
        Self {
            most: most as u64,
            interval: FINEST,
            readings: Vec::new(),
        }
    }

    /// The instant of the next reading, if it is not after `now`; spacing doubles until `now` is near enough.
    pub(crate) fn due(&mut self, now: SimTime) -> Option<SimTime> {
        if self.most == 0 {
            return None;
        }
        while now > SimTime::ZERO + self.interval * self.most {
            self.interval = self.interval * 2;
            let mut is_second = false;
            self.readings.retain(|_| {
                is_second = !is_second;
                !is_second
            });
        }
        let next = SimTime::ZERO + self.interval * (self.readings.len() as u64 + 1);
        (next <= now).then_some(next)
    }

    /// Keeps a reading.
    pub(crate) fn keep(&mut self, totals: &[LinkTotals]) {
        self.readings.push(totals.iter().map(|link| link.bytes).collect());
    }

    /// All readings, with the one of the `end` of the run, at which links had carried `totals`.
    pub(crate) fn finish(mut self, end: SimTime, totals: &[LinkTotals]) -> LinkSeries {
        let last = SimTime::ZERO + self.interval * self.readings.len() as u64;
        if self.most > 0 && end > last {
            self.keep(totals);
        }
        LinkSeries {
            interval: self.interval,
            end,
            readings: self.readings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(bytes: u64) -> [LinkTotals; 1] {
        [LinkTotals {
            bytes: Bytes::new(bytes),
            busy: SimDuration::ZERO,
        }]
    }

    /// A link that carries a byte every 100 ns, over `micros` microseconds, read at most `most` times.
    fn series(most: u32, micros: u64) -> LinkSeries {
        let mut sampler = Sampler::new(most);
        let end = SimTime::ZERO + SimDuration::from_nanos(micros * 1000 + 500);
        for event in 1..=micros {
            let now = SimTime::ZERO + SimDuration::from_micros(event);
            while let Some(at) = sampler.due(now) {
                sampler.keep(&totals(at.as_picos() / 100_000));
            }
        }
        sampler.finish(end, &totals(end.as_picos() / 100_000))
    }

    #[test]
    fn readings_double_their_spacing_and_lose_nothing() {
        for (micros, interval, count) in [(3, 1, 4), (4, 1, 5), (5, 2, 3), (100, 32, 4)] {
            let series = series(4, micros);
            assert_eq!(series.interval(), SimDuration::from_micros(interval), "{micros}");
            assert_eq!(series.len(), count, "{micros}");
            let bytes: Vec<u64> = series.bytes_of(LinkId::new(0)).map(Bytes::get).collect();
            assert_eq!(bytes.iter().sum::<u64>(), 10 * micros + 5, "{bytes:?}");
            let lengths = series.lengths().map(|length| length.as_picos() / 100_000);
            assert!(lengths.eq(bytes), "a byte every 100 ns");
        }
    }

    #[test]
    fn who_wants_no_readings_gets_none() {
        assert!(series(0, 9).is_empty(), "nothing was asked for");
    }
}
