//! What a rank's file says in figures: kernels, copies, communication, and how much of it nothing hides.

use orrery_units::SimDuration;

use super::names::is_communication;
use super::rank::{Kept, RankTrace, Role};

/// Figures of one rank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RankFacts {
    /// The rank, where the file says it.
    pub rank: Option<u32>,
    /// Events of the file.
    pub events: u64,
    /// Kernels.
    pub kernels: u64,
    /// Their time, one after the other.
    pub kernel_time: SimDuration,
    /// Copies and sets of memory.
    pub copies: u64,
    /// Kernels of NCCL and of expert exchanges.
    pub communication_kernels: u64,
    /// Their time, one after the other.
    pub communication_time: SimDuration,
    /// Time in which at least one other kernel ran.
    pub compute_time: SimDuration,
    /// Time in which communication ran and no other kernel did.
    pub exposed_communication: SimDuration,
    /// (number, duration) of each step.
    pub steps: Vec<(u64, SimDuration)>,
}

impl RankTrace {
    /// The figures of this rank.
    #[must_use]
    pub fn facts(&self) -> RankFacts {
        let kernels = || self.kept.iter().filter(|kept| kept.role == Role::Kernel);
        let communicates = |kept: &&Kept| is_communication(&self.names[kept.name as usize]);
        let total = |durations: &mut dyn Iterator<Item = u64>| {
            SimDuration::from_nanos(durations.fold(0, u64::saturating_add).min(u64::MAX / 1000))
        };
        let count = |number: usize| number as u64;
        let compute = union(kernels().filter(|kept| !communicates(kept)).map(interval));
        let talk = union(kernels().filter(communicates).map(interval));
        RankFacts {
            rank: self.rank,
            events: self.events,
            kernels: count(kernels().count()),
            kernel_time: total(&mut kernels().map(|kept| kept.duration)),
            copies: count(self.kept.iter().filter(|kept| kept.role == Role::Copy).count()),
            communication_kernels: count(kernels().filter(communicates).count()),
            communication_time: total(&mut kernels().filter(communicates).map(|kept| kept.duration)),
            compute_time: total(&mut compute.iter().map(|&(from, to)| to - from)),
            exposed_communication: total(&mut std::iter::once(outside(&talk, &compute))),
            steps: self
                .steps
                .iter()
                .map(|&(number, _, duration)| (number, SimDuration::from_nanos(duration)))
                .collect(),
        }
    }
}

fn interval(kept: &Kept) -> (u64, u64) {
    (kept.start, kept.start + kept.duration)
}

/// Intervals that cover what `intervals` cover, apart from each other and in order.
fn union(intervals: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut all: Vec<(u64, u64)> = intervals.collect();
    all.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (from, to) in all {
        match joined.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// How much of `these` lies outside `those`; both are unions.
fn outside(these: &[(u64, u64)], those: &[(u64, u64)]) -> u64 {
    let mut rest = 0;
    let mut first = 0;
    for &(from, to) in these {
        while those.get(first).is_some_and(|&(_, end)| end <= from) {
            first += 1;
        }
        let mut at = from;
        for &(begin, end) in those[first..].iter().take_while(|&&(begin, _)| begin < to) {
            rest += begin.saturating_sub(at);
            at = at.max(end);
        }
        rest += to.saturating_sub(at);
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [0, 10) and [5, 20) are [0, 20); of [0, 20) and [30, 40), [4, 8), [15, 33) hide 4 + 5 + 3: 18 of 30 are left.
    #[test]
    fn unions_and_what_lies_outside() {
        let joined = union([(5, 20), (0, 10), (30, 40)].into_iter());
        assert_eq!(joined, [(0, 20), (30, 40)]);
        assert_eq!(outside(&joined, &[(4, 8), (15, 33)]), 18);
        assert_eq!(outside(&joined, &[]), 30);
        assert_eq!(outside(&joined, &[(0, 50)]), 0);
    }
}
