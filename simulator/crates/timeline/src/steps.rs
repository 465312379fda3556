//! Steps of a timeline: where each begins and ends, and one of them alone.

use orrery_units::{SimDuration, SimTime};

use crate::{Counter, SpanId, Timeline};

/// Where a step lies in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepExtent {
    /// Its number, as spans name it.
    pub number: u16,
    /// When it begins.
    pub from: SimTime,
    /// When its last span ends.
    pub to: SimTime,
}

impl StepExtent {
    /// How long it takes.
    #[must_use]
    pub fn length(&self) -> SimDuration {
        self.to - self.from
    }
}

/// Bounds of steps of which the `own` spans run from the first instant to the second; none where a step has no span.
///
/// A step ends with its last span and, unless steps are `apart`, the next one begins there: what a device still does
/// for step `n` while the host is in `n + 1` belongs to `n`. The first step begins with its first span.
///
/// Worked: spans of step 0 from 2 to 9 and of step 1 from 5 to 12 are steps from 2 to 9 and from 9 to 12.
pub fn bounds_of_steps(
    own: impl IntoIterator<Item = Option<(SimTime, SimTime)>>,
    apart: bool,
) -> Vec<(SimTime, SimTime)> {
    let mut before: Option<SimTime> = None;
    let follow = |span: Option<(SimTime, SimTime)>| {
        let (first, last) = span.unwrap_or_else(|| {
            let at = before.unwrap_or_default();
            (at, at)
        });
        let first = before.unwrap_or(first);
        if !apart {
            before = Some(last.max(first));
        }
        (first, last.max(first))
    };
    own.into_iter().map(follow).collect()
}

impl Timeline {
    /// The steps that have spans, in order; each begins where the one before it ends.
    #[must_use]
    pub fn steps(&self) -> Vec<StepExtent> {
        let mut own: std::collections::BTreeMap<u16, (SimTime, SimTime)> = std::collections::BTreeMap::new();
        for (at, &step) in self.step.iter().enumerate() {
            let (start, end) = (self.start[at], self.start[at] + self.duration[at]);
            let extent = own.entry(step).or_insert((start, end));
            *extent = (extent.0.min(start), extent.1.max(end));
        }
        let bounds = bounds_of_steps(own.values().copied().map(Some), false);
        own.into_keys()
            .zip(bounds)
            .map(|(number, (from, to))| StepExtent { number, from, to })
            .collect()
    }

    /// What belongs to `step` alone: its spans, and what counters held from its beginning to its end.
    #[must_use]
    pub fn of_step(&self, step: StepExtent) -> Self {
        let kept: Vec<usize> = (0..self.len())
            .filter(|&at| self.step[at] == step.number)
            .collect();
        let mut places: Vec<Option<SpanId>> = vec![None; self.len()];
        for (place, &at) in (0..).zip(&kept) {
            places[at] = Some(place);
        }
        let released_by = |at: &usize| self.released_by[*at].and_then(|by| places[by as usize]);
        Self {
            lanes: self.lanes.clone(),
            kinds: self.kinds.clone(),
            counters: self
                .counters
                .iter()
                .map(|counter| within(counter, step))
                .collect(),
            dropped: 0,
            lane: of(&self.lane, &kept),
            kind: of(&self.kind, &kept),
            start: of(&self.start, &kept),
            duration: of(&self.duration, &kept),
            step: of(&self.step, &kept),
            tag: of(&self.tag, &kept),
            released_by: kept.iter().map(released_by).collect(),
            flops: of(&self.flops, &kept),
            bytes: of(&self.bytes, &kept),
            evidence: of(&self.evidence, &kept),
        }
    }
}

/// The entries of `column` at `places`.
fn of<T: Copy>(column: &[T], places: &[usize]) -> Vec<T> {
    places.iter().map(|&at| column[at]).collect()
}

/// The points of `counter` within `step`; what it held before stands at the beginning.
fn within(counter: &Counter, step: StepExtent) -> Counter {
    let before = counter.points.iter().rev().find(|(at, _)| *at < step.from);
    let begins = counter.points.iter().any(|(at, _)| *at == step.from);
    let held = before.filter(|_| !begins).map(|&(_, value)| (step.from, value));
    let inside = counter
        .points
        .iter()
        .filter(|(at, _)| (step.from..=step.to).contains(at));
    Counter {
        points: held.into_iter().chain(inside.copied()).collect(),
        ..counter.clone()
    }
}

#[cfg(test)]
mod tests {
    use orrery_units::{Bytes, Evidence, Flops, LaneId};

    use super::*;
    use crate::{KindTable, OpClass, Span, TimelineBuilder};

    /// A lane of each of two ranks; spans are (lane, step, start, length) in picoseconds, each released by the one
    /// before it.
    fn timeline(spans: &[(u32, u16, u64, u64)]) -> Timeline {
        let mut kinds = KindTable::new();
        let kind = kinds.intern("work", OpClass::Compute);
        let mut builder = TimelineBuilder::new(kinds, 100);
        for rank in ["rank 0", "rank 1"] {
            builder.add_lane(rank, "compute");
        }
        let memory = builder.add_counter("rank 0", "memory", "B");
        let mut released_by = None;
        for &(lane, step, start, length) in spans {
            let start = SimTime::from_picos(start);
            released_by = builder.add(Span {
                lane: LaneId::new(lane),
                kind,
                start,
                duration: SimDuration::from_picos(length),
                step,
                tag: (0, 0),
                released_by,
                flops: Flops::ZERO,
                bytes: Bytes::ZERO,
                evidence: Evidence::Measured,
            });
            builder.count(memory, start, f64::from(step) + 1.0);
        }
        builder.finish()
    }

    #[test]
    fn steps_follow_each_other_and_one_stands_alone() {
        let whole = timeline(&[(0, 3, 2, 7), (1, 4, 5, 7), (0, 4, 20, 1)]);
        let at = SimTime::from_picos;
        let steps = whole.steps();
        let bounds: Vec<(u16, SimTime, SimTime)> = steps
            .iter()
            .map(|step| (step.number, step.from, step.to))
            .collect();
        assert_eq!(bounds, [(3, at(2), at(9)), (4, at(9), at(21))]);
        let second = whole.of_step(steps[1]);
        let starts: Vec<SimTime> = second.spans().map(|span| span.start).collect();
        assert_eq!(starts, [at(5), at(20)]);
        assert_eq!(second.span(0).released_by, None, "what released it is not there");
        assert_eq!(
            second.span(1).released_by,
            Some(0),
            "numbers are those of the part"
        );
        assert_eq!(second.counters[0].points, [(at(9), 5.0), (at(20), 5.0)]);
        let all: usize = steps.iter().map(|&step| whole.of_step(step).len()).sum();
        assert_eq!(all, whole.len());
    }

    #[test]
    fn nothing_has_no_steps() {
        assert_eq!(Timeline::default().steps(), []);
    }
}
