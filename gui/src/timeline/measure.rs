//! What lanes do in an interval, for whoever measures it: computing, communicating, and communicating while nothing is
//! computed. No widget is known here.

use orrery_timeline::OpClass;
use orrery_units::KindId;

use super::model::TimelineModel;

/// Spans of an interval beyond which they are not laid over each other one by one.
const MOST_SPANS: usize = 400_000;

/// What lanes do in an interval. Times are picoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Measured {
    /// The interval.
    pub(super) interval: (u64, u64),
    /// Lanes in all.
    pub(super) lanes: usize,
    /// Busy time of all lanes by kind.
    pub(super) by_kind: Vec<u64>,
    /// Lanes that compute, anywhere in the timeline, each with the time that it is busy in the interval; the busiest first.
    pub(super) computing: Vec<(usize, u64)>,
    /// Groups that compute.
    pub(super) groups: usize,
    /// Time in which a group communicates while it computes nothing, summed over the groups that compute; none where there
    /// are too many spans to be looked at one by one.
    pub(super) exposed: Option<u64>,
}

impl Measured {
    /// What the lanes of `model` do within `from..to`.
    pub(super) fn of(model: &TimelineModel, from: u64, to: u64) -> Self {
        let busy = |lane: usize| {
            model
                .busy_within(std::iter::once(lane), from, to)
                .iter()
                .sum::<u64>()
        };
        let mut computing: Vec<(usize, u64)> = (0..model.lanes.len())
            .filter(|&lane| computes(model, lane))
            .map(|lane| (lane, busy(lane)))
            .collect();
        computing.sort_by_key(|&(lane, busy)| (std::cmp::Reverse(busy), lane));
        let groups = model.groups.iter();
        let groups: Vec<_> = groups
            .filter(|group| group.lanes.clone().any(|lane| computes(model, lane)))
            .collect();
        let spans = |lane: usize| {
            let lane = &model.lanes[lane];
            let first = lane.ends.partition_point(|&end| end <= from);
            let last = lane.starts.partition_point(|&start| start < to);
            first..last.max(first)
        };
        let all: usize = (0..model.lanes.len()).map(|lane| spans(lane).len()).sum();
        let exposed = (all <= MOST_SPANS).then(|| {
            let of_group = |lanes: std::ops::Range<usize>| {
                let (mut compute, mut traffic) = (Vec::new(), Vec::new());
                for lane in lanes {
                    let range = spans(lane);
                    let lane = &model.lanes[lane];
                    for at in range {
                        let extent = (lane.starts[at].max(from), lane.ends[at].min(to));
                        match model.kind(lane.kind_of(at)).class {
                            class if class.is_communication() => traffic.push(extent),
                            OpClass::Host => {}
                            _ => compute.push(extent),
                        }
                    }
                }
                alone(traffic, compute)
            };
            groups.iter().map(|group| of_group(group.lanes.clone())).sum()
        });
        Self {
            interval: (from, to),
            lanes: model.lanes.len(),
            by_kind: model.busy_within(0..model.lanes.len(), from, to),
            computing,
            groups: groups.len(),
            exposed,
        }
    }

    /// How long the interval is.
    pub(super) const fn length(&self) -> u64 {
        self.interval.1 - self.interval.0
    }

    /// Kinds by their time, the longest first.
    pub(super) fn kinds(&self, model: &TimelineModel) -> Vec<(KindId, u64)> {
        let time = |kind: KindId| self.by_kind[kind.index()];
        let mut kinds: Vec<(KindId, u64)> = model
            .kinds_in_order()
            .iter()
            .map(|&kind| (kind, time(kind)))
            .filter(|(_, time)| *time > 0)
            .collect();
        kinds.sort_by_key(|&(_, time)| std::cmp::Reverse(time));
        kinds
    }
}

/// Whether `lane` is one of those that compute: whether computation is what it does most.
fn computes(model: &TimelineModel, lane: usize) -> bool {
    let lane = &model.lanes[lane];
    let mut busy = Vec::new();
    lane.busy(0, lane.len(), &mut busy);
    let longest = lane.kinds.iter().zip(&busy).max_by_key(|(_, busy)| **busy);
    longest.is_some_and(|(kind, _)| model.kind(*kind).class == OpClass::Compute)
}

/// Time that any of `one` covers and none of `other` does.
///
/// Worked: 0 to 10 and 5 to 20 against 8 to 12: 8 before and 8 behind, 16.
fn alone(mut one: Vec<(u64, u64)>, mut other: Vec<(u64, u64)>) -> u64 {
    one.sort_unstable();
    other.sort_unstable();
    let mut others = merged(other).into_iter().peekable();
    let (mut sum, mut done) = (0, 0);
    for (start, end) in one {
        let mut at = start.max(done);
        while at < end {
            // What ends before is of no matter to whatever follows either.
            while others.peek().is_some_and(|&(_, until)| until <= at) {
                others.next();
            }
            match others.peek() {
                Some(&(from, until)) if from <= at => at = until,
                Some(&(from, _)) => {
                    sum += from.min(end) - at;
                    at = from.min(end);
                }
                None => {
                    sum += end - at;
                    at = end;
                }
            }
        }
        done = done.max(end);
    }
    sum
}

/// Sorted extents, those that touch made one.
fn merged(sorted: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    let mut merged: Vec<(u64, u64)> = Vec::with_capacity(sorted.len());
    for (start, end) in sorted {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn time_alone_by_hand() {
        assert_eq!(alone(vec![(0, 10), (5, 20)], vec![(8, 12)]), 16);
        assert_eq!(alone(vec![(0, 10)], vec![]), 10);
        assert_eq!(alone(vec![(3, 5)], vec![(0, 10)]), 0);
        assert_eq!(alone(vec![], vec![(0, 10)]), 0);
    }

    proptest! {
        /// The twin asks every instant.
        #[test]
        fn time_alone_is_what_every_instant_says(
            one in prop::collection::vec((0_u64..60, 0_u64..12), 0..12),
            other in prop::collection::vec((0_u64..60, 0_u64..12), 0..12),
        ) {
            let extents = |all: &[(u64, u64)]| -> Vec<(u64, u64)> {
                all.iter().map(|&(start, length)| (start, start + length)).collect()
            };
            let (one, other) = (extents(&one), extents(&other));
            let within = |all: &[(u64, u64)], at: u64| all.iter().any(|&(start, end)| (start..end).contains(&at));
            let slow = (0..80).filter(|&at| within(&one, at) && !within(&other, at)).count() as u64;
            prop_assert_eq!(alone(one, other), slow);
        }
    }
}
