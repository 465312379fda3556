//! How long operations take by themselves, and how late they begin.

use std::collections::BTreeMap;

use orrery_trace::{Alike, NO_STEP, Recording};
use orrery_units::{IndexVec, KindId, ProgramId, SimDuration, SimTime};

use crate::Graph;

/// Times of operations that do not depend on what others do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Time between the end of all that an operation waits for and its start: host work that was not recorded.
    pub delays: Vec<SimDuration>,
    /// Time that it takes once it runs, or once all parties of its meeting are there.
    pub own: Vec<SimDuration>,
}

impl Timing {
    /// As recorded.
    ///
    /// What began before all that it waits for had ended, by the clocks of two recorders, has no delay.
    #[must_use]
    pub fn measured(graph: &Graph<'_>) -> Self {
        let operations = &graph.recording().operations;
        let delays = (0_u32..)
            .zip(operations)
            .map(|(at, operation)| {
                let waited = graph
                    .waits(at)
                    .iter()
                    .map(|&wait| operations[wait as usize].end())
                    .max();
                operation.start.saturating_since(waited.unwrap_or(SimTime::ZERO))
            })
            .collect();
        let own = operations
            .iter()
            .map(|operation| match operation.meeting {
                None => operation.duration,
                Some(_) => operation.end().saturating_since(graph.together(operation)),
            })
            .collect();
        Self { delays, own }
    }

    /// The same without delays of devices: launches that are never late.
    ///
    /// What lies between the calls of a host that was recorded is its own work, and stays; so does, then, the instant at
    /// which an operation begins that waits for nothing.
    #[must_use]
    pub fn without_delays(mut self, graph: &Graph<'_>) -> Self {
        let recording = graph.recording();
        let hosts = recording.lanes.iter().any(|lane| lane.is_host);
        for (at, operation) in (0_u32..).zip(&recording.operations) {
            let begins = hosts && graph.waits(at).is_empty();
            if !begins && !recording.lanes[operation.lane].is_host {
                self.delays[at as usize] = SimDuration::ZERO;
            }
        }
        self
    }

    /// The same with all ranks beginning together, as the first of them did.
    #[must_use]
    pub fn begun_together(mut self, graph: &Graph<'_>) -> Self {
        let recording = graph.recording();
        let mut begins: IndexVec<ProgramId, Option<SimDuration>> =
            IndexVec::filled(None, recording.programs.len());
        let begin = |at: u32| graph.waits(at).is_empty();
        let operations = || (0_u32..).zip(&recording.operations).filter(|&(at, _)| begin(at));
        for (at, operation) in operations() {
            let mine = &mut begins[recording.program_of(operation)];
            let delay = self.delays[at as usize];
            *mine = Some(mine.map_or(delay, |known| known.min(delay)));
        }
        let first = begins.iter().flatten().min().copied().unwrap_or_default();
        for (at, operation) in operations() {
            let late = begins[recording.program_of(operation)].unwrap_or(first) - first;
            self.delays[at as usize] -= late;
        }
        self
    }

    /// The same with the work of each rank's host between its calls scaled by `factor`.
    #[must_use]
    pub fn with_hosts(mut self, graph: &Graph<'_>, factor: impl Fn(ProgramId) -> f64) -> Self {
        let recording = graph.recording();
        for (at, operation) in (0_u32..).zip(&recording.operations) {
            if recording.lanes[operation.lane].is_host && !graph.waits(at).is_empty() {
                let delay = &mut self.delays[at as usize];
                *delay = delay.scaled(factor(recording.program_of(operation)));
            }
        }
        self
    }

    /// Every operation as long as those that do the same work are: computation the mean, communication the median, over
    /// all ranks and steps (Lin 2025, section 4).
    ///
    /// The same work is that of one kind where the recorder says what an operation is for. Where it says what ran, it is
    /// the n-th of its kind of each rank in each step, if all have equally many, else those that moved as many bytes
    /// ([`Alike`]). What belongs to no step stays as it is.
    #[must_use]
    pub fn ideal(&self, graph: &Graph<'_>) -> Self {
        let recording = graph.recording();
        let communicates = communicating(graph);
        let work = work(recording);
        let mut alike: BTreeMap<Work, Vec<SimDuration>> = BTreeMap::new();
        for (work, &own) in work.iter().zip(&self.own) {
            if let Some(work) = work {
                alike.entry(*work).or_default().push(own);
            }
        }
        let typical: BTreeMap<Work, SimDuration> = alike
            .into_iter()
            .map(|(work, times)| {
                let typical = if communicates.binary_search(&work.0).is_ok() {
                    median(times)
                } else {
                    mean(&times)
                };
                (work, typical)
            })
            .collect();
        let own = work
            .iter()
            .zip(&self.own)
            .map(|(work, &own)| work.map_or(own, |work| typical[&work]));
        Self {
            delays: self.delays.clone(),
            own: own.collect(),
        }
    }

    /// These times, and those of `other` for the operations that `takes` picks.
    #[must_use]
    pub fn mixed(&self, other: &Self, takes: impl Fn(u32) -> bool) -> Self {
        let own = (0_u32..)
            .zip(self.own.iter().zip(&other.own))
            .map(|(at, (&mine, &theirs))| if takes(at) { theirs } else { mine });
        Self {
            delays: self.delays.clone(),
            own: own.collect(),
        }
    }
}

/// What operations have in common that do the same work: their kind, and what tells it apart within that.
type Work = (KindId, u64);

/// The work of each operation; none of what belongs to no step.
fn work(recording: &Recording) -> Vec<Option<Work>> {
    let operations = &recording.operations;
    if recording.alike == Alike::Kind {
        return operations
            .iter()
            .map(|operation| Some((operation.kind, 0)))
            .collect();
    }
    let mut counts: BTreeMap<(KindId, ProgramId, u16), u64> = BTreeMap::new();
    let mut order: Vec<u32> = (0_u32..).take(operations.len()).collect();
    order.sort_by_key(|&at| (operations[at as usize].start, at));
    let mut places = vec![0; operations.len()];
    for at in order {
        let operation = &operations[at as usize];
        let key = (operation.kind, recording.program_of(operation), operation.step);
        let count = counts.entry(key).or_default();
        places[at as usize] = *count;
        *count += 1;
    }
    // Whether all ranks and steps that have a kind have equally many of it.
    let mut even: BTreeMap<KindId, (u64, bool)> = BTreeMap::new();
    for (&(kind, _, step), &count) in &counts {
        if step != NO_STEP {
            let known = even.entry(kind).or_insert((count, true));
            known.1 &= known.0 == count;
        }
    }
    operations
        .iter()
        .zip(places)
        .map(|(operation, place)| match even.get(&operation.kind) {
            _ if operation.step == NO_STEP => None,
            Some((_, true)) => Some((operation.kind, place)),
            _ => Some((operation.kind, operation.bytes.get())),
        })
        .collect()
}

/// Kinds that communicate, in order: by their class, or because operations of theirs meet.
pub(crate) fn communicating(graph: &Graph<'_>) -> Vec<KindId> {
    let recording = graph.recording();
    let mut kinds: Vec<KindId> = recording
        .operations
        .iter()
        .filter(|operation| operation.meeting.is_some())
        .map(|operation| operation.kind)
        .collect();
    let by_class = recording
        .kinds
        .iter()
        .filter(|(_, kind)| kind.class.is_communication());
    kinds.extend(by_class.map(|(id, _)| id));
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

pub(crate) fn mean(times: &[SimDuration]) -> SimDuration {
    // Many ranks over many steps come to more than a year.
    let sum: u128 = times.iter().map(|time| u128::from(time.as_picos())).sum();
    let mean = sum / (times.len() as u128).max(1);
    SimDuration::from_picos(u64::try_from(mean).expect("a mean is no more than the longest"))
}

/// The middle, or the mean of the two in the middle; zero of none.
pub(crate) fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        even if even % 2 == 0 => values[middle - 1].midpoint(values[middle]),
        _ => values[middle],
    }
}

/// The same of spans, to the picosecond.
pub(crate) fn median(mut times: Vec<SimDuration>) -> SimDuration {
    times.sort_unstable();
    let middle = times.len() / 2;
    match times.len() {
        0 => SimDuration::ZERO,
        even if even % 2 == 0 => (times[middle - 1] + times[middle]) / 2,
        _ => times[middle],
    }
}
