//! The spans of one lane as columns, with sums by kind of any stretch of them in bounded time.

use std::cmp::Reverse;

use orrery_timeline::SpanId;
use orrery_units::KindId;

/// Spans between two stored sums: adding up a stretch looks at fewer than twice as many spans.
const CHUNK: usize = 16;
/// Spans whose kinds are told apart one by one.
const FEW: usize = 12;

/// What is told to a lane of one span, in picoseconds since the first span of the timeline.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) kind: KindId,
    pub(super) span: SpanId,
}

/// The spans of one lane, as columns.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Such as `compute`.
    pub(super) name: String,
    /// The group it belongs to.
    pub(super) group: usize,
    /// When each span begins; never decreases.
    pub(super) starts: Vec<u64>,
    /// When each span ends; never decreases, for spans of a lane do not overlap.
    pub(super) ends: Vec<u64>,
    /// Number of each span in the timeline.
    pub(super) spans: Vec<SpanId>,
    /// The kinds that occur on the lane.
    pub(super) kinds: Vec<KindId>,
    /// Kind of each span, an index into `kinds`.
    kind: Vec<u16>,
    /// Busy time by kind before every `CHUNK`th span: a row of `kinds.len()` for each.
    sums: Vec<u64>,
}

/// Which kinds are drawn, and which are searched for; by number of the kind in the timeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// Kinds that are not drawn.
    pub(super) hidden: Vec<bool>,
    /// Kinds that the search found; `None` when nothing is searched for.
    pub(super) found: Option<Vec<bool>>,
}

/// The kind that a stretch of spans is drawn as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dominant {
    /// The kind.
    pub(super) kind: KindId,
    /// Busy time of all kinds that are drawn.
    pub(super) busy: u64,
    /// Whether the kind is one that was searched for.
    pub(super) found: bool,
}

impl Filter {
    /// Whether spans of `kind` are drawn.
    pub(super) fn draws(&self, kind: KindId) -> bool {
        !self.hidden.get(kind.index()).copied().unwrap_or(false)
    }

    /// Whether `kind` was searched for and found.
    pub(super) fn finds(&self, kind: KindId) -> bool {
        let found = self.found.as_ref();
        found.is_some_and(|found| found.get(kind.index()).copied().unwrap_or(false))
    }
}

impl Lane {
    /// Arranges spans into lanes named `name`: one, unless spans overlap, for overlaps never share a lane.
    pub(super) fn arranged(name: &str, group: usize, mut entries: Vec<Entry>) -> Vec<Self> {
        entries.sort_by_key(|entry| (entry.start, entry.end));
        let mut lanes: Vec<Self> = Vec::new();
        for entry in entries {
            let fits = |lane: &Self| lane.ends.last().is_none_or(|&end| end <= entry.start);
            let at = lanes.iter().position(fits).unwrap_or_else(|| {
                let number = lanes.len() + 1;
                lanes.push(Self {
                    name: if number == 1 {
                        name.to_owned()
                    } else {
                        format!("{name} ({number})")
                    },
                    group,
                    ..Self::default()
                });
                lanes.len() - 1
            });
            lanes[at].push(entry);
        }
        for lane in &mut lanes {
            lane.sum_up();
        }
        lanes
    }

    fn push(&mut self, entry: Entry) {
        let known = self.kinds.iter().position(|&kind| kind == entry.kind);
        let kind = known.unwrap_or_else(|| {
            self.kinds.push(entry.kind);
            self.kinds.len() - 1
        });
        self.kind
            .push(u16::try_from(kind).expect("a lane has fewer than 2^16 kinds"));
        self.starts.push(entry.start);
        self.ends.push(entry.end);
        self.spans.push(entry.span);
    }

    fn sum_up(&mut self) {
        let mut sums = vec![0; self.kinds.len()];
        for at in 0..self.len() {
            if at % CHUNK == 0 {
                self.sums.extend_from_slice(&sums);
            }
            sums[usize::from(self.kind[at])] += self.ends[at] - self.starts[at];
        }
    }

    /// The number of spans.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// The kind of span `at`.
    pub(super) fn kind_of(&self, at: usize) -> KindId {
        self.kinds[usize::from(self.kind[at])]
    }

    /// Busy time by kind, in the order of `kinds`, of the spans `from..to`, into `into`.
    ///
    /// A short stretch is added up; of a long one the stored sums are subtracted and its ends added up, so
    /// that the time this takes does not depend on the number of spans.
    pub(super) fn busy(&self, from: usize, to: usize, into: &mut Vec<u64>) {
        into.clear();
        into.resize(self.kinds.len(), 0);
        if to - from <= 2 * CHUNK {
            self.add(from, to, into);
            return;
        }
        let (first, last) = (from.div_ceil(CHUNK), to / CHUNK);
        // The row of the end may be one that no span follows.
        let last = last.min((self.len() - 1) / CHUNK);
        let width = self.kinds.len();
        for (number, sum) in into.iter_mut().enumerate() {
            *sum = self.sums[last * width + number] - self.sums[first * width + number];
        }
        self.add(from, first * CHUNK, into);
        self.add(last * CHUNK, to, into);
    }

    fn add(&self, from: usize, to: usize, into: &mut [u64]) {
        for at in from..to {
            into[usize::from(self.kind[at])] += self.ends[at] - self.starts[at];
        }
    }

    /// What the spans `from..to` are drawn as: of the kinds that are drawn, and among them of those that
    /// were searched for, the one that fills most; of equals the first that occurs on the lane. `None`
    /// when nothing of it is drawn.
    pub(super) fn dominant(
        &self,
        from: usize,
        to: usize,
        filter: &Filter,
        scratch: &mut Vec<u64>,
    ) -> Option<Dominant> {
        if to - from == 1 {
            let kind = self.kind_of(from);
            return filter.draws(kind).then(|| Dominant {
                kind,
                busy: self.ends[from] - self.starts[from],
                found: filter.finds(kind),
            });
        }
        let mut best: Option<(bool, u64, Reverse<u16>)> = None;
        let mut busy = 0;
        let mut weigh = |number: u16, sum: u64| {
            let kind = self.kinds[usize::from(number)];
            if sum == 0 || !filter.draws(kind) {
                return;
            }
            busy += sum;
            best = best.max(Some((filter.finds(kind), sum, Reverse(number))));
        };
        if to - from <= FEW {
            self.tally(from, to).for_each(|(number, sum)| weigh(number, sum));
        } else {
            self.busy(from, to, scratch);
            (0..)
                .zip(scratch.iter())
                .for_each(|(number, &sum)| weigh(number, sum));
        }
        let mut best = best.map(|(found, _, Reverse(number))| (found, self.kinds[usize::from(number)]));
        if best.is_none() {
            // Nothing but spans without length: the first that is drawn, if any near the start is.
            let mut few = (from..to.min(from + CHUNK)).map(|at| self.kind_of(at));
            best = few
                .find(|&kind| filter.draws(kind))
                .map(|kind| (filter.finds(kind), kind));
        }
        best.map(|(found, kind)| Dominant { kind, busy, found })
    }

    /// Kinds of the few spans `from..to`, as indices into `kinds`, with their busy time: no kind but those that occur is
    /// looked at, which are few where a lane has many.
    fn tally(&self, from: usize, to: usize) -> impl Iterator<Item = (u16, u64)> {
        debug_assert!(to - from <= FEW, "{} spans are not few", to - from);
        let mut sums = [(0_u16, 0_u64); FEW];
        let mut len = 0;
        for at in from..to {
            let (kind, time) = (self.kind[at], self.ends[at] - self.starts[at]);
            match sums[..len].iter_mut().find(|(known, _)| *known == kind) {
                Some((_, sum)) => *sum += time,
                None => {
                    sums[len] = (kind, time);
                    len += 1;
                }
            }
        }
        sums.into_iter().take(len)
    }

    /// The span that runs at `instant`, or else the nearest one; `None` on an empty lane.
    pub(super) fn nearest(&self, instant: u64) -> Option<usize> {
        let at = self.ends.partition_point(|&end| end < instant);
        let after = (at < self.len()).then_some(at);
        let before = at.checked_sub(1);
        match (before, after) {
            (Some(before), Some(after)) => {
                let ahead = self.starts[after].saturating_sub(instant);
                Some(if ahead == 0 || ahead <= instant - self.ends[before] {
                    after
                } else {
                    before
                })
            }
            (before, after) => after.or(before),
        }
    }
}
