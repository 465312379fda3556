//! The spans of a run by lane, in order of time, ready for binary search. No widget is known here.

use orrery_timeline::{OpClass, SpanId, Timeline};
use orrery_units::SimDuration;

/// A timeline arranged by lane. Instants are picoseconds since the first span began.
#[derive(Debug)]
pub struct TimelineModel {
    timeline: Timeline,
    /// The lanes that hold spans, in the order of the run.
    pub(super) lanes: Vec<Lane>,
    /// When the last span ends.
    pub(super) end: u64,
    /// Classes that occur, in the order of legends.
    pub(super) classes: Vec<OpClass>,
}

/// The spans of one lane, as columns.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Such as `rank 3 · compute`.
    pub(super) label: String,
    /// When each span begins; never decreases.
    pub(super) starts: Vec<u64>,
    /// When each span ends; never decreases, for spans of a lane do not overlap.
    pub(super) ends: Vec<u64>,
    /// Class of each span.
    pub(super) classes: Vec<OpClass>,
    /// Number of each span in the timeline.
    spans: Vec<SpanId>,
    /// For each class of the lane: busy time of it before each span, and in all.
    busy: Vec<(OpClass, Vec<u64>)>,
}

impl TimelineModel {
    /// Arranges `timeline`.
    #[must_use]
    pub fn new(timeline: Timeline) -> Self {
        let origin = timeline.spans().map(|span| span.start.as_picos()).min();
        let origin = origin.unwrap_or_default();
        let label = |info: &orrery_timeline::LaneInfo| Lane {
            label: format!("{} · {}", info.program, info.name),
            ..Lane::default()
        };
        let mut lanes: Vec<Lane> = timeline.lanes.iter().map(label).collect();
        for (id, span) in (0..).zip(timeline.spans()) {
            let lane = &mut lanes[span.lane.index()];
            let start = span.start.as_picos() - origin;
            lane.starts.push(start);
            lane.ends.push(start + span.duration.as_picos());
            lane.classes.push(timeline.kinds.kind(span.kind).class);
            lane.spans.push(id);
        }
        lanes.retain(|lane| !lane.starts.is_empty());
        for lane in &mut lanes {
            lane.sum_up();
        }
        let has = |class: &OpClass| {
            lanes
                .iter()
                .any(|lane| lane.busy.iter().any(|(of, _)| of == class))
        };
        Self {
            end: lanes
                .iter()
                .filter_map(|lane| lane.ends.last().copied())
                .max()
                .unwrap_or(0),
            classes: OpClass::ALL.into_iter().filter(has).collect(),
            lanes,
            timeline,
        }
    }

    /// The number of spans.
    #[must_use]
    pub fn len(&self) -> usize {
        self.timeline.len()
    }

    /// Whether there is no span.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timeline.is_empty()
    }

    /// Spans that the run did not keep.
    pub(super) const fn dropped(&self) -> u64 {
        self.timeline.dropped
    }

    /// The kind of span `at` of `lane`, for drawing on it.
    pub(super) fn name(&self, lane: usize, at: usize) -> &str {
        let span = self.timeline.span(self.lanes[lane].spans[at]);
        &self.timeline.kinds.kind(span.kind).name
    }

    /// What the tooltip says of span `at` of `lane`, a line each.
    pub(super) fn describe(&self, lane: usize, at: usize) -> Vec<String> {
        let span = self.timeline.span(self.lanes[lane].spans[at]);
        let kind = self.timeline.kinds.kind(span.kind);
        let start = SimDuration::from_picos(self.lanes[lane].starts[at]);
        let mut lines = vec![
            format!("{} ({})", kind.name, kind.class.name()),
            format!("duration {}", span.duration),
            format!("layer {}, microbatch {}", span.tag.0, span.tag.1),
            format!("begins at {start}, step {}", span.step),
        ];
        if span.flops.get() > 0.0 {
            lines.push(format!("{}", span.flops));
        }
        if span.bytes.get() > 0 {
            lines.push(format!("{}", span.bytes));
        }
        lines
    }
}

impl Lane {
    fn sum_up(&mut self) {
        for class in OpClass::ALL {
            if !self.classes.contains(&class) {
                continue;
            }
            let mut sum = 0;
            let mut sums = vec![0];
            for at in 0..self.starts.len() {
                if self.classes[at] == class {
                    sum += self.ends[at] - self.starts[at];
                }
                sums.push(sum);
            }
            self.busy.push((class, sums));
        }
    }

    /// The class that fills most of the spans `from..to`; of equals the first in legends.
    pub(super) fn dominant(&self, from: usize, to: usize) -> OpClass {
        let mut best = (0, self.classes[from]);
        for (class, sums) in &self.busy {
            let busy = sums[to] - sums[from];
            if busy > best.0 {
                best = (busy, *class);
            }
        }
        best.1
    }
}
