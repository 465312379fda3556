//! The only writer of timelines.

use orrery_units::{LaneId, SimTime};

use crate::{Counter, KindTable, LaneInfo, Span, SpanId, Timeline};

/// Builds a [`Timeline`] within a budget of spans.
#[derive(Debug)]
pub struct TimelineBuilder {
    timeline: Timeline,
    budget: usize,
    lane_ends: Vec<SimTime>,
    /// Points of each counter, apart from its names, so that a run of many ranks finds them near each other.
    points: Vec<Vec<(SimTime, f64)>>,
}

impl TimelineBuilder {
    /// A builder that keeps at most `budget` spans and counts the rest as dropped.
    #[must_use]
    pub fn new(kinds: KindTable, budget: usize) -> Self {
        Self {
            timeline: Timeline {
                kinds,
                ..Timeline::default()
            },
            budget,
            lane_ends: Vec::new(),
            points: Vec::new(),
        }
    }

    /// Adds a lane.
    pub fn add_lane(&mut self, program: &str, name: &str) -> LaneId {
        self.lane_ends.push(SimTime::ZERO);
        self.timeline.lanes.push(LaneInfo {
            program: program.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Adds a counter and returns its position.
    pub fn add_counter(&mut self, program: &str, name: &str, unit: &'static str) -> usize {
        let (name, program) = (name.to_owned(), program.to_owned());
        self.timeline.counters.push(Counter {
            name,
            program,
            unit,
            points: Vec::new(),
        });
        self.points.push(Vec::new());
        self.timeline.counters.len() - 1
    }

    /// The last point of counter `counter`, if it has one.
    #[must_use]
    #[inline]
    pub fn last_of(&self, counter: usize) -> Option<&(SimTime, f64)> {
        self.points[counter].last()
    }

    /// Adds a point to counter `counter`; a second point at one instant replaces the first.
    pub fn count(&mut self, counter: usize, at: SimTime, value: f64) {
        let points = &mut self.points[counter];
        match points.last_mut() {
            Some(last) if last.0 == at => last.1 = value,
            Some(last) => {
                assert!(last.0 < at, "a counter runs forward in time");
                points.push((at, value));
            }
            None => points.push((at, value)),
        }
    }

    /// Whether the budget is spent: what is added from now on is dropped.
    #[must_use]
    #[inline]
    pub const fn is_full(&self) -> bool {
        self.timeline.start.len() >= self.budget
    }

    /// Counts a span as dropped that nobody can keep any more.
    #[inline]
    pub const fn drop_span(&mut self) {
        self.timeline.dropped += 1;
    }

    /// Adds a span and returns its number, unless the budget is spent.
    ///
    /// # Panics
    /// When the span begins before the last one of its lane ended: a lane runs one thing at a time.
    pub fn add(&mut self, span: Span) -> Option<SpanId> {
        let end = &mut self.lane_ends[span.lane.index()];
        assert!(*end <= span.start, "spans of a lane do not overlap");
        *end = span.start + span.duration;
        let timeline = &mut self.timeline;
        if timeline.start.len() >= self.budget {
            timeline.dropped += 1;
            return None;
        }
        timeline.lane.push(span.lane);
        timeline.kind.push(span.kind);
        timeline.start.push(span.start);
        timeline.duration.push(span.duration);
        timeline.step.push(span.step);
        timeline.tag.push(span.tag);
        timeline.released_by.push(span.released_by);
        timeline.flops.push(span.flops);
        timeline.bytes.push(span.bytes);
        timeline.evidence.push(span.evidence);
        SpanId::try_from(timeline.len() - 1).ok()
    }

    /// The finished timeline.
    #[must_use]
    pub fn finish(mut self) -> Timeline {
        for (counter, points) in self.timeline.counters.iter_mut().zip(self.points) {
            counter.points = points;
        }
        self.timeline
    }
}
