//! Counters as steps: the highest value in each column of pixels, in bounded time.

use orrery_timeline::Counter;

/// Points between two stored maxima.
const CHUNK: usize = 64;

/// A step function of time, such as memory held, ready for drawing.
#[derive(Debug)]
pub(super) struct Steps {
    /// What it counts, such as `memory`.
    pub(super) name: String,
    /// Unit of the values.
    pub(super) unit: &'static str,
    /// Picoseconds since the first span of the timeline; never decrease.
    instants: Vec<u64>,
    values: Vec<f64>,
    /// The highest of each `CHUNK` values.
    highest: Vec<f64>,
    /// The highest value of all; zero when there is none.
    pub(super) peak: f64,
}

impl Steps {
    /// Arranges `counter` from `origin` on, in picoseconds of the run.
    pub(super) fn new(counter: &Counter, origin: u64) -> Self {
        let points = &counter.points;
        // What holds at the origin is the last point that is not after it.
        let first = points
            .partition_point(|(at, _)| at.as_picos() <= origin)
            .saturating_sub(1);
        let points = points[first..].iter();
        let (instants, values): (Vec<u64>, Vec<f64>) = points
            .map(|(at, value)| (at.as_picos().saturating_sub(origin), *value))
            .unzip();
        let highest = values.chunks(CHUNK).map(|chunk| most(chunk.iter().copied()));
        let highest: Vec<f64> = highest.collect();
        Self {
            peak: most(highest.iter().copied()),
            name: counter.name.clone(),
            unit: counter.unit,
            highest,
            instants,
            values,
        }
    }

    /// The value at `instant`; zero before the first point.
    pub(super) fn at(&self, instant: u64) -> f64 {
        let after = self.instants.partition_point(|&at| at <= instant);
        after.checked_sub(1).map_or(0.0, |at| self.values[at])
    }

    /// The highest value that holds at any time in `from..to`.
    pub(super) fn highest_within(&self, from: u64, to: u64) -> f64 {
        let first = self.instants.partition_point(|&at| at <= from);
        let last = self.instants.partition_point(|&at| at < to);
        self.at(from).max(self.highest_of(first, last.max(first)))
    }

    fn highest_of(&self, first: usize, last: usize) -> f64 {
        if last - first <= 2 * CHUNK {
            return most(self.values[first..last].iter().copied());
        }
        let (from, to) = (first.div_ceil(CHUNK), last / CHUNK);
        most(self.highest[from..to].iter().copied())
            .max(most(self.values[first..from * CHUNK].iter().copied()))
            .max(most(self.values[to * CHUNK..last].iter().copied()))
    }
}

fn most(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}
