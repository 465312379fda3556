//! The spans of a run by lane, in order of time, ready for binary search. No widget is known here.

use orrery_timeline::{Counter, Kind, OpClass, Span, SpanId, StepExtent, Timeline};
use orrery_units::SimTime;
use orrery_units::{Evidence, KindId};

use super::lane::{Entry, Filter, Lane};
use super::overview::Overview;
use super::steps::Steps;

/// A timeline arranged by lane. Instants are picoseconds since the first span began.
#[derive(Debug)]
pub struct TimelineModel {
    pub(super) timeline: Timeline,
    steps: Vec<StepExtent>,
    /// Where the run came from: whether it was measured or simulated.
    pub(super) measured: bool,
    /// The lanes that hold spans, in the order of the run.
    pub(super) lanes: Vec<Lane>,
    /// Whose lanes they are, such as ranks, in the order of the run.
    pub(super) groups: Vec<Group>,
    /// Counters, such as memory held, with whose they are; in the order of the groups.
    pub(super) counters: Vec<Steps>,
    /// When time begins, in picoseconds of the run's own clock.
    origin: u64,
    /// When the last span ends.
    pub(super) end: u64,
    /// What each kind adds up to, by number of the kind.
    pub(super) kinds: Vec<Sum>,
    /// Busy time that rests on each kind of evidence, in the order of [`Evidence::ALL`].
    pub(super) evidence: [u64; 4],
    /// The whole of it in a few columns.
    pub(super) overview: Overview,
    /// Kinds that occur, by class and then by busy time.
    order: Vec<KindId>,
    /// Lane and position of each span.
    places: Vec<(u32, u32)>,
}

/// The lanes of one program.
#[derive(Debug)]
pub(super) struct Group {
    /// Such as `rank 3`.
    pub(super) name: String,
    /// Its lanes.
    pub(super) lanes: std::ops::Range<usize>,
    /// Its counters, such as memory held.
    pub(super) counters: std::ops::Range<usize>,
}

/// A number of spans and the time they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) count: u64,
    /// Picoseconds.
    pub(super) busy: u64,
}

impl TimelineModel {
    /// Arranges the timeline of a simulation.
    #[must_use]
    pub fn new(timeline: Timeline) -> Self {
        Self::arranged(timeline, false, None)
    }

    /// Arranges a timeline that was measured.
    #[must_use]
    pub fn measured(timeline: Timeline) -> Self {
        Self::arranged(timeline, true, None)
    }

    /// `step` alone: time begins where the step does, and what begins earlier is cut there.
    #[must_use]
    pub fn of_step(&self, step: StepExtent) -> Self {
        Self::arranged(self.timeline.of_step(step), self.measured, Some(step.from))
    }

    fn arranged(timeline: Timeline, measured: bool, origin: Option<SimTime>) -> Self {
        let first = || timeline.spans().map(|span| span.start).min();
        let origin = origin.or_else(first).unwrap_or_default().as_picos();
        let mut entries: Vec<Vec<Entry>> = timeline.lanes.iter().map(|_| Vec::new()).collect();
        let mut kinds = vec![Sum::default(); timeline.kinds.len()];
        let mut evidence = [0; 4];
        for (id, span) in (0..).zip(timeline.spans()) {
            let end = (span.start + span.duration).as_picos();
            let entry = Entry {
                start: span.start.as_picos().saturating_sub(origin),
                end: end.saturating_sub(origin),
                kind: span.kind,
                span: id,
            };
            entries[span.lane.index()].push(entry);
            kinds[span.kind.index()].count += 1;
            kinds[span.kind.index()].busy += span.duration.as_picos();
            evidence[position_of(span.evidence)] += span.duration.as_picos();
        }
        let (lanes, mut groups) = grouped(&timeline, entries);
        let counters = counters(&timeline, &mut groups, origin);
        let end = lanes.iter().filter_map(|lane| lane.ends.last().copied()).max();
        let overview = Overview::of(&lanes, &timeline, end.unwrap_or(0));
        Self {
            measured,
            overview,
            places: places(&lanes, timeline.len()),
            lanes,
            groups,
            counters,
            origin,
            end: end.unwrap_or(0),
            order: in_order(&timeline, &kinds),
            kinds,
            evidence,
            steps: timeline.steps(),
            timeline,
        }
    }

    /// The number of spans.
    #[must_use]
    pub fn len(&self) -> usize {
        self.timeline.len()
    }

    /// Its steps.
    #[must_use]
    pub fn steps(&self) -> &[StepExtent] {
        &self.steps
    }

    /// Whether there is no span.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timeline.is_empty()
    }

    /// When time begins, in picoseconds of the run's own clock.
    pub(crate) const fn origin(&self) -> u64 {
        self.origin
    }

    /// Spans that the run did not keep.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.timeline.dropped
    }

    /// The time that all spans take together.
    pub(super) fn busy(&self) -> u64 {
        self.kinds.iter().map(|sum| sum.busy).sum()
    }

    /// The kind of number `kind`.
    pub(super) fn kind(&self, kind: KindId) -> &Kind {
        self.timeline.kinds.kind(kind)
    }

    /// The kinds that occur, in the order of legends: by class, and within one the longest first.
    pub(super) fn kinds_in_order(&self) -> &[KindId] {
        &self.order
    }

    /// What the spans of `class` add up to.
    pub(super) fn sum_of(&self, class: OpClass) -> Sum {
        let kinds = self.timeline.kinds.iter().filter(|(_, kind)| kind.class == class);
        kinds.fold(Sum::default(), |sum, (id, _)| {
            let more = self.kinds[id.index()];
            Sum {
                count: sum.count + more.count,
                busy: sum.busy + more.busy,
            }
        })
    }

    /// Span number `span` as recorded.
    pub(super) fn span(&self, span: SpanId) -> Span {
        self.timeline.span(span)
    }

    /// When span number `span` begins and ends.
    pub(super) fn extent(&self, span: SpanId) -> (u64, u64) {
        let (lane, at) = self.place(span);
        (self.lanes[lane].starts[at], self.lanes[lane].ends[at])
    }

    /// The lane of span number `span`, and its position there.
    pub(super) fn place(&self, span: SpanId) -> (usize, usize) {
        let (lane, at) = self.places[span as usize];
        (lane as usize, at as usize)
    }

    /// Name of lane `lane` with its group, such as `rank 3 · compute`.
    pub(super) fn lane_name(&self, lane: usize) -> String {
        let lane = &self.lanes[lane];
        format!("{} · {}", self.groups[lane.group].name, lane.name)
    }

    /// Name of span number `span`.
    pub(crate) fn name(&self, span: SpanId) -> &str {
        &self.kind(self.span(span).kind).name
    }

    /// The longest computation of the lanes of `group`, such as `rank 3`; where it computes nowhere, its longest span.
    pub(crate) fn longest_of(&self, group: &str) -> Option<SpanId> {
        let group = self.groups.iter().find(|other| other.name == group)?;
        let spans = self.lanes[group.lanes.clone()].iter().flat_map(|lane| {
            let length = |at: usize| lane.ends[at] - lane.starts[at];
            (0..lane.spans.len()).map(move |at| {
                (
                    self.kind(lane.kind_of(at)).class == OpClass::Compute,
                    length(at),
                    lane.spans[at],
                )
            })
        });
        spans.max().map(|(.., span)| span)
    }

    /// Spans that were released by the end of span number `span`. Looks at every span.
    pub(super) fn released_by(&self, span: SpanId) -> Vec<SpanId> {
        let spans = (0..).zip(self.timeline.spans());
        spans
            .filter(|(_, other)| other.released_by == Some(span))
            .map(|(id, _)| id)
            .collect()
    }

    /// Time by kind that `lanes` are busy within `from..to`, cut at both ends; by number of the kind. Looks
    /// at a bounded number of spans of each lane.
    pub(super) fn busy_within(&self, lanes: impl Iterator<Item = usize>, from: u64, to: u64) -> Vec<u64> {
        let mut by_kind = vec![0; self.kinds.len()];
        let mut scratch = Vec::new();
        for lane in lanes.map(|number| &self.lanes[number]) {
            let first = lane.ends.partition_point(|&end| end <= from);
            let last = lane.starts.partition_point(|&start| start < to);
            if first >= last {
                continue;
            }
            lane.busy(first, last, &mut scratch);
            for (kind, busy) in lane.kinds.iter().zip(&scratch) {
                by_kind[kind.index()] += busy;
            }
            by_kind[lane.kind_of(first).index()] -= from.saturating_sub(lane.starts[first]);
            by_kind[lane.kind_of(last - 1).index()] -= lane.ends[last - 1].saturating_sub(to);
        }
        by_kind
    }

    /// The next span after `from` (or before it, if `back`) that the search found and that is drawn, around
    /// the end if need be; by start, then by lane. Looks at every span.
    pub(super) fn next_found(&self, filter: &Filter, from: Option<SpanId>, back: bool) -> Option<SpanId> {
        let key = |span: SpanId| {
            let (lane, at) = self.place(span);
            (self.lanes[lane].starts[at], lane, at)
        };
        let matching = (0..)
            .zip(self.timeline.spans())
            .filter(|(_, span)| filter.finds(span.kind) && filter.draws(span.kind))
            .map(|(id, _)| id);
        let here = from.map(key);
        if back {
            // Smaller ones first, then all of them.
            matching.max_by_key(|&id| (here.is_none_or(|here| key(id) < here), key(id)))
        } else {
            matching.min_by_key(|&id| (here.is_some_and(|here| key(id) <= here), key(id)))
        }
    }
}

fn position_of(evidence: Evidence) -> usize {
    let at = Evidence::ALL.iter().position(|&other| other == evidence);
    at.expect("every kind of evidence is listed")
}

/// The kinds that occur by class, those of a class by what `sums` they add up to, the longest first.
fn in_order(timeline: &Timeline, sums: &[Sum]) -> Vec<KindId> {
    let kinds = timeline.kinds.iter();
    let used = kinds.filter(|(id, _)| sums[id.index()].count > 0);
    let mut order: Vec<(u8, std::cmp::Reverse<u64>, KindId)> = used
        .map(|(id, kind)| (kind.class as u8, std::cmp::Reverse(sums[id.index()].busy), id))
        .collect();
    order.sort_by_key(|&(class, busy, _)| (class, busy));
    order.into_iter().map(|(_, _, id)| id).collect()
}

/// Lanes in the order of the run, those of one program together, and the programs.
fn grouped(timeline: &Timeline, mut entries: Vec<Vec<Entry>>) -> (Vec<Lane>, Vec<Group>) {
    let mut programs: Vec<&str> = Vec::new();
    for info in timeline.lanes.iter() {
        if !programs.contains(&info.program.as_str()) {
            programs.push(&info.program);
        }
    }
    let (mut lanes, mut groups) = (Vec::new(), Vec::new());
    for program in programs {
        let first = lanes.len();
        let mine = timeline
            .lanes
            .iter_enumerated()
            .filter(|(_, info)| info.program == program);
        for (id, info) in mine {
            let entries = std::mem::take(&mut entries[id.index()]);
            lanes.extend(Lane::arranged(&info.name, groups.len(), entries));
        }
        if lanes.len() == first {
            continue;
        }
        groups.push(Group {
            name: program.to_owned(),
            lanes: first..lanes.len(),
            counters: 0..0,
        });
    }
    (lanes, groups)
}

/// The counters of `groups`, noted there, from `origin` on.
fn counters(timeline: &Timeline, groups: &mut [Group], origin: u64) -> Vec<Steps> {
    let mut steps = Vec::new();
    for group in groups {
        let first = steps.len();
        let mine = |counter: &&Counter| counter.program == group.name && !counter.points.is_empty();
        steps.extend(
            timeline
                .counters
                .iter()
                .filter(mine)
                .map(|counter| Steps::new(counter, origin)),
        );
        group.counters = first..steps.len();
    }
    steps
}

fn places(lanes: &[Lane], len: usize) -> Vec<(u32, u32)> {
    let mut places = vec![(0, 0); len];
    for (number, lane) in (0..).zip(lanes) {
        for (at, &span) in (0..).zip(&lane.spans) {
            places[span as usize] = (number, at);
        }
    }
    places
}
