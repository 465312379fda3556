//! How long operations take by themselves, and how late they begin.

use std::collections::BTreeMap;

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
                Some(meeting) => {
                    let starts = graph
                        .parties(meeting)
                        .iter()
                        .map(|&party| operations[party as usize].start);
                    operation
                        .end()
                        .saturating_since(starts.max().unwrap_or(operation.start))
                }
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

    /// Every operation as long as operations of its kind are: computation the mean, communication the median, over all
    /// ranks and steps (Lin 2025, section 4).
    #[must_use]
    pub fn ideal(&self, graph: &Graph<'_>) -> Self {
        let communicates = communicating(graph);
        let mut by_kind: BTreeMap<KindId, Vec<SimDuration>> = BTreeMap::new();
        for (operation, &own) in graph.recording().operations.iter().zip(&self.own) {
            by_kind.entry(operation.kind).or_default().push(own);
        }
        let typical: BTreeMap<KindId, SimDuration> = by_kind
            .into_iter()
            .map(|(kind, times)| {
                let typical = if communicates.contains(&kind) {
                    median(times)
                } else {
                    mean(&times)
                };
                (kind, typical)
            })
            .collect();
        let own = graph
            .recording()
            .operations
            .iter()
            .map(|operation| typical[&operation.kind]);
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

/// Kinds that communicate: by their class, or because operations of theirs meet.
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
pub(crate) fn median(mut times: Vec<SimDuration>) -> SimDuration {
    times.sort_unstable();
    let middle = times.len() / 2;
    match times.len() {
        0 => SimDuration::ZERO,
        even if even % 2 == 0 => (times[middle - 1] + times[middle]) / 2,
        _ => times[middle],
    }
}
